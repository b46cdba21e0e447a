"""A run's operating point: chosen once from a data set, kept beside the checkpoints, used by `wtal predict`."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from wtal import checkpoint
from wtal.batch import localize_here
from wtal.errors import CheckpointError, ConfigError, DataError
from wtal.files import read_json, write_json
from wtal.formats.plain import Folder, read_folder
from wtal.localize import SURE, surest
from wtal.operating import F1, Calibration, apply, calibrate, wanted_precision
from wtal.predict import require_fit
from wtal.records import Proposal, Video
from wtal.report.operating_text import sentence
from wtal.tidy import Limits, by_time

NAME = "operating.json"
ALL = "all"
Cut = Callable[[Sequence[Proposal]], list[Proposal]]  # one video's proposals -> its timeline


def calibrate_run(run: Path, data: Path, subset: str | None = None, limits: Limits | None = None) -> Calibration:
    """Localize a subset and write what it teaches to operating.json in the run folder.

    Unless said otherwise that is validation, else the training sequences that were held out, else all of training.
    Raises CheckpointError where the model does not fit the data, DataError where no video carries a label.
    """
    folder = read_folder(data)
    network, meta = checkpoint.load_local(run)
    require_fit(meta, folder)
    name, videos = _chosen(folder, subset, meta.held_out)
    found = dict(localize_here(network, meta, folder, videos))
    calibration = calibrate(found, videos, meta.classes, fingerprint_of(run), name, limits or Limits())
    write_json(run / NAME, calibration.to_json(), indent=None)
    return calibration


def read_calibration(run: Path) -> Calibration | None:
    """What `calibrate_run` wrote, None where it never did. Raises CheckpointError where the model is another."""
    path = run / NAME
    if not path.is_file():
        return None
    try:
        calibration = Calibration.from_json(read_json(path))
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    if calibration.model != fingerprint_of(run):
        raise CheckpointError(f"{path}: belongs to another checkpoint; run `wtal calibrate {run} DATA` again")
    return calibration


def cut_of(run: Path, aim: str) -> tuple[Cut, str]:
    """What makes a timeline of a run's proposals, and a sentence on how that was chosen.

    `aim` is "f1", "precision=0.9" or "all". A run that was never calibrated has no precision to promise: there
    f1 is what a person would look at first. Raises ConfigError.
    """
    if aim == ALL:
        return by_time, "operating point all: every proposal"
    wanted = wanted_precision(aim)
    calibration = read_calibration(run)
    if calibration is not None:
        point = calibration.at(aim)
        return partial(apply, point), sentence(point)
    if wanted is not None:
        raise ConfigError(f"{run}: nothing says which score has that precision; run `wtal calibrate {run} DATA`")
    said = f"operating point {F1}: not chosen, so shown is what is at least {SURE:g} as sure as the surest"
    return lambda found: by_time(surest(found)), f"{said}; `wtal calibrate {run} DATA` chooses it"


def _chosen(folder: Folder, subset: str | None, held_out: Sequence[str]) -> tuple[str, Sequence[Video]]:
    name = subset or ("validation" if "validation" in folder.subsets else "training")
    videos = folder.subset(name)
    unseen = [video for video in videos if video.id in held_out]
    return ("held-out training", unseen) if unseen else (videos[0].subset, videos)


def fingerprint_of(run: Path) -> str:
    """The fingerprint of the weights that inference loads."""
    folder = checkpoint.newest(run)
    if folder is None:
        raise CheckpointError(f"{run}: not a run or model folder; name the --out of train")
    try:
        return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{folder}: model.safetensors cannot be read; copy the run again") from error
