from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.codecs import encode_mask, encode_png
from charmnet.errors import DataError
from charmnet.picture_formats import SUFFIXES
from pipelines.serving.requests import (
    MEDIA_TYPES,
    Limits,
    RequestError,
    check_token,
    job_of_form,
    problem_of_data,
    token_digest,
)

PICTURE = encode_png(np.zeros((8, 9, 3), np.uint8))
MASK = encode_mask(np.ones((8, 9), np.uint8))
FILES = [("composite", "dir/in.jpg", PICTURE), ("mask", "m.png", MASK)]
TOKEN = "a token of its own"


def refused(files: list, fields: list, limits: Limits | None = None) -> tuple[int, str, str]:
    with pytest.raises(RequestError) as error:
        job_of_form(files, fields, limits or Limits())
    problem = error.value.problem
    assert all(problem.as_json()["error"].values())
    return problem.status, problem.where, problem.what


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that says it is so large, and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_form_is_a_job() -> None:
    job = job_of_form(FILES, [("strength", "0.5"), ("feather", "3"), ("format", "JPG")], Limits())
    assert (job.composite.data, job.composite.name) == (PICTURE, "in.jpg")
    assert (job.mask.data, job.mask.name) == (MASK, "m.png")
    assert (job.out_name, job.media_type, job.pixels) == ("in-harmonized.jpg", "image/jpeg", 72)
    assert (job.adjustment.strength, job.adjustment.feather, job.adjustment.background) == (0.5, 3, False)
    plain = job_of_form(FILES, [], Limits())
    assert (plain.out_name, plain.media_type) == ("in-harmonized.png", "image/png")
    assert (plain.adjustment.strength, plain.adjustment.feather) == (1, 0)
    assert set(MEDIA_TYPES) == set(SUFFIXES)


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        ([("strength", "2")], "field strength", "2"),
        ([("strength", "much")], "field strength", "much"),
        ([("strength", "nan")], "field strength", "nan"),
        ([("feather", "-1")], "field feather", "-1"),
        ([("feather", "1e9\n")], "field feather", "1e9?"),
        ([("format", "exe")], "field format", "exe"),
        ([("stregnth", "1")], "form", "unknown: stregnth"),
        ([("strength", "1"), ("strength", "0")], "form", "a field twice"),
        ([("mask", "text")], "form", "unknown: mask"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: list, where: str, what: str) -> None:
    assert refused(FILES, fields) == (422, where, what)


def test_files_that_are_missing_twice_there_or_no_pictures_are_named() -> None:
    assert refused(FILES[:1], []) == (422, "form", "no mask")
    assert refused([], []) == (422, "form", "no composite and no mask")
    assert refused([*FILES, FILES[0]], []) == (422, "form", "a field twice")
    status, where, what = refused([("composite", "notes.txt", b"text"), FILES[1]], [])
    assert (status, where) == (422, "composite (notes.txt)")
    assert "no picture" in what


def test_pictures_that_are_too_large_are_refused_by_their_headers() -> None:
    status, where, what = refused(FILES, [], Limits(megapixels=0.00005))
    assert (status, where, what) == (413, "composite (in.jpg)", "9x8, 0.0 million pixels")
    huge = [FILES[0], ("mask", "m.png", png_of_size(20_000, 10_000))]
    status, where, what = refused(huge, [])
    assert (status, where) == (413, "mask (m.png)")
    assert "178,956,970" in what
    status, _, what = refused([("composite", "b.png", png_of_size(6000, 6000)), FILES[1]], [])
    assert status == 422
    assert "decompression bomb" in what


def test_a_file_s_name_breaks_no_message_and_no_header() -> None:
    name = "C:\\pictures\\a: b\r\nx-other: 1\x00" + 200 * "y"
    job = job_of_form([("composite", name, PICTURE), FILES[1]], [], Limits())
    assert job.composite.name.startswith("a_ b??x-other_ 1?yyy")
    assert len(job.composite.name) < 90
    assert job.composite.name.isprintable()
    assert job_of_form([("composite", "", PICTURE), FILES[1]], [], Limits()).composite.name == "composite"


@given(st.text(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_form_says_it_is_a_job_or_refused(name: str, field: str, value: str) -> None:
    refused_with = None
    try:
        job = job_of_form([("composite", name, PICTURE), FILES[1]], [(field, value)], Limits())
    except RequestError as error:
        refused_with = error.problem
    texts = refused_with.as_json()["error"].values() if refused_with else [job.composite.name, job.out_name]
    assert all(str(text).isprintable() for text in texts)


def test_errors_of_decoding_say_where() -> None:
    problem = problem_of_data(DataError("in.png with m.png: sizes differ: 1 and 2"))
    assert (problem.status, problem.where, problem.what) == (
        422,
        "in.png with m.png",
        "sizes differ: 1 and 2",
    )
    assert problem_of_data(DataError("odd")).what == "odd"


def test_the_token_is_compared_and_not_kept() -> None:
    digest = token_digest(TOKEN)
    assert TOKEN.encode() not in digest
    for header in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
        check_token(digest, header)
    check_token(token_digest(None), None)
    for header in (None, "", TOKEN, "Bearer", "Bearer other", f"Basic {TOKEN}", "Bearer \xff"):
        with pytest.raises(RequestError) as error:
            check_token(digest, header)
        assert error.value.problem.status == 401
        assert TOKEN not in str(error.value.problem)
    for token in ("", "short"):
        with pytest.raises(ValueError, match="16 or more") as short:
            token_digest(token)
        assert "short" not in str(short.value)
