"""`wtal budget`: time budgets and agreement of annotation files and data sets."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.annotations.sources import read_segments
from wtal.data.dataset import load_dataset
from wtal.data.layouts.activitynet import write_activitynet, write_proposals
from wtal.data.synthetic.features import write_synthetic

ANNA = [
    Video("v", "testing", ("groom", "rear"), 60.0, (Segment("groom", 0, 10), Segment("rear", 12, 12))),
    Video("w", "testing", ("groom",), 20.0, (Segment("groom", 0, 5),)),
]
BEN = [
    Video("v", "testing", ("groom", "rear"), 60.0, (Segment("groom", 0, 9), Segment("rear", 30, 30))),
    Video("w", "testing", ("groom",), 20.0, (Segment("groom", 0, 5),)),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """anna.json and ben.json of two videos in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_activitynet(tmp_path / "anna.json", ANNA)
    write_activitynet(tmp_path / "ben.json", BEN)
    return tmp_path


def call(*arguments, exit_code=0):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["budget", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    assert exit_code == 0 or (result.stderr.startswith("error: ") and result.stderr.count("\n") == 1), result.stderr
    return result.output


def read_rows(path):
    """The rows by video and class."""
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["video"], row["class"]): row for row in csv.DictReader(file)}


def test_budget_is_printed_and_written(folder):
    output = call("anna.json", "--out", "out.csv")
    assert "2 videos, 1:20" in output and "points" in output and "0:15.0" in output
    rows = read_rows(folder / "out.csv")
    assert list(rows) == [(id, label) for id in ("v", "w", "") for label in ("groom", "rear")]
    assert rows["v", "groom"]["share"] == "0.166667" and rows["w", "rear"]["bouts"] == "0"
    overall = rows["", "groom"]
    assert (overall["bouts"], overall["total_s"], overall["mean_s"], overall["share"]) == ("2", "15.0", "7.5", "0.1875")
    assert (rows["v", "rear"]["points"], rows["v", "rear"]["mean_s"]) == ("1", "")


def test_two_annotations_are_compared(folder):
    output = call("anna.json", "--against", "ben.json", "--out", "out.csv")
    assert "kappa" in output and "reference" in output
    rows = read_rows(folder / "out.csv")
    assert rows["v", "groom"]["reference_total_s"] == "9.0" and rows["w", "groom"]["kappa"] == "1.0"
    assert float(rows["", ""]["kappa"]) == pytest.approx(0.958, abs=0.001) and rows["", ""]["bouts"] == ""
    assert (rows["", "rear"]["matched"], rows["", "rear"]["kappa"]) == ("0", ""), "points that are far apart"
    assert call("anna.json", "--against", "ben.json", "--tolerance", "20", "--out", "out.csv")
    assert read_rows(folder / "out.csv")["", "rear"]["matched"] == "1"


def test_durations_come_from_the_files_or_the_data_set(folder):
    write_proposals(folder / "timeline.json", {"v": [Segment("groom", 0, 6, 0.9)], "w": []})
    output = call("timeline.json", "--out", "out.csv")
    assert "note: " in output and "2 of 2 videos" in output
    assert read_rows(folder / "out.csv")["", "groom"]["share"] == ""
    assert "note: " not in call("timeline.json", "--against", "anna.json", "--out", "out.csv")
    assert read_rows(folder / "out.csv")["", "groom"]["share"] == "0.075"


def test_data_set_folder(folder):
    write_synthetic(folder / "data", TINIEST)
    dataset = load_dataset(folder / "data")
    timed = [video for video in dataset.videos if video.segments]
    output = call("data", "--out", "out.csv")
    assert f"{len(timed)} videos" in output and ("note: " in output) == (len(timed) < len(dataset.videos))
    rows = read_rows(folder / "out.csv")
    assert sum(int(rows["", label]["bouts"]) for label in dataset.classes) == sum(len(v.segments) for v in timed)
    assert all(row["share"] for row in rows.values())
    write_proposals(folder / "timeline.json", {timed[0].id: []})
    assert "note: " not in call("timeline.json", "--data", "data")
    with raises(DataError, code="no-common-videos", path="anna.json"):
        call_and_raise("anna.json", "--data", "data")


def test_partial_timelines_of_a_data_set_are_noted(folder):
    write_synthetic(folder / "data", TINIEST)
    videos = load_dataset(folder / "data").videos
    training = next(video for video in videos if video.subset == "training")
    segments = (Segment(training.labels[0], 0.0, 1.0),)
    for complete in (False, True):
        changed = replace(training, segments=segments, complete=complete)
        write_activitynet(folder / "data/annotations.json", [changed if v == training else v for v in videos])
        assert ("1 training videos" in call("data")) is not complete


def call_and_raise(*arguments):
    """Raise the error behind the line that the command prints."""
    result = CliRunner().invoke(app, ["budget", *map(str, arguments)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    error = result.exception
    while not isinstance(error, DataError):
        error = error.__cause__ or error.__context__
    raise error


def test_folder_of_files_and_given_format(folder):
    (folder / "notes").mkdir()
    for id, cells in {"v": "groom,0,10", "w": "groom,0,5"}.items():
        (folder / f"notes/{id}.csv").write_text(f"video,label,start,end\n{id},{cells}\n")
    with raises(DataError, code="no-files", path="notes"):
        call_and_raise("notes")
    output = call("notes", "--from", "csv", "--against", "anna.json")
    assert "notes" in output and "2 videos" in output, "anna.json has another format, which is detected"


def test_spreadsheet_does_not_run_names_as_formulas(folder):
    (folder / "t.csv").write_text('video,label,start,end\n=1+1,"@x",0,1\nü,-y,0,1\n', encoding="utf-8")
    call("t.csv", "--out", "out.csv")
    assert list(read_rows(folder / "out.csv")) == [(id, label) for id in ("'=1+1", "ü", "") for label in ("'-y", "'@x")]


def test_videos_with_tags_alone_are_left_out(folder):
    write_activitynet(folder / "tags.json", [*ANNA, Video("x", "training", ("groom",), 10.0), Video("y", "", (), 5.0)])
    assert list(read_segments(folder / "tags.json").segments) == ["v", "w", "y"], "y was watched, and nothing happens"
    assert "note: tags.json: 1 of 4 videos" in call("tags.json")
    write_activitynet(folder / "tags.json", [Video("x", "training", ("groom",), 10.0)])
    with raises(DataError, code="no-segments", path="tags.json"):
        call_and_raise("tags.json")


def test_videos_of_one_annotation_alone_are_left_out(folder):
    write_activitynet(folder / "more.json", [*BEN, Video("x", "testing", ("rear",), 10.0, (Segment("rear", 1, 2),))])
    output = call("anna.json", "--against", "more.json", "--out", "out.csv")
    assert "1 of 3 videos of more.json" in output and ("x", "rear") not in read_rows(folder / "out.csv")


def test_ids_that_do_not_match_are_an_error_that_shows_both_kinds(folder):
    write_activitynet(folder / "other.json", [Video("dir/v.mp4", "", ("a",), 5.0, (Segment("a", 0, 1),))])
    with raises(DataError, code="no-common-videos", path="anna.json") as caught:
        call_and_raise("anna.json", "--against", "other.json", "--out", "out.csv")
    assert "v, w" in caught.value.message and "dir/v.mp4" in caught.value.message
    assert not (folder / "out.csv").exists()


def test_all_proposals_are_recognized(folder):
    proposals = [Segment("groom", 0, 6, 0.9), Segment("groom", 1, 7, 0.5)]
    write_proposals(folder / "proposals.json", {"v": proposals})
    assert "timeline.json" in call("proposals.json") and "timeline.json" not in call("anna.json")


def test_nothing_happens(folder):
    write_proposals(folder / "empty.json", {"v": []})
    call("empty.json")
    call("empty.json", "--against", "empty.json")


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["none.json"], "file-not-found"),
        (["anna.json", "--against", "none.json"], "file-not-found"),
        (["anna.json", "--data", "anna.json"], "not-a-directory"),
        (["anna.json", "--out", "anna.json"], "output-is-input"),
        (["anna.json", "--out", "other.txt"], "already-exists"),
        (["broken.json"], "invalid-json"),
        (["bundle"], "not-converted"),
    ],
)
def test_bad_input_is_refused(folder, arguments, code):
    (folder / "broken.json").write_text("{")
    (folder / "other.txt").write_text("important")
    (folder / "bundle").mkdir()
    np.save(folder / "bundle/labels_all.npy", [0])
    with raises(DataError, code=code):
        call_and_raise(*arguments)
    assert (folder / "other.txt").read_text() == "important"
    assert json.loads((folder / "anna.json").read_text())["database"]


@pytest.mark.parametrize("option", [["--bin", "0"], ["--tiou", "2"], ["--tolerance", "-1"], ["--from", "best"]])
def test_options_out_of_range_are_refused(folder, option):
    call("anna.json", "--against", "ben.json", *option, exit_code=2)
