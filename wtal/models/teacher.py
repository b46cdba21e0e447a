"""The teacher of a run on disk: the models of stage one, the memory, and the class probabilities of the
training snippets.

    stage-one/model-1 ... model-K    run folders
    teacher/targets.safetensors      class probabilities of all training snippets, one tensor per video, T x (C + 1)
    teacher/memory.safetensors       the memory
    teacher/teacher.json             settings, reliability of each model for each class

Inference does not need these files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wtal.core.config import Config
from wtal.core.errors import CheckpointError, DataError
from wtal.core.io import read_json
from wtal.models.checkpoint import ModelMetadata, load_model, read_meta, read_weights
from wtal.models.global_branch import Ensemble, GlobalBranch
from wtal.models.memory import GlobalMemory

STAGE_ONE_DIR, TEACHER_DIR = "stage-one", "teacher"
TARGETS_NAME, MEMORY_NAME, INFO_NAME = "targets.safetensors", "memory.safetensors", "teacher.json"


@dataclass(frozen=True)
class Teacher:
    """A teacher that has been written to a folder.

    Attributes:
        targets: Class probabilities of the snippets of each training video, T x (C + 1), by video id.
        memory: What was read for them.
        reliability: Weight of each model of stage one for each class, K x (C + 1).
        videos: The ids of the training videos, in the order of the indices of videos in the memory.
    """

    targets: dict[str, Tensor]
    memory: GlobalMemory
    reliability: Tensor
    videos: tuple[str, ...]


def read_teacher(folder: Path) -> Teacher:
    """Read a teacher folder. Raises CheckpointError if it is damaged."""
    info = read_info(folder)
    try:
        reliability, videos = torch.tensor(info["reliability"]), tuple(map(str, info["videos"]))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        path = folder / INFO_NAME
        raise CheckpointError("malformed", path=path, hint="train again", code="unreadable-weights") from error
    memory = GlobalMemory.load(folder / MEMORY_NAME)
    return Teacher(read_weights(folder / TARGETS_NAME), memory, reliability, videos)


def read_info(folder: Path) -> dict[str, Any]:
    """Read teacher.json. Raises CheckpointError if it is damaged."""
    path = folder / INFO_NAME
    try:
        info = read_json(path)
    except DataError as error:
        raise CheckpointError(error.message, path=path, hint="train again", code=error.code) from error
    if not isinstance(info, dict) or not {"reliability", "videos"} <= info.keys():
        raise CheckpointError("not written by wtal", path=path, hint="train again", code="unreadable-weights")
    return info


def load_global_branch(run_dir: Path) -> tuple[nn.Module, ModelMetadata]:
    """Load the teacher of a run as a network that scores all classes, for evaluation.

    Raises:
        CheckpointError: The folder is no run, or its method has no global branch (code `no-global-branch`).
    """
    meta = read_meta(run_dir)
    ensemble, memory = _load_ensemble(run_dir, meta)
    return GlobalBranch(ensemble, memory, meta.config.teacher.memory_share).eval(), meta


def load_ensemble(run_dir: Path) -> tuple[nn.Module, ModelMetadata]:
    """Load the averaged models of stage one of a run, for evaluation. Raises like `load_global_branch`."""
    meta = read_meta(run_dir)
    return _load_ensemble(run_dir, meta)[0].eval(), meta


def load_memory(run_dir: Path) -> GlobalMemory:
    """Load the memory of a run, to inspect it. Raises CheckpointError if there is none."""
    return GlobalMemory.load(run_dir / TEACHER_DIR / MEMORY_NAME)


def stage_one_dirs(stage_one: Path, config: Config) -> list[Path]:
    """The run folders of the models of stage one."""
    return [stage_one / f"model-{number + 1}" for number in range(config.teacher.models)]


def require_teacher(run_dir: Path, stage_one: Path | None = None) -> None:
    """Raise CheckpointError unless a run has models of stage one and a teacher (code `no-global-branch`).

    Args:
        run_dir: The run folder.
        stage_one: The folder of the models of stage one; None: in the run folder.
    """
    if not (stage_one or run_dir / STAGE_ONE_DIR).is_dir() or not (run_dir / TEACHER_DIR).is_dir():
        raise CheckpointError(
            f"no models of stage one and no memory (method {read_meta(run_dir).config.method})",
            path=run_dir,
            hint="use the local branch, or pass the run folder of `wtal train --method dfe`",
            code="no-global-branch",
        )


def _load_ensemble(run_dir: Path, meta: ModelMetadata) -> tuple[Ensemble, GlobalMemory]:
    require_teacher(run_dir)
    teacher = read_teacher(run_dir / TEACHER_DIR)
    models = load_stage_one(run_dir / STAGE_ONE_DIR, meta.config)
    return Ensemble(models, teacher.reliability), teacher.memory


def load_stage_one(stage_one: Path, config: Config) -> list[nn.Module]:
    """Load the models of stage one."""
    return [load_model(folder)[0] for folder in stage_one_dirs(stage_one, config)]
