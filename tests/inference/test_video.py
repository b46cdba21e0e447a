"""From video files to segments through the command line: init, extract, train, predict."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.io import read_json, write_json
from wtal.data.annotations.convert import read_annotations
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.synthetic.features import write_synthetic
from wtal.inference.calibration import read_calibration
from wtal.inference.postprocessing import sort_by_time
from wtal.inference.proposals import top_non_overlapping
from wtal.video.extract_video import extract_features

SMALL = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")


def wtal(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_predict_writes_and_prints_the_segments_of_a_video(own_videos, tmp_path):
    out = tmp_path / "proposals.json"
    video = own_videos / "videos" / "film 3.mp4"
    code, output = wtal("predict", video, "--model", own_videos / "run", "--out", out)
    assert code == 0 and "film 3" in output and str(out) in output
    segments = read_proposals(out)["film 3"]
    assert top_non_overlapping(segments)[0].label in output and "█" in output
    assert str(tmp_path / "timeline.json") in output
    assert read_proposals(tmp_path / "timeline.json")["film 3"] == sort_by_time(top_non_overlapping(segments))
    assert all(0 <= p.start < p.end <= 6.01 for p in segments)
    assert wtal("localize", own_videos / "run", own_videos / "data", "--out", tmp_path / "other.json")[0] == 0
    assert read_proposals(tmp_path / "other.json")["film 3"] == segments, "as from the features of extract"


def test_predict_writes_an_annotation_format_by_extension(own_videos, tmp_path):
    run, video = own_videos / "run", own_videos / "videos" / "film 3.mp4"
    assert wtal("predict", video, "--model", run, "--out", tmp_path / "p.json")[0] == 0
    shown = read_proposals(tmp_path / "timeline.json")["film 3"]
    for name in ("film 3.boris", "film 3.xml"):
        code, output = wtal("predict", video, "--model", run, "--out", tmp_path / "out" / name)
        assert code == 0 and f"{len(shown)} shown segments in 1 videos: {tmp_path / 'out' / name}" in output
        ((annotation,), _), _ = read_annotations(tmp_path / "out" / name)
        assert annotation.id == "film 3"
        assert sorted((s.label, round(s.start, 3), round(s.end, 3)) for s in annotation.segments) == sorted(
            (s.label, round(s.start, 3), round(s.end, 3)) for s in shown
        )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["film 3.boris", "film 3.xml"]
    other = own_videos / "videos" / "film 0.mp4"
    for words in ((video, "--out", tmp_path / "out" / "film 3.boris"), (video, other, "--out", tmp_path / "two.xml")):
        assert wtal("predict", *words, "--model", run)[0] == 2
    assert not (tmp_path / "two.xml").exists()


def test_timeline_follows_the_operating_point(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    video, out = own_videos / "videos" / "film 3.mp4", tmp_path / "proposals.json"
    code, output = wtal("calibrate", run, own_videos / "data", "--subset", "testing", "--per-minute", 1)
    assert code == 0
    shown = {}
    for aim in ("f1", "precision=0.9", "all"):
        code, output = wtal("predict", video, "--model", run, "--out", out, "--operating-point", aim)
        assert code == 0 and output.startswith(f"operating point {aim}: ")
        shown[aim] = read_proposals(tmp_path / "timeline.json")["film 3"]
    assert shown["all"] == sort_by_time(read_proposals(out)["film 3"]) and len(shown["all"]) > 1
    assert len(shown["precision=0.9"]) <= len(shown["f1"]) <= 1, "one per minute, in a video of six seconds"
    assert shown["f1"] == read_calibration(run).operating_point("f1").apply(shown["all"])
    for words in (("--operating-point", "best"), ("--out", tmp_path / "timeline.json")):
        code, output = wtal("predict", video, "--model", run, *words)
        assert code == 2 and str(words[1]) in output.replace("\n", "")


def test_unreadable_video_does_not_stop_the_others(own_videos, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    shutil.copy(own_videos / "videos" / "film 0.mp4", tmp_path)
    out = tmp_path / "proposals.json"
    code, output = wtal(
        "predict", tmp_path / "bad.mp4", tmp_path / "film 0.mp4", "--model", own_videos / "run", "--out", out
    )
    assert code == 2 and "bad.mp4: is empty" in output
    assert read_proposals(out).keys() == {"film 0"}
    out.unlink()
    assert (
        wtal("predict", tmp_path / "gone.mp4", "--model", own_videos / "run", "--out", out)[0] == 2 and not out.exists()
    )


def test_videos_of_equal_name_get_different_ids(own_videos, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(own_videos / "videos" / "film 0.mp4", tmp_path / folder)
    first, second = tmp_path / "a" / "film 0.mp4", tmp_path / "b" / "film 0.mp4"
    out = tmp_path / "proposals.json"
    assert wtal("predict", first, second, second, "--model", own_videos / "run", "--out", out)[0] == 0
    assert read_proposals(out).keys() == {"a__film 0", "b__film 0"}


def test_videos_of_data_set_get_its_ids(own_videos, tmp_path):
    listing = read_json(own_videos / "data" / "videos.json")
    write_json(tmp_path / "videos.json", {"folder": listing["folder"], "files": {"first": "film 0.mp4"}})
    out = tmp_path / "proposals.json"
    video = own_videos / "videos" / "film 0.mp4"
    assert wtal("predict", video, "--model", own_videos / "run", "--out", out, "--data", tmp_path)[0] == 0
    assert read_proposals(out).keys() == {"first"}


def test_model_of_other_features_is_rejected_naming_both(own_videos, tmp_path):
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    write_json(config, read_json(config) | {"provenance": read_json(config)["provenance"] | {"fps": 99.0}})
    video = own_videos / "videos" / "film 0.mp4"
    code, output = wtal("predict", video, "--model", run, "--out", tmp_path / "p.json")
    assert code == 2 and "at 99 fps" in output and "12.5 fps" in output
    code, output = wtal("localize", run, own_videos / "data")
    assert code == 2 and "at 99 fps" in output and "12.5 fps" in output


def test_model_of_unknown_features_is_rejected(own_videos, tmp_path):
    write_synthetic(tmp_path / "data", TINIEST)
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
    code, output = wtal("predict", own_videos / "videos" / "film 0.mp4", "--model", tmp_path / "run")
    assert code == 2 and str(tmp_path / "run") in output


def test_interrupt_keeps_the_results(own_videos, tmp_path, monkeypatch):
    started: list[Path] = []

    def interrupted(video: Path, *arguments: object):
        started.append(video)
        if len(started) > 1:
            raise KeyboardInterrupt
        return extract_features(video, *arguments)

    monkeypatch.setattr("wtal.inference.localizer.extract_features", interrupted)
    videos = [own_videos / "videos" / f"film {i}.mp4" for i in range(2)]
    out = tmp_path / "proposals.json"
    code, output = wtal("predict", *videos, "--model", own_videos / "run", "--out", out)
    assert code == 130 and "interrupted" in output and read_proposals(out).keys() == {"film 0"}


def test_results_never_overwrite_other_files(own_videos, tmp_path):
    video = Path(shutil.copy(own_videos / "videos" / "film 0.mp4", tmp_path))
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    (tmp_path / "other.mp4").write_bytes(b"a video")
    content = {path: path.read_bytes() for path in (video, config, tmp_path / "other.mp4")}
    for out in [*content, tmp_path, video / "p.json"]:
        code, output = wtal("predict", video, "--model", run, "--out", out)
        assert code == 2 and str(out) in output.replace("\n", "") and "█" not in output, out
        code, output = wtal("localize", run, own_videos / "data", "--out", out)
        assert code == 2, output
    assert {path: path.read_bytes() for path in content} == content
    for _ in range(2):  # earlier results may be overwritten
        assert wtal("predict", video, "--model", run, "--out", run / "proposals.json")[0] == 0


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
    assert wtal("extract", tmp_path / "data")[0] == 2
    assert json.loads((tmp_path / "data" / "failed.json").read_text()).keys() == {"film 2"}
    code, output = wtal("check", tmp_path / "data")
    assert code == 0 and "film 2" in output
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
