"""Conversion between formats: warnings, output paths, and errors on the command line."""

import json
from pathlib import Path

import pytest

from tests.helpers.annotations import FPS, run_convert
from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.convert import conversion_warnings, convert_annotations, read_annotations, write_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.activitynet import write_proposals

WARNINGS = {
    "durations": "video durations are removed",
    "subsets": "video subsets are removed",
    "tags": "tags of videos are removed",
    "empty": "videos without segments are removed",
    "scores": "segments without a score get the score 1.0",
    "rounded": "times are rounded",
    "shorter": "shorter segments are extended",
    "labels": "labels with line breaks or other unsupported characters are changed",
}
EXPECTED_WARNINGS = {
    "results": "durations subsets tags scores",
    "activitynet": "",
    "csv": "",
    "vtt": "durations subsets tags rounded shorter",
    "srt": "durations subsets tags rounded shorter labels",
    "labelstudio": "durations subsets tags rounded shorter",
    "via": "durations subsets tags",
    "boris": "empty subsets tags rounded",
    "elan": "durations subsets tags rounded shorter",
    "fiftyone": "durations subsets tags rounded shorter",
    "audacity": "durations subsets tags labels",
    "boris-project": "subsets tags rounded",
    "sportscode": "durations subsets tags",
    "simba": "empty subsets tags rounded shorter",
}


@pytest.fixture
def proposals(tmp_path: Path) -> Path:
    path = tmp_path / "proposals.json"
    write_proposals(path, {"a.b": [Segment("run", 0.5, 2.0, 0.75), Segment("jump", 1.0, 3.0, 0.5)], "c": []})
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_warnings_name_everything_that_a_format_loses(name):
    annotations = [
        Annotation("v", (Segment("run", 0.12312, 0.1234), Segment("a\nb", 1, 2)), 7.5, "validation", ("tag",)),
        Annotation("w", subset="training"),
    ]
    warnings = conversion_warnings(FORMATS[name], annotations, FPS)
    expected = [WARNINGS[key] for key in EXPECTED_WARNINGS[name].split()]
    assert len(warnings) == len(expected)
    for message in expected:
        (count,) = (warning.count for warning in warnings if warning.message.startswith(message))
        assert count == (2 if message == WARNINGS["subsets"] or message == WARNINGS["scores"] else 1)


def test_dropped_and_rounded_scores_are_reported():
    scored = [Annotation("v", (Segment("run", 1.0, 2.0, 0.123456),))]
    for name, is_reported in {"activitynet": True, "srt": True, "boris": True, "csv": False, "via": False}.items():
        assert bool(conversion_warnings(FORMATS[name], scored)) == is_reported


def test_names_that_spreadsheets_read_as_formulas_are_reported():
    annotations = [Annotation("@v", tuple(Segment(label, 1, 2) for label in ("=1+1", "-x", "run", "a=b")))]
    for name in ("csv", "boris"):
        (warning,) = conversion_warnings(FORMATS[name], annotations)
        assert "formulas" in warning.message and warning.count == 3
    assert conversion_warnings(FORMATS["via"], annotations) == []


def test_warnings_are_printed(proposals, tmp_path):
    output = run_convert(proposals, tmp_path / "o.csv", "--to", "boris")
    assert "note: boris: videos without segments are removed (1)" in output.splitlines()


def test_csv_extension_means_the_plain_table(proposals, tmp_path):
    assert run_convert(proposals, tmp_path / "o.csv").startswith("results to csv: ")
    assert (tmp_path / "o.csv").read_text().startswith("video,label,start,end,score\n")
    assert run_convert(proposals, tmp_path / "b.csv", "--to", "boris").startswith("results to boris: ")
    assert run_convert(tmp_path / "b.csv", tmp_path / "c.csv").startswith("boris to csv: ")


def test_single_video_is_written_to_a_file(proposals, tmp_path):
    output = run_convert(proposals, tmp_path / "a.b.srt", "--video", "a.b")
    assert "2 segments of 1 video " in output and "video id" not in output
    output = run_convert(proposals, tmp_path / "other.srt", "--video", "a.b")
    assert "note: srt: the video id is changed to the file name, other (1)" in output.splitlines()
    assert run_convert(tmp_path / "a.b.srt", tmp_path / "a.vtt").startswith("srt to vtt: 2 segments")


def test_several_videos_are_written_to_a_folder(proposals, tmp_path):
    run_convert(proposals, tmp_path / "subtitles", "--to", "srt")
    assert sorted(path.name for path in (tmp_path / "subtitles").iterdir()) == ["a.b.srt", "c.srt"]
    assert run_convert(tmp_path / "subtitles", tmp_path / "o.csv", "--from", "srt").startswith("srt to csv: 2 segments")


@pytest.mark.parametrize(
    ("out", "options", "error", "code"),
    [
        ("o.srt", {}, DataError, "several-videos"),
        ("o.srt", {"video_id": "d"}, DataError, "unknown-video"),
        ("o.json", {}, ConfigError, "ambiguous-format"),
        ("o", {}, ConfigError, "ambiguous-format"),
        ("o.json", {"target_format": "fiftyone"}, ConfigError, "invalid-fps"),
        ("o.json", {"target_format": "labelstudio", "fps": 0}, ConfigError, "invalid-fps"),
        ("o.json", {"target_format": "fiftyone", "fps": 1e308}, ConfigError, "invalid-fps"),
        ("o.json", {"target_format": "via", "fps": 25}, ConfigError, "unused-option"),
        ("o.csv", {"target_format": "simba"}, ConfigError, "invalid-fps"),
        ("o.boris", {"fps": -1}, ConfigError, "invalid-fps"),
        ("o.json", {"target_format": "viaa"}, ConfigError, "unknown-name"),
        ("o.csv", {"source_format": "vtt"}, DataError, "invalid-header"),
        ("proposals.json", {"target_format": "via"}, DataError, "output-is-input"),
        (".", {"target_format": "srt"}, DataError, "output-is-input"),
        ("", {"target_format": "csv"}, DataError, "output-is-input"),
    ],
)
def test_invalid_arguments_are_rejected(out, options, error, code, proposals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises(error, code=code):
        convert_annotations(Path(proposals.name), Path(out), **options)
    assert [path.name for path in tmp_path.iterdir()] == [proposals.name]


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        ("missing.srt", {}, "file-not-found"),
        ("missing.eaf", {}, "file-not-found"),
        ("missing.json", {}, "file-not-found"),
        (".", {}, "no-files"),
    ],
)
def test_missing_input_is_rejected(source, options, code, tmp_path):
    with raises(DataError, code=code, path=tmp_path / source):
        convert_annotations(tmp_path / source, tmp_path / "o.csv", **options)


def test_input_without_videos_is_rejected(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"results": {}}')
    with raises(DataError, code="no-videos", path=path):
        convert_annotations(path, tmp_path / "o.csv")


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing", "o"),
        ("missing.srt", "o.vtt", "--from", "srt"),
        ("proposals.json", "o.srt"),
        ("proposals.json", "o.json"),
        ("proposals.json", "o.json", "--to", "fiftyone", "--fps", "0"),
        ("proposals.json", "o", "--to", "srt", "--stride", "4"),
        (".", "o", "--to", "srt"),
    ],
)
def test_command_line_errors_are_one_line(arguments, proposals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_convert(*arguments, exit_code=2)
    assert [path.name for path in tmp_path.iterdir()] == [proposals.name]


def test_existing_output_is_not_overwritten(proposals, tmp_path):
    (tmp_path / "file.vtt").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    (tmp_path / "empty").mkdir()
    for name, target in {"loop": "loop", "dangling": "missing", "link": "empty"}.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    for name in ("file.vtt", "folder", "loop", "dangling", "link"):
        with raises(DataError, code="already-exists", path=tmp_path / name):
            convert_annotations(proposals, tmp_path / name, target_format="vtt", video_id="c")
    assert (tmp_path / "file.vtt").read_text() == "mine"
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "missing").exists()


def test_video_ids_that_become_equal_are_rejected(tmp_path):
    path = tmp_path / "p.json"
    write_proposals(path, {"x/a": [], "y/a.mp4": []})
    with raises(DataError, code="duplicate-id", path=path):
        convert_annotations(path, tmp_path / "o.json", target_format="via")
    result = convert_annotations(path, tmp_path / "a.json", target_format="via", video_id="y/a.mp4")
    (warning,) = result.warnings
    assert "video ids are changed" in warning.message and warning.count == 1


def test_video_ids_that_are_not_file_names_are_rejected_in_folders(tmp_path):
    path = tmp_path / "p.json"
    write_proposals(path, {"x/a": [], "b": []})
    with raises(DataError, code="invalid-file-name"):
        convert_annotations(path, tmp_path / "o", target_format="srt")
    assert not (tmp_path / "o").exists()
    assert convert_annotations(path, tmp_path / "a.srt", video_id="x/a").videos == 1


def test_folder_with_several_formats_needs_the_format(tmp_path):
    for name in ("vtt", "srt"):
        write_annotations(FORMATS[name], tmp_path / f"v.{name}", [Annotation("v")])
    with raises(DataError, code="ambiguous-format", path=tmp_path):
        read_annotations(tmp_path)
    assert read_annotations(tmp_path, "vtt")[0].annotations == [Annotation("v")]


def test_ground_truth_from_json_keeps_everything_in_a_table(tmp_path):
    truth, back = tmp_path / "truth.json", tmp_path / "back.json"
    database = {
        "v": {
            "subset": "validation",
            "annotations": [{"label": "tag"}, {"label": "run", "segment": [0.5, 1.25]}],
            "duration": 7.5,
        },
        "w": {"subset": "training", "annotations": []},
    }
    truth.write_text(json.dumps({"database": database}))
    assert convert_annotations(truth, tmp_path / "t.csv").warnings == ()
    convert_annotations(tmp_path / "t.csv", back, target_format="activitynet")
    assert json.loads(back.read_text())["database"] == database
