"""Several processes train what one would have trained, whatever the batch and their number, and end together."""

import json
import multiprocessing
import os
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
from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.models import checkpoint
from wtal.training import trainer as training

MODEL = {"width": 16, "dropout": 0.3, "dilations": [1], "window": 4}
TRAIN = {"steps": 4, "batch_size": 4, "snippets": 20, "save_every": 2}
CASES = {
    "dfe": {},
    "ema": {"model": {"memory": "ema", "normalise": "training"}},
    "self-distillation": {"method": "self-distillation"},
    "shuffled": {"method": "shuffled-memory", "model": {"local": "attention"}},
    "uneven": {"train": {"batch_size": 5}},
    "more processes than rows": {"model": {"memory": "ema"}, "train": {"batch_size": 1}},
}
COUNTS = pytest.mark.parametrize("count", [2, 3])
ANY_CASE = pytest.mark.parametrize("case", CASES)


def config_of(case: str) -> Config:
    own = CASES[case]
    model, train = MODEL | own.get("model", {}), TRAIN | own.get("train", {})
    return parse_config({"method": own.get("method", "dfe"), "model": model, "train": train})


def run_all(jobs: list[tuple]) -> list[int]:
    """Run (function, *arguments) each in a process of its own, all side by side; the exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wtal.experiments.pipeline", "wtal.cli", "pytest", "hypothesis"])  # once for all
    team = [context.Process(target=work, args=arguments) for work, *arguments in jobs]
    for process in team:
        process.start()
    for process in team:
        process.join(60)
        process.kill()
    return [process.exitcode for process in team]


def take_part(rank: int, count: int, place: Path, data: Path) -> None:
    """One of `count` processes: trains all cases, and keeps its own weights beside each run."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=count)
    build, built = training.build, []
    training.build = lambda *parts: built.append(build(*parts)) or built[-1]
    for case in CASES:
        training.train(config_of(case), load_dataset(data), place / case, device="cpu")
        save_file(built[-1].state_dict(), place / f"{case}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """`trained(3)`: where three processes trained all cases; 1: where one did."""
    places: dict[int, Path] = {}

    def find(count: int) -> Path:
        if count not in places:
            place = places[count] = tmp_path_factory.mktemp(f"by-{count}")
            if count == 1:
                for case in CASES:
                    training.train(config_of(case), tiny, place / case, device="cpu")
            else:
                codes = run_all([(take_part, rank, count, place, tiny.path) for rank in range(count)])
                assert codes == [0] * count
        return places[count]

    return find


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """What would be trained on, and what is kept; the optimizer's squares of rounding errors aside."""
    saved = load_file(checkpoint.latest_checkpoint(run) / "training.safetensors")
    return {name: value for name, value in saved.items() if not name.startswith("optimizer.")}


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@COUNTS
@ANY_CASE
def test_several_processes_train_what_one_would(trained, case, count):
    torch.testing.assert_close(tensors(trained(count) / case), tensors(trained(1) / case), rtol=1e-3, atol=1e-5)
    logged, expected = metrics(trained(count) / case), metrics(trained(1) / case)
    assert [row["step"] for row in logged] == [1, 2, 3, 4], "each step is logged once"
    for row, other in zip(logged, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-5)


@COUNTS
@ANY_CASE
def test_weights_and_memory_are_identical_on_each(trained, case, count):
    own = [load_file(trained(count) / f"{case}-{rank}.safetensors") for rank in range(count)]
    saved = tensors(trained(count) / case)
    for weights in own:
        assert all(torch.equal(value, saved[f"model.{name}"]) for name, value in weights.items())


def test_the_cases_see_videos_that_share_a_class(trained):
    assert all(any(row["co_activity"] > 0 for row in metrics(trained(1) / case)) for case in ("dfe", "ema", "uneven"))


@given(size=st.integers(1, 40), count=st.integers(2, 9))
def test_every_row_is_somebody_s_own(size, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "is_initialized", lambda: True)
        patch.setattr(dist, "get_world_size", lambda: count)
        rows = []
        for rank in range(count):
            patch.setattr(dist, "get_rank", lambda rank=rank: rank)
            rows.append(distributed.own_rows(size))
    assert [i for own in rows for i in range(own.first, own.first + own.count)] == list(range(size))
    assert sum(own.share for own in rows) == pytest.approx(1)
    assert max(own.count for own in rows) - min(own.count for own in rows) <= 1
    assert all(len(range(size)[own.taken]) == max(own.count, 1) for own in rows)


@pytest.mark.parametrize("rows", [Rows(0, 2, 5), Rows(2, 3, 5), Rows(4, 0, 5)], ids=str)
def test_only_own_rows_are_read_and_they_are_those_of_the_whole_batch(tiny, monkeypatch, rows):
    data = TrainingDataset(tiny, seed=0)
    whole, crops = data.batch(3, 5, 20), data.crops(3, 5, 20)
    read = []
    monkeypatch.setattr(data, "features", lambda i: read.append(i) or tiny.features(data.videos[i].id))
    part = data.batch(3, 5, 20, rows)
    assert read == [crop.video for crop in crops[rows.taken]] and part.rows == rows
    for name in ("features", "mask", "labels"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[rows.taken])


@pytest.mark.parametrize("shape", ["as it is", "transposed", "cut"])
def test_what_is_drawn_for_some_rows_is_what_one_process_draws(shape):
    def tensor(rows: int) -> torch.Tensor:
        x = torch.zeros(rows, 4, 6)
        return {"as it is": x, "transposed": x.transpose(1, 2), "cut": x[:, :3]}[shape]

    torch.manual_seed(0)
    whole = distributed.draw_like(tensor(5), None)
    for rows in (Rows(0, 2, 5), Rows(1, 1, 5), Rows(2, 3, 5)):
        torch.manual_seed(0)
        assert torch.equal(distributed.draw_like(tensor(rows.count), rows), whole[rows.taken])


def wtal(rank: int, count: int, port: int, said: Path, arguments: list[str], spoil: str) -> None:
    """The command as torchrun starts it. Process 1 is spoilt at step 4: it is killed, or its loss is not finite."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_RESTART_COUNT": "0"}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    sys.stdout = sys.stderr = (said / str(rank)).open("w", buffering=1)
    compute_loss = training.compute_loss

    def spoilt(model, batch, config, step):
        loss, terms = compute_loss(model, batch, config, step)
        if (rank, step) == (1, 3):
            if spoil == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            loss = loss * float("nan")
        return loss, terms

    if spoil in ("killed", "diverged"):
        training.compute_loss = spoilt
    if spoil == "elsewhere" and rank == 1:
        arguments[arguments.index("--out") + 1] += "-of-mine"
    sys.argv = ["wtal", *arguments]
    cli.main()


def torchrun(count: int, place: Path, *arguments: object, spoil: str = "") -> tuple[list[int], list[str]]:
    """What torchrun does, without its start of seconds, and without killing who is left: exit codes, and what was
    said by each."""
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    said = place / "said"
    said.mkdir(exist_ok=True)
    words = [str(word) for word in arguments]
    codes = run_all([(wtal, rank, count, store.port, said, words, spoil) for rank in range(count)])
    return codes, [(said / str(rank)).read_text() for rank in range(count)]


SETTINGS = [f"model.{name}={json.dumps(value)}" for name, value in MODEL.items()]
SETTINGS += [f"train.{name}={value}" for name, value in TRAIN.items()]
SET = [word for setting in SETTINGS for word in ("--set", setting)]


def test_a_killed_process_ends_the_others_with_one_sentence_and_the_run_resumes(tiny, tmp_path, trained):
    """Broken off at step 4 of three processes, resumed from step 2 by two."""
    run = tmp_path / "run"
    command = ["train", tiny.path, "--out", run, "--device", "cpu", *SET]
    codes, said = torchrun(3, tmp_path, *command, spoil="killed")
    assert codes == [2, -signal.SIGKILL, 2]
    assert "".join(said).count("error:") == 1, said
    assert "another process of this training has ended" in "".join(said)
    assert checkpoint.latest_checkpoint(run).name == "checkpoint-000002"
    codes, said = torchrun(2, tmp_path, *command, "--resume")
    assert codes == [0, 0] and "last checkpoint" in said[0] and not said[1]
    torch.testing.assert_close(tensors(run), tensors(trained(1) / "dfe"), rtol=1e-3, atol=1e-5)
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]
    assert (run / "checkpoint-000004/README.md").is_file()


def test_a_loss_that_is_not_finite_in_one_process_ends_all(tiny, tmp_path):
    codes, said = torchrun(
        2, tmp_path, "train", tiny.path, "--out", tmp_path / "run", "--device", "cpu", *SET, spoil="diverged"
    )
    assert codes == [2, 2] and "".join(said).count("error:") == 1
    assert "step 4: the loss is nan, training diverged; lower train.learning_rate" in "".join(said)


def test_processes_that_would_go_on_from_different_steps_are_refused(tiny, tmp_path):
    run = tmp_path / "run"
    command = ["train", tiny.path, "--out", run, "--device", "cpu", "--resume", *SET]
    training.train(config_of("dfe"), tiny, run, device="cpu")
    codes, said = torchrun(2, tmp_path, *command, spoil="elsewhere")
    assert codes == [2, 2] and "".join(said).count("error:") == 1
    assert "is not the same folder for all processes; name one that all machines share" in "".join(said)


@pytest.mark.parametrize("fault", ["settings", "data", "the first alone sees it"])
def test_what_is_wrong_before_training_is_said_once(tiny, tmp_path, fault):
    data, run, more = tiny.path, tmp_path / "run", []
    if fault == "settings":
        more = ["--set", "train.stepz=3"]
    elif fault == "data":
        data = tmp_path / "nowhere"
    else:
        run.mkdir()
        run.joinpath(".lock").mkdir()
    codes, said = torchrun(2, tmp_path, "train", data, "--out", run, "--device", "cpu", *SET, *more)
    assert codes == [2, 2] and "".join(said).count("error:") == 1, said
    assert "Traceback" not in "".join(said)


def test_torchrun_itself(tiny, tmp_path):
    """And a set of processes that are started, told who they are and waited for by the real one."""
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
    done = subprocess.run(
        [*command, *main, "train", tiny.path, "--out", tmp_path, *SET], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("last checkpoint") == 1 and done.stdout.count("training 4/4") == 1
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4]
