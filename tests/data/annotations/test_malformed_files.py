"""Malformed files of every format: rejected with a DataError that names the file, and nothing is written."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.annotations import assert_rejected, fps_of, run_convert
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.convert import read_annotations, write_annotations
from wtal.data.annotations.registry import FORMATS

each_format = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)

INVALID_TIMES = {
    "reversed": (2, 1),
    "negative": (-1, 1),
    "NaN": (math.nan, 1),
    "huge": (1, 1e300),
    "infinite": (0, math.inf),
}
INVALID_FRAMES = {"reversed": (9, 3), "zero": (0, 3), "NaN": (math.nan, 3), "huge": (1, 10**400), "word": ("a", 3)}
FILE_WITH_TIMES: dict[str, Callable[[object, object], str]] = {
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
    "boris-project": lambda a, b: json.dumps(
        {
            "behaviors_conf": {"0": {"code": "x", "type": "State event"}},
            "observations": {"v": {"type": "LIVE", "events": [[a, "", "x", "", ""], [b, "", "x", "", ""]]}},
        }
    ),
    "simba": lambda a, b: f"Time,Media file name,Behavior,Behavior type\n{a},v.mp4,x,START\n{b},v.mp4,x,STOP\n",
    "sportscode": lambda a, b: (
        f"<file><ALL_INSTANCES><instance><start>{a}</start><end>{b}</end><code>x</code></instance></ALL_INSTANCES></file>"
    ),
}


@pytest.mark.parametrize(
    ("name", "times"),
    [
        pytest.param(name, times, id=f"{name}-{fault}")
        for name in FILE_WITH_TIMES
        for fault, times in (INVALID_FRAMES if name in ("labelstudio", "fiftyone") else INVALID_TIMES).items()
        if (name, fault) != ("boris-project", "reversed")  # events are sorted by time
    ],
)
def test_invalid_times_are_rejected(name, times, tmp_path):
    assert_rejected(FORMATS[name], FILE_WITH_TIMES[name](*times), tmp_path)


@each_format
def test_truncated_and_binary_files_are_rejected(format, tmp_path):
    path = tmp_path / f"v{format.extension}"
    segments = (Segment("run", 1.0, 2.0, 0.5), Segment("jump", 2.0, 3.0, 0.5))
    write_annotations(format, path, [Annotation("v", segments)], fps_of(format))
    text = path.read_text(encoding="utf-8")
    path.unlink()
    last_field = {"csv": ",3", "audacity": "\tjump", "srt": "jump", "vtt": "jump"}.get(format.name)
    assert_rejected(format, text[: text.rindex(last_field)] if last_field else text.rstrip()[:-8], tmp_path)
    assert_rejected(format, b"\x00\x01\x02\xff", tmp_path)


@each_format
def test_files_that_are_not_utf8_are_rejected(format, tmp_path):
    path = tmp_path / f"v{format.extension}"
    write_annotations(format, path, [Annotation("v", (Segment("Stoß", 1.0, 2.0, 0.5),))], fps_of(format))
    text = path.read_text(encoding="utf-8")
    path.unlink()
    content = text.encode("latin-1")
    if text.isascii():
        content += b"\xdf"
    assert_rejected(format, content, tmp_path)


@pytest.mark.parametrize("name", ["elan", "sportscode"])
@pytest.mark.parametrize("content", ["", "<a/>", '<a x:y="1"/>'])
def test_other_xml_is_rejected(name, content, tmp_path):
    assert_rejected(FORMATS[name], content, tmp_path)


@pytest.mark.parametrize("name", ["srt", "vtt", "audacity", "elan", "sportscode"])
def test_file_names_that_are_not_unicode_are_rejected(name, tmp_path):
    format = FORMATS[name]
    path = tmp_path / f"v{format.extension}"
    format.write(path, [Annotation("v", (Segment("run", 1.0, 2.0),))])
    try:
        path = path.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff" + format.extension.encode())))
    except OSError:
        pytest.skip("the file system does not allow such names")
    with pytest.raises(DataError) as caught:
        format.read(path)
    assert caught.value.code == "invalid-unicode"
    run_convert(path, tmp_path / "o.csv", exit_code=2)
    assert not (tmp_path / "o.csv").exists()


WRONG_VALUES = [None, True, -1, 1e400, "", "x", [], {}, [[]], {"1": {}}]


def paths_in(value: object, path: tuple = ()) -> list[tuple]:
    """The path of keys to every part of a JSON value."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return [path, *(inner for key, part in items for inner in paths_in(part, (*path, key)))]


def replaced(value: object, path: tuple, new: object) -> object:
    """A copy of a JSON value in which the part at a path is replaced."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@each_format
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_fuzzed_reader_raises_only_data_errors(format, data):
    segments = (Segment("run", 1.0, 2.0, 0.5), Segment("hop", 2.0, 3.0, 0.5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v{format.extension}"
        write_annotations(format, path, [Annotation("v", segments)], fps_of(format))
        if format.extension in (".json", ".boris") and data.draw(st.booleans()):
            value = json.loads(path.read_text())
            keys, new = data.draw(st.sampled_from(paths_in(value))), data.draw(st.sampled_from(WRONG_VALUES))
            path.write_text(json.dumps(replaced(value, keys, new)))
        else:
            content = path.read_bytes()
            start, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 12))
            path.write_bytes(content[:start] + data.draw(st.binary(max_size=4)) + content[start + length :])
        try:
            file, _ = read_annotations(path, format.name, fps_of(format))
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert all(0 <= s.start <= s.end for annotation in file.annotations for s in annotation.segments)
