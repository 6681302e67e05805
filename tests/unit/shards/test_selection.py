import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.vocabulary import Domain
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum

HUMAN_TEST = Stratum(Domain.REAL, "HCOCO", "human", ("IHD_test", "IHD_human_test"))
CAR_TRAIN = Stratum(Domain.REAL, "HFlickr", "car", ("IHD_train",))
UNNAMED = Stratum(Domain.RENDERED, "SHuman", None, ())


@pytest.mark.parametrize(
    ("expression", "picked"),
    [
        ("", [HUMAN_TEST, CAR_TRAIN, UNNAMED]),
        ("split == 'IHD_human_test'", [HUMAN_TEST]),
        ("split == 'IHD_test' and split == 'IHD_human_test'", [HUMAN_TEST]),
        ("split != 'IHD_test'", [CAR_TRAIN, UNNAMED]),
        ("split in ('IHD_train', 'IHD_test')", [HUMAN_TEST, CAR_TRAIN]),
        ("split not in ['IHD_train']", [HUMAN_TEST, UNNAMED]),
        ("category == None", [UNNAMED]),
        ("category in ('car', None)", [CAR_TRAIN, UNNAMED]),
        ("not category == 'car' and not subset == 'SHuman'", [HUMAN_TEST]),
        ("domain == 'rendered' or subset == 'HFlickr'", [CAR_TRAIN, UNNAMED]),
        ("  domain == 'real'  ", [HUMAN_TEST, CAR_TRAIN]),
    ],
)
def test_an_expression_picks_strata(expression: str, picked: list[Stratum]) -> None:
    selection = pickle.loads(pickle.dumps(Selection(expression)))
    assert [s for s in (HUMAN_TEST, CAR_TRAIN, UNNAMED) if selection(s)] == picked


@pytest.mark.parametrize(
    "expression",
    [
        "split = 'x'",
        "split == x",
        "split == 3",
        "splits == 'x'",
        "'x' == split",
        "split",
        "split == 'a' == 'b'",
        "split < 'x'",
        "split in 'x'",
        "split in (1, 2)",
        "category.upper() == 'X'",
        "__import__('os').system('true')",
        "(lambda: 1)()",
        "(" * 500,
        "split == 'x' and",
        "\0",
    ],
)
def test_an_invalid_expression_is_refused_with_help(expression: str) -> None:
    with pytest.raises(ValueError, match=r"the selection .*expected comparisons"):
        Selection(expression)


def test_a_single_equals_sign_is_reported_without_a_line_number() -> None:
    with pytest.raises(ValueError, match=r"^the selection \"split = 'x'\": invalid syntax[^(]*; expected"):
        Selection("split = 'x'")


fields = st.sampled_from(["subset", "category", "domain"])
values = st.sampled_from(["HCOCO", "car", "real", "rendered"])
comparisons = st.builds("{} {} {!r}".format, fields, st.sampled_from(["==", "!="]), values)
expressions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner)
        | st.builds("(not {})".format, inner)
    ),
    max_leaves=8,
)


@given(expressions, st.sampled_from([HUMAN_TEST, CAR_TRAIN, UNNAMED]))
def test_selections_agree_with_python(expression: str, stratum: Stratum) -> None:
    names = {"subset": stratum.subset, "category": stratum.category, "domain": str(stratum.domain)}
    assert Selection(expression)(stratum) == eval(expression, {}, names)
