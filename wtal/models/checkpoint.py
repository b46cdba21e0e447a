"""A checkpoint is a folder: safetensors, config.json. Written whole; read without unpickling anything.

model.safetensors     the local branch: all that inference loads
global.safetensors    memory and global enhancement, where the method has them
training.safetensors  raw weights and the optimizer's state, to resume
config.json           resolved settings, classes, modalities, snippet clock, step, version
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wtal import __version__
from wtal.core.clock import SnippetClock
from wtal.core.config import Config, parse_config
from wtal.core.errors import CheckpointError, DataError, first_validation_error
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import atomic_write_dir, os_error_message, read_json, write_json, write_tensors
from wtal.data.provenance import Provenance, parse_provenance, to_json
from wtal.models.dfe import DFE, LocalBranch, build, build_local


@dataclass(frozen=True)
class ModelMetadata:
    """What a model must know beside its weights."""

    config: Config
    classes: tuple[str, ...]
    modalities: tuple[int, ...]
    clock: SnippetClock
    step: int
    held_out: tuple[str, ...] = ()  # training sequences that were kept back
    provenance: Provenance | None = None  # what its features come from, None where nobody wrote it down

    def to_json(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return {
            "wtal": __version__,
            "step": self.step,
            "classes": self.classes,
            "modalities": self.modalities,
            "snippet_seconds": self.clock.stride,
            "offset_seconds": self.clock.offset,
            "held_out": self.held_out,
            "provenance": None if self.provenance is None else to_json(self.provenance),
            "config": self.config.model_dump(),
        }


class _MetaFile(BaseModel):
    """config.json as it must be; what a later version adds beside is let be."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    config: dict[str, Any]
    classes: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    modalities: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    snippet_seconds: float = Field(gt=0)
    offset_seconds: float
    step: int = Field(ge=0)
    held_out: list[str] = []
    provenance: dict[str, Any] | None = None


def save_checkpoint(folder: Path, meta: ModelMetadata, model: LocalBranch | DFE, training: dict[str, Tensor]) -> None:
    """Write a checkpoint whole, with what resuming needs. Raises DataError when the disk is full."""

    def write_all(part: Path) -> None:
        write_model(part, meta, model)
        write_tensors(training, part / "training.safetensors")

    atomic_write_dir(folder, write_all)


def write_model(folder: Path, meta: ModelMetadata, model: LocalBranch | DFE) -> None:
    """Write a model into an existing folder: config.json and the weights of each branch."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    if isinstance(model, DFE):
        write_tensors(_where(weights, inside=False), folder / "global.safetensors")
        weights = _where(weights, inside=True)
    write_tensors(weights, folder / "model.safetensors")
    write_json(folder / "config.json", meta.to_json())


def latest_checkpoint(run: Path) -> Path | None:
    """The last checkpoint of a run folder, or the folder itself where it is a model; None if there is none."""
    if (run / "config.json").is_file() and (run / "model.safetensors").is_file():
        return run
    whole = [folder for folder in list_checkpoints(run) if (folder / "config.json").is_file()]
    return max(whole, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoint folders of a run, by their names; a copy that a user made under another name is not one."""
    return [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]


def read_meta(run: Path) -> ModelMetadata:
    """Settings, classes and clock. Raises CheckpointError where the folder is no run, ConfigError for a setting."""
    path = _folder(run) / "config.json"
    try:
        values = _MetaFile.model_validate(read_json(path))
    except DataError as error:
        raise CheckpointError(f"{error}; copy the run again, or train again") from error
    except ValidationError as error:
        what = first_validation_error(error)
        raise CheckpointError(f"{path}: not a wtal model ({what}); copy the run again, or train again") from error
    return ModelMetadata(
        parse_config(values.config, str(path)),
        tuple(values.classes),
        tuple(values.modalities),
        SnippetClock(values.snippet_seconds, values.offset_seconds),
        values.step,
        tuple(values.held_out),
        _provenance(values.provenance, path),
    )


def _provenance(values: dict[str, Any] | None, path: Path) -> Provenance | None:
    try:
        return None if values is None else parse_provenance(values, str(path))
    except DataError as error:
        raise CheckpointError(f"{path}: the provenance cannot be read; copy the run again, or train again") from error


def load_local(run: Path) -> tuple[LocalBranch, ModelMetadata]:
    """The local branch, ready for inference: memory and cross-attention are neither built nor read."""
    meta = read_meta(run)
    model = build_local(meta.config, meta.modalities, len(meta.classes))
    _fill(model, read_tensors(_folder(run) / "model.safetensors"), run)
    return model.eval(), meta


def load_both(run: Path) -> tuple[DFE, ModelMetadata]:
    """Both branches, for measuring. Raises CheckpointError where the method has no memory."""
    meta = read_meta(run)
    model = build(meta.config, meta.modalities, len(meta.classes))
    if not isinstance(model, DFE):
        raise CheckpointError(f"{run}: method {meta.config.method} has no global branch; use the local one")
    folder = _folder(run)
    local = read_tensors(folder / "model.safetensors")
    weights = {f"local.{name}": value for name, value in local.items()}
    _fill(model, weights | read_tensors(folder / "global.safetensors"), run)
    return model.eval(), meta


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file. Raises CheckpointError where it is missing or cut off."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: missing or cut off; copy the run again, or train again") from error


def weights_fingerprint(run: Path) -> str:
    """The SHA-256 of the weights that inference loads. Raises CheckpointError where there are none."""
    path = _folder(run) / "model.safetensors"
    try:
        return content_fingerprint(path)
    except OSError as error:
        raise CheckpointError(
            f"the weights cannot be read ({os_error_message(error)})",
            path=path,
            hint="copy the run again",
            code="io-error",
        ) from error


def _where(weights: dict[str, Tensor], inside: bool) -> dict[str, Tensor]:
    """DFE's weights inside its local branch (under the branch's own names), or outside."""
    return {k.removeprefix("local."): v for k, v in weights.items() if k.startswith("local.") == inside}


def _fill(model: torch.nn.Module, weights: dict[str, Tensor], run: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{run}: the weights do not fit config.json; one of them was changed") from error
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise CheckpointError(f"{run}: the weights are not finite, the training diverged; lower train.learning_rate")


def _folder(run: Path) -> Path:
    folder = latest_checkpoint(run)
    if folder is None:
        raise CheckpointError(f"{run}: not a run or model folder (no whole checkpoint in it); name the --out of train")
    return folder
