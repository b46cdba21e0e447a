"""ELAN (.eaf): a tier a label, a tier below it for its scores; milliseconds, one video a file."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.parsers import expat

from wtal.core.errors import DataError, short_message
from wtal.core.io import atomic_write
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    id_of_file,
    media_of,
    milliseconds,
    one_line,
    segment,
)
from wtal.data.problems import abbreviate

if TYPE_CHECKING:
    from pympi.Elan import Eaf

MOST = 100_000_000  # bytes; a day of densely annotated video has a hundredth of it
SCORE = "score"  # the linguistic type of the tiers that hold one
IDS = ("TIER_ID", "ANNOTATION_ID", "TIME_SLOT_ID")
NO_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(path: Path) -> AnnotationFile:
    """The annotations of all tiers that have times; one without text is called as its tier.

    Raises DataError where the file is not XML, declares entities, has an id twice, or is not what ELAN writes.
    """
    _require_sound_xml(path)
    from pympi.Elan import Eaf

    try:
        return _read(path, Eaf(str(path.absolute()), suppress_version_warning=True))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a file as ELAN writes it ({short_message(error)}); save it in ELAN again"
        ) from error


def write(path: Path, timelines: Sequence[Annotation]) -> None:
    """One timeline. Annotations of a tier never overlap, so a label that does has several tiers."""
    from pympi.Elan import to_eaf

    (timeline,) = timelines
    document = _document(sorted(timeline.segments, key=_edges))
    if timeline.media:
        place, kind = f"./{label(timeline.media).replace('%', '%25')}", guess_type(timeline.media)[0]
        document.add_linked_file(place, place, kind or "unknown")
    atomic_write(path, lambda part: to_eaf(str(part.absolute()), document))


def label(text: str) -> str:
    """A label as XML can hold it."""
    return NO_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _require_sound_xml(path: Path) -> None:
    """No entities: a few of them, one within the other, fill any memory. No id twice: pympi keeps only the last."""
    seen: set[tuple[str, str]] = set()

    def look(_: str, about: dict[str, str]) -> None:
        for name in IDS:
            if name not in about:
                continue
            if (name, about[name]) in seen:
                where = f"{path}, line {parser.CurrentLineNumber}"
                raise DataError(f"{where}: {name} {abbreviate(repr(about[name]))} is there twice; give each its own")
            seen.add((name, about[name]))

    def refuse(*declared: object) -> None:
        raise DataError(f"{path}: has a DOCTYPE, which ELAN never writes; save it in ELAN again")

    try:
        data = path.read_bytes() if path.stat().st_size <= MOST else None
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if data is None:
        raise DataError(f"{path}: is larger than {MOST // 1_000_000} MB; split it in ELAN")
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = look
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise DataError(f"{path}, line {error.lineno}: not XML ({why}); the file may be cut off") from error
    except (LookupError, ValueError) as error:
        raise DataError(f"{path}: in an encoding that cannot be read ({error}); save it as UTF-8") from error


def _read(path: Path, document: "Eaf") -> AnnotationFile:
    tiers = [(name, aligned, refs, about) for name, (aligned, refs, about, _) in document.tiers.items()]
    scoring = [refs for _, _, refs, about in tiers if about.get("LINGUISTIC_TYPE_REF") == SCORE]
    scores = {made[0]: made[1] for refs in scoring for made in refs.values()}
    others = sum(len(refs) for _, _, refs, _ in tiers) - len(scores)
    found, untimed = [], 0
    for name, aligned, _, _ in tiers:
        for id, (first, last, text, _) in aligned.items():
            start, end = document.timeslots[first], document.timeslots[last]
            if start is None or end is None:
                untimed += 1
                continue
            where = f"{path}, tier {abbreviate(name)}, {abbreviate(id)}"
            found.append(segment(where, text.strip() or name, start / 1000, end / 1000, scores.get(id)))
    said = ((untimed, "annotations have no times of their own"), (others, "annotations of other annotations"))
    remarks = [f"{path}: {many} {what}, they are left out" for many, what in said if many]
    media = media_of(unquote(next((one.get("MEDIA_URL", "") for one in document.media_descriptors), "")))
    return AnnotationFile([Annotation(id_of_file(path), tuple(sorted(found, key=_edges)), media=media)], remarks)


def _document(segments: Sequence[Segment]) -> "Eaf":
    """Segments in order of time -> a document with time slots in order of time, as ELAN wants them."""
    from pympi.Elan import Eaf

    document = Eaf(author="wtal")
    document.add_linguistic_type(SCORE, "Symbolic_Association", timealignable=False)
    if segments:
        document.remove_tier("default")
    edges = sorted((time, n, side) for n, one in enumerate(segments) for side, time in enumerate(_edges(one)))
    slots = {(n, side): document.generate_ts_id(time) for time, n, side in edges}
    tiers: dict[tuple[str, int], str] = {}
    below: dict[str, str] = {}
    taken = Counter[str]()
    for n, (one, lane) in enumerate(zip(segments, _lanes(segments), strict=True)):
        tier = tiers.get((one.label, lane)) or _new_tier(document, NO_XML.sub("\ufffd", one_line(one.label)), taken)
        tiers[one.label, lane] = tier
        id = document.generate_annotation_id()
        document.tiers[tier][0][id] = (slots[n, 0], slots[n, 1], label(one.label), None)
        if one.score is not None:
            if tier not in below:
                below[tier] = _new_tier(document, f"{tier} {SCORE}", taken, tier)
            document.tiers[below[tier]][1][document.generate_annotation_id()] = (id, repr(one.score), None, None)
    return document


def _new_tier(document: "Eaf", name: str, taken: Counter[str], parent: str | None = None) -> str:
    """Add a tier under this name, or with the next number behind it; `taken` counts how often names were."""
    free = name
    while free in document.tiers:
        taken[name] += 1
        free = f"{name} {taken[name] + 1}"
    document.add_tier(free, SCORE if parent else "default-lt", parent)
    return free


def _lanes(segments: Sequence[Segment]) -> Iterator[int]:
    """For each segment the first of its label's lanes that is free by then."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for one in segments:
        start, end = _edges(one)
        lanes = ends.setdefault(one.label, [])
        lane = heappop(lanes)[1] if lanes and lanes[0][0] <= start else len(lanes)
        heappush(lanes, (end, lane))
        yield lane


def _edges(one: Segment) -> tuple[int, int]:
    """Milliseconds; ELAN knows no annotation without length."""
    return milliseconds(one, least=1)
