"""The training loop. It hands on a run folder: checkpoints, metrics.jsonl."""

import json
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wtal import checkpoint
from wtal.config import Config
from wtal.dataset import Batch, TrainingSet
from wtal.device import choose_device
from wtal.errors import CheckpointError, ConfigError
from wtal.files import append_line, read_text, write_text
from wtal.formats.plain import Folder
from wtal.model import DFE, Chassis, build
from wtal.objective import objective

Progress = Callable[[int, dict[str, float]], None]
Validate = Callable[[Chassis], dict[str, float]]


def train(
    config: Config,
    folder: Folder,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    held_out: frozenset[str] = frozenset(),
    validate: Validate | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train and return the last checkpoint's folder.

    On one device and thread count a run depends on the seed and the data alone: killed at any moment and
    resumed, it ends in the same weights.
    `validate` scores the local branch at each checkpoint, for metrics.jsonl; nothing is chosen by it.
    Raises CheckpointError when `run` holds another run, DataError for unusable data.
    """
    place = choose_device(device)
    data = TrainingSet(folder, config.train.seed, held_out)
    torch.manual_seed(config.train.seed)
    model = build(config, folder.modalities, len(folder.classes))
    if config.model.normalise == "training":
        _fit_normalisation(_local(model), data)
    model.to(place)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.train.average))
    optimizer = torch.optim.Adam(
        model.parameters(), config.train.learning_rate, weight_decay=config.train.weight_decay
    )
    meta = checkpoint.Meta(
        config, folder.classes, folder.modalities, folder.clock, 0, tuple(sorted(held_out)), folder.provenance
    )
    start = _resume(run, meta, model, averaged, optimizer) if resume else _fresh(run)
    for step in range(start, config.train.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        terms = _step(model, optimizer, data, config, step, place)
        averaged.update_parameters(model)
        if progress is not None:
            progress(step + 1, terms)
        saving = (step + 1) % config.train.save_every == 0 or step + 1 == config.train.steps
        scores = validate(_at_rest(averaged)) if validate is not None and saving else {}
        _log(run, {"step": step + 1, **terms, **scores})
        if saving:
            _save(run, replace(meta, step=step + 1), model, averaged, optimizer)
    last = checkpoint.newest(run)
    assert last is not None
    return last


def learning_rate(config: Config, step: int) -> float:
    """Cosine from the set rate down to nothing, so that the last checkpoint is a settled one."""
    return config.train.learning_rate * 0.5 * (1 + float(np.cos(np.pi * step / config.train.steps)))


def _step(
    model: Chassis | DFE,
    optimizer: torch.optim.Optimizer,
    data: TrainingSet,
    config: Config,
    step: int,
    device: torch.device,
) -> dict[str, float]:
    # Dropout depends on the seed and the step alone, so a resumed run repeats an uninterrupted one.
    torch.manual_seed(config.train.seed * 1_000_003 + step)
    batch = data.batch(step, config.train.batch_size, config.train.snippets)
    batch = Batch(*(value.to(device) for value in (batch.features, batch.mask, batch.labels)))
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        loss, terms = objective(model, batch, config, step)
    if not torch.isfinite(loss):
        raise ConfigError(
            f"step {step + 1}: the loss is {loss.item()}, training diverged; lower train.learning_rate, "
            f"or set model.normalise to training where features are large"
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}


@torch.no_grad()
def _fit_normalisation(model: Chassis, data: TrainingSet) -> None:
    """Mean and standard deviation over all training snippets, one sequence in memory at a time."""
    count, total, squares = 0, 0.0, 0.0
    for video in data.videos:
        x = np.asarray(data.folder.features(video.id), dtype=np.float64)
        count, total, squares = count + len(x), total + x.sum(0), squares + (x**2).sum(0)
    mean = total / count
    scale = np.sqrt(np.maximum(squares / count - mean**2, 0))
    model.normalise.mean.copy_(torch.as_tensor(mean))
    model.normalise.scale.copy_(torch.as_tensor(np.where(scale > 1e-6, scale, 1.0)))


def _local(model: Chassis | DFE) -> Chassis:
    return model.local if isinstance(model, DFE) else model


def _at_rest(averaged: AveragedModel) -> Chassis:
    """A copy of the averaged local branch as inference would load it."""
    return deepcopy(_local(cast("Chassis | DFE", averaged.module))).cpu().eval()


def _fresh(run: Path) -> int:
    if checkpoint.newest(run) is not None:
        raise CheckpointError(f"{run}: holds a run already; go on with --resume, or name another folder")
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").unlink(missing_ok=True)
    return 0


def _resume(
    run: Path,
    meta: checkpoint.Meta,
    model: Chassis | DFE,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load the newest checkpoint of the same run, from the start if there is none. Returns the steps done."""
    saved = checkpoint.newest(run)
    if saved is None:
        return _fresh(run)
    before = checkpoint.read_meta(saved)
    if replace(before, step=0) != meta:
        raise CheckpointError(
            f"{run}: was trained with other settings, classes, features or held-out sequences; name another folder"
        )
    tensors = checkpoint.read_tensors(saved / "training.safetensors")
    try:
        model.load_state_dict(_under(tensors, "model."))
        averaged.load_state_dict(_under(tensors, "averaged."))
        _load_optimizer(optimizer, _under(tensors, "optimizer."))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{saved}: training.safetensors is of another run; train again") from error
    _forget_after(run / "metrics.jsonl", before.step)
    return before.step


def _save(
    run: Path,
    meta: checkpoint.Meta,
    model: Chassis | DFE,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> Path:
    training = {
        **{f"model.{name}": value for name, value in model.state_dict().items()},
        **{f"averaged.{name}": value for name, value in averaged.state_dict().items()},
        **{f"optimizer.{name}": value for name, value in _optimizer_tensors(optimizer)},
    }
    folder = run / f"checkpoint-{meta.step:06d}"
    network = cast("Chassis | DFE", averaged.module)
    checkpoint.save(folder, meta, network, {k: v.contiguous().cpu() for k, v in training.items()})
    for older in checkpoint.checkpoints(run):
        if older != folder:
            shutil.rmtree(older)
    return folder


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            yield f"{index}.{name}", value


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _log(run: Path, values: dict[str, float]) -> None:
    append_line(run / "metrics.jsonl", json.dumps(values))


def _forget_after(metrics: Path, step: int) -> None:
    """Drop what was logged after the checkpoint that training goes on from, and a last line cut off."""
    lines = read_text(metrics).splitlines() if metrics.is_file() else []
    write_text(metrics, "".join(line + "\n" for line in lines if _step_of(line) <= step))


def _step_of(line: str) -> float:
    """The step that a line was logged at; beyond any where it is none of our lines."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
