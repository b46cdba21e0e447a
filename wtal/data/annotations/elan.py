"""ELAN documents (.eaf): a tier per label, a dependent tier for its scores; milliseconds, one video per file."""

from collections import Counter
from collections.abc import Sequence
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.parsers import expat

from wtal.core.errors import DataError, short_message
from wtal.core.io import atomic_write
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    assign_lanes,
    count_warnings,
    id_from_file,
    single_line,
    to_milliseconds,
)
from wtal.data.annotations.xml import INVALID_CHARACTER, parse_xml, xml_text
from wtal.data.parsing import Location, parse_segment
from wtal.data.problems import abbreviate

if TYPE_CHECKING:
    from pympi.Elan import Eaf

SCORE_TYPE = "score"  # linguistic type of the tiers that hold scores
ID_ATTRIBUTES = ("TIER_ID", "ANNOTATION_ID", "TIME_SLOT_ID")


def read(path: Path) -> AnnotationFile:
    """Read the time-aligned annotations of all tiers; an annotation without text is labeled with its tier.

    Raises:
        DataError: The file is not XML, has a DOCTYPE, has an id twice, or is not an ELAN document.
    """
    _validate_xml(path)
    from pympi.Elan import Eaf

    try:
        return _read_document(path, Eaf(str(path.absolute()), suppress_version_warning=True))
    except (AttributeError, IndexError, KeyError, OverflowError, SyntaxError, TypeError, ValueError) as error:
        message = f"not an ELAN document ({short_message(error)})"
        raise DataError(message, path=path, hint="save it in ELAN again", code="invalid-elan") from error


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write the annotation of one video; a label with overlapping segments gets several tiers."""
    from pympi.Elan import to_eaf

    (annotation,) = annotations
    document = _create_document(sorted(annotation.segments, key=_interval))
    if annotation.file_name:
        url = f"./{xml_text(annotation.file_name).replace('%', '%25')}"
        document.add_linked_file(url, url, guess_type(annotation.file_name)[0] or "unknown")
    atomic_write(path, lambda part: to_eaf(str(part.absolute()), document))


def _validate_xml(path: Path) -> None:
    """Reject what pympi would read wrongly or without limit. Of two elements with one id, pympi keeps the last."""
    seen: set[tuple[str, str]] = set()

    def set_handlers(parser: expat.XMLParserType) -> None:
        def check_ids(_: str, attributes: dict[str, str]) -> None:
            for name in ID_ATTRIBUTES:
                if name not in attributes:
                    continue
                if (name, attributes[name]) in seen:
                    raise Location(path, f"line {parser.CurrentLineNumber}").error(
                        f"{name} {abbreviate(repr(attributes[name]))} appears twice", "make it unique", "duplicate-id"
                    )
                seen.add((name, attributes[name]))

        parser.StartElementHandler = check_ids

    parse_xml(path, "ELAN", set_handlers)


def _read_document(path: Path, document: "Eaf") -> AnnotationFile:
    tiers = document.tiers.items()  # name: (aligned annotations, reference annotations, attributes, ordinal)
    score_tiers = [refs for _, (_, refs, attributes, _) in tiers if attributes.get("LINGUISTIC_TYPE_REF") == SCORE_TYPE]
    scores = {parent: value for refs in score_tiers for parent, value, *_ in refs.values()}
    other_references = sum(len(refs) for _, (_, refs, _, _) in tiers) - len(scores)
    segments, untimed = [], 0
    for tier, (aligned, _, _, _) in tiers:
        for id, (start_slot, end_slot, text, _) in aligned.items():
            start, end = document.timeslots[start_slot], document.timeslots[end_slot]
            if start is None or end is None:
                untimed += 1
                continue
            location = Location(path).child(f"tier {tier}").child(id)
            segments.append(parse_segment(location, text.strip() or tier, start / 1000, end / 1000, scores.get(id)))
    media_url = next((media.get("MEDIA_URL", "") for media in document.media_descriptors), "")
    annotation = Annotation.from_media(unquote(media_url), sorted(segments, key=_interval), id=id_from_file(path))
    warnings = {
        "annotations without times of their own are ignored": untimed,
        "annotations of other annotations are ignored": other_references,
    }
    return AnnotationFile([annotation], count_warnings(path, warnings))


def _create_document(segments: Sequence[Segment]) -> "Eaf":
    """A document of segments that are sorted by time. Its time slots are sorted by time, as ELAN requires."""
    from pympi.Elan import Eaf

    document = Eaf(author="wtal")
    document.add_linguistic_type(SCORE_TYPE, "Symbolic_Association", timealignable=False)
    if segments:
        document.remove_tier("default")
    times = sorted(
        (time, n, side) for n, segment in enumerate(segments) for side, time in enumerate(_interval(segment))
    )
    slots = {(n, side): document.generate_ts_id(time) for time, n, side in times}
    tiers: dict[tuple[str, int], str] = {}  # by label and lane
    score_tiers: dict[str, str] = {}  # by tier
    name_counts = Counter[str]()
    lanes = assign_lanes((segment.label, *_interval(segment)) for segment in segments)
    for n, (segment, lane) in enumerate(zip(segments, lanes, strict=True)):
        if (segment.label, lane) not in tiers:
            name = INVALID_CHARACTER.sub("\ufffd", single_line(segment.label))
            tiers[segment.label, lane] = _add_tier(document, name, name_counts)
        tier = tiers[segment.label, lane]
        id = document.generate_annotation_id()
        document.tiers[tier][0][id] = (slots[n, 0], slots[n, 1], xml_text(segment.label), None)
        if segment.score is not None:
            if tier not in score_tiers:
                score_tiers[tier] = _add_tier(document, f"{tier} {SCORE_TYPE}", name_counts, parent=tier)
            score_id = document.generate_annotation_id()
            document.tiers[score_tiers[tier]][1][score_id] = (id, repr(segment.score), None, None)
    return document


def _add_tier(document: "Eaf", name: str, name_counts: Counter[str], parent: str | None = None) -> str:
    """Add a tier with this name, numbered if it is in use. `name_counts` avoids counting from 1 every time."""
    unique_name = name
    while unique_name in document.tiers:
        name_counts[name] += 1
        unique_name = f"{name} {name_counts[name] + 1}"
    document.add_tier(unique_name, SCORE_TYPE if parent else "default-lt", parent)
    return unique_name


def _interval(segment: Segment) -> tuple[int, int]:
    """Start and end in milliseconds; ELAN has no annotations of zero length."""
    return to_milliseconds(segment, min_length=1)


FORMAT = AnnotationFormat(
    name="elan",
    title="ELAN",
    extension=".eaf",
    read=read,
    write=write,
    detect=lambda content: str(content).startswith("<?xml"),
    single_video=True,
    ticks_per_second=1000,
    allows_zero_length=False,
    normalize_label=xml_text,
    usage_hint="Put it into the folder of the video and open it in ELAN.",
)
