"""The timeline picture: written whole in every format, legible whatever is put in, colours that hold."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.colors import GREY, PALETTE, class_colours, ink, luminance, mix, text_on
from wtal.reporting.figures.layout import (
    TimelineData,
    clock_time,
    elide,
    opacities,
    pack,
    proposal_rows,
    spread,
    tick_step,
    value_range,
)
from wtal.reporting.figures.timeline import SAVING, draw_timelines, timeline_figure

CLASSES = ("dive", "跳远", "a label so long that it fits nowhere at all $x_1^2$", "قفز")


def panel(snippets=40, duration=20.0, columns=5, **parts):
    rng = np.random.default_rng(0)
    whole = {
        "title": "video_1",
        "truth": (Segment("dive", 2.0, 6.0),),
        "result": [Segment("dive", 2.5, 6.5, 0.9)],
        "proposals": [Segment("dive", 2.5, 6.5, 0.9), Segment("قفز", 1.0, 9.0, 0.2)],
        "times": np.linspace(0, duration, snippets + 1),
        "attention": rng.random(snippets),
        "cas": rng.random((snippets, columns)),
    }
    return TimelineData(duration=duration, **(whole | parts))


@pytest.mark.parametrize(
    "suffix, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_every_format_is_written_and_the_same_input_gives_the_same_file(tmp_path, suffix, head):
    for name in "ab":
        draw_timelines(tmp_path / f"{name}.{suffix}", [panel(), panel(title="空")], CLASSES)
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first.startswith(head) and first == second
    assert len(list(tmp_path.iterdir())) == 2


ODD = {
    "nothing found": {"truth": (), "result": [], "proposals": []},
    "one snippet": {"snippets": 1, "duration": 0.64, "truth": (Segment("dive", 0.0, 0.64),)},
    "no snippet": {"snippets": 0},
    "hours": {"snippets": 3000, "duration": 15000.0},
    "logits": {"cas": np.random.default_rng(0).normal(size=(40, 5)) * 9},
    "not a number": {"attention": np.full(40, np.nan), "cas": np.full((40, 5), np.nan)},
    "crowded": {"truth": tuple(Segment(CLASSES[i % 4], i / 10, i / 10 + 5) for i in range(50))},
    "unknown label": {"result": [Segment("never heard of", 1.0, 2.0, float("nan"))]},
    "outside": {"proposals": [Segment("dive", -5.0, 99.0, 1.0), Segment("dive", 4.0, 4.0, 1.0)]},
    "odd title": {"title": "line\nbreak\x00 🏊 $\\frac{" + "x" * 300},
}


@pytest.mark.parametrize("parts", ODD.values(), ids=ODD.keys())
def test_odd_panels_are_drawn_without_a_warning(tmp_path, parts):
    draw_timelines(tmp_path / "odd.png", [panel(**parts)], CLASSES)


def test_many_classes(tmp_path):
    classes = [f"class {i}" for i in range(200)]
    proposals = [Segment(label, 1.0, 5.0, i / 200) for i, label in enumerate(classes)]
    draw_timelines(tmp_path / "many.png", [panel(columns=201, proposals=proposals)], classes)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_stay_on_the_page_and_do_not_collide():
    """No text leaves the figure, and no two of one panel's texts lie on each other."""
    truth = tuple(Segment(label, 5.0 * i, 5.0 * i + 4) for i, label in enumerate(CLASSES))
    figure = timeline_figure([panel(truth=truth, cas=np.zeros((40, 5)), title="x" * 300)], CLASSES)
    figure.dpi = 200
    with mpl.rc_context(SAVING):
        renderer = figure.canvas.get_renderer()
        boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts if t.get_text()]
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 + 1
    for one, other in itertools.combinations([box.padded(-2) for box in boxes], 2):
        assert not one.overlaps(other)


def test_wrong_asks_are_refused_and_leave_nothing(tmp_path):
    with pytest.raises(DataError, match=r"\.png, \.svg or \.pdf"):
        draw_timelines(tmp_path / "a.jpg", [panel()], CLASSES)
    with pytest.raises(DataError, match="no video"):
        draw_timelines(tmp_path / "a.png", [], CLASSES)
    with pytest.raises(DataError, match="5 columns for 9 classes"):
        draw_timelines(tmp_path / "a.png", [panel()], [str(i) for i in range(9)])
    with pytest.raises(DataError, match="same features"):
        panel(attention=np.zeros(39))
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def break_half_way(self, part, **how):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", break_half_way)
    with pytest.raises(DataError, match="disk is full"):
        draw_timelines(path, [panel()], CLASSES)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_class_keeps_its_colour():
    ten = [str(i) for i in range(10)]
    assert class_colours(ten) == class_colours(ten, ["3"]) and len(set(class_colours(ten).values())) == 10
    many = [str(i) for i in range(100)]
    assert [c for c in class_colours(many).values() if c != GREY] == list(PALETTE[:10])
    chosen = class_colours(many, ["3", "24", "50"])  # 3 and 24 would fall on one colour
    assert chosen["3"] == PALETTE[3] and len({chosen[c] for c in ("3", "24", "50")}) == 3
    assert all(colour == GREY for label, colour in chosen.items() if label not in ("3", "24", "50"))


def test_the_first_ten_colours_are_told_apart_by_deuteranopes():
    """Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB; distances in CIELAB."""
    see = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE[:10]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.cbrt(np.clip(linear @ see.T, 1e-3, 1) @ to_xyz.T) / np.cbrt([0.9505, 1, 1.089])).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2)]
    assert min(apart) > 10


def test_ink_and_text_can_be_read():
    for colour in PALETTE:
        assert 1.05 / (luminance(ink(colour)) + 0.05) >= 3
        lights = sorted(luminance(c) + 0.05 for c in (colour, text_on(colour)))
        assert lights[1] / lights[0] >= 4
    assert mix("#000000", "#FFFFFF", 0.5) == "#808080"


@pytest.mark.parametrize(
    "segments, rows",
    [([(0, 2), (2, 4)], [0, 0]), ([(1, 3), (0, 2)], [1, 0]), ([(0, 9)] * 6, [0, 1, 2, 3, 3, 3])],
)
def test_overlapping_segments_get_rows_of_their_own(segments, rows):
    assert pack([Segment("dive", *segment) for segment in segments]) == rows


def test_proposals_have_a_row_a_class_and_the_rest_share_one():
    proposals = [Segment(str(i), 0.0, 1.0, i / 10) for i in range(10)]
    rows = proposal_rows(panel(proposals=proposals), ["2"])
    assert rows == {"2": 0, "9": 1, "8": 2, "7": 3, "6": 4, "5": 5, "4": 6, "3": 6, "1": 6, "0": 6}


def test_small_arithmetic():
    assert [clock_time(s) for s in (0, 59.6, 61, 3600, 5432)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "1:30:32",
    ]
    assert clock_time(0.64, step=0.1) == "0:00.6" and clock_time(59.96, step=0.1) == "1:00.0"
    assert tick_step(0.64) == 0.1 and tick_step(312) == 60 and tick_step(100_000) == 10_800
    assert opacities([1.0, 1.0]).tolist() == [1, 1] and opacities([0.0, 5.0]).tolist() == [0.12, 1]
    assert value_range(np.array([[0.2, 0.9]])) == (0, 1) and value_range(np.array([[-2.5, 3.2]])) == (-3, 4)
    assert sorted(spread([1.0, 1.0, 0.0], 0.5, 1.0)) == [0.0, 0.5, 1.0]
    assert elide("abcdefgh", 4, len, least=3) == "abc…" and elide("abcdefgh", 4, len) == ""
