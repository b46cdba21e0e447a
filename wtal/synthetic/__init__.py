"""A small made-up data set with the hard parts of real ones; hands on a plain data set folder, in seconds."""

from pathlib import Path

import numpy as np

from wtal.errors import DataError
from wtal.files import read_json, real, write_folder_whole, write_json
from wtal.records import Video
from wtal.synthetic.making import make_sequence, make_sequences, make_world
from wtal.synthetic.settings import SyntheticConfig

__all__ = ["SyntheticConfig", "make_sequence", "make_sequences", "make_world", "write_synthetic"]

FEATURE = "synthetic: made-up directions, not measured from any video"


def write_synthetic(folder: Path, settings: SyntheticConfig | None = None, seed: int = 0) -> None:
    """Write the data set folder: annotations.json, dataset.json, features/<id>.npy (float16, T x D).

    Training entries carry labels alone. The same settings and seed give the same bytes. An older synthetic
    data set in `folder` is replaced; raises DataError when the folder holds anything else.
    """
    settings = settings or SyntheticConfig()
    folder = real(folder)
    _check_replaceable(folder)
    write_folder_whole(folder, lambda part: _write_parts(part, settings, seed))


def _write_parts(folder: Path, settings: SyntheticConfig, seed: int) -> None:
    (folder / "features").mkdir()
    database = {}
    for sequence in make_sequences(settings, seed):
        np.save(folder / "features" / f"{sequence.video.id}.npy", sequence.features)
        database[sequence.video.id] = _entry(sequence.video)
    write_json(folder / "annotations.json", {"version": "synthetic", "database": database})
    write_json(folder / "dataset.json", _facts(settings, seed))


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: a file is in the way; choose another folder for the synthetic data set")
    about = folder / "dataset.json"
    facts = read_json(about) if about.exists() else {}
    made_here = isinstance(facts, dict) and facts.get("feature") == FEATURE
    if any(folder.iterdir()) and not made_here:
        raise DataError(f"{folder}: holds something other than a synthetic data set; choose an empty folder")


def _facts(settings: SyntheticConfig, seed: int) -> dict[str, object]:
    return {
        "snippet_seconds": settings.snippet_seconds,
        "offset_seconds": settings.offset_seconds,
        "classes": list(settings.class_names()),
        "feature": FEATURE,
        "modalities": list(settings.modalities),
        "split": "every sequence drawn by itself",
        "source": f"wtal.synthetic, seed {seed}",
        "licence": "made by wtal from a seed",
    }


def _entry(video: Video) -> dict[str, object]:
    """A video as ActivityNet's database has it."""
    annotations: list[dict[str, object]]
    if video.subset == "training":
        annotations = [{"label": label} for label in video.labels]
    else:
        annotations = [{"label": a.label, "segment": [a.start, a.end]} for a in video.actions]
    return {"subset": video.subset, "duration": video.duration, "annotations": annotations}
