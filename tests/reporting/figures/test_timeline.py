"""The timeline figure: written atomically in every format and legible with unusual input."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.helpers.errors import raises
from tests.helpers.timeline import CLASSES, make_timeline
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.colors import PALETTE
from wtal.reporting.figures.style import SAVE_STYLE
from wtal.reporting.figures.timeline import draw_timelines, timeline_figure


@pytest.mark.parametrize(
    "suffix, magic", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_same_input_gives_the_same_file_in_every_format(tmp_path, suffix, magic):
    for name in "ab":
        draw_timelines(tmp_path / f"{name}.{suffix}", [make_timeline(), make_timeline(title="空")], CLASSES)
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first.startswith(magic) and first == second
    assert len(list(tmp_path.iterdir())) == 2


UNUSUAL = {
    "no segments": {"ground_truth": (), "predictions": [], "proposals": []},
    "one snippet": {"snippets": 1, "duration": 0.64, "ground_truth": (Segment("dive", 0.0, 0.64),)},
    "no snippet": {"snippets": 0},
    "hours": {"snippets": 3000, "duration": 15000.0},
    "logits": {"cas": np.random.default_rng(0).normal(size=(40, 5)) * 9},
    "not a number": {"attention": np.full(40, np.nan), "cas": np.full((40, 5), np.nan)},
    "many overlaps": {"ground_truth": tuple(Segment(CLASSES[i % 4], i / 10, i / 10 + 5) for i in range(50))},
    "unknown label": {"predictions": [Segment("unknown", 1.0, 2.0, float("nan"))]},
    "out of range": {"proposals": [Segment("dive", -5.0, 99.0, 1.0), Segment("dive", 4.0, 4.0, 1.0)]},
    "control characters": {"title": "line\nbreak\x00 🏊 $\\frac{" + "x" * 300},
}


@pytest.mark.parametrize("fields", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_input_is_drawn_without_a_warning(tmp_path, fields):
    draw_timelines(tmp_path / "timeline.png", [make_timeline(**fields)], CLASSES)


def test_many_classes_are_drawn(tmp_path):
    classes = [f"class {i}" for i in range(200)]
    proposals = [Segment(label, 1.0, 5.0, i / 200) for i, label in enumerate(classes)]
    draw_timelines(tmp_path / "many.png", [make_timeline(columns=201, proposals=proposals)], classes)


def test_ground_truth_is_outlined_and_predictions_are_filled():
    figure = timeline_figure([make_timeline(proposals=[])], CLASSES)
    fills = [to_hex(collection.get_facecolor()[0]).upper() for collection in figure.axes[0].collections[1:3]]
    assert fills == ["#FFFFFF", PALETTE[0]]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_stay_inside_the_figure_and_do_not_overlap():
    ground_truth = tuple(Segment(label, 5.0 * i, 5.0 * i + 4) for i, label in enumerate(CLASSES))
    timeline = make_timeline(ground_truth=ground_truth, cas=np.zeros((40, 5)), title="x" * 300)
    figure = timeline_figure([timeline], CLASSES)
    figure.dpi = 200
    with mpl.rc_context(SAVE_STYLE):
        renderer = figure.canvas.get_renderer()
        boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 + 1
    for first, second in itertools.combinations([box.padded(-2) for box in boxes], 2):
        assert not first.overlaps(second)


@pytest.mark.parametrize(
    "name, timelines, classes, code",
    [
        ("a.jpg", 1, CLASSES, "invalid-suffix"),
        ("a.png", 0, CLASSES, "empty-input"),
        ("a.png", 1, [str(i) for i in range(9)], "shape-mismatch"),
    ],
)
def test_invalid_input_is_rejected_and_nothing_is_written(tmp_path, name, timelines, classes, code):
    with raises(DataError, code=code):
        draw_timelines(tmp_path / name, [make_timeline()] * timelines, classes)
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail_after_half(self, partial, **options):
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail_after_half)
    with raises(DataError, code="disk-full", path=path):
        draw_timelines(path, [make_timeline()], CLASSES)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
