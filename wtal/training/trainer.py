"""The training loop. It hands on a run folder: checkpoints, metrics.jsonl."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from wtal.core import distributed
from wtal.core.config import Config
from wtal.core.distributed import Rows
from wtal.core.errors import CheckpointError, ConfigError
from wtal.core.hardware import choose_device
from wtal.core.io import append_line, read_text, write_text
from wtal.data.batching import Batch, TrainingDataset, cache_on_device, prefetch
from wtal.data.dataset import Dataset
from wtal.models import checkpoint
from wtal.models.dfe import DFE, LocalBranch, build
from wtal.models.layers import Dropout
from wtal.training.criterion import LossTerms, compute_loss

READ_EVERY = {"cpu": 1, "cuda": 20}  # steps whose terms are read at once: to read from a GPU is to wait for it

Progress = Callable[[int, dict[str, float]], None]
Validate = Callable[[LocalBranch], dict[str, float]]


def train(
    config: Config,
    folder: Dataset,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    held_out: frozenset[str] = frozenset(),
    validate: Validate | None = None,
    compiled: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train and return the last checkpoint's folder.

    On one device and thread count a run depends on the seed and the data alone: killed at any moment and
    resumed, it ends in the same weights. Within a `parallel.group` each process takes its rows of each batch, all
    end in the same weights, those of one process to rounding, and the first alone writes and hears `progress`.
    `validate` scores the local branch at each checkpoint, for metrics.jsonl; nothing is chosen by it.
    Raises CheckpointError when `run` holds another run, DataError for unusable data.
    """
    place = choose_device(device)
    data = TrainingDataset(folder, config.train.seed, held_out)
    torch.manual_seed(config.train.seed)
    model = build(config, folder.modalities, len(folder.classes))
    first, rows = distributed.is_first(), distributed.own_rows(config.train.batch_size)
    if config.model.normalise == "training" and first:
        _fit_normalisation(_local(model), data)
    model.to(place)
    if rows is not None:
        _sync_replicas(model, rows)
    averaged = deepcopy(model)
    optimizer = torch.optim.Adam(
        model.parameters(),
        config.train.learning_rate,
        weight_decay=config.train.weight_decay,
        fused=True if place.type == "cuda" else None,
    )
    meta = checkpoint.ModelMetadata(
        config, folder.classes, folder.modalities, folder.clock, 0, tuple(sorted(held_out)), folder.provenance
    )
    start = _resume(run, meta, model, averaged, optimizer) if resume else _require_empty_run_dir(run)
    _require_agreement(run, start, place)
    if first:
        _truncate_log(run / "metrics.jsonl", start)
    if compiled:
        _local(model).compile(dynamic=True)
    batch_of = partial(
        cache_on_device(data, place).batch, size=config.train.batch_size, snippets=config.train.snippets, rows=rows
    )
    unread: list[LossTerms] = []
    for step, batch in prefetch(batch_of, range(start, config.train.steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        unread.append(_step(model, optimizer, batch.to(place), config, step))
        _average(averaged, model, config.train.ema_decay if step else 0.0)
        saving = (step + 1) % config.train.save_every == 0 or step + 1 == config.train.steps
        if not saving and len(unread) < READ_EVERY[place.type]:
            continue
        lines = _fetch_losses(unread, step + 1)
        unread.clear()
        if not first:
            continue
        if progress is not None:
            for number, terms in lines.items():
                progress(number, terms)
        if validate is not None and saving:
            lines[step + 1] |= validate(_eval_copy(averaged))
        _log(run, lines)
        if saving:
            _save(run, replace(meta, step=step + 1), model, averaged, optimizer)
    distributed.wait(place)
    return checkpoint.latest_checkpoint(run) or run  # another machine need not see what the first process wrote


def learning_rate(config: Config, step: int) -> float:
    """Cosine from the set rate down to nothing, so that the last checkpoint is a settled one."""
    return config.train.learning_rate * 0.5 * (1 + float(np.cos(np.pi * step / config.train.steps)))


def _step(
    model: LocalBranch | DFE,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: Config,
    step: int,
) -> LossTerms:
    """One step; the whole batch's loss and its terms stay on the device, so that nobody waits for them."""
    # Dropout depends on the seed and the step alone, so a resumed run repeats an uninterrupted one.
    torch.manual_seed(config.train.seed * 1_000_003 + step)
    kind, rows = batch.features.device.type, batch.rows
    model.train()
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        loss, terms = compute_loss(model, batch, config, step)
    optimizer.zero_grad()
    (loss if rows is None else rows.share * loss).backward()
    terms = {name: term.detach().float() for name, term in {"loss": loss, **terms}.items()}
    if rows is not None:
        terms = {name: rows.share * term for name, term in terms.items()}
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        distributed.all_reduce_sum([*gradients, *terms.values()])
    optimizer.step()
    return terms


def _fetch_losses(unread: Sequence[LossTerms], last: int) -> dict[int, dict[str, float]]:
    """The terms of the steps up to `last`, by step. Raises ConfigError where training diverged."""
    values = iter(torch.stack([term for terms in unread for term in terms.values()]).tolist())
    lines = {}
    for step, terms in enumerate(unread, last - len(unread) + 1):
        lines[step] = {name: next(values) for name in terms}
        if not math.isfinite(lines[step]["loss"]):
            raise ConfigError(
                f"step {step}: the loss is {lines[step]['loss']}, training diverged; lower train.learning_rate, "
                f"or set model.normalise to training where features are large"
            )
    return lines


@torch.no_grad()
def _average(averaged: LocalBranch | DFE, model: LocalBranch | DFE, momentum: float) -> None:
    """A moving average of the weights; buffers are taken over. (AveragedModel would have the GPU waited for.)"""
    get_ema_multi_avg_fn(momentum)(list(averaged.parameters()), list(model.parameters()), None)
    for ours, theirs in zip(averaged.buffers(), model.buffers(), strict=True):
        ours.copy_(theirs)


def _sync_replicas(model: LocalBranch | DFE, rows: Rows) -> None:
    """Every process starts from the first one's weights, and drops out what one alone would have dropped."""
    distributed.broadcast_from_first(model.state_dict().values())
    for part in model.modules():
        if isinstance(part, Dropout):
            part.rows = rows


def _require_agreement(run: Path, start: int, device: torch.device) -> None:
    """Refuse to go on from different steps."""
    firsts = torch.tensor(start, device=device)
    distributed.broadcast_from_first([firsts])
    if firsts != start:
        raise CheckpointError(f"{run}: is not the same folder for all processes; name one that all machines share")


@torch.no_grad()
def _fit_normalisation(model: LocalBranch, data: TrainingDataset) -> None:
    """Mean and standard deviation over all training snippets, one sequence in memory at a time."""
    count, total, squares = 0, 0.0, 0.0
    for video in data.videos:
        x = np.asarray(data.dataset.features(video.id), dtype=np.float64)
        count, total, squares = count + len(x), total + x.sum(0), squares + (x**2).sum(0)
    mean = total / count
    scale = np.sqrt(np.maximum(squares / count - mean**2, 0))
    model.normalise.mean.copy_(torch.as_tensor(mean))
    model.normalise.scale.copy_(torch.as_tensor(np.where(scale > 1e-6, scale, 1.0)))


def _local(model: LocalBranch | DFE) -> LocalBranch:
    return model.local if isinstance(model, DFE) else model


def _eval_copy(averaged: LocalBranch | DFE) -> LocalBranch:
    """A copy of the averaged local branch as inference would load it."""
    return deepcopy(_local(averaged)).cpu().eval()


def _require_empty_run_dir(run: Path) -> int:
    if checkpoint.latest_checkpoint(run) is not None:
        raise CheckpointError(f"{run}: holds a run already; go on with --resume, or name another folder")
    return 0


def _resume(
    run: Path,
    meta: checkpoint.ModelMetadata,
    model: LocalBranch | DFE,
    averaged: LocalBranch | DFE,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load the newest checkpoint of the same run, from the start if there is none. Returns the steps done."""
    saved = checkpoint.latest_checkpoint(run)
    if saved is None:
        return _require_empty_run_dir(run)
    before = checkpoint.read_meta(saved)
    if replace(before, step=0) != meta:
        raise CheckpointError(
            f"{run}: was trained with other settings, classes, features or held-out sequences; name another folder"
        )
    tensors = checkpoint.read_tensors(saved / "training.safetensors")
    try:
        model.load_state_dict(_under(tensors, "model."))
        averaged.load_state_dict(_under(tensors, "averaged.module."))
        _load_optimizer(optimizer, _under(tensors, "optimizer."))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{saved}: training.safetensors is of another run; train again") from error
    return before.step


def _save(
    run: Path,
    meta: checkpoint.ModelMetadata,
    model: LocalBranch | DFE,
    averaged: LocalBranch | DFE,
    optimizer: torch.optim.Optimizer,
) -> Path:
    training = {
        **{f"model.{name}": value for name, value in model.state_dict().items()},
        **{f"averaged.module.{name}": value for name, value in averaged.state_dict().items()},
        **{f"optimizer.{name}": value for name, value in _optimizer_tensors(optimizer)},
    }
    folder = run / f"checkpoint-{meta.step:06d}"
    checkpoint.save_checkpoint(folder, meta, averaged, {k: v.contiguous().cpu() for k, v in training.items()})
    for older in checkpoint.list_checkpoints(run):
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


def _log(run: Path, lines: dict[int, dict[str, float]]) -> None:
    append_line(
        run / "metrics.jsonl", "\n".join(json.dumps({"step": step, **values}) for step, values in lines.items())
    )


def _truncate_log(metrics: Path, step: int) -> None:
    """Drop what was logged after the checkpoint that training goes on from, and a last line cut off."""
    lines = read_text(metrics).splitlines() if metrics.is_file() else []
    write_text(metrics, "".join(line + "\n" for line in lines if _step_of(line) <= step))


def _step_of(line: str) -> float:
    """The step that a line was logged at; beyond any where it is none of our lines."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
