"""A whole benchmark by one command, on small rehearsals of every public layout."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import REHEARSAL_VIDEOS as VIDEOS
from tests.helpers.data import video
from wtal.cli import app
from wtal.core.config import read_config
from wtal.core.errors import ConfigError, DataError
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import convert_layout
from wtal.data.synthetic.layouts import LAYOUTS
from wtal.data.synthetic.rehearsal import SignalConfig, write_rehearsal
from wtal.evaluation.protocols import PROTOCOLS
from wtal.experiments.benchmarks.definitions import BENCHMARKS, find_benchmark
from wtal.experiments.benchmarks.inspect import survey
from wtal.experiments.benchmarks.prepare import prepare

THUMOS = find_benchmark("thumos14")
QUICK = (
    *("--set", "model.width=8", "--set", "train.steps=2", "--set", "train.batch_size=2"),
    *("--set", "train.snippets=8", "--workers", "1", "--device", "cpu"),
)
GRIDS = {"actionformer": FeatureTiming(16, 16, 25)}
NAMES = {"train_1": "video_validation_0000001", "test_1": "video_test_0000270"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    write_activitynet(path, VIDEOS)
    return path


@pytest.fixture
def rehearsal(truth: Path, tmp_path: Path):
    def make(layout: str = "plain") -> Path:
        write_rehearsal(truth, tmp_path / layout, layout, SignalConfig(width=6))
        return tmp_path / layout

    return make


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["benchmark", *map(str, words)])
    return done.exit_code, done.output


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_a_benchmark_has_settings_and_known_protocols(benchmark):
    assert read_config(benchmark.config).method == "dfe"
    assert f"wtal benchmark {benchmark.name}" in benchmark.config.read_text()
    assert set(benchmark.protocols) <= set(PROTOCOLS)
    assert benchmark.scored in benchmark.videos and "training" in benchmark.videos
    for name in benchmark.protocols:
        rules = PROTOCOLS[name]
        assert rules.instances in (None, benchmark.instances) or rules.without


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_a_public_layout_to_the_report(layout, rehearsal, tmp_path, serial_runs):
    source, out = rehearsal(layout), tmp_path / "out"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    grid = ("--stride", 16, "--window", 16, "--fps", 25) if layout == "actionformer" else ()
    words = (
        "thumos14",
        "--features",
        source,
        "--out",
        out,
        "--seeds",
        2,
        "--methods",
        "baseline,dfe",
        *QUICK,
        *grid,
    )
    code, said = run(*words)
    assert code == 0, said
    page = (out / "report.md").read_text()
    for protocol in THUMOS.protocols:
        assert f"### {protocol}\n" in page
    assert "SYNTHETIC FEATURES" in page and "best on test" not in page and "NOT COMPARABLE" in page
    told = json.loads((out / "benchmark.json").read_text())
    assert len(told["results"]["dfe"]["wtalc"]) == 2 and told["data"]["scored"] == "testing"
    card = (out / "runs/dfe/seed-1/checkpoint-000002/README.md").read_text()
    assert "protocol `thumos14-212`" in card and "over the seeds" in card
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    code, again = run(*words)  # everything is there already
    assert code == 0 and "runs 1/4" not in again and (out / "report.md").read_text() == page


def test_a_mark_of_made_up_features_is_not_lost(rehearsal, tmp_path):
    convert_layout(rehearsal("wtalc"), tmp_path / "converted")
    bundle = next((tmp_path / "wtalc").glob("*-Annotations"))
    for number, source in enumerate((tmp_path / "converted", bundle)):
        assert survey(THUMOS, prepare(THUMOS, source, tmp_path / f"out{number}")).made_up
    about = tmp_path / "converted/dataset.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "feature": "I3D"}))
    seen = survey(THUMOS, prepare(THUMOS, tmp_path / "converted", tmp_path / "real"))
    assert not seen.made_up


@pytest.mark.parametrize("layout", ["plain", "wtalc"])
def test_other_features_need_another_folder(layout, rehearsal, truth, tmp_path, serial_runs):
    """Finished runs and converted features are of the data that they were made from."""
    source, out = rehearsal(layout), tmp_path / "out"
    words = ("thumos14", "--features", source, "--out", out, "--seeds", 1, "--methods", "dfe", *QUICK)
    assert run(*words)[0] == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    write_rehearsal(truth, source, layout, SignalConfig(width=6, seed=1))
    code, said = run(*words)
    assert code == 2 and "was made from other data than" in said and "name another --out" in said
    assert before == {path: path.read_bytes() for path in before}


def test_a_source_that_was_mended_is_taken_again(rehearsal, tmp_path):
    source, out = rehearsal("wtalc"), tmp_path / "out"
    joint = next(source.glob("*JOINTFeatures.npy"))
    joint.rename(tmp_path / "away.npy")
    with pytest.raises(DataError, match="none of its videos has features"):
        prepare(THUMOS, source, out)
    (tmp_path / "away.npy").rename(joint)
    assert survey(THUMOS, prepare(THUMOS, source, out)).scored == "testing"


def test_a_score_of_another_benchmark_is_not_ours(rehearsal, tmp_path, serial_runs):
    words = ("--features", rehearsal("plain"), "--out", tmp_path / "out", "--seeds", 1, "--methods", "dfe", *QUICK)
    assert run("thumos14", *words)[0] == 0
    code, said = run("multithumos", *words)
    assert code == 0, said
    told = json.loads((tmp_path / "out/benchmark.json").read_text())["results"]["dfe"]["multithumos"][0]
    assert told["protocol"] == "multithumos" and len(told["tious"]) == 9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_activitynet_scores_its_validation_subset(layout, tmp_path):
    path, anet = tmp_path / "truth.json", find_benchmark("activitynet1.3")
    videos = [
        video("v_a", "training", ("Run", 1.0, 4.0)),
        video("v_b", "validation", ("Run", 2.0, 9.0)),
        video("v_c", "testing"),
    ]
    write_activitynet(path, videos)
    write_rehearsal(path, tmp_path / "source", layout, SignalConfig(width=6))
    seen = survey(anet, prepare(anet, tmp_path / "source", tmp_path / "out", grid=GRIDS.get(layout)))
    scored = next(part for part in seen.parts if part.subset == seen.scored)
    assert (scored.videos, scored.instances, scored.promised) == (1, 1, 4926)


@pytest.mark.parametrize("subset", ["training", "testing"])
def test_half_of_the_features_is_not_enough(subset, rehearsal, tmp_path):
    source = rehearsal("actionformer")
    for v in VIDEOS:
        if v.subset == subset:
            (source / f"i3d_features/{v.id}.npy").unlink()
    prepared = prepare(THUMOS, source, tmp_path / "out", grid=GRIDS["actionformer"])
    with pytest.raises(DataError, match=f"no {subset} video has features; name all of THUMOS14"):
        survey(THUMOS, prepared)


def test_looking_trains_nothing(rehearsal, tmp_path):
    code, said = run("thumos14", "--features", rehearsal("basnet"), "--out", tmp_path / "out", "--inspect")
    assert code == 0 and not (tmp_path / "out/runs").exists()
    assert "3 videos in training, THUMOS14 has 200" in said
    assert "features are 6 + 6 wide, the public ones 1024 + 1024" in said


def test_what_is_missing_is_said(rehearsal, tmp_path):
    source = rehearsal("basnet")
    for kind in ("rgb", "flow"):
        (source / f"features/test/{kind}/test_2.npy").unlink()
    notes = survey(THUMOS, prepare(THUMOS, source, tmp_path / "out")).notes
    assert "1 videos have no features: test_2; not trained on, and found in nothing" in notes


def test_what_is_odd_is_said(rehearsal, tmp_path):
    source = rehearsal("plain")
    np.save(source / "features/train_2.npy", np.zeros((11, 12), np.float32))
    shutil.copy(source / "features/test_1.npy", source / "features/other.npy")
    notes = survey(THUMOS, prepare(THUMOS, source, tmp_path / "out")).notes
    assert "1 videos have features longer or shorter than their duration says: train_2" in notes
    assert "1 videos have actions that start after their features end: test_1" in notes
    assert "1 feature files belong to no annotated video and are not used: other" in notes


def test_a_video_without_features_counts_as_missed(rehearsal, tmp_path, serial_runs):
    source = rehearsal("actionformer")
    (source / "i3d_features/test_1.npy").unlink()
    grid = ("--stride", 16, "--window", 16, "--fps", 25)
    code, said = run("thumos14", "--features", source, "--out", tmp_path / "o", "--seeds", 1, *QUICK, *grid)
    assert code == 0, said
    result = json.loads((tmp_path / "o/benchmark.json").read_text())["results"]["dfe"]["thumos14-212"][0]
    assert result["counts"]["instances"] == sum(len(v.segments) for v in VIDEOS if v.subset == "testing")
    assert result["counts"]["videos_without_proposals"] == 1


def test_other_annotations_for_the_same_features(rehearsal, tmp_path, serial_runs):
    """MultiTHUMOS: the features of THUMOS14, a text file a class, and subsets by the ids."""
    path, folder = tmp_path / "truth.json", tmp_path / "multithumos"
    named = [
        video(NAMES["train_1"], "training", ("Diving", 1.0, 4.0)),
        video(NAMES["test_1"], "testing", ("Diving", 2.0, 5.0)),
    ]
    write_activitynet(path, named)
    write_rehearsal(path, tmp_path / "features", "wtalc", SignalConfig(width=6))
    folder.mkdir()
    (folder / "Run.txt").write_text(f"{NAMES['train_1']} 0.5 3\n{NAMES['test_1']} 6 9.5\n")
    (folder / "Jump.txt").write_text(f"{NAMES['train_1']} 4 5\n")
    (folder / "class_list.txt").write_text("1 Run\n2 Jump\n")
    assert [(v.subset, v.labels) for v in read_ground_truth(folder)] == [
        ("testing", ("Run",)),
        ("training", ("Jump", "Run")),
    ]
    words = ("multithumos", "--features", tmp_path / "features", "--annotations", folder, "--out", tmp_path / "o")
    code, said = run(*words, "--seeds", 1, "--methods", "dfe", *QUICK)
    assert code == 0, said
    told = json.loads((tmp_path / "o/benchmark.json").read_text())
    assert told["data"]["classes"] == ["Jump", "Run"]
    assert told["results"]["dfe"]["multithumos"][0]["instances_per_class"] == {"Run": 1}


def test_annotations_beside_a_plain_folder_leave_it_alone(rehearsal, truth, tmp_path):
    source = rehearsal("plain")
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    prepared = prepare(THUMOS, source, tmp_path / "out", annotations=truth)
    assert prepared.data == tmp_path / "out/data" and survey(THUMOS, prepared).scored == "testing"
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def test_a_failed_seed_goes_on(rehearsal, tmp_path, serial_runs, monkeypatch):
    from wtal.experiments import runner

    out, source = tmp_path / "out", rehearsal("plain")
    words = ("thumos14", "--features", source, "--out", out, "--seeds", 3, "--methods", "dfe", *QUICK)
    train = runner.train

    def fails(data, run, config, **options):
        if config.train.seed == 1:
            raise ConfigError("step 2: the loss is nan")
        return train(data, run, config, **options)

    monkeypatch.setattr(runner, "train", fails)
    code, said = run(*words)
    assert code == 2 and "dfe seed 1: step 2: the loss is nan; 1 of 3 runs failed, the others are kept" in said
    assert (out / "runs/dfe/seed-2").is_dir() and not (out / "report.md").exists()
    monkeypatch.setattr(runner, "train", train)
    code, said = run(*words)
    assert code == 0 and "runs 3/3" in said and "runs 2/3" not in said


def test_an_ambiguous_list_is_found(rehearsal, tmp_path):
    source = rehearsal("wtalc")
    place = next(source.glob("*-Annotations")) / "Ambiguous_test.txt"
    place.write_text("test_1 1.0 2.0\n")
    assert prepare(THUMOS, source, tmp_path / "out").ambiguous == place


@pytest.mark.parametrize(
    "words, said",
    [
        (("thumos", "--features", "."), "there is no benchmark 'thumos'; use one of thumos14, multithumos"),
        (("thumos14", "--features", "nowhere"), "nowhere: there is no such folder or file"),
        (("thumos14", "--features", "empty"), "the folder is empty"),
        (("thumos14", "--features", "plain", "--methods", "best"), "method 'best' is not registered"),
        (("thumos14", "--features", "plain", "--config", "none.toml"), "none.toml"),
        (("thumos14", "--features", "plain", "--device", "tpu"), "tpu"),
        (("thumos14", "--features", "plain", "--annotations", "none.json"), "none.json"),
        (("thumos14", "--features", "wtalc", "--stride", "4"), "leave out --stride"),
        (("thumos14", "--features", "plain", "--stride", "4"), "leave out --stride"),
        (("hapt", "--raw", "plain.zip"), "plain.zip: there is no such folder or file"),
        (("hapt", "--raw", "empty"), "RawData"),
    ],
)
def test_what_cannot_be_run(words, said, rehearsal, tmp_path, monkeypatch):
    for layout in ("plain", "wtalc"):
        rehearsal(layout)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, output = run(*words, "--out", "out")
    assert code == 2 and said in output.replace("\n", " "), output
    assert not (tmp_path / "out/runs").exists()


def test_nothing_to_score_on(rehearsal, tmp_path):
    source = rehearsal("plain")
    told = json.loads((source / "annotations.json").read_text())
    for entry in told["database"].values():
        entry["annotations"] = [{"label": a["label"]} for a in entry["annotations"]]
    (source / "annotations.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="there is no video that says when something happens"):
        survey(THUMOS, prepare(THUMOS, source, tmp_path / "out"))
    shutil.rmtree(source / "features")
    (source / "features").mkdir()
    with pytest.raises(DataError, match="none of its videos has features"):
        prepare(THUMOS, source, tmp_path / "other")
