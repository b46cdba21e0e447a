"""Colors of classes that people set on the page."""

import json

import pytest

from tests.helpers.browser import timeline_pixels
from tests.helpers.page import expect, expect_rows
from wtal.reporting.figures.colors import PALETTE


@pytest.fixture(autouse=True)
def _default_colors(site):
    yield
    (site.server.service.store / "colors.json").unlink(missing_ok=True)


def put(site, label: str, color: str | None):
    return site.server.send("PUT", "/api/colors", {"label": label, "color": color})


def test_color_is_stored_and_restored(site):
    path = site.server.service.store / "colors.json"
    colors = put(site, "left", "#12ab34").json
    assert colors["left"]["fill"] == "#12AB34" and set(colors["left"]) == {"fill", "dark_fill", "light", "dark"}
    assert json.loads(path.read_text()) == {"left": "#12AB34"}
    assert site.server.get("/api/config")["custom_colors"] == colors
    assert put(site, "left", None).json == {} and json.loads(path.read_text()) == {}


def test_invalid_colors_are_rejected(site):
    for label, color in (("left", "red"), ("left", "#12345"), ("", "#123456"), ("x" * 201, "#123456")):
        response = put(site, label, color)
        assert response.status == 400 and response.json["code"] == "invalid-colors"
    assert site.server.get("/api/config")["custom_colors"] == {}


def test_unreadable_file_leaves_the_defaults(site):
    path = site.server.service.store / "colors.json"
    path.write_text("{")
    assert site.server.get("/api/config")["custom_colors"] == {}
    assert put(site, "left", "#123456").status == 400 and path.read_text() == "{", "not overwritten"
    path.unlink()


def test_narrow_segments_show_the_number_of_their_class(site, visitor):
    """Segments of two classes with one color differ."""
    name = site.add("numbers.mp4", ())
    for label in ("left", "right"):
        assert put(site, label, "#0072B2").status == 200
    images, revision = [], 0
    for label in ("left", "right"):
        revision = site.server.save(name, [{"label": label, "start": 1, "end": 1.1}], revision).json["revision"]
        page = visitor.open(name)
        expect_rows(page, 1)
        images.append(timeline_pixels(page))
        page.close()
    assert images[0] != images[1]


def test_page_sets_a_color_and_restores_the_default(site, visitor):
    page = visitor.open(site.add("colors.mp4"))
    expect_rows(page, 2)
    initial = timeline_pixels(page)
    page.click("#show-colors")
    field, reset = page.get_by_label("left", exact=True), page.get_by_label("Default color of left")
    expect(field).to_have_value(PALETTE[0].lower())
    expect(reset).to_be_disabled()
    field.fill("#ff00aa")
    expect(reset).to_be_enabled()
    page.keyboard.press("Escape")
    swatch = page.locator("#chips .swatch").first
    expect(swatch).to_have_css("background-color", "rgb(255, 0, 170)")
    assert timeline_pixels(page) != initial
    page.reload()
    expect(swatch).to_have_css("background-color", "rgb(255, 0, 170)")
    page.click("#show-colors")
    reset.click()
    expect(field).to_be_focused()
    page.click("#close-colors")
    expect(swatch).not_to_have_css("background-color", "rgb(255, 0, 170)")
    assert site.server.get("/api/config")["custom_colors"] == {}
