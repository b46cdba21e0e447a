"""Hudl Sportscode XML: other tools' files, labels, and safe reading."""

import time
from xml.etree import ElementTree

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.sportscode import read, write

INSTANCE = "<instance><ID>1</ID><start>1</start><end>2.5</end><code>pass</code>{}</instance>"


def write_instances(path, *instances, rest=""):
    path.write_text(f"<file><ALL_INSTANCES>{''.join(instances)}</ALL_INSTANCES>{rest}</file>")
    return path


def test_file_has_the_elements_of_sportscode(tmp_path):
    path = tmp_path / "v.xml"
    write(
        path, [Annotation("v", (Segment("shot", 1e-5, 2.0, 0.5), Segment("pass", 0.0, 1.0), Segment("shot", 3.0, 4.0)))]
    )
    root = ElementTree.parse(path).getroot()
    assert [element.tag for element in root] == ["ALL_INSTANCES", "ROWS"]
    instances = [[(field.tag, field.text) for field in instance][:4] for instance in root[0]]
    assert instances == [
        [("ID", "1"), ("start", "0.000000"), ("end", "1.000000"), ("code", "pass")],
        [("ID", "2"), ("start", "0.000010"), ("end", "2.000000"), ("code", "shot")],
        [("ID", "3"), ("start", "3.000000"), ("end", "4.000000"), ("code", "shot")],
    ]
    assert [row.findtext("code") for row in root[1]] == ["pass", "shot"]
    assert all(0 <= int(row.findtext(color)) <= 65_535 for row in root[1] for color in "RGB")


def test_labels_other_than_the_score_are_ignored_with_a_warning(tmp_path):
    labels = [
        "<label><group>confidence</group><text> 0.25 </text></label>",
        "<label><group>confidence</group><text>high</text></label>",
        "<label><group>Team</group><text>A</text></label>",
        "<label><text>great</text></label>",
    ]
    rest = "<ROWS><row><code>pass</code></row></ROWS>"
    path = write_instances(tmp_path / "v.xml", INSTANCE.format("".join(labels)), INSTANCE.format(""), rest=rest)
    (annotation,), (warning,) = read(path)
    assert annotation == Annotation("v", (Segment("pass", 1.0, 2.5, 0.25), Segment("pass", 1.0, 2.5)))
    assert "labels" in warning.message and warning.count == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_files_in_other_encodings_are_read(encoding, tmp_path):
    path = tmp_path / "v.xml"
    text = f'<?xml version="1.0" encoding="{encoding}"?><file><ALL_INSTANCES>{INSTANCE}</ALL_INSTANCES></file>'
    path.write_bytes(text.format("").replace("pass", "Stoß").encode(encoding))
    assert read(path).annotations[0].segments == (Segment("Stoß", 1.0, 2.5),)


def test_file_without_instances_is_a_video_without_segments(tmp_path):
    assert read(write_instances(tmp_path / "v.xml")).annotations == [Annotation("v")]


@pytest.mark.parametrize("field", ["start", "end", "code"])
@pytest.mark.parametrize("text", ["", " "])
def test_instances_without_a_field_are_rejected(field, text, tmp_path):
    fields = {"start": "1", "end": "2", "code": "pass"} | {field: text}
    content = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    path = write_instances(tmp_path / "v.xml", "\n", f"<instance>{content}</instance>")
    with raises(DataError, code="invalid-sportscode", path=path, location="line 2"):
        read(path)


def test_other_xml_is_rejected(tmp_path):
    path = tmp_path / "v.xml"
    path.write_text("<file><instance/></file>")
    with raises(DataError, code="invalid-sportscode", path=path):
        read(path)


def test_entities_are_rejected_without_expanding_them(tmp_path):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    path = tmp_path / "v.xml"
    path.write_text(f'<!DOCTYPE file [<!ENTITY e0 "ha">{entities}]><file>&e11;</file>')
    begin = time.process_time()
    with raises(DataError, code="xml-doctype", path=path):
        read(path)
    path.write_text('<!DOCTYPE file [<!ENTITY e SYSTEM "file:///etc/passwd">]><file>&e;</file>')
    with raises(DataError, code="xml-doctype", path=path):
        read(path)
    assert time.process_time() - begin < 1


def test_deeply_nested_files_are_rejected(tmp_path):
    path = write_instances(tmp_path / "v.xml", "<a>" * 100_000)
    with raises(DataError, code="invalid-sportscode", path=path):
        read(path)


def test_oversized_files_are_rejected(tmp_path):
    path = tmp_path / "v.xml"
    with path.open("wb") as file:
        file.truncate(100_000_001)
    with raises(DataError, code="file-too-large", path=path):
        read(path)
