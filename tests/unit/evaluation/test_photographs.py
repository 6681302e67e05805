"""Names of photographs by the ids of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.vocabulary import Domain
from pipelines.evaluation.photographs import photograph_of


@pytest.mark.parametrize(
    ("identity", "domain", "photograph"),
    [
        ("HCOCO/c123_456_7", Domain.REAL, "HCOCO/c123"),
        ("Hday2night/d90000012-181_1_7", Domain.REAL, "Hday2night/d90000012-181"),
        ("Own/my_cat_picture_0_3", Domain.REAL, "Own/my_cat_picture"),
        ("Own/IMG_2026_11", Domain.REAL, "Own/IMG"),
        ("Own/my_cat_picture", Domain.REAL, "Own/my_cat_picture"),
        ("Own/cat_1_b", Domain.REAL, "Own/cat_1_b"),
        ("SHuman/001:3:7", Domain.RENDERED, "SHuman/001"),
        ("SHuman/scene_a-1-3_7", Domain.RENDERED, "SHuman/scene_a-1"),
        ("000017", Domain.REAL, "000017"),
        ("a/photo_1", Domain.REAL, "a/photo_1"),
    ],
)
def test_ids_name_their_photograph(identity: str, domain: Domain, photograph: str) -> None:
    assert photograph_of(identity, domain) == photograph


NAMES = st.from_regex(r"[A-Za-z0-9_\-]{1,12}", fullmatch=True)


@given(NAMES, NAMES, st.tuples(st.integers(0, 99), st.integers(0, 99)), st.integers(1, 9))
def test_composites_of_one_photograph_and_of_no_other_share_it(
    subset: str, name: str, masks: tuple[int, int], variant: int
) -> None:
    ids = [f"{subset}/{name}_{mask}_{variant}" for mask in masks]
    assert {photograph_of(identity, Domain.REAL) for identity in ids} == {f"{subset}/{name}"}
    other = f"{subset}/{name}x_{masks[0]}_{variant}"
    assert photograph_of(other, Domain.REAL) != f"{subset}/{name}"
