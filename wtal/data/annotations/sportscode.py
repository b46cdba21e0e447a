"""Hudl Sportscode XML: an instance per segment with a code, times in seconds; one video per file.

Instances can have labels, which are pairs of a group and a text. The score is the text of the group `confidence`.
"""

import math
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from wtal.core.errors import DataError
from wtal.core.io import write_text
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFile, AnnotationFormat, count_warnings, id_from_file
from wtal.data.annotations.xml import parse_xml, xml_text
from wtal.data.parsing import Location, parse_segment

INSTANCES = ["file", "ALL_INSTANCES"]
INSTANCE = [*INSTANCES, "instance"]
LABEL = [*INSTANCE, "label"]
FIELDS = ("start", "end", "code")
SCORE_GROUP = "confidence"
MAX_DEPTH = 100
MAX_COLOR = 65_535
GOLDEN_RATIO = (1 + math.sqrt(5)) / 2


def read(path: Path) -> AnnotationFile:
    """Read the instances; the code is the label.

    Raises:
        DataError: The file is not XML, has a DOCTYPE, is not from Sportscode, or an instance is invalid (with its
            line).
    """
    reader = _Reader(path)
    parse_xml(path, "Sportscode", reader.set_handlers)
    if not reader.has_instances:
        raise DataError(
            "not a Sportscode file, there is no ALL_INSTANCES in it",
            path=path,
            hint="export the timeline as XML again",
            code="invalid-sportscode",
        )
    warnings = {"labels of instances are ignored": reader.ignored_labels}
    return AnnotationFile([Annotation(id_from_file(path), tuple(reader.segments))], count_warnings(path, warnings))


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write the annotation of one video, with a row for each code."""
    (annotation,) = annotations
    segments = sorted(annotation.segments, key=lambda segment: (segment.start, segment.end))
    root = ElementTree.Element("file")
    instances = ElementTree.SubElement(root, "ALL_INSTANCES")
    for number, segment in enumerate(segments, start=1):
        instance = ElementTree.SubElement(instances, "instance")
        _add(instance, "ID", str(number))
        _add(instance, "start", f"{segment.start:.6f}")
        _add(instance, "end", f"{segment.end:.6f}")
        _add(instance, "code", xml_text(segment.label))
        if segment.score is not None:
            label = ElementTree.SubElement(instance, "label")
            _add(label, "group", SCORE_GROUP)
            _add(label, "text", repr(segment.score))
    rows = ElementTree.SubElement(root, "ROWS")
    for number, code in enumerate(dict.fromkeys(xml_text(segment.label) for segment in segments)):
        row = ElementTree.SubElement(rows, "row")
        _add(row, "code", code)
        # Multiples of the golden ratio spread any number of hues evenly over the color circle.
        for name, value in zip("RGB", hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.7, 0.9), strict=True):
            _add(row, name, str(round(value * MAX_COLOR)))
        _add(row, "sort_order", str(number + 1))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


class _Reader:
    """Collects segments while a file is parsed, so that nothing else is kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.segments: list[Segment] = []
        self.ignored_labels = 0
        self.has_instances = False
        self._elements: list[str] = []  # the open ones, from the root
        self._text: list[str] = []  # of the innermost element
        self._instance: dict[str, str] = {}
        self._label: dict[str, str] = {}
        self._score: float | None = None

    def set_handlers(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._elements.append(name)
        self._text.clear()
        if len(self._elements) > MAX_DEPTH:
            raise self._location().error("XML is nested too deeply", "export it again", "invalid-sportscode")
        if self._elements == INSTANCES:
            self.has_instances = True
        elif self._elements == INSTANCE:
            self._instance, self._score = {}, None
        elif self._elements == LABEL:
            self._label = {}

    def _end(self, name: str, _: object = None) -> None:
        parents = self._elements[:-1]
        if parents == LABEL:
            self._label[name] = "".join(self._text).strip()
        elif parents == INSTANCE and name == "label":
            self._end_label()
        elif parents == INSTANCE:
            self._instance[name] = "".join(self._text).strip()
        elif self._elements == INSTANCE:
            self._end_instance()
        self._elements.pop()
        self._text.clear()

    def _end_label(self) -> None:
        score = math.nan
        if self._label.get("group") == SCORE_GROUP:
            with suppress(ValueError):
                score = float(self._label.get("text", ""))
        if math.isfinite(score):
            self._score = score
        else:
            self.ignored_labels += 1

    def _end_instance(self) -> None:
        location = self._location()
        for field in FIELDS:
            if not self._instance.get(field):
                raise location.error(
                    f"the instance has no {field}", "export the timeline as XML again", "invalid-sportscode"
                )
        start, end, code = (self._instance[field] for field in FIELDS)
        self.segments.append(parse_segment(location, code, start, end, self._score))

    def _location(self) -> Location:
        return Location(self.path, f"line {self._parser.CurrentLineNumber}")


FORMAT = AnnotationFormat(
    name="sportscode",
    title="Hudl Sportscode",
    extension=".xml",
    read=read,
    write=write,
    single_video=True,
    ticks_per_second=1_000_000,
    normalize_label=xml_text,
    usage_hint="Import it in Sportscode into a timeline of the video.",
)
