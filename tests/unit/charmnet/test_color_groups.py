"""Groups of like colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.color_groups import color_group
from charmnet.recoloring import lab_of_rgb

COLORS = {
    "dark": (20, 20, 20),
    "grey": (120, 122, 120),
    "light": (240, 240, 238),
    "light red": (210, 120, 100),
    "dark yellow": (70, 55, 25),
    "light yellow": (200, 180, 110),
    "dark green": (35, 70, 30),
    "light blue": (110, 160, 220),
    "dark blue": (60, 60, 220),
    "dark purple": (90, 20, 90),
}


@pytest.mark.parametrize("name", COLORS)
def test_a_color_goes_by_its_name(name: str) -> None:
    assert color_group(lab_of_rgb(np.array([COLORS[name]]) / 255)[0]) == name


@given(st.floats(0, 100), st.floats(-128, 128), st.floats(-128, 128))
def test_every_color_has_a_group(lightness: float, a: float, b: float) -> None:
    assert 1 <= len(color_group(np.array([lightness, a, b])).split()) <= 2
