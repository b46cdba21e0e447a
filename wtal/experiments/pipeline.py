"""High-level pipeline: train, localize, evaluate.

data set --train--> run folder --localize--> proposals.json --evaluate--> results.json
"""

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from wtal.core import distributed
from wtal.core.config import Config
from wtal.core.errors import ConfigError, DataError
from wtal.core.hardware import choose_device
from wtal.core.io import directory_lock, realpath, require_file, require_not_input, require_output_file, write_json
from wtal.core.methods import load_method
from wtal.core.structures import Proposals, Video
from wtal.data.batching import held_out_ids
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.activitynet import read_proposals, write_proposals
from wtal.data.snippet_labels import snippet_labels, training_segments
from wtal.data.validation import require_valid_features
from wtal.evaluation.bootstrap import EvaluationComparison, compare_evaluations
from wtal.evaluation.evaluate import evaluate as evaluate_proposals
from wtal.evaluation.evaluate import fitting_protocols, require_overlap
from wtal.evaluation.protocols import DEFAULT_OPTIONS, PROTOCOLS, EvaluationOptions
from wtal.evaluation.results import EvaluationResult
from wtal.experiments.model_card import CARD_NAME, write_card
from wtal.experiments.validation import make_validator
from wtal.inference.batch import localize_many, require_engine
from wtal.inference.localizer import Localizer
from wtal.models.checkpoint import latest_checkpoint, list_checkpoints
from wtal.training import stages, trainer
from wtal.training.criterion import loss_weights
from wtal.training.log_writers import require_log

HINT_OUT = "choose another path with --out"


def train(
    data: str | Path,
    out: str | Path,
    config: Config | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    validate: bool = False,
    hold_out: float = 0.0,
    compiled: bool = False,
    features_checked: bool = False,
    workers: int = 1,
    stage_one: Path | None = None,
    trained_stage_one: Path | None = None,
    log: str | None = None,
    on_progress: stages.OnProgress | None = None,
) -> Path:
    """Train a model on videos with video-level labels.

    Args:
        data: Data set folder.
        out: Run folder; gets checkpoints and `metrics.jsonl`.
        config: Settings; None: the defaults.
        resume: Continue an interrupted run.
        device: `auto`, `cpu` or `cuda`.
        validate: Score each checkpoint on the segments of the validation subset. The scores do not affect training.
        hold_out: Fraction of the training videos that is left out of training and scored by video-level labels.
        compiled: Compile the networks with torch.compile.
        features_checked: Skip the check of all training features before the first step.
        workers: Processes that train models of stage one side by side on the CPU. With more than one, a script needs
            an `if __name__ == "__main__"` guard.
        stage_one: Folder of the models of stage one, which runs can share; None: in the run folder.
        trained_stage_one: Folder of models of stage one that are used as they are, although they were trained on other
            labels; then only the memory, the teacher and stage two are made.
        log: `tensorboard` or `wandb` to write the metrics for it too, in the run folder. Without settings for wandb in
            the environment (WANDB_MODE, WANDB_API_KEY), it works offline.
        on_progress: Called with the number of steps done, in all stages, and the losses of a step.

    Returns:
        Folder of the last checkpoint.

    Raises:
        DataError: The data cannot be used or the run folder cannot be written.
        ConfigError: An option cannot be used.
        CheckpointError: `out` has another run.

    Example:
        >>> wtal.train("mydata", "runs/mine", device="cpu")
    """
    out, config = Path(out), config or Config()
    if validate and hold_out:
        raise ConfigError(
            "--validate and --hold-out exclude each other", hint="use one of them", code="conflicting-options"
        )
    # Options are checked before the data are read
    torch_device = choose_device(device)
    load_method(config.method)
    loss_weights(config)
    require_log(log)
    dataset = load_dataset(Path(data))
    held_out = _choose_held_out(dataset, hold_out, config.train.seed)
    is_first = distributed.is_first()
    if is_first and not features_checked:
        require_valid_features(dataset, dataset.subset("training"))
    if validate:
        require_segments(dataset, "validation")
    if config.method_spec.teacher == "segments":
        training_segments(dataset)  # raises before anything is written
    else:
        snippet_labels(dataset, config.train.supervision, held_out)  # likewise
    _require_run_dir(out, dataset)
    with (
        directory_lock(out) if is_first else nullcontext(),
        trainer.limited_threads(config, dataset, torch_device),
    ):
        last = stages.train(
            config,
            dataset,
            out,
            resume=resume,
            device=device,
            held_out=held_out,
            validate=make_validator(dataset, config, held_out) if validate or held_out else None,
            compiled=compiled,
            workers=workers if torch_device.type == "cpu" else 1,
            stage_one=stage_one,
            trained_stage_one=trained_stage_one,
            log=log,
            on_progress=on_progress,
        )
        if is_first and not (last / CARD_NAME).exists():  # the card of a finished run may contain its result
            write_card(out, dataset)
        return last


def localize(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    subset: str = "testing",
    branch: str = "local",
    *,
    engine: str = "local",
    workers: int | None = None,
) -> Proposals:
    """Write the proposals of a model for a subset of a data set.

    Args:
        run: Run or model folder.
        data: Data set folder with features of the same kind as in training.
        out: File to write, in the ActivityNet results format.
        subset: Subset to localize.
        branch: `local`; or `ensemble` or `global` to measure what is not used for inference.
        engine: `local` for this process, or `ray` for several machines. The file is the same.
        workers: Number of Ray workers; None: one per machine.

    Returns:
        Proposals by video id; times in seconds, by descending score.

    Raises:
        CheckpointError: There is no model, or it does not fit the data.
        DataError: The data cannot be used or the file cannot be written.
        ConfigError: An option cannot be used.

    Example:
        >>> proposals = wtal.localize("runs/mine", "mydata", "proposals.json")
        >>> for video_id, segments in proposals.items():
        ...     print(video_id, segments[0])
    """
    require_engine(engine, workers)
    dataset = load_dataset(Path(data))
    localizer = Localizer(run, branch=branch)
    proposals = localize_many(localizer, dataset, dataset.subset(subset), engine, workers)
    write_proposals(Path(out), proposals)
    return proposals


def evaluate(
    proposals: str | Path | Proposals,
    ground_truth: str | Path | Dataset | Sequence[Video],
    options: EvaluationOptions = DEFAULT_OPTIONS,
    *,
    out: str | Path | None = None,
) -> EvaluationResult:
    """Compute the mean average precision of proposals under a named protocol.

    Args:
        proposals: A file in the ActivityNet results format, or segments with scores by video id; times in seconds.
        ground_truth: An ActivityNet JSON file, a data set folder, a folder of THUMOS text files or W-TALC arrays;
            or a data set or annotated videos.
        options: Protocol, tIoU thresholds and subset. The list of ambiguous intervals beside the ground truth is used
            unless the options have one.
        out: File to write, usually `results.json`.

    Returns:
        mAP as fractions, with what was counted and notes on how far it can be compared.

    Raises:
        DataError: A file cannot be read or written, the ground truth has no segments in the subset, or none of the
            predicted videos is in it.

    Example:
        >>> result = wtal.evaluate("proposals.json", "mydata", wtal.EvaluationOptions("thumos14-212"))
        >>> print(result.tiou_range, result.average())
    """
    out = None if out is None else Path(out)
    if isinstance(ground_truth, Dataset):
        ground_truth = ground_truth.videos
    files = [] if isinstance(proposals, dict) else [Path(proposals)]
    _require_files(files, out, ground_truth)
    for path in files:
        proposals = read_proposals(path)
    assert isinstance(proposals, dict)
    videos, options = _read_ground_truth(ground_truth, options)
    require_overlap(proposals, videos, options, *files)
    result = evaluate_proposals(proposals, videos, options)
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
    """Compare several proposals files with bootstrap confidence intervals; the first with each of the others.

    Args:
        files: Files in the ActivityNet results format.
        ground_truth: As in `evaluate`.
        options: As in `evaluate`.
        all_protocols: Use all protocols that the ground truth fits instead of that of the options.
        out: File to write, usually `evaluations.json`: every result, interval and difference.

    Raises:
        DataError: As `evaluate`, or if a file is named twice.
    """
    _require_files(files, out, ground_truth)
    proposals = {name: read_proposals(path) for name, path in zip(short_names(files), files, strict=True)}
    videos, options = _read_ground_truth(ground_truth, options)
    protocols = fitting_protocols(videos, options.subset) if all_protocols else [options.protocol]
    for path, file_proposals in zip(files, proposals.values(), strict=True):
        require_overlap(file_proposals, videos, options, path)
    comparison = compare_evaluations(proposals, videos, options, protocols)
    if all_protocols:
        comparison = replace(comparison, not_fitting=tuple(name for name in PROTOCOLS if name not in protocols))
    if out is not None:
        paths = {name: str(path) for name, path in zip(proposals, files, strict=True)}
        write_json(out, {"truth": str(ground_truth), "files": paths} | comparison.to_json())
    return comparison


def short_names(paths: Sequence[Path], separator: str = "/") -> list[str]:
    """The shortest distinct endings of different paths, such as `dfe/proposals.json` and `baseline/proposals.json`.

    Raises:
        ConfigError: There are none.
    """
    for depth in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = [separator.join(path.parts[-depth:]).strip(os.sep) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("the paths have no distinct names", hint="rename one of them", code="duplicate-name")


def require_segments(dataset: Dataset, subset: str) -> None:
    """Raise DataError if no video of a subset has annotated segments."""
    if not any(video.segments for video in dataset.subset(subset)):
        raise DataError(
            f"the {subset} subset has no segments to score against",
            path=dataset.path,
            hint="annotate starts and ends",
            code="no-segments",
        )


def _read_ground_truth(
    ground_truth: str | Path | Sequence[Video], options: EvaluationOptions
) -> tuple[Sequence[Video], EvaluationOptions]:
    """The videos, and the options with the list of ambiguous intervals beside them unless they have one."""
    if not isinstance(ground_truth, str | Path):
        return ground_truth, options
    path = Path(ground_truth)
    if options.ambiguous is None:
        options = replace(options, ambiguous=find_ambiguous(path))
    return read_ground_truth(path), options


def _require_files(files: Sequence[Path], out: Path | None, ground_truth: str | Path | Sequence[Video]) -> None:
    """Raise DataError for a folder, a file that is named twice, and an output that would overwrite another file."""
    seen: set[Path] = set()
    for path in files:
        require_file(path, "name the proposals files first, the ground truth last")
        if realpath(path) in seen:
            raise DataError("the file is given twice", path=path, hint="pass each file once", code="duplicate-file")
        seen.add(realpath(path))
    if out is None:
        return
    truth = [Path(ground_truth)] if isinstance(ground_truth, str | Path) else []
    require_output_file(out, [*files, *truth], _holds_evaluation, HINT_OUT)


def _holds_evaluation(path: Path) -> bool:
    """Whether a file was written by `evaluate` or `evaluate_files`."""
    with path.open("rb") as file:
        head = file.read(100)
    return not head or re.match(rb'\s*\{\s*"(protocol|truth)"', head) is not None


def _choose_held_out(dataset: Dataset, fraction: float, seed: int) -> frozenset[str]:
    """Ids of the held-out videos. Raises ConfigError unless there are labeled videos on both sides."""
    held_out = held_out_ids(dataset, fraction, seed)
    training = dataset.subset("training")
    if fraction and not held_out:
        raise ConfigError(
            f"--hold-out {fraction:g} of {len(training)} training videos is none",
            hint="use a larger fraction",
            code="invalid-value",
        )
    for side, is_held_out in (("in training", False), ("held out", True)):
        if held_out and not any(video.labels for video in training if (video.id in held_out) is is_held_out):
            raise ConfigError(
                f"--hold-out {fraction:g} leaves no video with a label {side}",
                hint="use another fraction",
                code="invalid-value",
            )
    return held_out


def _require_run_dir(run_dir: Path, dataset: Dataset) -> None:
    """Raise DataError if training would overwrite something else than a run."""
    require_not_input(run_dir, dataset.path, hint=HINT_OUT)
    if latest_checkpoint(run_dir) is None and (checkpoints := list_checkpoints(run_dir)):
        raise DataError("not a checkpoint of wtal", path=checkpoints[0], hint=HINT_OUT, code="already-exists")
