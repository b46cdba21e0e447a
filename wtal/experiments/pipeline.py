"""The hallway: it opens the rooms' doors in order and does nothing else.

data set ─ train ─► run folder ─ localize ─► proposals.json ─ evaluate ─► results.json
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from wtal.core import distributed
from wtal.core.config import Config
from wtal.core.errors import ConfigError, DataError
from wtal.core.hardware import choose_device
from wtal.core.io import directory_lock, realpath, require_file, require_not_input, write_json
from wtal.core.methods import load_method
from wtal.core.structures import Proposals
from wtal.data.batching import held_out_ids
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.activitynet import read_proposals, write_proposals
from wtal.data.validation import require_valid_features
from wtal.evaluation.bootstrap import EvaluationComparison, compare_evaluations
from wtal.evaluation.evaluate import evaluate, fitting_protocols
from wtal.evaluation.protocols import DEFAULT_OPTIONS, PROTOCOLS, EvaluationOptions
from wtal.evaluation.results import EvaluationResult
from wtal.experiments import model_card
from wtal.experiments.validation import validator
from wtal.inference import localizer
from wtal.inference.batch import localize_many, localize_on_ray
from wtal.models.checkpoint import latest_checkpoint, list_checkpoints
from wtal.training.criterion import loss_weights
from wtal.training.trainer import OnProgress, train

OUTPUT_NAMES = ("results.json", "evaluations.json")  # default names; such a file may be replaced


def train_run(
    data: Path,
    run: Path,
    config: Config,
    *,
    resume: bool = False,
    device: str = "auto",
    validate: bool = False,
    hold_out: float = 0.0,
    checked: bool = False,
    compiled: bool = False,
    progress: OnProgress | None = None,
) -> Path:
    """Train on a data set folder; the run folder gets checkpoints and metrics.jsonl. Returns the last checkpoint.

    `validate` scores each checkpoint on the validation segments; `hold_out` keeps a share of the training
    sequences back and scores their video-level labels instead. Nothing is chosen by these scores. `checked`
    features were read once already. `compiled` has torch.compile compile the local branch.
    Raises DataError for unusable data (every training feature is read once, before the first step) or a run
    folder that cannot be written, ConfigError for an unusable option, CheckpointError for another run's folder.
    """
    if validate and hold_out:
        raise ConfigError("--validate and --hold-out are two ways to score while training; choose one")
    load_method(config.method)
    loss_weights(config)  # rejects unknown losses
    choose_device(device)  # before the data are read
    folder = load_dataset(data)
    held_out = _held_out(folder, hold_out, config.train.seed)
    first = distributed.is_first()  # of several processes the others wait for it at training's door
    if not checked and first:
        require_valid_features(folder, folder.subset("training"))
    if validate:
        require_actions(folder, "validation")
    score = validator(folder, config, held_out) if validate or held_out else None
    _require_place(run, folder)
    with directory_lock(run) if first else nullcontext():
        last = train(
            config,
            folder,
            run,
            resume=resume,
            device=device,
            held_out=held_out,
            validate=score,
            compiled=compiled,
            on_progress=progress,
        )
        # A finished run that was resumed may have a card with its score.
        if first and not (last / model_card.CARD_NAME).exists():
            model_card.write_card(run, folder)
        return last


def localize_run(
    run: Path,
    data: Path,
    subset: str,
    out: Path,
    branch: str = "local",
    *,
    engine: str = "local",
    workers: int | None = None,
) -> Proposals:
    """Proposals for every sequence of a subset by the local branch (or, to measure it, the global one).

    The engine is `local`, this process, or `ray`, many machines with as many `workers`: the file is the same.
    """
    _require_engine(engine, workers)
    folder = load_dataset(data)
    network, meta = localizer.load_network(run, branch)
    localizer.require_compatible(meta, folder)
    videos = folder.subset(subset)
    if engine == "ray":
        found = localize_on_ray(run, branch, folder, videos, workers)
    else:
        found = localize_many(network, meta, folder, videos)
    proposals = dict(found)
    write_proposals(out, proposals)
    return proposals


def evaluate_file(
    proposals: Path, ground_truth: Path, options: EvaluationOptions = DEFAULT_OPTIONS, *, out: Path | None = None
) -> EvaluationResult:
    """Score a proposals file under a named protocol; `out` gets results.json."""
    _require_files([proposals], out, ground_truth)
    result = evaluate(
        read_proposals(proposals), read_ground_truth(ground_truth), _with_ambiguous(options, ground_truth)
    )
    if out is not None:
        write_json(out, result.to_json())
    return result


def evaluate_files(
    files: Sequence[Path],
    ground_truth: Path,
    options: EvaluationOptions = DEFAULT_OPTIONS,
    *,
    all_protocols: bool = False,
    out: Path | None = None,
) -> EvaluationComparison:
    """Score several proposals files side by side, under one protocol or all that the ground truth fits.

    The first is compared with each of the others. `out` gets every result, interval and difference as JSON.
    """
    _require_files(files, out, ground_truth)
    proposals = {name: read_proposals(path) for name, path in zip(short_names(files), files, strict=True)}
    videos = read_ground_truth(ground_truth)
    protocols = fitting_protocols(videos, options.subset) if all_protocols else [options.protocol]
    comparison = compare_evaluations(proposals, videos, _with_ambiguous(options, ground_truth), protocols)
    if all_protocols:
        comparison = replace(comparison, not_fitting=tuple(name for name in PROTOCOLS if name not in protocols))
    if out is not None:
        paths = {name: str(path) for name, path in zip(proposals, files, strict=True)}
        write_json(out, {"truth": str(ground_truth), "files": paths} | comparison.to_json())
    return comparison


def _with_ambiguous(options: EvaluationOptions, ground_truth: Path) -> EvaluationOptions:
    """The options with the list of ambiguous intervals beside the ground truth, unless they have one."""
    return options if options.ambiguous is not None else replace(options, ambiguous=find_ambiguous(ground_truth))


def short_names(files: Sequence[Path]) -> list[str]:
    """The shortest endings of different paths that tell them apart: dfe/proposals.json, baseline/proposals.json."""
    depths = range(1, 1 + max(len(path.parts) for path in files))
    endings = (["/".join(path.parts[-depth:]) for path in files] for depth in depths)
    return next(names for names in endings if len(set(names)) == len(names))


def require_actions(folder: Dataset, subset: str) -> None:
    """Raise DataError where no sequence of a subset marks when something happens."""
    if not any(video.segments for video in folder.subset(subset)):
        raise DataError(f"{folder.path}: nothing in {subset} has a start and an end to score against; mark some")


def _require_engine(engine: str, workers: int | None) -> None:
    if engine not in ("local", "ray"):
        raise ConfigError(f"there is no engine {engine!r}; use local or ray")
    if workers is not None and engine == "local":
        raise ConfigError("--workers is for --engine ray, the local engine is one process; leave it out")


def _require_files(files: Sequence[Path], out: Path | None, ground_truth: Path) -> None:
    """Raise DataError for a folder, for the same file twice, and for an output that would overwrite an input."""
    seen: set[Path] = set()
    for path in files:
        require_file(path, "name files of proposals first, the ground truth last")
        if realpath(path) in seen:
            raise DataError("is given twice", path=path, hint="name each file of proposals once", code="duplicate")
        seen.add(realpath(path))
    if out is not None:
        inputs = [*files, out if _is_of(ground_truth, out) else ground_truth]
        require_not_input(out, *inputs, hint="choose another path with --out")


def _is_of(ground_truth: Path, out: Path) -> bool:
    """Whether a file lies directly in the folder of the ground truth and is not an earlier output."""
    return out.is_file() and realpath(out).parent == realpath(ground_truth) and out.name not in OUTPUT_NAMES


def _held_out(folder: Dataset, share: float, seed: int) -> frozenset[str]:
    """The sequences to keep back. Raises ConfigError where the share leaves no sequence on one of the sides."""
    held_out = held_out_ids(folder, share, seed)
    training = folder.subset("training")
    if share and not held_out:
        raise ConfigError(f"--hold-out {share:g} of {len(training)} training sequences is none; hold out more")
    for side, kept in (("in training", False), ("held out", True)):
        if held_out and not any(v.labels for v in training if (v.id in held_out) is kept):
            raise ConfigError(f"--hold-out {share:g} leaves no sequence with a label {side}; use another share")
    return held_out


def _require_place(run: Path, folder: Dataset) -> None:
    """Refuse a run folder in which something else would be overwritten."""
    require_not_input(run, folder.path, hint="choose another folder for the run")
    alien = next(iter(list_checkpoints(run)), None) if latest_checkpoint(run) is None else None
    if alien is not None:
        raise DataError(f"{alien}: is no checkpoint of wtal and would be in the way; name another folder")
