"""ELAN documents: valid against the schema, readable by pympi, and safe to read."""

import re
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf, to_eaf

from tests.helpers.annotations import assert_rejected, segments
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.elan import FORMAT, read, write
from wtal.data.annotations.xml import MAX_ELEMENTS

segment_lists = st.lists(segments(), max_size=8).map(tuple)

# The elements of EAFv2.8.xsd that we write: required attributes, optional attributes, and child elements in their order
# ("|": one of them).
ELEMENTS = {
    "ANNOTATION_DOCUMENT": ("DATE AUTHOR VERSION", "FORMAT", "HEADER TIME_ORDER TIER LINGUISTIC_TYPE CONSTRAINT"),
    "HEADER": ("", "MEDIA_FILE TIME_UNITS", "MEDIA_DESCRIPTOR PROPERTY"),
    "MEDIA_DESCRIPTOR": ("MEDIA_URL MIME_TYPE", "RELATIVE_MEDIA_URL TIME_ORIGIN EXTRACTED_FROM", ""),
    "PROPERTY": ("NAME", "", ""),
    "TIME_ORDER": ("", "", "TIME_SLOT"),
    "TIME_SLOT": ("TIME_SLOT_ID", "TIME_VALUE", ""),
    "TIER": ("TIER_ID LINGUISTIC_TYPE_REF", "PARENT_REF", "ANNOTATION"),
    "ANNOTATION": ("", "", "ALIGNABLE_ANNOTATION|REF_ANNOTATION"),
    "ALIGNABLE_ANNOTATION": ("ANNOTATION_ID TIME_SLOT_REF1 TIME_SLOT_REF2", "", "ANNOTATION_VALUE"),
    "REF_ANNOTATION": ("ANNOTATION_ID ANNOTATION_REF", "", "ANNOTATION_VALUE"),
    "ANNOTATION_VALUE": ("", "", ""),
    "LINGUISTIC_TYPE": ("LINGUISTIC_TYPE_ID", "TIME_ALIGNABLE GRAPHIC_REFERENCES CONSTRAINTS", ""),
    "CONSTRAINT": ("STEREOTYPE", "DESCRIPTION", ""),
}
ATTRIBUTE_PATTERNS = {
    "DATE": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "TIME_VALUE": r"\d{1,10}",
    "TIME_ALIGNABLE": "true|false",
    "GRAPHIC_REFERENCES": "true|false",
}
REFERENCES = {"PARENT_REF": "TIER_ID", "LINGUISTIC_TYPE_REF": "LINGUISTIC_TYPE_ID", "CONSTRAINTS": "STEREOTYPE"}


def assert_matches_schema(root: ElementTree.Element) -> None:
    """Check elements and their order, attributes, unique names and references."""
    names = {key: [e.attrib[key] for e in root.iter() if key in e.attrib] for key in REFERENCES.values()}
    assert all(len(set(values)) == len(values) for values in names.values())
    for element in root.iter():
        required, optional, children = ELEMENTS[element.tag]
        attributes = {key: value for key, value in element.attrib.items() if not key.startswith("{")}
        assert set(required.split()) <= attributes.keys() <= {*required.split(), *optional.split()}, element.tag
        order = re.split(r"[ |]", children)
        indices = [order.index(child.tag) for child in element]
        assert indices == sorted(indices) and (len(indices) == 1 or "|" not in children)
        for key, value in attributes.items():
            assert re.fullmatch(ATTRIBUTE_PATTERNS.get(key, "(?s).*"), value)
            assert key not in REFERENCES or value in names[REFERENCES[key]]


def top_level_tiers(document: Eaf) -> list[str]:
    return [name for name, (_, _, attributes, _) in document.tiers.items() if attributes.get("PARENT_REF") is None]


@settings(max_examples=30, deadline=None)
@given(written=segment_lists)
def test_documents_match_the_schema(written):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.eaf"
        write(path, [Annotation("v", written, file_name="v.mp4")])
        root = ElementTree.parse(path).getroot()
    assert_matches_schema(root)
    slots = [slot.attrib for slot in root.iter("TIME_SLOT")]
    slot_times = [int(slot["TIME_VALUE"]) for slot in slots]
    assert slot_times == sorted(slot_times) and all(time < 2**32 for time in slot_times)
    aligned, references = list(root.iter("ALIGNABLE_ANNOTATION")), list(root.iter("REF_ANNOTATION"))
    ids = Counter(element.attrib["ANNOTATION_ID"] for element in aligned + references)
    ids += Counter(slot["TIME_SLOT_ID"] for slot in slots)
    assert set(ids.values()) <= {1} and all(re.fullmatch(r"[a-z]+[0-9]+", id) for id in ids)  # xsd:ID
    used_slots = {element.attrib[f"TIME_SLOT_REF{n}"] for element in aligned for n in (1, 2)}
    assert used_slots == {slot["TIME_SLOT_ID"] for slot in slots}
    for element in references:
        assert isinstance(float(element[0].text), float) and element.attrib["ANNOTATION_REF"] in ids


@settings(max_examples=30, deadline=None)
@given(written=segment_lists)
def test_annotations_of_a_tier_do_not_overlap(written):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.eaf"
        write(path, [Annotation("v", written)])
        document = Eaf(str(path))
    tiers = [sorted(document.get_annotation_data_for_tier(tier)) for tier in top_level_tiers(document)]
    assert sum(map(len, tiers)) == len(written)
    for tier in tiers:
        assert all(start < end for start, end, _ in tier)
        assert all(first[1] <= second[0] for first, second in pairwise(tier))


@settings(max_examples=20, deadline=None)
@given(written=segment_lists)
def test_documents_are_unchanged_after_pympi_reads_and_writes_them(written):
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "v.eaf", Path(folder) / "again" / "v.eaf"
        second.parent.mkdir()
        write(first, [Annotation("v", written, file_name="v.mp4")])
        to_eaf(str(second), Eaf(str(first)))
        assert ElementTree.canonicalize(from_file=str(first)) == ElementTree.canonicalize(from_file=str(second))
        assert read(first) == read(second)


def test_document_links_the_video_beside_it(tmp_path):
    """ELAN looks for the media at its URL, then in the folder of the document."""
    write(tmp_path / "film 1.eaf", [Annotation("film 1", file_name="film 1.mp4")])
    assert Eaf(str(tmp_path / "film 1.eaf")).media_descriptors == [
        {"MEDIA_URL": "./film 1.mp4", "RELATIVE_MEDIA_URL": "./film 1.mp4", "MIME_TYPE": "video/mp4"}
    ]


def test_reader_accepts_documents_made_in_elan(tmp_path):
    path = tmp_path / "v.eaf"
    document = Eaf(author="me")
    document.add_tier("walk")
    document.add_annotation("walk", 1000, 2500, "")
    document.add_annotation("default", 500, 700, "a long jump")
    document.add_linguistic_type("note", "Symbolic_Association", timealignable=False)
    document.add_tier("remarks", "note", "default")
    document.add_ref_annotation("remarks", "default", 600, "is it?")
    document.add_linked_file("file:///C:/my films/the%20beach.mp4")
    document.to_file(str(path))
    (annotation,), (warning,) = read(path)
    expected = (Segment("a long jump", 0.5, 0.7), Segment("walk", 1.0, 2.5))
    assert annotation == Annotation("v", expected, file_name="the beach.mp4")
    assert "annotations of other annotations" in warning.message and warning.count == 1


def test_annotations_without_times_are_ignored_with_a_warning(tmp_path):
    path = tmp_path / "v.eaf"
    write(path, [Annotation("v", (Segment("run", 1.0, 2.0),))])
    path.write_text(path.read_text().replace(' TIME_VALUE="2000"', ""))
    (annotation,), (warning,) = read(path)
    assert annotation == Annotation("v")
    assert (warning.count, warning.source) == (1, str(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_documents_with_a_doctype_are_rejected_without_expanding_entities(encoding, tmp_path):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><x>&e11;</x>'
    path = tmp_path / "v.eaf"
    path.write_bytes(text.encode(encoding))
    begin = time.process_time()
    with raises(DataError, code="xml-doctype", path=path):
        read(path)
    assert time.process_time() - begin < 1


def test_external_entities_are_rejected(tmp_path):
    path = tmp_path / "v.eaf"
    path.write_text('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>')
    with raises(DataError, code="xml-doctype", path=path):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"1000"', '"-1000"'),
        ('"1000"', '"x"'),
        ('"1000"', '"9000"'),
        ('"1000"', f'"{10**400}"'),
        ('"1000"', f'"1{"0" * 5000}"'),
        ("ts2", "ts9"),
        ("ts2", "ts3"),
        ("_ID=", "="),
    ],
)
def test_invalid_times_and_references_are_rejected(old, new, tmp_path):
    write(tmp_path / "v.eaf", [Annotation("v", (Segment("run", 1.0, 2.0),))])
    text = (tmp_path / "v.eaf").read_text()
    (tmp_path / "v.eaf").unlink()
    assert old in text
    assert_rejected(FORMAT, text.replace(old, new, 1), tmp_path)


def test_tiers_with_the_same_id_are_rejected(tmp_path):
    path = tmp_path / "v.eaf"
    write(path, [Annotation("v", (Segment("run", 1.0, 2.0), Segment("hop", 1.0, 2.0)))])
    path.write_text(path.read_text().replace('"hop"', '"run"'))
    with raises(DataError, code="duplicate-id", path=path):
        read(path)


def test_oversized_files_are_rejected(tmp_path):
    path = tmp_path / "v.eaf"
    with path.open("wb") as file:
        file.truncate(100_000_001)
    with raises(DataError, code="file-too-large", path=path):
        read(path)


def test_number_of_elements_is_bounded(tmp_path):
    path = tmp_path / "v.eaf"
    path.write_text(f"<ANNOTATION_DOCUMENT>{'<a/>' * (MAX_ELEMENTS + 1)}</ANNOTATION_DOCUMENT>")
    with raises(DataError, code="file-too-large", path=path):
        read(path)


@pytest.mark.parametrize("old, new", [(' xmlns:xsi="', ' xmlns:other="'), ("<TIER ", "<undeclared:TIER ")])
def test_undeclared_prefixes_are_rejected(old, new, tmp_path):
    path = tmp_path / "v.eaf"
    write(path, [Annotation("v", (Segment("run", 1.0, 2.0),))])
    path.write_text(path.read_text().replace(old, new, 1))
    with raises(DataError, code="invalid-xml", path=path):
        read(path)


def test_many_labels_that_become_the_same_tier_name_are_written_in_linear_time(tmp_path):
    marks = "\x01\x02\x03\x04\x05\x06\x07"
    labels = [f"a{a}b{b}c{c}d{d}" for a in marks for b in marks for c in marks for d in marks]
    path = tmp_path / "v.eaf"
    begin = time.process_time()
    write(path, [Annotation("v", tuple(Segment(label, 1.0, 2.0) for label in labels))])
    assert len(read(path).annotations[0].segments) == len(labels)
    assert time.process_time() - begin < 3
