"""What a format cannot hold of some timelines, in a sentence each: nothing is lost in silence."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from wtal.formats.problem import short
from wtal.formats.timelines.known import Format
from wtal.formats.timelines.timeline import Segment, Timeline

FORMULA = re.compile(r"[=+\-@\t]")


class Loss(NamedTuple):
    """What is lost, in a sentence, and of how many videos, segments or names."""

    what: str
    many: int


def losses(known: Format, timelines: Sequence[Timeline], fps: float | None = None) -> list[Loss]:
    """Each thing that is not read back from this format as it was, or is run by a spreadsheet."""
    segments = [one for timeline in timelines for one in timeline.segments]
    found = [*_of_videos(known, timelines), *_of_scores(known, segments), *_of_times(known, segments, fps)]
    words = {one.label for one in segments} | {tag for timeline in timelines for tag in timeline.tags}
    if changed := sum(known.text(word) != word for word in words):
        found.append(Loss("labels with line breaks or other marks that it cannot hold are changed", changed))
    names = words | {timeline.id for timeline in timelines}
    if known.ending == ".csv" and (formulas := sum(FORMULA.match(name) is not None for name in names)):
        found.append(Loss("a spreadsheet takes names that begin with =, +, - or @ for formulas", formulas))
    return found


def _of_videos(known: Format, timelines: Sequence[Timeline]) -> Iterator[Loss]:
    kinds: tuple[tuple[str, str, Callable[[Timeline], bool]], ...] = (
        ("empty videos", "videos without segments are left out", lambda t: not t.segments),
        ("durations", "lengths of videos are left out", lambda t: t.duration is not None),
        ("subsets", "subsets of videos are left out", lambda t: bool(t.subset)),
        ("tags", "labels without times are left out, of some videos", lambda t: bool(t.tags)),
    )
    for name, sentence, has in kinds:
        many = sum(map(has, timelines))
        if many and name not in known.holds:
            yield Loss(sentence, many)
    changed = [(timeline.id, new) for timeline in timelines if (new := known.id(timeline.id)) != timeline.id]
    if changed:
        old, new = changed[0]
        said = f"names of videos are read back otherwise, {short(repr(old))} as {short(repr(new))}"
        yield Loss(said, len(changed))


def _of_scores(known: Format, segments: Sequence[Segment]) -> Iterator[Loss]:
    scored = sum(one.score is not None for one in segments)
    if scored and known.scores:
        yield Loss(f"scores are {known.scores}", scored)
    if scored < len(segments) and known.name == "results":
        yield Loss("segments without a score get 1.0, as each must have one", len(segments) - scored)


def _of_times(known: Format, segments: Sequence[Segment], fps: float | None) -> Iterator[Loss]:
    each = fps if known.frames and fps else known.per_second
    if not each:
        return
    rounded = [(one, round(one.start * each), round(one.end * each)) for one in segments]
    off = sum(abs(a / each - one.start) > 1e-9 or abs(b / each - one.end) > 1e-9 for one, a, b in rounded)
    if off:
        yield Loss(f"times are rounded to {'frames' if known.frames else 'steps'} of 1/{each:.9g} s", off)
    if points := sum(a == b for _, a, b in rounded) if known.no_points else 0:
        yield Loss(f"nothing is shorter than 1/{each:.9g} s, and what was is that long", points)
