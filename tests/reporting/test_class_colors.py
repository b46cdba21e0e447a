"""Files with colors that a person chose."""

import pytest

from wtal.core.errors import DataError
from wtal.reporting.class_colors import custom_theme_colors, read_class_colors, write_class_colors
from wtal.reporting.figures.colors import DARK_BACKGROUND, luminance


def test_colors_are_read_as_written(tmp_path):
    path = tmp_path / "colors.json"
    write_class_colors(path, {"swim": "#0072b2", "__proto__": "#ffffff"})
    assert read_class_colors(path) == {"swim": "#0072B2", "__proto__": "#FFFFFF"}


@pytest.mark.parametrize("text", ["[]", '{"swim": "blue"}', '{"swim": 3}', '{"": "#000000"}', '{"a": "#000000\\n"}'])
def test_invalid_file_is_rejected(tmp_path, text):
    path = tmp_path / "colors.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_class_colors(path)
    assert caught.value.code == "invalid-colors" and caught.value.path == str(path)


def test_color_is_visible_in_the_dark_theme():
    colors = custom_theme_colors({"night": "#000011"})["night"]
    assert colors["fill"] == "#000011"
    assert (luminance(colors["dark_fill"]) + 0.05) / (luminance(DARK_BACKGROUND) + 0.05) >= 3
