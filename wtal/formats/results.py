"""ActivityNet result files, `{"version", "results": {id: [{"label", "score", "segment"}]}}` <-> Proposals."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wtal.errors import DataError
from wtal.files import real, write_json
from wtal.formats.activitynet import load_json
from wtal.formats.problem import short
from wtal.formats.timelines.timeline import number, word
from wtal.records import Proposal, Proposals


def read_results(path: Path) -> Proposals:
    """Proposals by video, times in seconds, in the order of the file; no video need have any.

    Raises DataError naming file and entry for a missing key, a wrong type (numbers may be text), one not finite,
    a name that no other file could hold or an end before its start.
    """
    value, repeated = load_json(path)
    results = value.get("results") if isinstance(value, dict) else None
    if results is None and isinstance(value, dict) and "database" in value:
        raise DataError(
            f"{path}: holds annotations, not proposals; name the proposals first, then the ground truth"
        )
    if not isinstance(results, dict):
        raise DataError(f'{path}: has no "results" of videos; use {{"results": {{id: [{{...}}]}}}}')
    for id in results:
        word(str(path), id, "id")
    if repeated:
        raise DataError(f'{path}: "{short(repeated[0])}" appears twice, one would be lost; join the two entries')
    return {id: _read_video(entries, f"{path}, {short(id)}") for id, entries in results.items()}


def write_results(path: Path, proposals: Proposals, version: str = "wtal") -> None:
    """Write what `read_results` and ActivityNet's own evaluator read, at full precision."""
    results = {id: [_entry(proposal) for proposal in found] for id, found in proposals.items()}
    write_json(path, {"version": version, "results": results, "external_data": {}}, indent=None)


def require_results_place(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise DataError, before the work, where results cannot be written or something else would be lost."""
    if path.is_dir() or path.name == "..":
        raise DataError(f"{path}: is a folder; name a file to write to")
    if real(path) in map(real, inputs):
        raise DataError(f"{path}: is one of the files to be read; name another to write to")
    if path.is_file() and not _holds_results(path):
        raise DataError(f"{path}: holds something else than results, which would be lost; name another file")
    there = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
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
    return [_proposal(entry, f"{where}, proposal {place}") for place, entry in enumerate(entries, start=1)]


def _proposal(entry: Any, where: str) -> Proposal:
    """The proposal of an entry, its label as it is. Raises DataError saying what is wrong with it."""
    if not isinstance(entry, dict):
        raise DataError(f'{where}: is {short(repr(entry))}; use {{"label", "score", "segment"}}')
    missing = next((key for key in ("label", "score", "segment") if key not in entry), None)
    if missing is not None:
        raise DataError(f'{where}: has no "{missing}"; use {{"label", "score", "segment"}}')
    label, segment = entry["label"], entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise DataError(f"{where}: segment is {short(repr(segment))}; use [start, end] in seconds")
    word(where, label, "label")
    start, end = number(where, segment[0], "start"), number(where, segment[1], "end")
    if end < start:
        raise DataError(f"{where}: ends at {end} s before it starts at {start} s; swap the two times")
    return Proposal(label, start, end, number(where, entry["score"], "score"))
