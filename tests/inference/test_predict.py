"""From video files to segments through the command line: init, extract, train, predict."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.io import read_json, write_json
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.synthetic.features import write_synthetic
from wtal.inference.calibration import read_calibration
from wtal.inference.postprocessing import sort_by_time, top_non_overlapping

SMALL = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")


def wtal(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_predict_writes_and_prints_the_segments_of_a_video(own_videos, tmp_path):
    out = tmp_path / "out"
    video = own_videos / "videos" / "film 3.mp4"
    code, output = wtal("predict", video, "--model", own_videos / "run", "--out", out)
    assert code == 0 and "film 3" in output and str(out) in output
    segments = read_proposals(out / "proposals.json")["film 3"]
    assert top_non_overlapping(segments)[0].label in output and "█" in output
    assert read_proposals(out / "timeline.json")["film 3"] == sort_by_time(top_non_overlapping(segments))
    assert all(0 <= p.start < p.end <= 6.01 for p in segments)
    assert wtal("localize", own_videos / "run", own_videos / "data", "--out", tmp_path / "other.json")[0] == 0
    assert read_proposals(tmp_path / "other.json")["film 3"] == segments, "as from the features of extract"


def test_every_command_names_videos_in_the_same_way(own_videos, tmp_path):
    videos = shutil.copytree(own_videos / "videos", tmp_path / "videos")
    (videos / "b").mkdir()
    shutil.copy(videos / "film 3.mp4", videos / "b")
    tags = "video,labels,subset\nfilm 0.mp4,left,training\nb/film 3.mp4,left[3 to 6];right[0 to 3],testing\n"
    (tmp_path / "tags.csv").write_text(tags)
    data, run = tmp_path / "data", own_videos / "run"
    assert wtal("init", data, "--videos", videos, "--tags", tmp_path / "tags.csv")[0] == 0
    assert wtal("extract", data, "--backbone", "tiny")[0] == 0
    for words in ((videos, "--out", tmp_path / "a"), (videos / "b", "--out", tmp_path / "b", "--data", data)):
        assert wtal("predict", *words, "--model", run, "--format", "csv,vtt")[0] == 0
        ids = read_proposals(words[2] / "proposals.json").keys()
        assert ("b__film 3" in ids and "film 3" in ids) or ids == {"b__film 3"}
        assert wtal("evaluate", words[2] / "proposals.json", data, "--out", tmp_path / "results.json")[0] == 0
        for source, format in ((words[2] / "timeline.csv", "csv"), (words[2], "vtt")):
            converted = tmp_path / f"{words[2].name}-{format}.json"
            assert wtal("convert", source, converted, "--from", format, "--to", "results")[0] == 0
            assert read_proposals(converted).keys() == ids
    code, _ = wtal("predict", videos / "film 1.mp4", "--model", run, "--out", tmp_path / "c")
    assert code == 0 and wtal("evaluate", tmp_path / "c" / "proposals.json", data)[0] == 2


def test_timeline_follows_the_operating_point(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    video, out = own_videos / "videos" / "film 3.mp4", tmp_path / "out"
    code, _ = wtal("calibrate", run, own_videos / "data", "--subset", "testing", "--per-minute", 1)
    assert code == 0
    shown = {}
    for aim in ("f1", "precision=0.9", "all"):
        code, output = wtal("predict", video, "--model", run, "--out", out, "--operating-point", aim)
        assert code == 0 and output.startswith(f"operating point {aim}: ")
        shown[aim] = read_proposals(out / "timeline.json")["film 3"]
    assert shown["all"] == sort_by_time(read_proposals(out / "proposals.json")["film 3"]) and len(shown["all"]) > 1
    assert len(shown["precision=0.9"]) <= len(shown["f1"]) <= 1, "one per minute, in a video of six seconds"
    assert shown["f1"] == read_calibration(run).operating_point("f1").apply(shown["all"])
    code, output = wtal("predict", video, "--model", run, "--operating-point", "best")
    assert code == 2 and "best" in output


def test_unreadable_video_does_not_stop_the_others(own_videos, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "bad.mp4").write_bytes(b"")
    shutil.copy(own_videos / "videos" / "film 0.mp4", videos)
    out = tmp_path / "out"
    code, output = wtal("predict", videos, videos / "gone.mp4", "--model", own_videos / "run", "--out", out)
    assert code == 2 and "bad.mp4: is empty" in output and "gone.mp4: " in output
    assert read_proposals(out / "proposals.json").keys() == {"film 0"}


def test_nothing_is_written_if_no_video_can_be_read(own_videos, tmp_path):
    out = tmp_path / "out"
    assert wtal("predict", tmp_path / "gone.mp4", "--model", own_videos / "run", "--out", out)[0] == 2
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "none"],
        ["--out", "p.json"],
        ["--out", "p.csv"],
        ["--backbone", "i3d"],
        ["--data", "."],
    ],
)
def test_invalid_options_are_refused_before_anything_is_written(own_videos, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, output = wtal("predict", own_videos / "videos" / "film 0.mp4", "--model", own_videos / "run", *words)
    assert code == 2 and words[1] in output and not list(tmp_path.iterdir())


def test_model_of_other_features_is_rejected_naming_both(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    write_json(config, read_json(config) | {"provenance": read_json(config)["provenance"] | {"fps": 99.0}})
    video = own_videos / "videos" / "film 0.mp4"
    code, output = wtal("predict", video, "--model", run, "--out", tmp_path / "out")
    assert code == 2 and "at 99 fps" in output and "12.5 fps" in output
    code, output = wtal("localize", run, own_videos / "data")
    assert code == 2 and "at 99 fps" in output and "12.5 fps" in output


def test_model_of_unknown_features_is_rejected(own_videos, tmp_path):
    write_synthetic(tmp_path / "data", TINIEST)
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
    code, output = wtal("predict", own_videos / "videos" / "film 0.mp4", "--model", tmp_path / "run")
    assert code == 2 and str(tmp_path / "run") in output


def test_model_of_external_features_cannot_process_videos(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    values = read_json(config)
    write_json(config, values | {"provenance": values["provenance"] | {"backbone": "features extracted elsewhere"}})
    code, output = wtal("predict", own_videos / "videos" / "film 0.mp4", "--model", run)
    assert code == 2 and "features extracted elsewhere" in output


def test_transformers_model_must_be_named(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    write_json(config, read_json(config) | {"provenance": read_json(config)["provenance"] | {"backbone": "videomae"}})
    code, output = wtal("predict", own_videos / "videos" / "film 0.mp4", "--model", run)
    assert code == 2 and "--backbone" in output


def test_training_skips_videos_that_cannot_be_decoded(own_videos, tmp_path):
    videos = shutil.copytree(own_videos / "videos", tmp_path / "videos")
    (videos / "film 2.mp4").write_bytes(b"not a video")
    tags = own_videos / "tags.csv"
    assert wtal("init", tmp_path / "data", "--videos", videos, "--tags", tags)[0] == 0
    assert wtal("extract", tmp_path / "data", "--backbone", "tiny")[0] == 2
    assert json.loads((tmp_path / "data" / "failed.json").read_text()).keys() == {"film 2"}
    code, output = wtal("check", tmp_path / "data")
    assert code == 0 and "film 2" in output
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
