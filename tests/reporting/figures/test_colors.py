"""Class colors are stable, distinguishable and readable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.palette import ciede2000, smallest_difference, to_lab
from wtal.reporting.figures.colors import (
    DARK_BACKGROUND,
    DARK_PALETTE,
    GRAY,
    PALETTE,
    class_colors,
    darken,
    lighten,
    luminance,
    mix,
    text_color_on,
)

DIFFERENCES = {"normal": 17, "protanopia": 10, "deuteranopia": 10, "tritanopia": 10}  # CIEDE2000


def test_class_keeps_its_color():
    twelve = [str(i) for i in range(12)]
    assert class_colors(twelve) == class_colors(twelve, ["3"]) and len(set(class_colors(twelve).values())) == 12
    many = [str(i) for i in range(100)]
    assert [color for color in class_colors(many).values() if color != GRAY] == list(PALETTE)
    chosen = class_colors(many, ["3", "15", "50"])  # 3 and 15 share a palette entry
    assert chosen["3"] == PALETTE[3] and len({chosen[label] for label in ("3", "15", "50")}) == 3
    assert all(color == GRAY for label, color in chosen.items() if label not in ("3", "15", "50"))


@pytest.mark.parametrize("palette", [PALETTE, DARK_PALETTE], ids=["light", "dark"])
@pytest.mark.parametrize(("vision", "difference"), DIFFERENCES.items())
def test_twelve_colors_are_told_apart(palette, vision, difference):
    assert len(palette) == 12 and smallest_difference(palette, vision)[0] >= difference


def test_class_has_a_similar_color_in_both_themes():
    light, dark = to_lab(PALETTE), to_lab(DARK_PALETTE)
    hues = [np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) for lab in (light, dark)]
    assert (np.abs((hues[0] - hues[1] + 180) % 360 - 180) < 25).all() and (ciede2000(light, dark) < 25).all()


@pytest.mark.parametrize("color", DARK_PALETTE)
def test_fill_stands_out_from_the_dark_background(color):
    assert contrast(color, DARK_BACKGROUND) >= 3


def test_ciede2000_of_the_published_pairs():
    """From table 1 of Sharma, Wu and Dalal, The CIEDE2000 color-difference formula (2005)."""
    pairs = np.array(
        [
            [(50, 2.6772, -79.7751), (50, 0, -82.7485)],
            [(50, 2.5, 0), (73, 25, -18)],
            [(60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)],
            [(22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619)],
            [(2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514)],
        ]
    )
    expected = [2.0425, 27.1492, 1.2644, 2.0373, 0.9082]
    assert ciede2000(pairs[:, 0], pairs[:, 1]) == pytest.approx(expected, abs=1e-4)
    assert ciede2000(pairs[:, 1], pairs[:, 0]) == pytest.approx(expected, abs=1e-4)


def test_color_blind_people_do_not_see_some_differences():
    red, green = "#E3342F", "#7A8B00"
    assert smallest_difference([red, green])[0] > 40 > 20 > smallest_difference([red, green], "protanopia")[0]
    assert to_lab(["#808080"], "deuteranopia") == pytest.approx(to_lab(["#808080"]), abs=0.1), "grays stay gray"


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


@pytest.mark.parametrize("color", [*PALETTE, *DARK_PALETTE])
def test_text_on_a_class_color_is_readable(color):
    assert contrast(color, text_color_on(color)) >= 4
