"""Timelines to and from other tools: what is written is read back, and what is lost is said."""

import json
import math
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pympi.Elan import Eaf, to_eaf
from typer.testing import CliRunner

from wtal import cli
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFormat, media_id
from wtal.data.annotations.base import to_frames as frames
from wtal.data.annotations.convert import conversion_warnings, convert_annotations, read_annotations
from wtal.data.annotations.registry import FORMATS, detect_format, find_format
from wtal.data.features import is_file_name
from wtal.data.layouts.activitynet import read_proposals, write_proposals

FPS = 25.0
BY_NAME = pytest.mark.parametrize("known", FORMATS.values(), ids=FORMATS)

NASTY = [
    "a\nb",
    "a, b",
    "a\tb",
    'say "so"',
    "a --> b",
    "<b>&amp;</b>",
    "跳远 🏃",
    "x [score 0.5]",
    "[score 1]",
    "a\r\nb",
]
NASTY += [
    "NOTE",
    "1",
    "0",
    "\x00",
    "a\x85b",
    "\u2028x",
    "a\n\nb",
    "None",
    "nan",
    "score",
    "'",
    ";",
    "\\",
    "\ufeffx",
    "\ufffe",
]
labels = st.one_of(st.sampled_from(NASTY), st.text(max_size=12)).map(str.strip).filter(bool)
ids = st.text("aé.-_ 1", min_size=1, max_size=9).map(str.strip).filter(lambda id: bool(id) and is_file_name(id))
times = st.floats(0, 90_000) | st.integers(0, 4000).map(lambda n: n / 1000)
scores = st.none() | st.floats(-10, 10) | st.just(0.0)


@st.composite
def segments(draw):
    start, end = sorted((draw(times), draw(times)))
    return Segment(draw(labels), start + 0.0, end + 0.0, draw(scores))


timelines = st.lists(
    st.builds(
        Annotation,
        ids,
        st.lists(segments(), max_size=6).map(tuple),
        st.none() | st.floats(0.001, 1e6),
        st.sampled_from(["", "training", "testing"]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda timeline: timeline.id,
)


def written(known: AnnotationFormat, found: list[Annotation], folder: Path) -> list[Annotation]:
    """Through files of a format and back."""
    rate = [FPS] if known.needs_fps else []
    if known.single_video:
        for timeline in found:
            known.write(folder / f"{timeline.id}{known.extension}", [timeline], *rate)
    else:
        known.write(folder / f"all{known.extension}", found, *rate)
    read = [known.read(path, *rate) for path in sorted(folder.iterdir())]
    assert not any(remarks for _, remarks in read)
    return [timeline for back, _ in read for timeline in back]


def expected(known: AnnotationFormat, one: Segment) -> Segment:
    """A segment as a format holds it, by the facts that it states of itself."""
    each = FPS if known.needs_fps else known.ticks_per_second
    start, end = one.start, one.end
    if each:
        first, last = round(start * each), round(end * each)
        start, end = first / each, max(last, first + (not known.allows_zero_length)) / each
    score = one.score
    if "scores" not in known.keeps:
        score = None
    elif known.score_note and score is not None:
        score = float(f"{score:.4g}")
    elif known.name == "results" and score is None:
        score = 1.0
    return Segment(known.normalize_label(one.label).strip(), start, end, score)


def as_set(found: list[Annotation]) -> dict[str, Counter[Segment]]:
    return {t.id: Counter(s._replace(start=round(s.start, 7), end=round(s.end, 7)) for s in t.segments) for t in found}


@BY_NAME
@settings(max_examples=40, deadline=None)
@given(found=timelines)
def test_what_is_written_is_read_back_up_to_the_resolution(known, found):
    with tempfile.TemporaryDirectory() as folder:
        back = written(known, found, Path(folder))
    kept = [t for t in found if t.segments or "empty videos" in known.keeps]
    assert as_set(back) == as_set(
        [Annotation(known.normalize_id(t.id), tuple(expected(known, s) for s in t.segments)) for t in kept]
    )
    if not conversion_warnings(known, found, FPS):
        ordered = sorted(found, key=lambda t: t.id)
        assert as_set(back) == as_set(found)
        assert [(t.id, t.duration, t.subset) for t in sorted(back, key=lambda t: t.id)] == [
            (t.id, t.duration, t.subset) for t in ordered
        ], "something is lost, and it is not said"


@BY_NAME
def test_empty_timelines(known, tmp_path):
    back = written(known, [Annotation("nothing.here"), Annotation("one", (Segment("run", 1.0, 2.0, 0.5),))], tmp_path)
    assert [t.id for t in back if not t.segments] == (["nothing.here"] if "empty videos" in known.keeps else [])


@BY_NAME
def test_ten_thousand_segments(known, tmp_path):
    many = tuple(Segment(f"class {n % 20}", n * 0.32, n * 0.32 + 60, (n % 100) / 100) for n in range(10_000))
    begun = time.process_time()
    (back,) = written(known, [Annotation("long", many)], tmp_path)
    assert Counter(back.segments) == Counter(expected(known, one) for one in many)
    assert time.process_time() - begun < 5


@BY_NAME
@pytest.mark.parametrize("mark", ["\ufeff", "\r"], ids=["BOM", "CRLF"])
def test_byte_order_mark_and_carriage_returns_are_fine(known, mark, tmp_path):
    one = Annotation("v", (Segment("run", 1.0, 2.0, 0.5), Segment("jump", 1.0, 3.0, 0.25)))
    rate = [FPS] if known.needs_fps else []
    path = tmp_path / f"v{known.extension}"
    known.write(path, [one], *rate)
    text = path.read_text(encoding="utf-8")
    path.write_bytes((text.replace("\n", "\r\n") if mark == "\r" else mark + text).encode())
    back = known.read(path, *rate).annotations
    assert as_set(back) == as_set([Annotation("v", tuple(expected(known, s) for s in one.segments))])


@BY_NAME
def test_every_format_is_recognised(known, tmp_path):
    path = tmp_path / f"v{known.extension}"
    known.write(path, [Annotation("v", (Segment("run", 1.0, 2.0, 0.5),))], *([FPS] if known.needs_fps else []))
    assert detect_format(path) is known
    if known.extension not in (".srt", ".txt", ".json"):
        assert detect_format(path.rename(tmp_path / "v")) is known


# what the tools themselves say of our files


@settings(max_examples=30, deadline=None)
@given(found=st.lists(segments(), min_size=1, max_size=8))
def test_elan_files_are_what_pympi_and_the_schema_want(found):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.eaf"
        find_format("elan").write(path, [Annotation("v", tuple(found), file_name="v.mp4")])
        eaf, root = Eaf(str(path)), ElementTree.parse(path).getroot()
    assert sum(len(eaf.get_annotation_data_for_tier(tier)) for tier in parents(eaf)) == len(found)
    for tier in parents(eaf):
        spans = sorted(eaf.get_annotation_data_for_tier(tier))
        assert all(start < end for start, end, _ in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans)), "a tier overlaps"
    assert_eaf(root)
    slots = [slot.attrib for slot in root.iter("TIME_SLOT")]
    assert [int(slot["TIME_VALUE"]) for slot in slots] == sorted(int(slot["TIME_VALUE"]) for slot in slots)
    named = Counter(
        made.attrib["ANNOTATION_ID"] for tag in ("ALIGNABLE", "REF") for made in root.iter(f"{tag}_ANNOTATION")
    )
    named += Counter(slot["TIME_SLOT_ID"] for slot in slots)
    assert set(named.values()) == {1} and all(re.fullmatch(r"[a-z]+[0-9]+", id) for id in named), "xsd:ID"
    used = {made.attrib[f"TIME_SLOT_REF{n}"] for made in root.iter("ALIGNABLE_ANNOTATION") for n in (1, 2)}
    assert used == {slot["TIME_SLOT_ID"] for slot in slots}
    for made in root.iter("REF_ANNOTATION"):
        assert math.isfinite(float(made[0].text)) and made.attrib["ANNOTATION_REF"] in named


@settings(max_examples=20, deadline=None)
@given(found=st.lists(segments(), max_size=8))
def test_elan_files_are_written_again_by_pympi_as_they_are(found):
    with tempfile.TemporaryDirectory() as folder:
        first, again = Path(folder) / "v.eaf", Path(folder) / "again" / "v.eaf"
        find_format("elan").write(first, [Annotation("v", tuple(found), file_name="v.mp4")])
        again.parent.mkdir()
        to_eaf(str(again), Eaf(str(first)))
        assert ElementTree.canonicalize(from_file=str(first)) == ElementTree.canonicalize(from_file=str(again))
        assert find_format("elan").read(first) == find_format("elan").read(again)


# What EAFv2.8.xsd says of the elements that we write: which attributes must be there, which may be, the children in
# their order ("|": one of them), and what an attribute is.
EAF = {
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
EAF_VALUES = {
    "DATE": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "TIME_VALUE": r"\d{1,10}",
    "TIME_ALIGNABLE": "true|false",
    "GRAPHIC_REFERENCES": "true|false",
}
EAF_REFERENCES = {"PARENT_REF": "TIER_ID", "LINGUISTIC_TYPE_REF": "LINGUISTIC_TYPE_ID", "CONSTRAINTS": "STEREOTYPE"}


def assert_eaf(root: ElementTree.Element) -> None:
    """As the schema would: elements, their order and attributes, names that are unique and lead somewhere."""
    names = {key: [part.attrib[key] for part in root.iter() if key in part.attrib] for key in EAF_REFERENCES.values()}
    assert all(len(set(found)) == len(found) for found in names.values())
    for part in root.iter():
        must, may, children = EAF[part.tag]
        about = {key: value for key, value in part.attrib.items() if not key.startswith("{")}
        assert set(must.split()) <= about.keys() <= {*must.split(), *may.split()}, part.tag
        order = re.split(r"[ |]", children)
        places = [order.index(child.tag) for child in part]
        assert places == sorted(places) and (len(places) == 1 or "|" not in children)
        for key, value in about.items():
            assert re.fullmatch(EAF_VALUES.get(key, "(?s).*"), value)
            assert key not in EAF_REFERENCES or value in names[EAF_REFERENCES[key]]
    assert all(int(slot.attrib["TIME_VALUE"]) < 2**32 for slot in root.iter("TIME_SLOT"))


def parents(eaf: Eaf) -> list[str]:
    return [name for name, tier in eaf.tiers.items() if tier[2].get("PARENT_REF") is None]


BY_MEDIA = pytest.mark.parametrize("known", [find_format(name) for name in ("elan", "via", "labelstudio")])


@BY_MEDIA
@pytest.mark.parametrize("media", ["film 1.mp4", "film 1.é & <x>.MKV", "50%20 off.mp4", "film 1", ""])
def test_a_tool_that_shows_videos_is_told_the_file(known, media, tmp_path):
    one = Annotation(media_id(media) or "film 1", (Segment("run", 1.0, 2.0, 0.5),), file_name=media)
    (back,) = written(known, [one], tmp_path)
    assert back == replace(one, file_name="" if media == one.id else media)


@BY_MEDIA
def test_a_file_that_is_called_otherwise_gives_the_video_no_other_name(known, tmp_path):
    one = Annotation("corrected", (Segment("run", 1.0, 2.0, 0.5),), file_name="film.mp4")
    (back,) = written(known, [one], tmp_path)
    assert back.id == "corrected"
    assert back.file_name == ("film.mp4" if known.name == "elan" else "")


def test_elan_finds_the_video_beside_its_file(tmp_path):
    """As ELAN looks for it: where it says, then in the folder of the .eaf, by its name."""
    find_format("elan").write(tmp_path / "film 1.eaf", [Annotation("film 1", file_name="film 1.mp4")])
    (linked,) = Eaf(str(tmp_path / "film 1.eaf")).media_descriptors
    assert linked == {
        "MEDIA_URL": "./film 1.mp4",
        "RELATIVE_MEDIA_URL": "./film 1.mp4",
        "MIME_TYPE": "video/mp4",
    }


def test_elan_reads_what_people_make(tmp_path):
    eaf = Eaf(author="me")
    eaf.add_tier("walk")
    eaf.add_annotation("walk", 1000, 2500, "")
    eaf.add_annotation("default", 500, 700, "a long jump")
    eaf.add_linguistic_type("note", "Symbolic_Association", timealignable=False)
    eaf.add_tier("remarks", "note", "default")
    eaf.add_ref_annotation("remarks", "default", 600, "is it?")
    eaf.add_linked_file("file:///C:/my films/the%20beach.mp4")
    eaf.to_file(str(tmp_path / "v.eaf"))
    ((read,), remarks) = find_format("elan").read(tmp_path / "v.eaf")
    found = (Segment("a long jump", 0.5, 0.7), Segment("walk", 1.0, 2.5))
    assert read == Annotation("v", found, file_name="the beach.mp4")
    assert remarks == [f"{tmp_path}/v.eaf: 1 annotations of other annotations, they are left out"]


def test_label_studio_has_the_documented_shape(tmp_path):
    """As https://labelstud.io/tags/timelinelabels and /guide/task_format say; frames from 1, both included."""
    known, path = find_format("labelstudio"), tmp_path / "tasks.json"
    known.write(
        path, [Annotation("v", (Segment("run", 0.08, 0.2, 0.5),)), Annotation("w", (Segment("run", 0, 1),))], FPS
    )
    scored, truth = json.loads(path.read_text())
    region = {
        "id": "segment-1",
        "from_name": "timelineLabels",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["run"]},
    }
    assert scored == {
        "data": {"video": "v"},
        "predictions": [{"model_version": "wtal", "result": [{**region, "score": 0.5}]}],
    }
    assert truth["data"] == {"video": "w"}
    assert truth["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 1, "end": 25}]


def test_what_a_hand_has_touched_is_an_annotation(tmp_path):
    known, path = find_format("labelstudio"), tmp_path / "tasks.json"
    one = Annotation("v", (Segment("run", 0.0, 1.0, 0.5), Segment("run", 2.0, 3.0)))
    known.write(path, [one, Annotation("w")], FPS)
    mixed, empty = json.loads(path.read_text())
    assert [region.get("score") for region in mixed["annotations"][0]["result"]] == [0.5, None]
    assert "predictions" not in mixed and empty["annotations"] == [{"result": []}]
    assert known.read(path, FPS).annotations[0].segments == one.segments


# What /guide/task_format, /guide/export and /tags/timelinelabels of its documentation say of tasks.
LABEL_STUDIO = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "object", "required": ["video"], "properties": {"video": {"type": "string"}}},
            "annotations": {"type": "array", "items": {"$ref": "#/$defs/made"}},
            "predictions": {"type": "array", "items": {"$ref": "#/$defs/made"}},
        },
    },
    "$defs": {
        "made": {
            "type": "object",
            "required": ["result"],
            "properties": {
                "model_version": {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "result": {"type": "array", "items": {"$ref": "#/$defs/region"}},
            },
        },
        "region": {
            "type": "object",
            "required": ["id", "from_name", "to_name", "type", "value"],
            "properties": {
                "id": {"type": "string"},
                "from_name": {"const": "timelineLabels"},
                "to_name": {"const": "video"},
                "type": {"const": "timelinelabels"},
                "score": {"type": "number"},
                "value": {
                    "type": "object",
                    "required": ["ranges", "timelinelabels"],
                    "properties": {
                        "ranges": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/range"}},
                        "timelinelabels": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    },
                },
            },
        },
        "range": {
            "type": "object",
            "required": ["start", "end"],
            "properties": {name: {"type": "integer", "minimum": 1} for name in ("start", "end")},
        },
    },
}


@settings(max_examples=30, deadline=None)
@given(found=timelines)
def test_label_studio_files_are_what_its_format_wants(found):
    tasks = json.loads(as_label_studio(found))
    Draft202012Validator(LABEL_STUDIO).validate(tasks)
    for task in tasks:
        for made in task.get("predictions", []) + task.get("annotations", []):
            ids = [region["id"] for region in made["result"]]
            assert len(set(ids)) == len(ids)
            assert all(r["start"] <= r["end"] for region in made["result"] for r in region["value"]["ranges"])


@settings(max_examples=10, deadline=None)
@given(found=timelines)
def test_label_studio_s_own_library_takes_our_files(found):
    """`pip install label-studio-sdk`, which knows the interface of a project and judges tasks without a server."""
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Video", name="video", value="$video")
    control = ElementTree.SubElement(view, "TimelineLabels", name="timelineLabels", toName="video")
    plain = {s.label: f"class {n}" for n, s in enumerate(s for t in found for s in t.segments)}  # fit for its XML
    for label in plain.values():
        ElementTree.SubElement(control, "Label", value=label)
    ElementTree.SubElement(control, "Label", value="none")
    project = interface(ElementTree.tostring(view, "unicode"))
    project.validate()
    named = [Annotation(t.id, tuple(s._replace(label=plain[s.label]) for s in t.segments), t.duration) for t in found]
    for task in json.loads(as_label_studio(named)):
        for made in task.get("predictions", []):
            assert project.validate_prediction(made, return_errors=True) == []
        assert all(project.validate_annotation(made) for made in task.get("annotations", []))


def as_label_studio(found: list[Annotation]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        find_format("labelstudio").write(Path(folder) / "tasks.json", found, FPS)
        return (Path(folder) / "tasks.json").read_text(encoding="utf-8")


def test_label_studio_reads_what_it_exports(tmp_path):
    value = {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["run", "jump"]}
    result = [
        {"type": "timelinelabels", "value": value, "origin": "manual", "to_name": "video", "from_name": "actions"},
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    task = {
        "id": 7,
        "data": {"clip": "/data/upload/1/4f-beach.v2.mp4"},
        "annotations": [{"id": 1, "result": result}],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{**task, "predictions": [{"result": "not looked at"}], "meta": {}}]))
    ((read,), remarks) = find_format("labelstudio").read(path, FPS)
    found = (Segment("run", 0.08, 0.2), Segment("jump", 0.08, 0.2))
    assert read == Annotation("4f-beach.v2", found, file_name="4f-beach.v2.mp4")
    assert remarks == [f"{path}: 1 results of other kinds are left out"]
    given_up = {"result": result, "was_cancelled": True}
    path.write_text(json.dumps([{**task, "annotations": [given_up, {"result": result[:1]}, {"result": result[:1]}]}]))
    ((read,), remarks) = find_format("labelstudio").read(path, FPS)
    assert len(read.segments) == 4
    assert remarks == [f"{path}: 1 tasks are annotated more than once, their segments are joined"]


def test_via_reads_what_it_saves(tmp_path):
    attribute = {"aname": "Action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"r": "run", "j": "jump"}}
    place = {"aname": "box", "anchor_id": "FILE1_Z0_XY1", "type": 1, "options": {}}
    project = {
        "project": {"vid_list": ["1", "2"]},
        "config": {},
        "attribute": {"9": place, "1": attribute},
        "file": {"1": {"fid": 1, "fname": "films/a.b.mp4"}, "2": {"fid": 2, "fname": "c"}},
        "view": {"1": {"fid_list": [1]}, "2": {"fid_list": ["2"]}},
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [7.295, 35.045], "xy": [], "av": {"1": "r"}},
            "1_y": {"vid": "1", "flg": 0, "z": [3.0], "xy": [2, 1, 1, 5, 5], "av": {"9": "ball"}},
        },
    }
    path = tmp_path / "via.json"
    path.write_text(json.dumps(project))
    read, remarks = find_format("via").read(path)
    assert read == [Annotation("a.b", (Segment("run", 7.295, 35.045),), file_name="a.b.mp4"), Annotation("c")]
    assert remarks == [f"{path}: 1 marks that are no stretch of time are left out"]
    project["attribute"]["2"] = {**attribute, "aname": "Who", "options": {}}
    project["metadata"]["1_x"]["av"]["2"] = "Ann"
    path.write_text(json.dumps(project))
    assert find_format("via").read(path).remarks[1:] == [
        f"{path}: 1 segments have other attributes than a label and a score, which are left out"
    ]


def test_boris_reads_what_it_exports(tmp_path):
    head = "Observation id,Media file,Total length,FPS,Subject,Behavior,Modifiers,Behavior type"
    head += ",Start (s),Stop (s),Comment start"
    path = tmp_path / "events.csv"
    path.write_text(
        f"{head}\no1,a.mp4,12.5,25,Rex,dig,deep,STATE,1.5,2.25,sure\no1,a.mp4,12.5,25,Rex,bark,,POINT,3,NA,\n"
    )
    ((read,), remarks) = find_format("boris").read(path)
    assert read == Annotation("o1", (Segment("dig", 1.5, 2.25), Segment("bark", 3.0, 3.0)), 12.5)
    assert remarks == [f"{path}: the columns modifiers, subject are left out"]


def test_fiftyone_frames_are_counted_from_one_and_both_included(tmp_path):
    known, path = find_format("fiftyone"), tmp_path / "labels.json"
    known.write(path, [Annotation("v", (Segment("run", 0.0, 0.2, 0.9), Segment("hop", 0.2, 0.2)))], FPS)
    assert json.loads(path.read_text())["labels"]["v"] == [
        {"label": "run", "support": [1, 5], "confidence": 0.9},
        {"label": "hop", "support": [6, 6]},
    ]
    detections = [{"label": 1, "support": [1, 5]}, {"label": 0, "timestamps": [0.5, 1.5]}]
    path.write_text(json.dumps({"classes": ["a", "b"], "labels": {"v": detections, "w": None}}))
    v, w = known.read(path, FPS).annotations
    assert v.segments == (Segment("b", 0.0, 0.2), Segment("a", 0.5, 1.5)) and w == Annotation("w")


@given(st.integers(0, 100_000), st.integers(1, 1000), st.sampled_from([24, 25, 29.97, 30, 60]))
def test_frames_and_seconds_agree(first, length, fps):
    assert frames(Segment("a", first / fps, (first + length) / fps), fps) == (first + 1, first + length)


def test_subtitles_of_other_hands(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text(
        "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE --\nseen\n\n"
        "intro\n00:01.000 --> 01:00:02.500 align:start\n<v Ann>Tom &amp; <i>Jerry</i>\nrun\n"
    )
    ((read,), _) = find_format("vtt").read(path)
    assert read.segments == (Segment("Tom & Jerry\nrun", 1.0, 3602.5),)
    path.write_text("WEBVTT\n00:01.000 --> 00:02.000\nat once\n")
    assert find_format("vtt").read(path).annotations[0].segments == (Segment("at once", 1.0, 2.0),)
    path.with_suffix(".srt").write_text(
        "\n\n1\n00:00:01,000  -->  00:00:02,500  X1:1\nrun\n   \n00:00:03.000 --> 00:00:04.000\n- a\n"
    )
    ((read,), _) = find_format("srt").read(path.with_suffix(".srt"))
    assert read.segments == (Segment("run", 1.0, 2.5), Segment("- a", 3.0, 4.0))


# what a user says and is told


def wtal(*arguments: object, code: int = 0) -> str:
    """What is said; a user's error is one sentence."""
    done = CliRunner().invoke(cli.app, ["convert", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert code == 0 or (done.stderr.startswith("error: ") and done.stderr.count("\n") == 1), done.stderr
    return done.output


@pytest.fixture
def proposals(tmp_path: Path) -> Path:
    path = tmp_path / "proposals.json"
    write_proposals(path, {"a.b": [Segment("run", 0.5, 2.0, 0.75), Segment("jump", 1.0, 3.0, 0.5)], "c": []})
    return path


@BY_NAME
def test_to_every_format_and_back(known, proposals, tmp_path):
    out = tmp_path / ("out" if known.single_video else f"out{known.extension}")
    rate = ["--fps", 4] if known.needs_fps else []
    said = wtal(proposals, out, "--to", known.name, *rate)
    assert f"results to {known.name}: 2 segments of 2 videos written to {out}" in said
    wtal(out, tmp_path / "back.json", "--to", "results", *rate)
    scored = "scores" in known.keeps
    kept = {id: found for id, found in read_proposals(proposals).items() if found or known.name != "boris"}
    assert {
        id: sorted((p.label, p.start, p.end, p.score) for p in found)
        for id, found in read_proposals(tmp_path / "back.json").items()
    } == {
        id: sorted((p.label, p.start, p.end, p.score if scored else 1.0) for p in found) for id, found in kept.items()
    }


def test_truth_says_what_each_format_cannot_hold(tmp_path):
    path = tmp_path / "truth.json"
    actions = [
        {"label": "run", "segment": [0.12312, 0.1234]},
        {"label": "a\nb", "segment": [1, 2]},
        {"label": "tag"},
    ]
    entry = {"subset": "validation", "duration": 7.5, "annotations": actions}
    path.write_text(json.dumps({"database": {"v": entry, "w": {"subset": "training", "annotations": []}}}))
    lost = {
        "results": "durations subsets tags scores",
        "activitynet": "",
        "csv": "",
        "vtt": "durations subsets tags rounded shorter",
        "srt": "durations subsets tags rounded shorter labels",
        "labelstudio": "durations subsets tags rounded shorter",
        "via": "durations subsets tags",
        "boris": "empty subsets tags rounded",
        "elan": "durations subsets tags rounded shorter",
        "fiftyone": "durations subsets tags rounded shorter",
        "audacity": "durations subsets tags labels",
    }
    words = {
        "durations": "lengths of videos are left out (1)",
        "subsets": "subsets of videos are left out (2)",
        "tags": "labels without times are left out",
        "scores": "segments without a score get 1.0, as each must have one (2)",
        "rounded": "times are rounded to ",
        "shorter": "nothing is shorter than ",
        "labels": "labels with line breaks or other marks that it cannot hold are changed (1)",
        "empty": "videos without segments are left out (1)",
    }
    for known in FORMATS.values():
        rate = ["--fps", 25] if known.needs_fps else []
        said = wtal(path, tmp_path / f"out-{known.name}", "--to", known.name, *rate)
        told = [word for word, sentence in words.items() if f"note: {known.name}: {sentence}" in said]
        assert sorted(told) == sorted(lost[known.name].split()), said
        assert said.count("note: ") == len(told)


def test_one_video_is_one_file(proposals, tmp_path):
    said = wtal(proposals, tmp_path / "a.b.srt", "--video", "a.b")
    assert "2 segments of 1 videos" in said and "read back" not in said
    said = wtal(proposals, tmp_path / "other.srt", "--video", "a.b")
    assert "note: srt: the video is not named; read back it is other, not a.b" in said
    assert wtal(tmp_path / "a.b.srt", tmp_path / "a.vtt").startswith("srt to vtt: 2 segments")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("p", "o.srt"), "holds 2 videos, and a file of srt one; take one with --video"),
        (("p", "o.srt", "--video", "d"), "has no video 'd'; it has a.b, c"),
        (("p", "o.json"), "could be of several formats; say which with --to, one of via, labelstudio"),
        (("p", "o.csv"), "say which with --to, one of csv, boris"),
        (("p", "o"), "say which with --to"),
        (
            ("p", "o.json", "--to", "fiftyone"),
            "fiftyone counts frames; say how many there are in a second, as --fps 25",
        ),
        (("p", "o.json", "--to", "labelstudio", "--fps", "0"), "labelstudio counts frames"),
        (("p", "o.json", "--to", "via", "--fps", "25"), "neither results nor via counts frames; leave out --fps"),
        (("p", "o.json", "--to", "viaa"), "there is no format 'viaa'; choose one of csv, vtt, "),
        (("p", "o.csv", "--to", "csv", "--from", "vtt"), "a WebVTT file begins with WEBVTT"),
        (("p", "p", "--to", "via"), "is the source itself"),
        (("p", "o", "--to", "srt", "--stride", "4"), "timelines have no snippets; leave out --stride and --window"),
        (("p", "o.json", "--to", "fiftyone", "--fps", "1e308"), "fiftyone counts frames"),
        (("p", ".", "--to", "srt"), "is the folder that you are in"),
        (("p", "", "--to", "csv"), "is the folder that you are in"),
        (("nowhere", "o"), "there is no such file or folder"),
        (("nowhere.srt", "o.vtt", "--from", "srt"), "there is no such file"),
        (("nowhere.eaf", "o.vtt", "--from", "elan"), "no such file"),
        ((".", "o", "--to", "srt"), "has no file ending in .vtt or .srt or .txt or .eaf"),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments, sentence, proposals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    proposals.rename("p")
    assert sentence in wtal(*arguments, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_nothing_is_written_over(proposals, tmp_path):
    (tmp_path / "there.vtt").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    assert "is there already" in wtal(proposals, tmp_path / "there.vtt", "--video", "c", code=2)
    assert "is there already" in wtal(proposals, tmp_path / "folder", "--to", "srt", code=2)
    assert (tmp_path / "there.vtt").read_text() == "mine"
    for name, target in {"loop": "loop", "dangling": "nowhere", "empty": "another"}.items():
        (tmp_path / "another").mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / target)
        assert "is there already" in wtal(proposals, tmp_path / name, "--to", "srt", code=2)
        assert (tmp_path / name).is_symlink() and not (tmp_path / "nowhere").exists()


def test_what_a_spreadsheet_would_run_is_said(tmp_path):
    path = tmp_path / "p.json"
    write_proposals(path, {"@v": [Segment(label, 1, 2, 0.5) for label in ("=1+1", "-x", "run", "a=b")]})
    for to in ("csv", "boris"):
        said = wtal(path, tmp_path / f"{to}.csv", "--to", to)
        assert f"note: {to}: a spreadsheet takes names that begin with =, +, - or @ for formulas (3)" in said
    assert "formulas" not in wtal(path, tmp_path / "o.json", "--to", "via")


def test_columns_that_are_not_read_are_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("video,label,start,end,who,note\nv,run,1,2,Ann,\n")
    assert "t.csv: the columns who are left out" in wtal(path, tmp_path / "o.json", "--to", "results")


def test_names_that_mix_or_are_no_files_are_refused(tmp_path):
    path = tmp_path / "p.json"
    write_proposals(path, {"x/a": [], "y/a.mp4": []})
    assert "'a' is there twice" in wtal(path, tmp_path / "o", "--to", "via", code=2)
    assert "cannot be the name of a file; take it with --video" in wtal(path, tmp_path / "o", "--to", "srt", code=2)
    assert not (tmp_path / "o").exists()
    assert "of 1 videos" in wtal(path, tmp_path / "a.srt", "--video", "x/a")
    said = wtal(path, tmp_path / "a.json", "--to", "via", "--video", "y/a.mp4")
    assert "names of videos are read back otherwise, 'y/a.mp4' as 'a' (1)" in said


def test_a_folder_of_two_formats_wants_a_word(tmp_path):
    for name in ("vtt", "srt"):
        find_format(name).write(tmp_path / f"v.{name}", [Annotation("v")])
    with pytest.raises(DataError, match="holds timelines of several formats; say which with --from, one of srt, vtt"):
        read_annotations(tmp_path)
    assert read_annotations(tmp_path, "vtt")[0].annotations == [Annotation("v")]


# bad files

TIMES = {
    "reversed": (2, 1),
    "negative": (-1, 1),
    "NaN": (math.nan, 1),
    "huge": (1, 1e300),
    "infinite": (0, math.inf),
}
BAD_FRAMES = {"reversed": (9, 3), "zero": (0, 3), "NaN": (math.nan, 3), "huge": (1, 10**400), "word": ("a", 3)}
WRONG: dict[str, Callable[[object, object], str]] = {
    "results": lambda a, b: json.dumps({"results": {"v": [{"label": "x", "score": 1, "segment": [a, b]}]}}),
    "activitynet": lambda a, b: json.dumps({"database": {"v": {"annotations": [{"label": "x", "segment": [a, b]}]}}}),
    "csv": lambda a, b: f"video,label,start,end\nv,x,{a},{b}\n",
    "boris": lambda a, b: f"Observation id,Behavior,Start (s),Stop (s)\nv,x,{a},{b}\n",
    "audacity": lambda a, b: f"{a}\t{b}\tx\n",
    "via": lambda a, b: json.dumps(
        {
            "attribute": {"1": {"aname": "x"}},
            "file": {"1": {"fname": "v"}},
            "view": {"1": {"fid_list": [1]}},
            "metadata": {"m": {"vid": 1, "z": [a, b], "av": {"1": "x"}}},
        }
    ),
    "labelstudio": lambda a, b: json.dumps(
        [
            {
                "data": {"video": "v"},
                "annotations": [{"result": [{"value": {"ranges": [{"start": a, "end": b}], "timelinelabels": ["x"]}}]}],
            }
        ]
    ),
    "fiftyone": lambda a, b: json.dumps({"labels": {"v": [{"label": "x", "support": [a, b]}]}}),
}


def refused(known: AnnotationFormat, text: str | bytes, folder: Path) -> str:
    """The one sentence; nothing is written."""
    path = folder / f"bad{known.extension}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rate = ["--fps", "25"] if known.needs_fps else []
    said = wtal(path, folder / "out.csv", "--to", "csv", "--from", known.name, *rate, code=2)
    assert [p.name for p in folder.iterdir()] == [path.name]
    assert said.startswith(f"error: {path}")
    return said


@pytest.mark.parametrize("fault", [*TIMES, *BAD_FRAMES])
@pytest.mark.parametrize("name", WRONG)
def test_times_that_cannot_be(name, fault, tmp_path):
    known = find_format(name)
    bad = BAD_FRAMES if known.needs_fps else TIMES
    if fault in bad:
        refused(known, WRONG[name](*bad[fault]), tmp_path)


@pytest.mark.parametrize("times", ["00:00:02{0}000 --> 00:00:01{0}000", "-00:00:02{0}000 --> 00:00:03{0}000"])
@pytest.mark.parametrize(
    "more", ["", "junk\n\n", "00:61:00{0}000 --> 00:62:00{0}000\nx\n\n", "00:00:01{0}000 -->\nx\n\n"]
)
def test_bad_subtitles_name_the_line(times, more, tmp_path):
    for name, point, head in (("srt", ",", ""), ("vtt", ".", "WEBVTT\n\n")):
        text = head + (more + times).format(point) + "\nx\n"
        assert re.search(r"bad\.(srt|vtt), line [1-3]: ", refused(find_format(name), text, tmp_path))
        (tmp_path / f"bad.{name}").unlink()


@BY_NAME
def test_other_encodings_and_files_cut_off(known, tmp_path):
    path = tmp_path / f"v{known.extension}"
    one = Annotation("v", (Segment("Stoß über", 1.0, 2.0, 0.5), Segment("jump", 2.0, 3.0, 0.5)))
    known.write(path, [one], *([FPS] if known.needs_fps else []))
    text = path.read_text(encoding="utf-8")
    path.unlink()
    latin = text.replace(r"\u00df", "ß").encode("latin-1")
    assert "UTF-8" in refused(known, latin, tmp_path) or known.name == "elan"
    last = {"csv": ",3", "audacity": "\tjump", "srt": "jump", "vtt": "jump"}.get(known.name)
    cut = text[: text.rindex(last)] if last else text.rstrip()[:-8]
    refused(known, cut, tmp_path)
    refused(known, b"\x00\x01\x02\xff", tmp_path)


@pytest.mark.parametrize(
    "name, text",
    [
        ("results", '{"results": {"v": [{"label": "\\ud800", "score": 1, "segment": [1, 2]}]}}'),
        ("results", '{"results": {" ": []}}'),
        ("results", "{}"),
        ("results", '{"results": {}}'),
        ("labelstudio", '[{"data": {"video": "v"}}, {"data": {"video": "x/v.mp4"}}]'),
        ("labelstudio", '[{"data": {}}]'),
        ("labelstudio", '[{"data": {"video": "v"}, "annotations": {}}]'),
        ("labelstudio", '[{"data": {"video": "v"}, "annotations": [{"result": [{"value": 3}]}]}]'),
        ("labelstudio", "7"),
        ("labelstudio", "[" * 100_000),
        ("fiftyone", '{"labels": []}'),
        ("fiftyone", '{"labels": {"v": [{"label": "x"}]}}'),
        ("fiftyone", '{"labels": {"v": {}}}'),
        ("fiftyone", '{"classes": ["x"], "labels": {"v": [{"label": 1, "support": [1, 2]}]}}'),
        ("via", '{"attribute": {}, "file": {}, "view": {"1": {"fid_list": []}}, "metadata": {}}'),
        ("via", '{"attribute": {}, "file": {}, "view": {}, "metadata": {"m": {"vid": 1, "z": [1, 2], "av": {}}}}'),
        ("csv", "video,label,start,end\nv,,1,2\n"),
        ("csv", "video,label,start,end\nv,x,1\n"),
        ("csv", 'video,label,start,end\nv,"x,1,2\n'),
        ("csv", "video,label,start,end,video\nv,x,1,2,v\n"),
        ("csv", "video,label,start,end,duration\nv,x,1,2,9\nv,x,1,2,8\n"),
        ("csv", "video,labels\nv,x\n"),
        ("csv", "video,label,start,end,score\nv,x,1,2,high\n"),
        ("boris", "Observation id,Behavior,Start (s),Stop (s),Total length\nv,x,1,2,-4\n"),
        ("audacity", "1.0 2.0 x\n"),
        ("audacity", "1.0\t2.0\t\n"),
        ("audacity", "1_0\t2_0\tx\n"),
        ("csv", f"video,label,start,end,{'z' * 200_000}\nv,x,1,2,\n"),
        ("csv", "z," * 200_000),
        ("csv", f"video,label,start,end\nv,{'x' * 200_000},1,2\n"),
        ("activitynet", '{"database": {"v": {"subset": "\\ud800", "annotations": []}}}'),
        ("activitynet", '{"database": {"v": {"duration": 1e300, "annotations": []}}}'),
        ("results", json.dumps({"results": {"v": [{"label": "x" * 200_000, "score": 1, "segment": [1, 2]}]}})),
        ("vtt", ""),
        ("elan", "<a/>"),
        ("elan", ""),
    ],
)
def test_wrong_shapes_are_one_sentence(name, text, tmp_path):
    refused(find_format(name), text, tmp_path)


JUNK = [None, True, -1, 1e400, "", "x", [], {}, [[]], {"1": {}}]


def nodes(value: object, way: tuple = ()) -> list[tuple]:
    """The way to every part of a JSON value."""
    inside = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return [way, *(found for key, part in inside for found in nodes(part, (*way, key)))]


def replaced(value: object, way: tuple, junk: object) -> object:
    """The value with another part at the end of the way."""
    if not way:
        return junk
    copy = value.copy()
    copy[way[0]] = replaced(value[way[0]], way[1:], junk)
    return copy


@BY_NAME
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_is_said(known, data):
    """A damaged file is read, or refused with a DataError; nothing else comes out of it."""
    rate = [FPS] if known.needs_fps else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v{known.extension}"
        known.write(path, [Annotation("v", (Segment("run", 1.0, 2.0, 0.5), Segment("hop", 2.0, 3.0, 0.5)))], *rate)
        if known.extension == ".json" and data.draw(st.booleans()):
            value = json.loads(path.read_text())
            way, junk = data.draw(st.sampled_from(nodes(value))), data.draw(st.sampled_from(JUNK))
            path.write_text(json.dumps(replaced(value, way, junk)))
        else:
            whole = path.read_bytes()
            start, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 12))
            path.write_bytes(whole[:start] + data.draw(st.binary(max_size=4)) + whole[start + length :])
        try:
            read = known.read(path, *rate)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert all(0 <= one.start <= one.end for timeline in read.annotations for one in timeline.segments)


def test_entities_are_never_expanded(tmp_path):
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{bomb}]><x>&e11;</x>'
    for data in (text.encode(), text.encode("utf-16")):
        begun = time.process_time()
        assert "has a DOCTYPE, which ELAN never writes" in refused(find_format("elan"), data, tmp_path)
        assert time.process_time() - begun < 1
    secret = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    assert "has a DOCTYPE" in refused(find_format("elan"), secret, tmp_path)


@pytest.mark.parametrize(
    "old, new",
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
def test_bad_elan_files(old, new, tmp_path):
    find_format("elan").write(tmp_path / "v.eaf", [Annotation("v", (Segment("run", 1.0, 2.0),))])
    text = (tmp_path / "v.eaf").read_text()
    (tmp_path / "v.eaf").unlink()
    assert old in text
    refused(find_format("elan"), text.replace(old, new, 1), tmp_path)


def test_tiers_of_one_name_do_not_hide_each_other(tmp_path):
    one = Annotation("v", (Segment("run", 1.0, 2.0), Segment("hop", 1.0, 2.0)))
    find_format("elan").write(tmp_path / "v.eaf", [one])
    text = (tmp_path / "v.eaf").read_text().replace('"hop"', '"run"')
    (tmp_path / "v.eaf").unlink()
    assert "TIER_ID 'run' is there twice; give each its own" in refused(find_format("elan"), text, tmp_path)


def test_labels_that_elan_cannot_tell_apart_are_written_at_once(tmp_path):
    marks = "\x01\x02\x03\x04\x05\x06\x07"
    alike = [f"a{a}b{b}c{c}d{d}" for a in marks for b in marks for c in marks for d in marks]
    begun = time.process_time()
    find_format("elan").write(tmp_path / "v.eaf", [Annotation("v", tuple(Segment(x, 1.0, 2.0) for x in alike))])
    assert len(find_format("elan").read(tmp_path / "v.eaf").annotations[0].segments) == len(alike)
    assert time.process_time() - begun < 3


def test_a_mark_of_too_many_digits_is_none(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text(f"WEBVTT\n\n00:01.000 --> 00:02.000\n&#{'9' * 5000}; &#x41; &#65;\n")
    assert find_format("vtt").read(path).annotations[0].segments == (Segment("\ufffd A A", 1.0, 2.0),)


@pytest.mark.parametrize("name", ["srt", "vtt", "audacity", "elan"])
def test_a_file_whose_name_cannot_be_written_is_refused(name, tmp_path):
    known, path = find_format(name), tmp_path / f"v{find_format(name).extension}"
    known.write(path, [Annotation("v", (Segment("run", 1.0, 2.0),))])
    try:
        strange = path.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff" + known.extension.encode())))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert "holds half a character" in wtal(strange, tmp_path / "o.csv", "--to", "csv", code=2)
    assert not (tmp_path / "o.csv").exists()


def test_annotations_without_times_are_said_to_be_left_out(tmp_path):
    path = tmp_path / "v.eaf"
    find_format("elan").write(path, [Annotation("v", (Segment("run", 1.0, 2.0),))])
    path.write_text(path.read_text().replace(' TIME_VALUE="2000"', ""))
    ((read,), remarks) = find_format("elan").read(path)
    assert read == Annotation("v") and remarks == [
        f"{path}: 1 annotations have no times of their own, they are left out"
    ]


def test_from_python_the_same_errors(tmp_path):
    with pytest.raises(ConfigError, match="several formats"):
        convert_annotations(tmp_path / "a.srt", tmp_path / "o.json")
    with pytest.raises(DataError, match="no such file"):
        convert_annotations(tmp_path / "a.srt", tmp_path / "o.vtt")
