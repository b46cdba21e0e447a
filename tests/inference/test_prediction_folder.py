"""Predictions in a folder: resuming, formats, and files that are not replaced."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.helpers.errors import raises
from tests.helpers.processes import interrupt, start_wtal, wait_until
from tests.helpers.video import gray, render
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json
from wtal.data.annotations.convert import read_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.activitynet import read_proposals
from wtal.inference.prediction_folder import predict_into


@pytest.fixture
def videos(own_videos, tmp_path) -> Path:
    """A copy of the videos, which may be changed."""
    return shutil.copytree(own_videos / "videos", tmp_path / "videos")


@pytest.fixture
def predict(own_videos, tmp_path):
    """Predict into a folder; the features of the data set are used, so that no process is started."""

    def call(*paths, out=tmp_path / "out", formats="", model=own_videos / "run", data=own_videos / "data", **options):
        chosen = [FORMATS[name] for name in formats.split(",") if name]
        paths = paths or (own_videos / "videos",)
        return predict_into(out, paths, model, formats=chosen, data=data, **options)

    return call


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith("."))


def test_finished_videos_are_skipped_and_nothing_changes(predict, tmp_path):
    first = predict(formats="csv,srt")
    before = snapshot(tmp_path / "out")
    assert len(first.predicted) == 4 and not first.reused and first.stored == 4
    second = predict(formats="csv,srt")
    assert not second.predicted and len(second.reused) == 4
    assert (second.shown, second.proposals, second.files) == (first.shown, first.proposals, first.files)
    after = snapshot(tmp_path / "out")
    del before[".wtal/files.json"], after[".wtal/files.json"]
    assert after == before


def test_features_of_the_data_set_give_the_same_predictions(predict, own_videos, tmp_path):
    video = own_videos / "videos" / "film 0.mp4"
    predict(video)
    predict(video, out=tmp_path / "other", data=None)
    assert read_proposals(tmp_path / "out/proposals.json") == read_proposals(tmp_path / "other/proposals.json")


def test_changed_video_is_predicted_again(predict, videos):
    assert predict(videos / "film 0.mp4", data=None).predicted == ("film 0",)
    shutil.copy(videos / "film 1.mp4", videos / "film 0.mp4")
    summary = predict(videos / "film 0.mp4", data=None)
    assert summary.predicted == ("film 0",) and summary.stored == 1


def test_moved_video_is_not_predicted_again(predict, videos):
    predict(videos / "film 0.mp4", data=None)
    (videos / "sub").mkdir()
    (videos / "film 0.mp4").rename(videos / "sub" / "film 0.mp4")
    assert predict(videos / "sub" / "film 0.mp4", data=None).reused == ("film 0",)


def test_earlier_videos_stay_in_the_folder(predict, own_videos, tmp_path):
    for index in range(2):
        predict(own_videos / "videos" / f"film {index}.mp4", formats="elan")
    assert read_proposals(tmp_path / "out/timeline.json").keys() == {"film 0", "film 1"}
    assert visible(tmp_path / "out") == ["film 0.eaf", "film 1.eaf", "proposals.json", "timeline.json"]


def test_names_of_files_follow_the_videos(predict, videos, tmp_path):
    (videos / "sub").mkdir()
    (videos / "film 1.mp4").rename(videos / "sub" / "film 0.mp4")
    (videos / "film 2.mp4").rename(videos / "film 0.mkv")
    (videos / "film 3.mp4").unlink()
    predict(videos, data=None, formats="csv,srt,elan,boris,simba,boris-project,labelstudio")
    joint = "proposals.json timeline-boris.csv timeline-labelstudio.json timeline-simba.csv timeline.boris timeline.csv"
    single = [f"{stem}.{end}" for stem in ("film 0.mkv", "film 0.mp4", "sub/film 0") for end in ("eaf", "srt")]
    assert visible(tmp_path / "out") == sorted([*joint.split(), "timeline.json", *single])
    shown = read_proposals(tmp_path / "out/timeline.json")
    assert shown.keys() == {"film 0.mkv", "film 0.mp4", "sub__film 0"}
    for path, format in (("out", "srt"), ("out/timeline-boris.csv", None), ("out/timeline.boris", None)):
        file, _ = read_annotations(tmp_path / path, format)
        assert {a.id: [s.label for s in a.segments] for a in file.annotations} == {
            id: [segment.label for segment in segments] for id, segments in shown.items()
        }


@pytest.mark.parametrize("name", ["timeline.json", "proposals.json", "timeline.csv", "film 0.srt"])
def test_file_that_was_not_written_here_is_not_replaced(predict, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("corrected by hand")
    with raises(DataError, code="already-exists", path=tmp_path / "out" / name):
        predict(formats="csv,srt")
    assert snapshot(tmp_path / "out") == {name: b"corrected by hand"}


def test_file_that_was_edited_is_not_replaced(predict, tmp_path):
    predict(formats="srt")
    path = tmp_path / "out" / "film 0.srt"
    path.write_text(path.read_text().replace("left", "LEFT").replace("right", "RIGHT"))
    before = snapshot(tmp_path / "out")
    with raises(DataError, code="already-exists", path=path):
        predict(formats="srt")
    assert snapshot(tmp_path / "out") == before


def test_folder_of_another_model_is_refused(predict, own_videos, tmp_path):
    predict()
    run = shutil.copytree(own_videos / "run", tmp_path / "run")
    assert predict(model=run).reused, "a copy is the same model"
    config = next(run.glob("checkpoint-*/config.json"))
    config.write_text(config.read_text().replace('"min_score": 0.001', '"min_score": 0.01'))
    before = snapshot(tmp_path / "out")
    with raises(DataError, code="other-model", path=tmp_path / "out"):
        predict(model=run)
    assert snapshot(tmp_path / "out") == before


def test_other_video_of_the_same_id_is_refused(predict, videos):
    (videos / "sub").mkdir()
    (videos / "film 1.mp4").rename(videos / "sub" / "film 0.mp4")
    predict(videos / "film 0.mp4", data=None)
    with raises(DataError, code="duplicate-id", path=videos / "sub" / "film 0.mp4"):
        predict(videos / "sub" / "film 0.mp4", data=None)


def test_damaged_prediction_is_made_again(predict, tmp_path):
    predict()
    (tmp_path / "out/.wtal/videos/film 0.json").write_text('{"path": 1')
    (tmp_path / "out/.wtal/videos/film 1.json").write_text('{"path": 1}')
    assert predict().predicted == ("film 0", "film 1")


@pytest.mark.parametrize("content", ["{", "[]", '{"timeline.json": 5}'])
def test_damaged_record_of_files_replaces_nothing(predict, tmp_path, content):
    predict()
    (tmp_path / "out/.wtal/files.json").write_text(content)
    before = snapshot(tmp_path / "out")
    with raises(DataError):
        predict()
    assert snapshot(tmp_path / "out") == before


def test_format_with_frame_numbers_needs_one_frame_rate(predict, videos, own_videos, tmp_path):
    predict(own_videos / "videos" / "film 0.mp4", formats="fiftyone")
    assert read_json(tmp_path / "out/timeline-fiftyone.json")
    render(videos / "slow.mp4", [gray(0)] * 10, fps=5)
    with raises(ConfigError, code="invalid-fps"):
        predict(videos, formats="fiftyone", out=tmp_path / "other", data=None)
    assert not (tmp_path / "other").exists()


def test_output_into_the_folder_of_videos_changes_no_video(predict, videos):
    before = snapshot(videos)
    predict(videos, out=videos, data=None, formats="srt")
    assert before.items() <= snapshot(videos).items()
    assert len(predict(videos, out=videos, data=None, formats="srt").reused) == 4


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGKILL])
def test_stopped_prediction_continues(own_videos, videos, tmp_path, stop_signal):
    """One worker finishes the first video and waits in the second one, until the process is stopped."""
    out = tmp_path / "out"
    backbones = "from wtal.video.backbones.registry import BACKBONES"
    setup = f"{backbones}; BACKBONES['tiny'] = 'tests.helpers.backbones:BlockOnWhite'"
    render(videos / "white.mp4", [gray(255)] * 20, fps=10)
    words = ("predict", videos, "--model", own_videos / "run", "--out", out, "--format", "srt")
    process = start_wtal(*words, "--workers", 1, setup=setup)
    wait_until(lambda: len(list(out.glob(".wtal/videos/*.json"))) == 4)
    output = interrupt(process, stop_signal)
    if stop_signal == signal.SIGINT:
        assert process.returncode == 130 and "interrupted" in output
        assert len(read_proposals(out / "timeline.json")) == 4 and len(list(out.glob("*.srt"))) == 4
    else:
        assert visible(out) == []
    summary = predict_into(out, [videos], own_videos / "run", formats=[FORMATS["srt"]])
    assert summary.predicted == ("white",) and len(summary.reused) == 4
    assert len(list(out.glob("*.srt"))) == 5 and not (out / ".wtal" / "temporary").exists()


@pytest.mark.slow
def test_several_processes_give_the_same_result(predict, own_videos, tmp_path):
    predict(data=None, workers=2)
    predict(out=tmp_path / "other")
    assert read_proposals(tmp_path / "out/proposals.json") == read_proposals(tmp_path / "other/proposals.json")
