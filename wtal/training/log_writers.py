"""Writers of losses and scores for TensorBoard and Weights & Biases, beside metrics.jsonl.

A writer is opened with all steps of metrics.jsonl and replaces what an earlier process wrote. So a resumed run has
every step once, also if logging is asked for only when it is resumed.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.core.io import read_text, write_text
from wtal.models.teacher import STAGE_ONE_DIR

Metrics = Mapping[int, Mapping[str, float]]  # losses and scores by step
Write = Callable[[Metrics], None]

WANDB_PROJECT = "wtal"
WANDB_SETTINGS = ("WANDB_MODE", "WANDB_API_KEY")  # environment variables; without them, runs are stored locally


@contextmanager
def open_log(name: str | None, run_dir: Path, config: Config, earlier: Metrics) -> Iterator[Write]:
    """Yield a function that writes the metrics of further steps.

    Args:
        name: A name in `LOG_WRITERS`; None: nothing is written.
        run_dir: The run folder; the files of the log are in a folder in it.
        config: All settings.
        earlier: The metrics of the steps before, from metrics.jsonl.

    Raises:
        ConfigError: The name is unknown, or its package is missing.
    """
    if name is None:
        yield lambda metrics: None
        return
    require_log(name)
    with LOG_WRITERS[name](run_dir, config, earlier) as write:
        yield write


def require_log(name: str | None) -> None:
    """Raise ConfigError if a log is unknown, or its package is missing. Nothing is imported."""
    if name is None:
        return
    if name not in LOG_WRITERS:
        raise ConfigError(f"unknown log {name!r}", hint=f"use one of {', '.join(LOG_WRITERS)}", code="unknown-name")
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # without a file, it is a folder of logs in the working directory
        raise ConfigError(
            f"the package {name} is not installed", hint=f"pip install 'wtal[{name}]'", code="missing-dependency"
        )


@contextmanager
def _open_tensorboard(run_dir: Path, config: Config, earlier: Metrics) -> Iterator[Write]:
    """Event files in `tensorboard/`, for `tensorboard --logdir RUN`."""
    from torch.utils.tensorboard import SummaryWriter

    folder = run_dir / "tensorboard"
    for older in folder.glob("events.out.tfevents.*"):
        older.unlink()
    with SummaryWriter(folder) as writer:

        def write(metrics: Metrics) -> None:
            for step, values in metrics.items():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)

        write(earlier)
        yield write


@contextmanager
def _open_wandb(run_dir: Path, config: Config, earlier: Metrics) -> Iterator[Write]:
    """A run of Weights & Biases. It is stored in `wandb/` without network, unless the user has configured wandb."""
    is_offline = not any(os.environ.get(name) for name in WANDB_SETTINGS)
    if is_offline:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # otherwise its errors are sent over the network
    wandb = import_module("wandb")
    folder = run_dir / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    id_path = folder / "run-id.txt"
    id = read_text(id_path).strip() if id_path.is_file() else secrets.token_hex(8)
    write_text(id_path, id)
    for older in folder.glob(f"offline-run-*-{id}"):
        shutil.rmtree(older)
    is_stage_one = run_dir.parent.name == STAGE_ONE_DIR
    with wandb.init(
        project=os.environ.get("WANDB_PROJECT") or WANDB_PROJECT,
        dir=run_dir,
        id=id,
        resume="allow",
        name=run_dir.name,
        group=(run_dir.parent.parent if is_stage_one else run_dir).name,
        job_type="stage one" if is_stage_one else "train",
        config=config.model_dump(),
        mode="offline" if is_offline else None,
        settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
    ) as run:
        first = run.step  # of a run that is continued on the server, the first step that it accepts

        def write(metrics: Metrics) -> None:
            for step, values in metrics.items():
                if step >= first:
                    run.log(dict(values), step=step)

        write(earlier)
        yield write


LOG_WRITERS = {"tensorboard": _open_tensorboard, "wandb": _open_wandb}
