"""Data set folders with other annotations than an existing one, whose features they link."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wtal.core.io import atomic_write_dir, read_json, write_json


def write_linked_dataset(source: Path, folder: Path, database: Mapping[str, Any]) -> None:
    """Write a data set folder, as a whole or not at all.

    Args:
        source: The data set folder whose features and dataset.json are used.
        folder: The folder to write.
        database: The entries of its annotations.json.
    """

    def write_all(part: Path) -> None:
        (part / "features").symlink_to(source / "features")
        (part / "dataset.json").write_bytes((source / "dataset.json").read_bytes())
        write_json(part / "annotations.json", read_json(source / "annotations.json") | {"database": database})

    atomic_write_dir(folder, write_all)
