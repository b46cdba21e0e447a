"""Video in, timeline out, through the command line as a person would: init, extract, train, predict."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.io import read_json, write_json
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.synthetic.features import write_synthetic
from wtal.inference.calibration import Calibration, apply
from wtal.inference.postprocessing import sort_by_time
from wtal.inference.proposals import top_non_overlapping
from wtal.video.extract_video import extract_features

SMALL = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")


def wtal(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


@pytest.fixture
def place(own_videos: Path) -> Path:
    return own_videos


def test_from_a_video_file_to_its_timeline(place, tmp_path):
    out = tmp_path / "proposals.json"
    video = place / "videos" / "film 3.mp4"
    code, said = wtal("predict", video, "--model", place / "run", "--out", out)
    assert code == 0 and "film 3" in said and str(out) in said
    found = read_proposals(out)["film 3"]
    assert top_non_overlapping(found)[0].label in said and "█" in said
    assert "operating point f1: not chosen" in said and str(tmp_path / "timeline.json") in said
    assert read_proposals(tmp_path / "timeline.json")["film 3"] == sort_by_time(top_non_overlapping(found))
    assert all(0 <= p.start < p.end <= 6.01 for p in found)
    assert wtal("localize", place / "run", place / "data", "--out", tmp_path / "other.json")[0] == 0
    assert read_proposals(tmp_path / "other.json")["film 3"] == found, "as from the features that extract wrote"


def test_the_timeline_is_that_of_the_operating_point(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    video, out = place / "videos" / "film 3.mp4", tmp_path / "proposals.json"
    code, said = wtal("calibrate", run, place / "data", "--subset", "testing", "--per-minute", 1)
    assert code == 0 and "chosen on the segments of 1 testing videos" in said
    shown = {}
    for aim in ("f1", "precision=0.9", "all"):
        code, said = wtal("predict", video, "--model", run, "--out", out, "--operating-point", aim)
        assert code == 0 and said.startswith(f"operating point {aim}: ")
        shown[aim] = read_proposals(tmp_path / "timeline.json")["film 3"]
    assert shown["all"] == sort_by_time(read_proposals(out)["film 3"]) and len(shown["all"]) > 1
    assert len(shown["precision=0.9"]) <= len(shown["f1"]) <= 1, "one a minute, of a film of six seconds"
    point = Calibration.from_json(read_json(run / "operating.json")).at("f1")
    assert shown["f1"] == apply(point, shown["all"])
    for words, sentence in [
        (("--operating-point", "best"), "there is no operating point 'best'"),
        (("--out", tmp_path / "timeline.json"), str(tmp_path / "timeline.json")),
    ]:
        code, said = wtal("predict", video, "--model", run, *words)
        assert code == 2 and sentence in " ".join(said.split())


def test_unreadable_video_does_not_stop_the_others(place, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    shutil.copy(place / "videos" / "film 0.mp4", tmp_path)
    out = tmp_path / "proposals.json"
    code, said = wtal("predict", tmp_path / "bad.mp4", tmp_path / "film 0.mp4", "--model", place / "run", "--out", out)
    assert code == 2 and "bad.mp4: is empty" in said
    assert read_proposals(out).keys() == {"film 0"}
    out.unlink()
    assert wtal("predict", tmp_path / "gone.mp4", "--model", place / "run", "--out", out)[0] == 2 and not out.exists()


def test_videos_of_equal_name_get_different_ids(place, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(place / "videos" / "film 0.mp4", tmp_path / folder)
    first, second = tmp_path / "a" / "film 0.mp4", tmp_path / "b" / "film 0.mp4"
    out = tmp_path / "proposals.json"
    assert wtal("predict", first, second, second, "--model", place / "run", "--out", out)[0] == 0
    assert read_proposals(out).keys() == {"a__film 0", "b__film 0"}


def test_videos_of_data_set_get_its_ids(place, tmp_path):
    listing = read_json(place / "data" / "videos.json")
    write_json(tmp_path / "videos.json", {"folder": listing["folder"], "files": {"first": "film 0.mp4"}})
    out = tmp_path / "proposals.json"
    video = place / "videos" / "film 0.mp4"
    assert wtal("predict", video, "--model", place / "run", "--out", out, "--data", tmp_path)[0] == 0
    assert read_proposals(out).keys() == {"first"}


def test_a_model_of_other_features_is_refused_naming_both(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    write_json(config, read_json(config) | {"provenance": read_json(config)["provenance"] | {"fps": 99.0}})
    video = place / "videos" / "film 0.mp4"
    code, said = wtal("predict", video, "--model", run, "--out", tmp_path / "p.json")
    assert code == 2 and "at 99 fps" in said and "at 12.5 fps" in said
    code, said = wtal("localize", run, place / "data")
    assert code == 2 and "at 99 fps" in said and "at 12.5 fps" in said


def test_a_model_of_unknown_features_is_refused(place, tmp_path):
    write_synthetic(tmp_path / "data", TINIEST)
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
    code, said = wtal("predict", place / "videos" / "film 0.mp4", "--model", tmp_path / "run")
    assert code == 2 and str(tmp_path / "run") in said


def test_an_interrupt_keeps_what_was_found(place, tmp_path, monkeypatch):
    seen: list[Path] = []

    def interrupted(video: Path, *rest: object):
        seen.append(video)
        if len(seen) > 1:
            raise KeyboardInterrupt
        return extract_features(video, *rest)

    monkeypatch.setattr("wtal.inference.video.extract_features", interrupted)
    videos = [place / "videos" / f"film {i}.mp4" for i in range(2)]
    out = tmp_path / "proposals.json"
    code, said = wtal("predict", *videos, "--model", place / "run", "--out", out)
    assert code == 130 and "interrupted" in said and read_proposals(out).keys() == {"film 0"}


def test_results_never_take_the_place_of_anything_else(place, tmp_path):
    video = Path(shutil.copy(place / "videos" / "film 0.mp4", tmp_path))
    run = shutil.copytree(place / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    (tmp_path / "other.mp4").write_bytes(b"a film")
    before = {path: path.read_bytes() for path in (video, config, tmp_path / "other.mp4")}
    for out in [*before, tmp_path, video / "p.json"]:
        code, said = wtal("predict", video, "--model", run, "--out", out)
        assert code == 2 and str(out) in said.replace("\n", "") and "█" not in said, out
        code, said = wtal("localize", run, place / "data", "--out", out)
        assert code == 2, said
    assert {path: path.read_bytes() for path in before} == before
    for _ in range(2):  # our own results may be written over
        assert wtal("predict", video, "--model", run, "--out", run / "proposals.json")[0] == 0


def test_a_model_of_features_from_elsewhere_cannot_see_videos(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    said = read_json(config)
    write_json(config, said | {"provenance": said["provenance"] | {"backbone": "features extracted elsewhere"}})
    code, said = wtal("predict", place / "videos" / "film 0.mp4", "--model", run)
    assert code == 2 and "features extracted elsewhere" in said


def test_a_transformers_model_must_be_named(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    config = next(run.glob("checkpoint-*/config.json"))
    write_json(config, read_json(config) | {"provenance": read_json(config)["provenance"] | {"backbone": "videomae"}})
    code, said = wtal("predict", place / "videos" / "film 0.mp4", "--model", run)
    assert code == 2 and "--backbone" in said


def test_training_goes_on_without_the_videos_that_cannot_be_read(place, tmp_path):
    videos = shutil.copytree(place / "videos", tmp_path / "videos")
    (videos / "film 2.mp4").write_bytes(b"no film")
    tags = place / "tags.csv"
    assert wtal("init", tmp_path / "data", "--videos", videos, "--tags", tags)[0] == 0
    assert wtal("extract", tmp_path / "data")[0] == 2
    assert json.loads((tmp_path / "data" / "failed.json").read_text()).keys() == {"film 2"}
    code, said = wtal("check", tmp_path / "data")
    assert code == 0 and "film 2: is skipped" in said
    assert wtal("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)[0] == 0
