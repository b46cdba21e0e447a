"""Class colors are stable, distinguishable and readable."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.reporting.figures.colors import (
    DARK_BACKGROUND,
    GREY,
    PALETTE,
    class_colors,
    darken,
    lighten,
    luminance,
    mix,
    text_color_on,
)


def test_class_keeps_its_color():
    ten = [str(i) for i in range(10)]
    assert class_colors(ten) == class_colors(ten, ["3"]) and len(set(class_colors(ten).values())) == 10
    many = [str(i) for i in range(100)]
    assert [color for color in class_colors(many).values() if color != GREY] == list(PALETTE[:10])
    chosen = class_colors(many, ["3", "24", "50"])  # 3 and 24 share a palette entry
    assert chosen["3"] == PALETTE[3] and len({chosen[label] for label in ("3", "24", "50")}) == 3
    assert all(color == GREY for label, color in chosen.items() if label not in ("3", "24", "50"))


def test_first_ten_colors_are_distinguishable_with_deuteranopia():
    """Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB; distances in CIELAB."""
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in PALETTE[:10]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.cbrt(np.clip(linear @ deuteranopia.T, 1e-3, 1) @ to_xyz.T) / np.cbrt([0.9505, 1, 1.089])).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
    assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2)) > 10


def contrast(color: str, background: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(color) + 0.05, luminance(background) + 0.05), reverse=True)
    return light / dark


def test_luminance_follows_wcag():
    assert luminance("#FFFFFF") == pytest.approx(1) and luminance("#000000") == 0
    assert luminance("#808080") == pytest.approx(0.21586, abs=1e-5)
    assert mix("#000000", "#FFFFFF", 0.5) == "#808080"


@given(st.sampled_from(PALETTE) | st.from_regex(r"#[0-9A-F]{6}", fullmatch=True))
def test_text_in_a_color_is_readable_in_both_themes(color):
    assert contrast(darken(color), "#FFFFFF") >= 4.5 and contrast(lighten(color), DARK_BACKGROUND) >= 4.5


@pytest.mark.parametrize("color", PALETTE)
def test_text_on_a_class_color_is_readable(color):
    assert contrast(color, text_color_on(color)) >= 4
