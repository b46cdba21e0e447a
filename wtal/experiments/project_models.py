"""The models of a project: run folders `runs/BACKBONE-N`, one for each state of the tags, features and settings.

inputs.json in a run folder identifies what the model is trained on.
"""

from contextlib import suppress
from pathlib import Path

from wtal.core.errors import DataError, WtalError
from wtal.core.io import read_json, write_json
from wtal.experiments.project import Project
from wtal.inference.calibration import read_calibration
from wtal.inference.operating_point import Calibration
from wtal.models import checkpoint

INPUTS_NAME = "inputs.json"


def newest_model(project: Project) -> Path | None:
    """The run folder of the newest complete model of the current backbone, or None."""
    complete = [run for run in _list_runs(project) if is_complete(run)]
    return complete[-1] if complete else None


def find_run(project: Project, inputs: str) -> Path | None:
    """The run folder of the model of these inputs, which may not be complete; None if there is none.

    Args:
        project: The project.
        inputs: The fingerprint of what a model is trained on.
    """
    return next((run for run in _list_runs(project) if _read_inputs(run) == inputs), None)


def create_run(project: Project, inputs: str) -> Path:
    """Create the run folder of a new model of these inputs. Raises DataError if it cannot be written."""
    last = _list_runs(project)[-1:]
    number = 1 + (int(last[0].name.rpartition("-")[2]) if last else 0)
    run = project.runs / f"{project.data.name}-{number}"
    write_json(run / INPUTS_NAME, {"inputs": inputs})
    return run


def is_complete(run: Path) -> bool:
    """Whether the training of a model has ended."""
    with suppress(WtalError):
        meta = checkpoint.read_meta(run)
        return meta.step >= meta.config.train.steps
    return False


def usable_calibration(run: Path) -> Calibration | None:
    """The calibration of a model; None if there is none, or it is damaged or of other weights."""
    with suppress(WtalError):
        return read_calibration(run)
    return None


def _list_runs(project: Project) -> list[Path]:
    """The run folders of the current backbone in the order in which they were made."""
    prefix = f"{project.data.name}-"
    runs = [path for path in project.runs.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdecimal()]
    return sorted(runs, key=lambda path: int(path.name.removeprefix(prefix)))


def _read_inputs(run: Path) -> str:
    with suppress(DataError):
        content = read_json(run / INPUTS_NAME)
        return str(content.get("inputs")) if isinstance(content, dict) else ""
    return ""
