"""Benchmarks: from synthetic features in every public layout to the report."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import BENCHMARK_VIDEOS, video
from tests.helpers.errors import raises
from wtal.cli import app
from wtal.core.config import read_config
from wtal.core.errors import ConfigError, DataError
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import convert_layout
from wtal.data.synthetic.benchmark import SignalConfig, write_synthetic_benchmark
from wtal.data.synthetic.layout_writers import WRITERS
from wtal.evaluation.protocols import PROTOCOLS
from wtal.experiments import runner
from wtal.experiments.benchmarks.definitions import BENCHMARKS, find_benchmark
from wtal.experiments.benchmarks.prepare import prepare
from wtal.experiments.benchmarks.survey import survey

THUMOS = find_benchmark("thumos14")
QUICK = (
    *("--set", "model.width=8", "--set", "train.steps=2", "--set", "train.batch_size=2"),
    *("--set", "train.snippets=8", "--workers", "1", "--device", "cpu"),
)
TIMING = {"opentad": FeatureTiming(16, 16, 25)}
TIMING_OPTIONS = {"opentad": ("--stride", 16, "--window", 16, "--fps", 25)}


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    write_activitynet(path, BENCHMARK_VIDEOS)
    return path


@pytest.fixture
def make_features(truth: Path, tmp_path: Path):
    """`make_features(layout)` writes synthetic features in a layout and returns the folder."""

    def make(layout: str = "plain") -> Path:
        write_synthetic_benchmark(truth, tmp_path / layout, layout, SignalConfig(width=6))
        return tmp_path / layout

    return make


def call(*arguments: object) -> tuple[int, str]:
    """Exit code and output of `wtal benchmark`."""
    result = CliRunner().invoke(app, ["benchmark", *map(str, arguments)])
    return result.exit_code, result.output


def run_dfe(features: Path, out: Path, *options: object, name: str = "thumos14") -> tuple[int, str]:
    """Run a small benchmark of one method and one seed."""
    return call(name, "--features", features, "--out", out, "--seeds", 1, "--methods", "dfe", *QUICK, *options)


def read_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def set_feature_name(dataset: Path, name: str) -> None:
    path = dataset / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "feature": name}))


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_definition_is_consistent(benchmark):
    assert read_config(benchmark.config_path).method == "dfe"
    assert f"wtal benchmark {benchmark.name}" in benchmark.config_path.read_text()
    assert benchmark.scored in benchmark.videos and "training" in benchmark.videos
    for name in benchmark.protocols:
        protocol = PROTOCOLS[name]
        if "instances" in protocol.expected_counts and not protocol.excluded_videos:
            assert protocol.expected_counts["instances"] == benchmark.instances


@pytest.mark.parametrize("layout", WRITERS)
def test_benchmark_runs_from_every_layout(layout, make_features, tmp_path, serial_runs):
    source, out = make_features(layout), tmp_path / "out"
    files = read_files(source)
    arguments = ("thumos14", "--features", source, "--out", out, "--seeds", 2, "--methods", "baseline,dfe", *QUICK)
    arguments += TIMING_OPTIONS.get(layout, ())
    code, output = call(*arguments)
    assert code == 0, output
    report = (out / "report.md").read_text()
    assert all(f"### {protocol}\n" in report for protocol in THUMOS.protocols)
    tables = re.findall(r"^\|---", report, re.MULTILINE)
    assert len(re.findall(r"^\*\*SYNTHETIC FEATURES.*\*\*\n\n\| ", report, re.MULTILINE)) == len(tables) == 8
    printed = [line for line in output.splitlines() if line.startswith("SYNTHETIC FEATURES")]
    assert len(printed) == 3 and "NOT COMPARABLE" in report
    written = json.loads((out / "benchmark.json").read_text())
    assert len(written["results"]["dfe"]["wtalc"]) == 2 and written["data"]["scored"] == "testing"
    card = (out / "runs/dfe/seed-1/checkpoint-000002/README.md").read_text()
    assert "protocol `thumos14-212`" in card and "over the seeds" in card
    assert read_files(source) == files
    code, output = call(*arguments)  # everything is finished
    assert code == 0 and "runs 1/4" not in output and (out / "report.md").read_text() == report


def test_synthetic_features_are_marked_after_conversion(make_features, tmp_path):
    convert_layout(make_features("wtalc"), tmp_path / "converted")
    bundle = next((tmp_path / "wtalc").glob("*-Annotations"))
    for number, source in enumerate((tmp_path / "converted", bundle)):
        assert survey(THUMOS, prepare(THUMOS, source, tmp_path / f"out{number}")).is_synthetic
    set_feature_name(tmp_path / "converted", "I3D")
    assert not survey(THUMOS, prepare(THUMOS, tmp_path / "converted", tmp_path / "real")).is_synthetic


def test_report_of_real_features_has_no_warning(make_features, tmp_path, serial_runs):
    source, out = make_features("plain"), tmp_path / "out"
    set_feature_name(source, "I3D")
    code, output = run_dfe(source, out)
    assert code == 0, output
    assert "SYNTHETIC" not in (out / "report.md").read_text()


@pytest.mark.parametrize("layout", ["plain", "wtalc"])
def test_changed_features_are_rejected(layout, make_features, truth, tmp_path, serial_runs):
    source, out = make_features(layout), tmp_path / "out"
    assert run_dfe(source, out)[0] == 0
    files = read_files(out)
    write_synthetic_benchmark(truth, source, layout, SignalConfig(width=6, seed=1))
    code, output = run_dfe(source, out)
    assert code == 2 and f"{out}: " in output
    assert read_files(out) == files


def test_failed_preparation_is_repeated_after_the_source_is_fixed(make_features, tmp_path):
    source, out = make_features("wtalc"), tmp_path / "out"
    features = next(source.glob("*JOINTFeatures.npy"))
    features.rename(tmp_path / "away.npy")
    with raises(DataError, code="missing-features", path=source) as caught:
        prepare(THUMOS, source, out)
    assert "JOINTFeatures" in caught.value.message
    (tmp_path / "away.npy").rename(features)
    assert survey(THUMOS, prepare(THUMOS, source, out)).scored == "testing"


def test_results_of_another_benchmark_are_not_reused(make_features, tmp_path, serial_runs):
    source, out = make_features("plain"), tmp_path / "out"
    assert run_dfe(source, out)[0] == 0
    code, output = run_dfe(source, out, name="multithumos")
    assert code == 0, output
    result = json.loads((out / "benchmark.json").read_text())["results"]["dfe"]["multithumos"][0]
    assert result["protocol"] == "multithumos" and len(result["tious"]) == 9


@pytest.mark.parametrize("layout", WRITERS)
def test_activitynet_is_scored_on_validation(layout, tmp_path):
    path, benchmark = tmp_path / "truth.json", find_benchmark("activitynet1.3")
    videos = [
        video("v_a", "training", ("Run", 1.0, 4.0)),
        video("v_b", "validation", ("Run", 2.0, 9.0)),
        video("v_c", "testing"),
    ]
    write_activitynet(path, videos)
    write_synthetic_benchmark(path, tmp_path / "source", layout, SignalConfig(width=6))
    prepared = prepare(benchmark, tmp_path / "source", tmp_path / "out", timing=TIMING.get(layout))
    result = survey(benchmark, prepared)
    scored = next(part for part in result.parts if part.subset == result.scored)
    assert (scored.videos, scored.instances, scored.expected) == (1, 1, 4926)


@pytest.mark.parametrize("subset", ["training", "testing"])
def test_subset_without_features_is_rejected(subset, make_features, tmp_path):
    source = make_features("opentad")
    for v in BENCHMARK_VIDEOS:
        if v.subset == subset:
            (source / f"i3d_features/{v.id}.npy").unlink()
    prepared = prepare(THUMOS, source, tmp_path / "out", timing=TIMING["opentad"])
    with raises(DataError, code="missing-features", path=prepared.data) as caught:
        survey(THUMOS, prepared)
    assert subset in caught.value.message


def test_inspect_trains_nothing(make_features, tmp_path):
    code, output = call("thumos14", "--features", make_features("basnet"), "--out", tmp_path / "out", "--inspect")
    assert code == 0 and not (tmp_path / "out/runs").exists()
    assert "3 videos in training; THUMOS14 has 200" in output and "6 + 6" in output and "1024 + 1024" in output


def test_missing_features_are_noted(make_features, tmp_path):
    source = make_features("basnet")
    for kind in ("rgb", "flow"):
        (source / f"features/test/{kind}/test_2.npy").unlink()
    notes = survey(THUMOS, prepare(THUMOS, source, tmp_path / "out")).notes
    assert any(note.startswith("1 video without features: test_2") for note in notes)


def test_deviating_features_are_noted(make_features, tmp_path):
    source = make_features("plain")
    np.save(source / "features/train_2.npy", np.zeros((11, 12), np.float32))
    shutil.copy(source / "features/test_1.npy", source / "features/other.npy")
    notes = survey(THUMOS, prepare(THUMOS, source, tmp_path / "out")).notes
    assert "1 video with features of another length than the video: train_2" in notes
    assert "1 video with segments that start after the end of the features: test_1" in notes
    assert "1 feature file of no annotated video, ignored: other" in notes


def test_video_without_features_counts_as_missed(make_features, tmp_path, serial_runs):
    source, out = make_features("opentad"), tmp_path / "out"
    (source / "i3d_features/test_1.npy").unlink()
    code, output = run_dfe(source, out, *TIMING_OPTIONS["opentad"])
    assert code == 0, output
    counts = json.loads((out / "benchmark.json").read_text())["results"]["dfe"]["thumos14-212"][0]["counts"]
    assert counts["instances"] == sum(len(v.segments) for v in BENCHMARK_VIDEOS if v.subset == "testing")
    assert counts["videos_without_proposals"] == 1


def test_other_annotations_for_the_same_features(tmp_path, serial_runs):
    """MultiTHUMOS: features of THUMOS14, one text file per class, subsets by video id."""
    train_id, test_id = "video_validation_0000001", "video_test_0000270"
    path, annotations = tmp_path / "truth.json", tmp_path / "multithumos"
    write_activitynet(
        path,
        [video(train_id, "training", ("Diving", 1.0, 4.0)), video(test_id, "testing", ("Diving", 2.0, 5.0))],
    )
    write_synthetic_benchmark(path, tmp_path / "features", "wtalc", SignalConfig(width=6))
    annotations.mkdir()
    (annotations / "Run.txt").write_text(f"{train_id} 0.5 3\n{test_id} 6 9.5\n")
    (annotations / "Jump.txt").write_text(f"{train_id} 4 5\n")
    (annotations / "class_list.txt").write_text("1 Run\n2 Jump\n")
    videos = read_ground_truth(annotations)
    assert [(v.subset, v.labels) for v in videos] == [("testing", ("Run",)), ("training", ("Jump", "Run"))]
    out = tmp_path / "out"
    code, output = run_dfe(tmp_path / "features", out, "--annotations", annotations, name="multithumos")
    assert code == 0, output
    written = json.loads((out / "benchmark.json").read_text())
    assert written["data"]["classes"] == ["Jump", "Run"]
    assert written["results"]["dfe"]["multithumos"][0]["instances_per_class"] == {"Run": 1}


def test_data_set_folder_is_not_changed_by_other_annotations(make_features, truth, tmp_path):
    source = make_features("plain")
    files = read_files(source)
    prepared = prepare(THUMOS, source, tmp_path / "out", annotations=truth)
    assert prepared.data == tmp_path / "out/data" and survey(THUMOS, prepared).scored == "testing"
    assert read_files(source) == files


def test_benchmark_continues_after_a_failed_seed(make_features, tmp_path, serial_runs, monkeypatch):
    out, source = tmp_path / "out", make_features("plain")
    arguments = ("thumos14", "--features", source, "--out", out, "--seeds", 3, "--methods", "dfe", *QUICK)
    train = runner.train

    def fail_for_seed_1(data, run, config, **options):
        if config.train.seed == 1:
            raise ConfigError("step 2: the loss is nan")
        return train(data, run, config, **options)

    monkeypatch.setattr(runner, "train", fail_for_seed_1)
    code, output = call(*arguments)
    assert code == 2 and "dfe seed 1: step 2: the loss is nan" in output and "1 of 3 runs failed" in output
    assert (out / "runs/dfe/seed-2").is_dir() and not (out / "report.md").exists()
    monkeypatch.setattr(runner, "train", train)
    code, output = call(*arguments)
    assert code == 0 and "runs 3/3" in output and "runs 2/3" not in output


def test_ambiguous_list_is_found(make_features, tmp_path):
    source = make_features("wtalc")
    path = next(source.glob("*-Annotations")) / "Ambiguous_test.txt"
    path.write_text("test_1 1.0 2.0\n")
    assert prepare(THUMOS, source, tmp_path / "out").ambiguous == path


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("thumos", "--features", "."), "thumos14, multithumos"),
        (("thumos14", "--features", "nowhere"), "nowhere: "),
        (("thumos14", "--features", "empty"), "empty"),
        (("thumos14", "--features", "plain", "--methods", "best"), "'best'"),
        (("thumos14", "--features", "plain", "--config", "none.toml"), "none.toml"),
        (("thumos14", "--features", "plain", "--device", "tpu"), "tpu"),
        (("thumos14", "--features", "plain", "--annotations", "none.json"), "none.json"),
        (("thumos14", "--features", "wtalc", "--stride", "4"), "--stride"),
        (("thumos14", "--features", "plain", "--stride", "4"), "--stride"),
        (("hapt", "--raw", "plain.zip"), "plain.zip: "),
        (("hapt", "--raw", "empty"), "RawData"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, expected, make_features, tmp_path, monkeypatch):
    for layout in ("plain", "wtalc"):
        make_features(layout)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, output = call(*arguments, "--out", "out")
    assert code == 2 and expected in output.replace("\n", " "), output
    assert not (tmp_path / "out/runs").exists()


def test_data_without_segments_or_features_are_rejected(make_features, tmp_path):
    source = make_features("plain")
    path = source / "annotations.json"
    annotations = json.loads(path.read_text())
    for entry in annotations["database"].values():
        entry["annotations"] = [{"label": annotation["label"]} for annotation in entry["annotations"]]
    path.write_text(json.dumps(annotations))
    with raises(DataError, code="no-segments"):
        survey(THUMOS, prepare(THUMOS, source, tmp_path / "out"))
    shutil.rmtree(source / "features")
    (source / "features").mkdir()
    with raises(DataError, code="missing-features"):
        prepare(THUMOS, source, tmp_path / "other")
