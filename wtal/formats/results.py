"""ActivityNet result files, `{"version", "results": {id: [{"label", "score", "segment"}]}}` <-> Proposals."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wtal.errors import DataError
from wtal.files import write_json
from wtal.formats.activitynet import load_json
from wtal.formats.problem import short
from wtal.records import Proposal, Proposals


def read_results(path: Path) -> Proposals:
    """Proposals by video, times in seconds, in the order of the file; no video need have any.

    Raises DataError naming file and entry for a missing key, a wrong type, a number that is not finite
    or an end before its start.
    """
    value, repeated = load_json(path)
    if repeated:
        raise DataError(f'{path}: "{repeated[0]}" appears twice, one would be lost; join the two entries')
    results = value.get("results") if isinstance(value, dict) else None
    if results is None and isinstance(value, dict) and "database" in value:
        raise DataError(
            f"{path}: holds annotations, not proposals; name the proposals first, then the ground truth"
        )
    if not isinstance(results, dict):
        raise DataError(f'{path}: has no "results" of videos; use {{"results": {{id: [{{...}}]}}}}')
    return {id: _read_video(entries, f"{path}, {id}") for id, entries in results.items()}


def write_results(path: Path, proposals: Proposals, version: str = "wtal") -> None:
    """Write what `read_results` and ActivityNet's own evaluator read, at full precision."""
    results = {id: [_entry(proposal) for proposal in found] for id, found in proposals.items()}
    write_json(path, {"version": version, "results": results, "external_data": {}}, indent=None)


def require_results_place(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise DataError, before the work, where results cannot be written or something else would be lost."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file to write to")
    if any(path.resolve() == other.resolve() for other in inputs):
        raise DataError(f"{path}: is one of the files to be read; name another to write to")
    if path.is_file() and not _holds_results(path):
        raise DataError(f"{path}: holds something else than results, which would be lost; name another file")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DataError(f"{path}: nothing can be written in {there}; name another place")


def _holds_results(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1000)
    return not head or (head.lstrip().startswith(b"{") and b'"results"' in head)


def _entry(proposal: Proposal) -> dict[str, Any]:
    return {
        "label": proposal.label,
        "score": proposal.score,
        "segment": [proposal.start, proposal.end],
    }


def _read_video(entries: Any, where: str) -> list[Proposal]:
    if not isinstance(entries, list):
        raise DataError(f"{where}: is not a list of proposals; use [] for a video that has none")
    found: list[Proposal] = []
    for number, entry in enumerate(entries, start=1):
        try:
            start, end = entry["segment"]
            found.append(_checked(entry["label"], start, end, entry["score"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}, proposal {number}: {_fault(entry, error)}") from error
    return found


def _checked(label: Any, start: Any, end: Any, score: Any) -> Proposal:
    """The proposal. Raises ValueError saying what is wrong with it."""
    if not isinstance(label, str) or not label:
        raise ValueError(f"label is {short(repr(label))}; use the name of a class")
    for name, number in (("start", start), ("end", end), ("score", score)):
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{name} is {short(repr(number))}; use a finite number")
    if end < start:
        raise ValueError(f"ends at {end} s before it starts at {start} s; swap the two times")
    return Proposal(label, float(start), float(end), float(score))


def _fault(entry: Any, error: Exception) -> str:
    """What is wrong with an entry, in a sentence."""
    if not isinstance(entry, dict):
        return f'is {short(repr(entry))}; use {{"label", "score", "segment"}}'
    if isinstance(error, KeyError):
        return f'has no "{error.args[0]}"; use {{"label", "score", "segment"}}'
    if isinstance(entry["segment"], list) and len(entry["segment"]) == 2:
        return str(error)
    return f"segment is {short(repr(entry['segment']))}; use [start, end] in seconds"
