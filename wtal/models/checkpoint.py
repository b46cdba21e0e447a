"""Checkpoint folders: safetensors and config.json, written atomically and read without unpickling.

model.safetensors     the local branch: all that inference loads
training.safetensors  weights in training and optimizer state, to resume
config.json           settings, classes, modalities, snippet clock, step, versions
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from wtal import __version__
from wtal.core.clock import SnippetClock
from wtal.core.config import Config, describe_changes, parse_config
from wtal.core.errors import CheckpointError, ConfigError, DataError, first_validation_error
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import atomic_write_dir, os_error_message, read_json, read_tensors, write_json, write_tensors
from wtal.data.provenance import Provenance, parse_provenance, to_json
from wtal.data.video_files import PROJECT_NAME
from wtal.models.layers import UNLIMITED
from wtal.models.local_branch import build_model

RUN_FILES = ("metrics.jsonl", "stage-one")  # what a run has before its first checkpoint
FORMAT = 3  # of config.json; files of wtal 0.1.0 have none and are read as 1
HINT = "copy the run again, or train again"

# Settings that wtal 0.1.0 named differently: section -> old name -> name.
RENAMED_SETTINGS = {
    "train": {"average": "ema_decay", "ramp": "distillation_rampup"},
    "weights": {
        "exclusive": "class_competition",
        "candidates": "partial_label",
        "coactivity": "co_activity",
        "guide": "attention_background_consistency",
    },
}
# Settings of formats 1 and 2 that no longer exist.
REMOVED_SETTINGS = {
    "model": ("normalise", "memory", "slots", "momentum"),
    "train": ("warmup", "distillation_rampup", "temperature"),
    "weights": ("prototypes", "distillation_features"),
    "localize": ("video_threshold",),
}
# What a run that is resumed must have in common with its checkpoint besides the settings: attribute -> description.
COMPARED = {
    "classes": "classes",
    "modalities": "widths of features",
    "clock": "snippet times",
    "held_out": "held-out videos",
    "provenance": "features",
    "label_counts": "labels",
    "label_fingerprint": "labels",
}
MAX_CHANGES_SHOWN = 4
REMOVED_METHODS = ("dfe-no-distillation", "self-distillation")


@dataclass(frozen=True)
class ModelMetadata:
    """What a model consists of besides its weights."""

    config: Config
    classes: tuple[str, ...]
    modalities: tuple[int, ...]  # widths; they sum to D
    clock: SnippetClock
    step: int
    held_out: tuple[str, ...] = ()  # ids of training videos that were left out
    provenance: Provenance | None = None  # how the features were extracted, None if unknown
    label_counts: Mapping[str, int] = field(default_factory=dict)  # training videos with each kind of label
    label_fingerprint: str = ""  # SHA-256 of these labels, to resume with the same ones; empty in older files

    def describe_changes(self, new: "ModelMetadata") -> list[str]:
        """What differs in new metadata, besides the step."""
        same_if_unknown = ("label_counts", "label_fingerprint") if not self.label_fingerprint else ()
        changes = describe_changes(self.config.model_dump(mode="json"), new.config)
        for name, description in COMPARED.items():
            if name not in same_if_unknown and getattr(self, name) != getattr(new, name):
                changes.append(f"other {description}")
        return list(dict.fromkeys(changes))

    def to_json(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return {
            "format": FORMAT,
            "wtal": __version__,
            "step": self.step,
            "classes": self.classes,
            "modalities": self.modalities,
            "snippet_seconds": self.clock.stride,
            "offset_seconds": self.clock.offset,
            "held_out": self.held_out,
            "provenance": None if self.provenance is None else to_json(self.provenance),
            "labels": dict(self.label_counts),
            "label_fingerprint": self.label_fingerprint,
            "config": self.config.model_dump(),
        }


def different_run(path: Path, changes: Sequence[str]) -> CheckpointError:
    """The error of a run that cannot be resumed, because of these differences; the first ones are named."""
    shown = "; ".join(changes[:MAX_CHANGES_SHOWN])
    more = f"; and {len(changes) - MAX_CHANGES_SHOWN} more" if len(changes) > MAX_CHANGES_SHOWN else ""
    return CheckpointError(
        f"the run was started with {shown}{more}",
        path=path,
        hint="repeat the options of the first call, or choose another folder",
        code="different-run",
    )


class _MetaFile(BaseModel):
    """The content of config.json. Unknown keys are ignored, so that later versions can add some."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    format: int = Field(1, ge=1)
    wtal: str = ""
    config: dict[str, Any]
    classes: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    modalities: list[Annotated[int, Field(ge=1, le=10**6)]] = Field(min_length=1)
    snippet_seconds: float = Field(gt=0)
    offset_seconds: float
    step: int = Field(ge=0)
    held_out: list[str] = []
    provenance: dict[str, Any] | None = None
    labels: dict[str, int] = {}
    label_fingerprint: str = ""


def save_checkpoint(folder: Path, meta: ModelMetadata, model: nn.Module, training: dict[str, Tensor]) -> None:
    """Write a checkpoint atomically, with the tensors that resuming needs. Raises DataError if the disk is full."""

    def write_all(part: Path) -> None:
        write_model(part, meta, model)
        write_tensors(training, part / "training.safetensors")

    atomic_write_dir(folder, write_all)


def write_model(folder: Path, meta: ModelMetadata, model: nn.Module) -> None:
    """Write a model into an existing folder: config.json and the weights."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    write_tensors(weights, folder / "model.safetensors")
    write_json(folder / "config.json", meta.to_json())


def latest_checkpoint(run_dir: Path) -> Path | None:
    """The last checkpoint of a run folder, or the folder itself if it is a model folder; None if there is none."""
    if (run_dir / "config.json").is_file() and (run_dir / "model.safetensors").is_file():
        return run_dir
    complete = [folder for folder in list_checkpoints(run_dir) if (folder / "config.json").is_file()]
    return max(complete, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def list_checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoint folders of a run, by name; copies under other names are not listed."""
    return [path for path in run_dir.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]


def require_checkpoint(run_dir: Path) -> Path:
    """The last checkpoint of a run or model folder.

    Raises:
        CheckpointError: There is none (code `no-checkpoint` for an unfinished run, else `not-a-model`).
    """
    folder = latest_checkpoint(run_dir)
    if folder is None and any((run_dir / name).exists() for name in RUN_FILES):
        raise CheckpointError(
            "the run has no checkpoint yet",
            path=run_dir,
            hint="finish the training: run `wtal train` again with --resume",
            code="no-checkpoint",
        )
    if folder is None:
        raise CheckpointError(
            "not a run or model folder" if run_dir.exists() else "no such folder",
            path=run_dir,
            hint="pass a folder in its folder `runs`"
            if (run_dir / PROJECT_NAME).is_file()
            else "pass the folder given as --out to `wtal train`",
            code="not-a-model" if run_dir.exists() else "file-not-found",
        )
    return folder


def read_meta(run_dir: Path) -> ModelMetadata:
    """Read settings, classes and clock of a run or model folder.

    Raises:
        CheckpointError: The folder is no model, or config.json is damaged or of a newer version.
        ConfigError: A setting is unknown or out of range.
    """
    path = require_checkpoint(run_dir) / "config.json"
    try:
        file = _MetaFile.model_validate(read_json(path))
    except DataError as error:
        raise CheckpointError(error.message, path=path, location=error.location, hint=HINT, code=error.code) from error
    except ValidationError as error:
        raise CheckpointError(
            f"not the config.json of a model ({first_validation_error(error)})", path=path, hint=HINT
        ) from error
    if file.format > FORMAT:
        raise CheckpointError(
            f"written by wtal {file.wtal}, this is wtal {__version__}",
            path=path,
            hint="update wtal",
            code="unsupported-version",
        )
    return ModelMetadata(
        parse_config(file.config if file.format == FORMAT else _migrated(file, path), path),
        tuple(file.classes),
        tuple(file.modalities),
        SnippetClock(file.snippet_seconds, file.offset_seconds),
        file.step,
        tuple(file.held_out),
        _provenance(file.provenance, path),
        file.labels,
        file.label_fingerprint,
    )


def load_model(run_dir: Path) -> tuple[nn.Module, ModelMetadata]:
    """Load the network of a run or model folder, ready for inference.

    Raises:
        CheckpointError: The folder is no model, or its method is not registered.
    """
    meta = read_meta(run_dir)
    weights = read_weights(require_checkpoint(run_dir) / "model.safetensors")
    if "normalise.mean" in weights:  # formats 1 and 2 have no limit
        weights.setdefault("normalise.limit", torch.tensor(UNLIMITED))
    try:
        if meta.config.method_spec.build is None:  # a network of the user's own may need memory to be built
            _require_shapes(meta, weights, run_dir)
        model = build_model(meta.config, meta.modalities, len(meta.classes))
    except ConfigError as error:  # a method of the user's own that is not registered
        raise CheckpointError(error.message, path=run_dir, hint=error.hint, code=error.code) from error
    _load_weights(model, weights, run_dir)
    return model.eval(), meta


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises CheckpointError if it is missing or incomplete."""
    try:
        return read_tensors(path)
    except DataError as error:
        raise CheckpointError("missing or incomplete", path=path, hint=HINT, code="unreadable-weights") from error


def _migrated(file: _MetaFile, path: Path) -> dict[str, Any]:
    """The settings of an older format under the names of today.

    Raises:
        CheckpointError: The model cannot be used any more (code `unsupported-version`).
    """
    config = dict(file.config)
    if file.format == 1:
        for section, names in RENAMED_SETTINGS.items():
            if isinstance(values := config.get(section), dict):
                config[section] = {names.get(name, name): value for name, value in values.items()}
    if isinstance(model := config.get("model"), dict) and model.get("normalise") == "video":
        raise CheckpointError(
            "trained with model.normalise=video, which this version does not support",
            path=path,
            hint="train again",
            code="unsupported-version",
        )
    for section, removed in REMOVED_SETTINGS.items():
        if isinstance(values := config.get(section), dict):
            config[section] = {name: value for name, value in values.items() if name not in removed}
    if config.get("method") in REMOVED_METHODS:
        config["method"] = "dfe"
    return config


def _provenance(values: dict[str, Any] | None, path: Path) -> Provenance | None:
    try:
        return None if values is None else parse_provenance(values, str(path))
    except DataError as error:
        raise CheckpointError("the provenance cannot be read", path=path, hint=HINT) from error


def weights_fingerprint(run_dir: Path) -> str:
    """The SHA-256 of the weights that inference loads. Raises CheckpointError if there are none."""
    return _fingerprint(run_dir, "model.safetensors")


def model_fingerprint(run_dir: Path) -> str:
    """The SHA-256 of the weights and the settings. Raises CheckpointError if there are none."""
    return _fingerprint(run_dir, "model.safetensors", "config.json")


def _fingerprint(run_dir: Path, *names: str) -> str:
    folder = require_checkpoint(run_dir)
    try:
        return content_fingerprint(*(folder / name for name in names))
    except OSError as error:
        message = f"the model cannot be read ({os_error_message(error)})"
        raise CheckpointError(message, path=folder, hint=HINT, code="io-error") from error


def _require_shapes(meta: ModelMetadata, weights: dict[str, Tensor], run_dir: Path) -> None:
    """Raise CheckpointError unless the network has these weights. A width in config.json can be anything, and the
    network is built without memory here."""
    with torch.device("meta"):
        network = build_model(meta.config, meta.modalities, len(meta.classes))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise CheckpointError("the weights do not fit config.json", path=run_dir, hint=HINT, code="weights-mismatch")


def _load_weights(model: nn.Module, weights: dict[str, Tensor], run_dir: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            "the weights do not fit config.json", path=run_dir, hint=HINT, code="weights-mismatch"
        ) from error
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise CheckpointError(
            "the weights are not finite: training diverged",
            path=run_dir,
            hint="lower train.learning_rate and train again",
            code="training-diverged",
        )
