"""Every action of the page by keyboard alone, on a large and on a small screen; colors and layout in both themes."""

import re

import pytest

from tests.helpers.page import (
    LEFT,
    RIGHT,
    WEAK,
    expect,
    expect_rows,
    open_in_list,
    press,
    save,
    table,
    wait_until_saved,
)

SIZES = {"1280 x 720": (1280, 720), "390 x 844": (390, 844)}
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}
# Lowest contrast ratio (WCAG 2.2) of text with its background, of all visible elements with text of their own.
LOWEST_CONTRAST = """() => {
  const channels = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3) return color;
    }
    return [255, 255, 255];
  };
  let lowest = [Infinity, ""];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!hasText || !element.checkVisibility() || element.closest(":disabled, option, .hidden, .skip")) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, element.outerHTML.slice(0, 80)];
  }
  return lowest;
}"""
FOCUSED = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
OUTLINE = "getComputedStyle(document.activeElement).outlineStyle"


@pytest.mark.parametrize("theme", BACKGROUNDS)
@pytest.mark.parametrize("size", SIZES)
def test_page_fits_and_text_is_readable(site, visitor, size, theme):
    width, height = SIZES[size]
    name = site.add(f"fits {size} {theme}.mp4")
    site.server.save(name, [{"label": "left", "start": 1, "end": 2}])
    page = visitor.open(name, width=width, height=height)
    page.emulate_media(color_scheme=theme)
    expect_rows(page, 1)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUNDS[theme]
    for opener in ("", "#show-shortcuts", "#show-colors", "#show-budget", "#show-improve"):
        if opener:
            page.click(opener)
            expect(page.locator("dialog[open]")).to_be_in_viewport(ratio=1)
        ratio, element = page.evaluate(LOWEST_CONTRAST)
        assert ratio >= 4.5, element
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("Escape")


@pytest.mark.parametrize("size", SIZES)
def test_every_control_has_a_visible_focus(site, visitor, size):
    width, height = SIZES[size]
    page = visitor.open(site.add(f"focus {size}.mp4"), width=width, height=height)
    expect_rows(page, 2)
    press(page, "ArrowDown", "ArrowRight", "[", "z")  # enables most buttons
    page.locator("#threshold").fill("0.3")
    page.locator("#skip").focus()  # the first element
    focused = ["skip"]
    for _ in range(200):
        page.keyboard.press("Tab")
        focused.append(page.evaluate(FOCUSED))
        if focused[-1] == "BODY":  # after the last element
            break
        # The outline of the file field is on its label; the browser marks the controls of the player.
        assert page.evaluate(OUTLINE) != "none" or focused[-1] in ("file", "player"), focused[-1]
    buttons = page.locator("body > :not(dialog) button[id]:visible:enabled").all()
    assert {button.get_attribute("id") for button in buttons} <= set(focused)
    assert {"timeline", "player", "threshold", "format", "speed", "search", "order", "label", "file"} <= set(focused)


@pytest.mark.parametrize("size", SIZES)
def test_every_action_by_keyboard(site, visitor, size):
    width, height = SIZES[size]
    name, other = site.add(f"keyboard {size}.mp4", (LEFT, RIGHT, WEAK)), site.add(f"other {size}.mp4")
    site.add(f"keyboard {size} before.mp4")  # sorted before the first
    page = visitor.open(name, width=width, height=height)
    expect_rows(page, 2)
    status = page.locator("#status")

    def enter(selector: str, key: str = "Enter") -> None:
        page.locator(selector).first.focus()
        page.keyboard.press(key)

    # the timeline: select, move, change, add, mark
    enter("#skip")
    expect(page.locator("#timeline")).to_be_focused()
    press(page, "ArrowDown", "ArrowRight", "[")
    assert table(page)[0] == ("left", "0:01.5", "0:02.0")
    press(page, "ArrowRight", "ArrowRight", "]", "Shift+ArrowRight")
    assert table(page)[0] == ("left", "0:01.6", "0:02.6")
    enter("#undo")
    enter("#redo")
    assert table(page)[0] == ("left", "0:01.6", "0:02.6")
    press(page, "ArrowDown")
    enter("#split")
    expect_rows(page, 2)  # the playhead is at its start
    press(page, "ArrowRight")
    enter("#split")
    expect_rows(page, 3)
    press(page, "ArrowRight")
    enter("#set-end")
    enter("#set-start")
    expect(status).to_contain_text("must be")
    enter("#delete")
    expect_rows(page, 2)
    press(page, "2", "ArrowRight", "m", "ArrowRight")
    expect(page.locator("#caption")).to_contain_text("2 points")
    enter("#add-point")
    expect(page.locator("#caption")).to_contain_text("3 points")
    press(page, "z", "z", "z", "l")
    page.keyboard.type("wave")
    page.keyboard.press("Enter")
    enter("#add")
    expect(page.locator("#segments th", has_text="wave")).to_have_count(1)
    enter("#mark-complete", " ")
    enter("#mark-reviewed", " ")
    press(page, "c", "r", "r")
    expect(page.locator("#mark-reviewed")).to_have_attribute("aria-pressed", "true")
    enter("#segments button")
    start = page.locator("#segments input").first
    start.focus()
    page.keyboard.type("0.25")
    page.keyboard.press("Enter")
    save(page)
    assert site.saved(name)[0][1] == 0.25
    enter("#discard")
    expect_rows(page, 2)

    # what is shown
    enter("#threshold", "Home")
    expect_rows(page, 3)
    enter("#reset-threshold")
    expect_rows(page, 2)
    enter("#chips button", " ")
    expect_rows(page, 1)
    enter("#chips button")
    expect_rows(page, 2)
    for selector in ("#zoom-in", "#zoom-out", "#fit", "#next-frame", "#previous-frame"):
        enter(selector)
    press(page, ".", "+", "0", ",")
    enter("#speed", "ArrowDown")
    expect(status).to_have_text("Playback speed 1.5 ×")
    press(page, "<", " ", " ")
    expect(page.locator("#speed")).to_have_value("1")
    enter("details:not(dialog details) summary", " ")
    expect(page.locator(".legend")).to_be_visible()

    # dialogs
    for opener, dialog in (("?", "shortcuts"), ("b", "budget")):
        press(page, opener)
        expect(page.locator(f"#{dialog}")).to_be_visible()
        page.keyboard.press("Escape")
    for dialog in ("shortcuts", "budget", "colors", "improve"):
        enter(f"#show-{dialog}")
        expect(page.locator(f"#{dialog}")).to_be_visible()
        enter(f"#close-{dialog}")
        expect(page.locator(f"#{dialog}")).to_be_hidden()
        expect(page.locator(f"#show-{dialog}")).to_be_focused()

    # files
    enter("#format", "ArrowDown")
    with page.expect_download():
        enter("#export")
    expect(page.locator("#export-status")).to_contain_text("Exported")
    with page.expect_file_chooser():
        enter("#file", " ")

    # the list
    press(page, "p")
    expect(page.locator("#name")).not_to_have_text(name)
    press(page, "n")
    expect(page.locator("#name")).to_have_text(name)
    page.locator("#search").focus()
    page.keyboard.type(other)
    expect(page.locator("#videos li:visible")).to_have_count(1)
    enter("#videos li:not([hidden]) button")
    expect(page.locator("#name")).to_have_text(other)
    expect(page.locator("#timeline")).to_be_focused()
    page.locator("#search").fill("")
    enter("#order", "w")
    expect(page.locator("#order")).to_have_value("review")
    enter("#next-to-review")
    expect(page.locator("#name")).not_to_have_text(other)
    page.locator("#search").fill(other)
    enter("#videos li:not([hidden]) button")
    expect(page.locator("#name")).to_have_text(other)
    with page.expect_request(re.compile("/api/jobs")):
        page.route("**/api/jobs", lambda route: route.fulfill(status=202, json={}))
        page.locator("#search").fill("new.mp4")
        enter("#videos li:not([hidden]) button")
        expect(page.locator("#name")).to_have_text("new.mp4")
        enter("#run-detection")
    wait_until_saved(page)


def test_every_class_of_many_is_chosen_by_mouse_and_by_keyboard(site, visitor):
    """More classes than number keys: the menu of the field has them all, also those of other videos."""
    names = [f"class {i}" for i in range(30)]
    names[20] = "a name that is longer than any field of the page, and says exactly what happens in the video"
    segments = [{"label": label, "start": 0.1 * i, "end": 0.1 * i + 0.1} for i, label in enumerate(names)]
    site.server.save(site.add("crowded.mp4"), segments)
    name = site.add("many classes.mp4")
    page = visitor.open(name, width=1280, height=720)
    expect_rows(page, 2)
    field, menu = page.locator("#label"), page.locator("#class-menu")
    options = menu.locator("li")

    field.click()
    expect(options).to_have_count(2 + len(names))
    expect(menu).to_be_in_viewport(ratio=1)
    expect(menu.locator("kbd")).to_have_text(["1", "2"])  # only classes of this page have numbers
    options.filter(has_text="longer than any field").click()
    expect(menu).to_be_hidden()
    expect(page.locator("#timeline")).to_be_focused()
    page.click("#add-point")
    save(page)
    assert {label for label, *_ in site.saved(name)} == {"left", "right", names[20]}

    open_in_list(page, "crowded.mp4")
    expect(page.locator("#caption")).to_have_text("30 segments, edited")
    open_in_list(page, name)
    expect(page.locator("#chips button")).to_have_count(9)  # those with keys
    page.get_by_role("button", name="23 more").press("Enter")
    expect(field).to_be_focused()
    page.keyboard.type("CLASS 2")
    expect(options).to_have_count(10)  # 2, 21 to 29 without 20
    page.keyboard.press("ArrowUp")
    expect(menu.locator("[aria-selected]")).to_have_text("32class 29")
    page.keyboard.press("ArrowUp")
    expect(field).to_have_attribute("aria-activedescendant", "class-menu-30")
    page.keyboard.press("Enter")
    expect(page.locator("#timeline")).to_be_focused()
    press(page, "ArrowRight", "m")
    save(page)
    assert {label for label, *_ in site.saved(name)} == {"left", "right", names[20], "class 28"}
    press(page, "l", "ArrowDown", "Escape")
    expect(menu).to_be_hidden()
    expect(field).to_have_value("class 28")
    press(page, "l")
    page.keyboard.type("class")  # a new class, although others contain its name
    page.keyboard.press("Enter")
    expect(field).to_have_value("class")
