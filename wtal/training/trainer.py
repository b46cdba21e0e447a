"""The training loop for one network. It writes a run folder: checkpoints and metrics.jsonl."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from wtal.core import distributed
from wtal.core.concurrency import prefetch
from wtal.core.config import Config
from wtal.core.distributed import Rows
from wtal.core.errors import CheckpointError, ConfigError
from wtal.core.hardware import choose_device
from wtal.data.batching import TrainingDataset, cache_on_device
from wtal.data.dataset import Dataset
from wtal.data.snippet_labels import count_labels, snippet_labels
from wtal.models import checkpoint
from wtal.models.layers import UNLIMITED, Dropout, Normalise
from wtal.models.local_branch import build_model
from wtal.models.teacher import STAGE_ONE_DIR
from wtal.training.criterion import compute_loss, loss_weights
from wtal.training.log_writers import open_log
from wtal.training.metrics import append_metrics, truncate_metrics
from wtal.training.state import TrainingState

NORMALIZED_LIMIT = 5.0
MIN_RELATIVE_DEVIATION = 1e-6  # dimensions that vary less, relative to the strongest, are ignored
MAX_WORK_OF_ONE_THREAD = 2e9  # multiplications of a matrix product; two I3D modalities at the default width: 0.9e9
LOG_EVERY = {"cpu": 1, "cuda": 20}  # steps; reading a loss from a GPU waits until it is computed

LossTerms = dict[str, Tensor]
OnProgress = Callable[[int, dict[str, float]], None]  # called with the number of steps done, and the losses of a step
Validate = Callable[[nn.Module], dict[str, float]]


def fit(
    config: Config,
    dataset: Dataset,
    run_dir: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    held_out: frozenset[str] = frozenset(),
    targets: Mapping[str, Tensor] | None = None,
    validate: Validate | None = None,
    compiled: bool = False,
    log: str | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train one network and return the folder of the last checkpoint.

    On one device and number of threads, the result depends only on the seed and the data: a run that is killed and
    resumed ends with the same weights. Within `distributed.process_group`, each process trains on its rows of every
    batch; all end with the same weights, which are those of a single process up to rounding, and only the first process
    writes.

    Args:
        config: All settings.
        dataset: The data set; of its training subset, features and tags are used, and segments and points as the
            setting `train.supervision` says.
        run_dir: The folder to write.
        resume: Continue from the last checkpoint in `run_dir`.
        device: `auto`, `cpu` or `cuda`.
        held_out: Ids of training videos to leave out.
        targets: Class probabilities of the snippets from a teacher, by video id, T x (C + 1) each.
        validate: Computes scores of the network at each checkpoint, for metrics.jsonl; they select nothing.
        compiled: Compile the network with torch.compile.
        log: `tensorboard` or `wandb` to write the metrics for it too.
        on_progress: Called with the step and its losses.

    Raises:
        CheckpointError: `run_dir` holds another run.
        ConfigError: A setting cannot be used, or training diverged.
        DataError: The data cannot be used, or nothing can be written.
    """
    loss_weights(config)  # rejects unknown losses
    torch_device = choose_device(device)
    is_supervised = config.method_spec.teacher == "segments"  # its targets contain all labels
    labels = {} if is_supervised else snippet_labels(dataset, config.train.supervision, held_out)
    data = TrainingDataset(dataset, config.train.seed, held_out, targets, labels, config.train.labelled_share)
    rows, is_first = distributed.local_rows(config.train.batch_size), distributed.is_first()

    # The model and its moving average, from the seed or from the last checkpoint.
    torch.manual_seed(config.train.seed)
    model = build_model(config, dataset.modalities, len(dataset.classes))
    if is_first:
        fit_normalisation(model, data)
    model.to(torch_device)
    if rows is not None:
        sync_replicas(model, rows)
    optimizer = torch.optim.Adam(
        model.parameters(),
        config.train.learning_rate,
        weight_decay=config.train.weight_decay,
        fused=True if torch_device.type == "cuda" else None,
    )
    averaged = deepcopy(model)
    state = TrainingState(model, averaged, optimizer)
    meta = checkpoint.ModelMetadata(
        config,
        dataset.classes,
        dataset.modalities,
        dataset.clock,
        0,
        tuple(sorted(held_out)),
        dataset.provenance,
        count_labels(dataset, config.supervision, held_out),
        fingerprint_labels(data, targets if is_supervised else None),
    )
    start = state.restore(run_dir, meta) if resume else require_empty_run_dir(run_dir)
    require_same_start(run_dir, start, torch_device)
    earlier = truncate_metrics(run_dir, start) if is_first else {}
    if compiled:
        model.compile(dynamic=True)

    load_batch = partial(
        cache_on_device(data, torch_device).batch,
        size=config.train.batch_size,
        snippets=config.train.snippets,
        rows=rows,
    )
    pending: list[LossTerms] = []  # losses of the steps that are not logged yet
    batches = ((step, load_batch(step)) for step in range(start, config.train.steps))
    with open_log(log if is_first else None, run_dir, config, earlier) as write_log:
        for step, batch in prefetch(batches):
            batch = batch.to(torch_device)
            # Dropout depends only on the seed and the step, so a resumed run repeats an uninterrupted one.
            torch.manual_seed(config.train.seed * 1_000_003 + step)
            model.train()

            # Forward pass and loss.
            with torch.autocast(torch_device.type, torch.bfloat16, enabled=torch_device.type == "cuda"):
                loss, terms = compute_loss(model(batch.features, batch.mask), batch, config)
            terms = {name: term.detach().float() for name, term in {"loss": loss, **terms}.items()}

            # Backward pass. In distributed training, each process adds the share of its rows.
            optimizer.zero_grad()
            (loss if rows is None else rows.weight * loss).backward()
            if rows is not None:
                terms = {name: rows.weight * term for name, term in terms.items()}
                gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
                distributed.all_reduce_sum([*gradients, *terms.values()])

            # Update the weights and their moving average.
            set_learning_rate(optimizer, learning_rate(config, step))
            optimizer.step()
            update_average(averaged, model, config.train.ema_decay if step else 0.0)

            # Log the losses, and save a checkpoint every `save_every` steps and at the end.
            pending.append(terms)
            is_checkpoint = (step + 1) % config.train.save_every == 0 or step + 1 == config.train.steps
            if not is_checkpoint and len(pending) < LOG_EVERY[torch_device.type]:
                continue
            metrics = fetch_losses(pending, step + 1)
            pending.clear()
            if not is_first:
                continue
            if on_progress is not None:
                for number, losses in metrics.items():
                    on_progress(number, losses)
            if validate is not None and is_checkpoint:
                metrics[step + 1] |= validate(eval_copy(averaged))
            append_metrics(run_dir, metrics)
            write_log(metrics)
            if is_checkpoint:
                state.save(run_dir, meta, step + 1)
    distributed.barrier(torch_device)
    return checkpoint.latest_checkpoint(run_dir) or run_dir  # on another machine the checkpoint may not be visible


@contextmanager
def limited_threads(config: Config, dataset: Dataset, device: torch.device) -> Iterator[None]:
    """Compute with one thread on a CPU, unless OMP_NUM_THREADS is set or the network is large.

    The usual networks are too small for more. On a busy machine, threads that wait for each other cost ten times the
    time (measured with two cores: 0.04 s of CPU time per step with one thread, 0.3 to 0.6 s with two).
    """
    train, width = config.train, config.model.width
    work = train.batch_size * train.snippets * width * (sum(dataset.modalities) + width)
    threads = torch.get_num_threads()
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or work > MAX_WORK_OF_ONE_THREAD:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fingerprint_labels(data: TrainingDataset, targets: Mapping[str, Tensor] | None = None) -> str:
    """SHA-256 in hexadecimal of the tags and snippet labels of all training videos, and of targets if there are any."""
    digest = sha256()
    for video in data.videos:
        digest.update(f"{[video.id, *video.labels]!r}\n".encode(errors="surrogatepass"))
        for table in (data.snippet_labels, targets or {}):
            if video.id in table:
                digest.update(table[video.id].numpy().tobytes())
    return digest.hexdigest()


def learning_rate(config: Config, step: int) -> float:
    """Cosine decay from the initial rate to 0, so that the last checkpoint has converged."""
    return config.train.learning_rate * 0.5 * (1 + float(np.cos(np.pi * step / config.train.steps)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Update the moving average of the weights and copy the buffers; AveragedModel would wait for the GPU."""
    get_ema_multi_avg_fn(decay)(list(averaged.parameters()), list(model.parameters()), None)
    for target, source in zip(averaged.buffers(), model.buffers(), strict=True):
        target.copy_(source)


def fetch_losses(pending: Sequence[LossTerms], last_step: int) -> dict[int, dict[str, float]]:
    """Copy the losses of the steps up to `last_step` to the host, by step.

    Raises:
        ConfigError: A loss is not finite (code `training-diverged`).
    """
    values = iter(torch.stack([term for terms in pending for term in terms.values()]).tolist())
    metrics = {}
    for step, terms in enumerate(pending, last_step - len(pending) + 1):
        metrics[step] = {name: next(values) for name in terms}
        if not math.isfinite(metrics[step]["loss"]):
            raise ConfigError(
                f"training diverged: the loss of step {step} is {metrics[step]['loss']}",
                hint="lower train.learning_rate",
                code="training-diverged",
            )
    return metrics


@torch.no_grad()
def fit_normalisation(model: nn.Module, data: TrainingDataset) -> None:
    """Set the Normalise layers from all training snippets, one video at a time.

    The mean is subtracted. Each dimension is divided by sqrt(d g), where d is its standard deviation and g the root
    mean square of d over its modality. So the result depends neither on shift nor on scale, strong dimensions are
    weakened, and weak ones, which are often noise, are not raised to the level of the strong ones. The limit of 5
    removes the outliers of sparse features (docs/experiments/2026-11-28-input-normalisation.md).
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Normalise)]
    if not layers:
        return
    count, total, squares = 0, 0.0, 0.0
    origin = np.asarray(data.features(0)[0], dtype=np.float64)  # close to the mean, so that a shift costs no precision
    for video in range(len(data)):
        x = np.asarray(data.features(video), dtype=np.float64) - origin
        count, total, squares = count + len(x), total + x.sum(0), squares + (x**2).sum(0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    scales = []
    for part in np.split(deviation, np.cumsum(data.dataset.modalities)[:-1]):
        is_alive = part > MIN_RELATIVE_DEVIATION * part.max(initial=0)
        general = np.sqrt(np.mean(part[is_alive] ** 2)) if is_alive.any() else 1.0
        scales.append(np.where(is_alive, np.sqrt(part * general), UNLIMITED))
    for layer in layers:
        layer.mean.copy_(torch.as_tensor(mean + origin))
        layer.scale.copy_(torch.as_tensor(np.concatenate(scales)))
        layer.limit.fill_(NORMALIZED_LIMIT)


def eval_copy(averaged: nn.Module) -> nn.Module:
    """A copy of the averaged network as inference would load it."""
    return deepcopy(averaged).cpu().eval()


def require_empty_run_dir(run_dir: Path) -> int:
    """Raise CheckpointError if the folder holds a run, or a part of one; return 0, the first step."""
    if checkpoint.latest_checkpoint(run_dir) is not None or (run_dir / STAGE_ONE_DIR).exists():
        raise CheckpointError(
            "the folder already holds a run",
            path=run_dir,
            hint="continue it with --resume, or choose another folder",
            code="already-exists",
        )
    return 0


def sync_replicas(model: nn.Module, rows: Rows) -> None:
    """Copy the weights of the first process to all; make Dropout draw what a single process would draw."""
    distributed.broadcast_from_first(model.state_dict().values())
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.rows = rows


def require_same_start(run_dir: Path, start: int, device: torch.device) -> None:
    """Raise CheckpointError if the processes of a distributed training would start from different steps."""
    first = torch.tensor(start, device=device)
    distributed.broadcast_from_first([first])
    if first != start:
        raise CheckpointError(
            "not the same folder in all processes",
            path=run_dir,
            hint="use a folder that all machines share",
            code="folder-not-shared",
        )
