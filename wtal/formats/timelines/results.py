"""ActivityNet's result file: proposals, each with a score."""

from collections.abc import Sequence
from pathlib import Path

from wtal.formats.problem import short
from wtal.formats.results import read_results, write_results
from wtal.formats.timelines.timeline import Read, Timeline, segment, word
from wtal.records import Proposal


def read(path: Path) -> Read:
    """The proposals of each video. Raises DataError with the entry that is at fault."""
    found = [
        Timeline(word(str(path), id, "id"), tuple(segment(f"{path}, {short(id)}", *one) for one in proposals))
        for id, proposals in read_results(path).items()
    ]
    return Read(found, [])


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """Proposals; a segment without a score is as sure as can be."""
    write_results(
        path,
        {
            timeline.id: [
                Proposal(s.label, s.start, s.end, 1.0 if s.score is None else s.score) for s in timeline.segments
            ]
            for timeline in timelines
        },
    )
