"""The state of training, saved with each checkpoint to resume from it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from wtal.core.errors import CheckpointError
from wtal.models import checkpoint


@dataclass(frozen=True)
class TrainingState:
    """The model in training, the moving average of its weights, and the optimizer."""

    model: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer

    def save(self, run_dir: Path, meta: checkpoint.ModelMetadata, step: int) -> None:
        """Write the checkpoint of a step and delete the older ones."""
        state = self.optimizer.state_dict()["state"]
        tensors = {
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{f"averaged.module.{name}": value for name, value in self.averaged.state_dict().items()},
            **{f"optimizer.{i}.{name}": value for i, values in state.items() for name, value in values.items()},
        }
        tensors = {name: value.contiguous().cpu() for name, value in tensors.items()}
        folder = run_dir / f"checkpoint-{step:06d}"
        checkpoint.save_checkpoint(folder, replace(meta, step=step), self.averaged, tensors)
        for older in checkpoint.list_checkpoints(run_dir):
            if older != folder:
                shutil.rmtree(older)

    def restore(self, run_dir: Path, meta: checkpoint.ModelMetadata) -> int:
        """Load the last checkpoint of a run and return its number of steps; 0 if there is none.

        Raises:
            CheckpointError: It belongs to another run, or is damaged.
        """
        folder = checkpoint.latest_checkpoint(run_dir)
        if folder is None:
            return 0
        saved = checkpoint.read_meta(folder)
        if changes := saved.describe_changes(meta):
            raise checkpoint.different_run(run_dir, changes)
        path = folder / "training.safetensors"
        tensors = checkpoint.read_weights(path)
        try:
            self.model.load_state_dict(_select(tensors, "model."))
            self.averaged.load_state_dict(_select(tensors, "averaged.module."))
            self._load_optimizer(_select(tensors, "optimizer."))
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                "the saved weights belong to another run", path=path, hint="train again", code="different-run"
            ) from error
        return saved.step

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def _select(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
