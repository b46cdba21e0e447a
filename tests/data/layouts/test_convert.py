"""Detection and conversion for all layouts, and layouts that users add."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from tests.helpers.layouts import write_basnet
from wtal.cli import app
from wtal.core.clock import SnippetClock
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.data.features import features_path, write_features
from wtal.data.layouts.base import Conversion, FeatureTiming, Layout
from wtal.data.layouts.convert import convert_layout
from wtal.data.layouts.registry import LAYOUTS, detect_layout


class CsvLayout(Layout):
    """One CSV file of features per video, and `labels.csv`."""

    title = "CSV files"
    contents = "labels.csv"

    def detect(self, source):
        return (source / "labels.csv").is_file()

    def convert(self, source, out, timing, on_progress=None):
        videos = []
        for line in (source / "labels.csv").read_text().splitlines():
            id, subset, label, start, end = line.split(",")
            videos.append(Video(id, subset, (label,), None, (Segment(label, float(start), float(end)),)))
            write_features(features_path(out, id), np.loadtxt(source / f"{id}.csv", np.float32, delimiter=","))
        return Conversion(videos, SnippetClock(0.5))


def write_csv_layout(folder: Path) -> Path:
    folder.mkdir()
    (folder / "labels.csv").write_text("a,training,run,1,2\nb,testing,jump,0,3\n")
    np.savetxt(folder / "a.csv", np.ones((8, 3)), delimiter=",")
    np.savetxt(folder / "b.csv", np.zeros((6, 3)), delimiter=",")
    return folder


@pytest.fixture
def csv_layout(monkeypatch):
    monkeypatch.setitem(LAYOUTS, "csv", CsvLayout())


def test_user_layout_is_detected_and_converted(csv_layout, tmp_path):
    source = write_csv_layout(tmp_path / "source")
    converted = convert_layout(source, tmp_path / "out")
    assert converted.layout == "CSV files" and len(converted.videos) == 2
    dataset = load_dataset(tmp_path / "out")
    assert dataset.classes == ("jump", "run") and dataset.width == 3
    assert dataset.subset("testing")[0].segments == (Segment("jump", 0.0, 3.0),)


def test_user_layout_is_known_to_commands(csv_layout, tmp_path):
    source = write_csv_layout(tmp_path / "source")
    result = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out")])
    assert result.exit_code == 0 and (tmp_path / "out" / "features" / "a.npy").is_file()
    result = CliRunner().invoke(app, ["check", str(source)])
    assert result.exit_code == 2 and f"wtal convert {source}" in result.output.replace("\n", " ")
    assert "CSV files" in " ".join(CliRunner().invoke(app, ["convert", "--help"]).output.split())


def test_added_layout_takes_precedence(csv_layout, tmp_path):
    source = write_basnet(tmp_path / "source")
    assert detect_layout(source) is LAYOUTS["basnet"]
    (source / "labels.csv").touch()
    assert detect_layout(source) is LAYOUTS["csv"]


def test_unknown_source_is_rejected(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    with raises(DataError, code="file-not-found", path=source):
        convert_layout(source, out)
    source.mkdir()
    with raises(DataError, code="empty-folder", path=source):
        convert_layout(source, out)
    (source / "readme.md").touch()
    with raises(DataError, code="unknown-layout", path=source) as caught:
        convert_layout(source, out)
    assert "readme.md" in caught.value.message
    assert all(layout.title in str(caught.value) for layout in LAYOUTS.values())
    with raises(DataError, code="unknown-layout", path=source / "readme.md"):
        convert_layout(source / "readme.md", out)
    with raises(DataError, code="output-is-input", path=source):
        convert_layout(source, source)
    (source / "features").mkdir()
    write_dataset_info(source, [], SnippetClock(1.0), [])
    with raises(DataError, code="already-converted", path=source):
        convert_layout(source, out)
    assert not out.exists()


@pytest.mark.parametrize("name", ["annotations.json", "notes.txt"])
def test_folder_with_other_content_is_not_overwritten(name, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("{}")
    with raises(DataError, code="already-exists", path=out):
        convert_layout(write_basnet(tmp_path / "source"), out)
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "{}"


def test_interrupted_conversion_of_changed_source_starts_again(tmp_path):
    source, out = write_basnet(tmp_path / "source"), tmp_path / "out"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_layout(source, out, on_progress=interrupt)
    assert features_path(out, "v1").is_file()
    np.save(source / "features/train/rgb/v1.npy", np.full((5, 3), 7, np.float32))
    convert_layout(source, out)
    assert load_dataset(out).features("v1")[0, 0] == 7


def test_timing_is_only_for_layouts_that_need_it(tmp_path):
    with raises(ConfigError, code="timing-not-supported"):
        convert_layout(write_basnet(tmp_path / "source"), tmp_path / "out", timing=FeatureTiming(4, 16))


@pytest.mark.parametrize("values", [{"stride": 0}, {"window": -1}, {"fps": 0.0}, {"fps": float("nan")}])
def test_timing_must_be_positive(values):
    with raises(ConfigError, code="invalid-value"):
        FeatureTiming(**values)
