"""Several processes train the same weights as one, for any batch and number of processes, and fail together."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from wtal import cli
from wtal.core import distributed
from wtal.core.config import Config, parse_config
from wtal.core.distributed import Rows
from wtal.core.structures import Segment
from wtal.data.add_labels import add_labels
from wtal.data.annotations.base import Annotation
from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.models import checkpoint
from wtal.training import stages, trainer

TIMEOUT = 240  # seconds; far more than any test takes on a busy machine
MODEL = {"width": 16, "dropout": 0.3, "dilations": [1], "window": 4}
TRAIN = {"steps": 4, "batch_size": 4, "snippets": 20, "save_every": 2}
TEACHER = {"models": 1}
CASES = {
    "dfe": {},
    "two models": {"teacher": {"models": 2}},
    "local": {"method": "local", "model": {"local": "attention"}},
    "uneven": {"train": {"batch_size": 5}},
    "more processes than rows": {"method": "local", "train": {"batch_size": 1}},
    "labels": {"train": {"supervision": "all", "batch_size": 5}},
}
COUNTS = pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
ANY_CASE = pytest.mark.parametrize("case", CASES)


def config_of(case: str) -> Config:
    values = CASES[case]
    model, train = MODEL | values.get("model", {}), TRAIN | values.get("train", {})
    teacher = TEACHER | values.get("teacher", {})
    return parse_config({"method": values.get("method", "dfe"), "model": model, "train": train, "teacher": teacher})


def run_all(jobs: list[tuple]) -> list[int]:
    """Run each (function, *arguments) in a process of its own, in parallel. Returns the exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wtal.experiments.pipeline", "wtal.cli", "pytest", "hypothesis"])  # imported once
    processes = [context.Process(target=function, args=arguments) for function, *arguments in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT)
        process.kill()
    return [process.exitcode for process in processes]


def train_cases(rank: int, count: int, folder: Path, data: Path) -> None:
    """One of `count` processes: trains all cases, and saves its weights beside each run."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=count)
    build_model, models = trainer.build_model, []
    trainer.build_model = lambda *arguments: models.append(build_model(*arguments)) or models[-1]
    for case in CASES:
        stages.train(config_of(case), load_dataset(data), folder / case, device="cpu")
        save_file(models[-1].state_dict(), folder / f"{case}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def labeled(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A copy with a point, a segment and a complete timeline; its tags are the same."""
    root = Path(shutil.copytree(tiny.path, tmp_path_factory.mktemp("labeled") / "set"))
    videos = [video for video in tiny.subset("training") if len(video.labels) == 1][:3]
    spans = ((3.0, 3.0), (4.0, 9.0), (2.0, 5.0))
    annotations = [
        Annotation(video.id, (Segment(video.labels[0], *span),), complete=video is videos[2])
        for video, span in zip(videos, spans, strict=True)
    ]
    add_labels(root, annotations)
    return load_dataset(root)


@pytest.fixture(scope="module")
def trained(labeled: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """`trained(3)`: the folder in which three processes have trained all cases."""
    folders: dict[int, Path] = {}

    def folder_of(count: int) -> Path:
        if count not in folders:
            folder = folders[count] = tmp_path_factory.mktemp(f"by-{count}")
            if count == 1:
                for case in CASES:
                    stages.train(config_of(case), labeled, folder / case, device="cpu")
            else:
                codes = run_all([(train_cases, rank, count, folder, labeled.path) for rank in range(count)])
                assert codes == [0] * count
        return folders[count]

    return folder_of


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """The weights in training and their average; the optimizer's squared rounding errors are left out."""
    state = load_file(checkpoint.latest_checkpoint(run) / "training.safetensors")
    return {name: value for name, value in state.items() if not name.startswith("optimizer.")}


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@COUNTS
@ANY_CASE
def test_several_processes_train_the_weights_of_one(trained, case, count):
    torch.testing.assert_close(tensors(trained(count) / case), tensors(trained(1) / case), rtol=1e-3, atol=1e-5)
    log, expected_log = metrics(trained(count) / case), metrics(trained(1) / case)
    assert [row["step"] for row in log] == [1, 2, 3, 4], "each step is logged once"
    for row, expected in zip(log, expected_log, strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


@COUNTS
@ANY_CASE
def test_weights_are_identical_in_all_processes(trained, case, count):
    state = tensors(trained(count) / case)
    for rank in range(count):
        weights = load_file(trained(count) / f"{case}-{rank}.safetensors")
        assert all(torch.equal(value, state[f"model.{name}"]) for name, value in weights.items())


def test_cases_have_videos_that_share_a_class(trained):
    assert all(any(row["co_activity"] > 0 for row in metrics(trained(1) / case)) for case in ("dfe", "local", "uneven"))


@given(size=st.integers(1, 40), count=st.integers(2, 9))
def test_rows_partition_batch(size, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "is_initialized", lambda: True)
        patch.setattr(dist, "get_world_size", lambda: count)
        parts = []
        for rank in range(count):
            patch.setattr(dist, "get_rank", lambda rank=rank: rank)
            parts.append(distributed.local_rows(size))
    assert [i for rows in parts for i in range(rows.first, rows.first + rows.count)] == list(range(size))
    assert sum(rows.weight for rows in parts) == pytest.approx(1)
    assert max(rows.count for rows in parts) - min(rows.count for rows in parts) <= 1
    assert all(len(range(size)[rows.selection]) == max(rows.count, 1) for rows in parts)


@pytest.mark.parametrize("rows", [Rows(0, 2, 5), Rows(2, 3, 5), Rows(4, 0, 5)], ids=str)
def test_process_reads_only_its_rows_of_the_batch(tiny, monkeypatch, rows):
    data = TrainingDataset(tiny, seed=0)
    whole, crops = data.batch(3, 5, 20), data.crops(3, 5, 20)
    read = []
    monkeypatch.setattr(data, "features", lambda i: read.append(i) or tiny.features(data.videos[i].id))
    part = data.batch(3, 5, 20, rows)
    assert read == [crop.video for crop in crops[rows.selection]] and part.rows == rows
    for name in ("features", "mask", "labels"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[rows.selection])


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
def test_process_draws_the_random_numbers_of_its_rows(layout):
    def tensor(rows: int) -> torch.Tensor:
        x = torch.zeros(rows, 4, 6)
        return {"contiguous": x, "transposed": x.transpose(1, 2), "sliced": x[:, :3]}[layout]

    torch.manual_seed(0)
    whole = distributed.uniform_like(tensor(5), None)
    for rows in (Rows(0, 2, 5), Rows(1, 1, 5), Rows(2, 3, 5)):
        torch.manual_seed(0)
        assert torch.equal(distributed.uniform_like(tensor(rows.count), rows), whole[rows.selection])


def run_command(rank: int, count: int, port: int, output: Path, arguments: list[str], fault: str) -> None:
    """The command as torchrun starts it. Process 1 has a fault at step 4 of a stage: it is killed, or diverges."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_RESTART_COUNT": "0"}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    sys.stdout = sys.stderr = (output / str(rank)).open("w", buffering=1)
    compute_loss, losses = trainer.compute_loss, []
    last = {"killed in stage one": 4, "killed in stage two": 8, "diverged": 4}.get(fault)

    def faulty_loss(branch, batch, config):
        loss, terms = compute_loss(branch, batch, config)
        losses.append(loss)
        if rank == 1 and len(losses) == last:
            if fault != "diverged":
                os.kill(os.getpid(), signal.SIGKILL)
            loss = loss * float("nan")
        return loss, terms

    if last is not None:
        trainer.compute_loss = faulty_loss
    if fault == "other folder" and rank == 1:
        arguments[arguments.index("--out") + 1] += "-other"
    sys.argv = ["wtal", *arguments]
    cli.main()


def torchrun(count: int, folder: Path, *arguments: object, fault: str = "") -> tuple[list[int], list[str]]:
    """What torchrun does, but faster and without killing the remaining processes. Returns exit codes and outputs."""
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    output = folder / "output"
    output.mkdir(exist_ok=True)
    words = [str(word) for word in arguments]
    codes = run_all([(run_command, rank, count, store.port, output, words, fault) for rank in range(count)])
    return codes, [(output / str(rank)).read_text() for rank in range(count)]


SETTINGS = [f"model.{name}={json.dumps(value)}" for name, value in MODEL.items()]
SETTINGS += [f"train.{name}={value}" for name, value in TRAIN.items()]
SETTINGS += [f"teacher.{name}={value}" for name, value in TEACHER.items()]
SET = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.mark.parametrize(
    "stage, folder", [("two", "."), pytest.param("one", "stage-one/model-1", marks=pytest.mark.slow)]
)
def test_killed_process_ends_the_others_with_one_error_and_the_run_resumes(tiny, tmp_path, trained, stage, folder):
    """Killed at step 4 of three processes, resumed from step 2 by two."""
    run = tmp_path / "run"
    command = ["train", tiny.path, "--out", run, "--device", "cpu", *SET]
    codes, outputs = torchrun(3, tmp_path, *command, fault=f"killed in stage {stage}")
    assert codes == [2, -signal.SIGKILL, 2]
    assert "".join(outputs).count("error:") == 1 and "--resume" in "".join(outputs), outputs
    assert checkpoint.latest_checkpoint(run / folder).name == "checkpoint-000002"
    codes, outputs = torchrun(2, tmp_path, *command, "--resume")
    assert codes == [0, 0] and str(run / "checkpoint-000004") in outputs[0] and not outputs[1]
    torch.testing.assert_close(tensors(run), tensors(trained(1) / "dfe"), rtol=1e-3, atol=1e-5)
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]
    assert (run / "checkpoint-000004/README.md").is_file()


@pytest.mark.slow
def test_non_finite_loss_in_one_process_ends_all(tiny, tmp_path):
    command = ["train", tiny.path, "--out", tmp_path / "run", "--device", "cpu", *SET]
    codes, outputs = torchrun(2, tmp_path, *command, fault="diverged")
    assert codes == [2, 2] and "".join(outputs).count("error:") == 1
    assert "train.learning_rate" in "".join(outputs)


def test_processes_must_start_from_the_same_checkpoint(tiny, tmp_path):
    run = tmp_path / "run"
    command = ["train", tiny.path, "--out", run, "--device", "cpu", "--resume", *SET]
    stages.train(config_of("dfe"), tiny, run, device="cpu")
    codes, outputs = torchrun(2, tmp_path, *command, fault="other folder")
    assert codes == [2, 2] and "".join(outputs).count("error:") == 1 and str(run) in "".join(outputs)


@pytest.mark.parametrize("wrong", ["settings", "data", "seen by the first process alone"])
def test_errors_before_training_are_printed_once(tiny, tmp_path, wrong):
    data, run, options = tiny.path, tmp_path / "run", []
    if wrong == "settings":
        options = ["--set", "train.stepz=3"]
    elif wrong == "data":
        data = tmp_path / "missing"
    else:
        run.mkdir()
        run.joinpath(".lock").mkdir()
    codes, outputs = torchrun(2, tmp_path, "train", data, "--out", run, "--device", "cpu", *SET, *options)
    assert codes == [2, 2] and "".join(outputs).count("error:") == 1, outputs
    assert "Traceback" not in "".join(outputs)


@pytest.mark.slow
def test_training_under_torchrun(tiny, tmp_path):
    main = [sys.executable, "-W", "error", "-c", "from wtal.cli import main; main()"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "--no-python",
    ]
    process = subprocess.run(
        [*command, *main, "train", tiny.path, "--out", tmp_path, *SET], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("training 8/8") == 1
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4]
