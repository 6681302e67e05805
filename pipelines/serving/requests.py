"""What clients send and are answered: limits, token, fields of a form, problems. No Ray and no network."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from charmnet.blending import MAX_FEATHER, Adjustment
from charmnet.encoded_pictures import EncodedPicture
from charmnet.errors import DataError
from charmnet.image_limits import TOO_MANY_PIXELS
from charmnet.picture_formats import SUFFIXES, picture_size

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
}
"""Media types of results by suffix."""

FILES = ("composite", "mask")
OPTIONS = ("strength", "feather", "format")
SHORTEST_TOKEN = 16
"""Characters that a token has at least."""

_A_FORM = f"the files {' and '.join(FILES)}, and where wanted {', '.join(OPTIONS)}, each once"
_A_PAIR = (
    "a picture (PNG, JPEG, WebP, BMP, TIFF, AVIF, HEIC), and a mask of its size, white in the foreground"
)
_LONGEST_NAME = 80

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Why a request is refused.

    Attributes:
        status: of HTTP.
        what: what was got.
        where: part of the request.
        expected: what was expected there.
        remedy: what to do.
    """

    status: int
    what: str
    where: str
    expected: str
    remedy: str

    def as_json(self) -> dict[str, dict[str, str | int]]:
        """Return the body of the answer."""
        return {"error": asdict(self)}


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        problem: why.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


@dataclass(frozen=True)
class Limits:
    """What a request may hold.

    Attributes:
        megabytes: size of its body, in 2**20 bytes.
        megapixels: pixels of its picture, in millions.
    """

    megabytes: float = 64
    megapixels: float = 50

    @property
    def body_bytes(self) -> int:
        """Most bytes of a body."""
        return int(self.megabytes * (1 << 20))

    @property
    def pixels(self) -> int:
        """Most pixels of a picture."""
        return int(self.megapixels * 1e6)


@dataclass(frozen=True)
class Job:
    """A picture to harmonize.

    Attributes:
        composite: file of the picture.
        mask: file of its mask.
        adjustment: what is chosen about the result.
        out_name: name of the result, whose suffix gives its format.
        pixels: of picture or mask, whichever has more.
    """

    composite: EncodedPicture
    mask: EncodedPicture
    adjustment: Adjustment
    out_name: str
    pixels: int

    @property
    def media_type(self) -> str:
        """Media type of the result."""
        return MEDIA_TYPES[PurePosixPath(self.out_name).suffix]


@dataclass(frozen=True)
class Answer:
    """A harmonized picture.

    Attributes:
        data: its file.
        warnings: remarks about mask and picture.
        batch: pictures that the network was given at a time.
    """

    data: bytes
    warnings: tuple[str, ...]
    batch: int


def token_digest(token: str | None) -> bytes | None:
    """Return what is kept of a token to compare with; None where there is none.

    Raises:
        ValueError: it is shorter than `SHORTEST_TOKEN`.
    """
    if token is None:
        return None
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"the token has {len(token)} characters; expected {SHORTEST_TOKEN} or more")
    return hashlib.sha256(token.encode()).digest()


def check_token(digest: bytes | None, authorization: str | None) -> None:
    """Check the header Authorization, which has to be `Bearer TOKEN` where a token is set.

    How long it takes says nothing about the token.

    Raises:
        RequestError: 401.
    """
    if digest is None:
        return
    scheme, _, token = (authorization or "").partition(" ")
    given = hashlib.sha256(token.strip().encode()).digest()
    if not hmac.compare_digest(given, digest) or scheme.lower() != "bearer":
        what = "another token" if authorization else "no token"
        raise RequestError(
            Problem(401, what, "header Authorization", "Bearer TOKEN", "send the token of this server")
        )


def job_of_form(
    files: Sequence[tuple[str, str, bytes]], fields: Sequence[tuple[str, str]], limits: Limits
) -> Job:
    """Return the job that a form asks for; nothing of its pictures is decoded.

    Args:
        files: (field, name, content) of `composite` and `mask`.
        fields: (field, value) of `strength`, `feather`, `format`, each of which may be missing.
        limits: what it may hold.

    Raises:
        RequestError: 422, a file or field is missing, twice there, unknown or no value, or a file is no
            picture; 413, the picture is too large.
    """
    contents = _once([(field, (name, data)) for field, name, data in files], FILES)
    values = _once(list(fields), OPTIONS)
    missing = [name for name in FILES if name not in contents]
    if missing:
        raise _refused(f"no {' and no '.join(missing)}", "form", _A_FORM, "send both as files of the form")
    suffix = _suffix(values.get("format", "png"))
    adjustment = Adjustment(
        strength=_number(values, "strength", 1, 1), feather=_number(values, "feather", 0, MAX_FEATHER)
    )
    pictures = {
        field: EncodedPicture(contents[field][1], _name(field, contents[field][0])) for field in FILES
    }
    pixels = max(_checked_pixels(field, picture, limits) for field, picture in pictures.items())
    stem = PurePosixPath(pictures["composite"].name).stem
    return Job(pictures["composite"], pictures["mask"], adjustment, f"{stem}-harmonized{suffix}", pixels)


def problem_of_data(error: DataError) -> Problem:
    """Return the problem of files that turned out wrong when they were decoded."""
    where, _, what = str(error).partition(": ")
    return Problem(
        422, what or where, where, _A_PAIR, "mend the file that `where` names, and send both again"
    )


def _once(entries: Sequence[tuple[str, T]], known: Sequence[str]) -> dict[str, T]:
    """Return entries by field.

    Raises:
        RequestError: a field is unknown or there twice.
    """
    by_field = dict(entries)
    unknown = [field for field in by_field if field not in known]
    if unknown or len(by_field) < len(entries):
        what = f"unknown: {_shown(unknown[0])}" if unknown else "a field twice"
        raise _refused(what, "form", _A_FORM, "leave it out")
    return by_field


def _suffix(image_format: str) -> str:
    suffix = f".{image_format.lower().lstrip('.')}"
    if suffix not in SUFFIXES:
        names = ", ".join(name.lstrip(".") for name in SUFFIXES)
        raise _refused(_shown(image_format), "field format", f"one of {names}", "choose one of these")
    return suffix


def _number(values: Mapping[str, str], field: str, default: float, most: float) -> float:
    try:
        value = float(values.get(field, default))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise _refused(
            _shown(values[field]),
            f"field {field}",
            f"a number from 0 to {most:g}",
            "correct it or leave it out",
        )
    return value


def _checked_pixels(field: str, picture: EncodedPicture, limits: Limits) -> int:
    """Return the pixels of a picture, from its header.

    Raises:
        RequestError: 422, it is none or a decompression bomb; 413, it has too many.
    """
    where = f"{field} ({picture.name})"
    smaller = "shrink the picture, or have the server started with a larger --max-megapixels"
    try:
        height, width = picture_size(picture.data)
    except DataError as error:
        if str(error) == TOO_MANY_PIXELS:
            raise RequestError(Problem(413, str(error), where, _most(limits), smaller)) from error
        raise _refused(str(error), where, _A_PAIR, "send a file of one of these formats") from error
    if height * width > limits.pixels:
        what = f"{width}x{height}, {height * width / 1e6:.1f} million pixels"
        raise RequestError(Problem(413, what, where, _most(limits), smaller))
    return height * width


def _most(limits: Limits) -> str:
    return f"at most {limits.megapixels:g} million pixels"


def _refused(what: str, where: str, expected: str, remedy: str) -> RequestError:
    return RequestError(Problem(422, what, where, expected, remedy))


def _name(field: str, given: str) -> str:
    """Return a file's name for messages: without folders, and without what a header or message breaks at."""
    return _shown(PurePosixPath(given.replace("\\", "/")).name.replace(":", "_")) or field


def _shown(text: str) -> str:
    """Return a client's text as it may stand in a message."""
    kept = "".join(character if character.isprintable() else "?" for character in text)
    return kept if len(kept) <= _LONGEST_NAME else f"{kept[:_LONGEST_NAME]}..."
