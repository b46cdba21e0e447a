"""BORIS projects: what BORIS requires of them, states and points, subjects, and other ways to code."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.annotations import as_stored, segments
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.boris_events import join_subject, split_subject
from wtal.data.annotations.boris_project import FORMAT, read, write
from wtal.data.annotations.convert import convert_annotations

# The keys that BORIS 10 reads without a default when it opens a project, edits an observation or exports events.
PROJECT_KEYS = {
    *("time_format", "project_name", "project_date", "project_description", "project_format_version"),
    *("subjects_conf", "behaviors_conf", "observations", "behavioral_categories", "behavioral_categories_config"),
    *("independent_variables", "coding_map", "converters"),
}
OBSERVATION_KEYS = {
    *("file", "type", "date", "description", "time offset", "events", "media_info"),
    *("independent_variables", "observation time interval"),
}
BEHAVIOR_KEYS = {"type", "key", "code", "description", "color", "category", "modifiers", "excluded", "coding map"}
MEDIA_INFO_KEYS = {"length", "fps", "hasVideo", "hasAudio", "offset", "display"}


def write_project(path, observations, behaviors=(("run", "State event"), ("bark", "Point event"))):
    """A project as BORIS stores it."""
    ethogram = {str(n): {"code": code, "type": type, "modifiers": {}} for n, (code, type) in enumerate(behaviors)}
    path.write_text(json.dumps({"behaviors_conf": ethogram, "observations": observations}))
    return path


def media_observation(events, media=("film.mp4",), length=60.0, **other):
    info = {"length": dict.fromkeys(media, length)}
    return {"type": "MEDIA", "file": {"1": list(media), "2": []}, "media_info": info, "events": events, **other}


def paired_events(project, observation):
    """Subject, behavior, modifier, start and stop of each state and point, by the rules of BORIS.

    BORIS sorts the events by time, subject and behavior. Then every second event of a state behavior with the same
    subject and modifier is a stop.
    """
    types = {behavior["code"]: behavior["type"] for behavior in project["behaviors_conf"].values()}
    started, pairs = {}, []
    for time, subject, code, modifier, _, frame in sorted(observation["events"], key=lambda event: event[:3]):
        key = subject, code, modifier
        assert frame == "NA"
        if types[code] == "Point event":
            pairs.append((*key, time, time))
        elif key in started:
            pairs.append((*key, started.pop(key), time))
        else:
            started[key] = time
    assert not started, "a state has no stop"
    return pairs


@settings(max_examples=60, deadline=None)
@given(written=st.lists(segments(), max_size=8).map(tuple), fps=st.none() | st.just(25.0))
def test_projects_have_what_boris_requires(written, fps):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.boris"
        write(path, [Annotation("v", written, 12.5, file_name="v.mp4"), Annotation("w")], fps)
        content = path.read_text()
    project = json.loads(content)
    assert content.isascii(), "BORIS opens files in the encoding of the system"
    assert project.keys() >= PROJECT_KEYS and project["project_format_version"] == "7.0"
    behaviors = list(project["behaviors_conf"].values())
    assert all(behavior.keys() == BEHAVIOR_KEYS for behavior in behaviors)
    assert {behavior["type"] for behavior in behaviors} <= {"State event", "Point event"}
    codes = [behavior["code"] for behavior in behaviors]
    assert len(set(codes)) == len(codes)
    subjects = {subject["name"] for subject in project["subjects_conf"].values()}
    modifiers = {
        behavior["code"]: [set(entry["values"]) for entry in behavior["modifiers"].values()] for behavior in behaviors
    }
    for id, observation in project["observations"].items():
        (media,) = observation["file"]["1"]
        assert media == {"v": "v.mp4", "w": "w"}[id]
        assert observation.keys() >= OBSERVATION_KEYS and observation["media_info"].keys() == MEDIA_INFO_KEYS
        assert observation["media_info"]["length"] == ({media: 12.5} if id == "v" else {})
        assert observation["media_info"]["fps"] == ({} if fps is None else {media: fps})
        for _, subject, code, modifier, *_ in observation["events"]:
            assert subject in {*subjects, ""} and code in codes
            assert modifier == "" or modifiers[code][0] >= {modifier}
    pairs = paired_events(project, project["observations"]["v"])
    expected = [as_stored(FORMAT, segment) for segment in written]
    assert Counter((join_subject(code, subject), start, stop) for subject, code, _, start, stop in pairs) == Counter(
        (segment.label, segment.start, segment.end) for segment in expected
    )


def test_behavior_with_points_only_is_a_point_event(tmp_path):
    path = tmp_path / "p.boris"
    written = (Segment("bark", 1.0, 1.0), Segment("run", 1.0, 2.0), Segment("run", 1.5, 1.5))
    write(path, [Annotation("v", written)])
    project = json.loads(path.read_text())
    types = {behavior["code"]: behavior["type"] for behavior in project["behaviors_conf"].values()}
    assert types == {"bark": "Point event", "run": "State event"}
    assert Counter(read(path).annotations[0].segments) == Counter(written)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("groom (mouse 1)", ("groom", "mouse 1")),
        ("high jump (men) (final)", ("high jump (men)", "final")),
        ("groom", ("groom", "")),
        ("groom(mouse)", ("groom(mouse)", "")),
        ("(mouse)", ("(mouse)", "")),
        ("groom ()", ("groom ()", "")),
        ("groom ( mouse)", ("groom ( mouse)", "")),
        ("groom (No focal subject)", ("groom (No focal subject)", "")),
    ],
)
def test_subject_is_the_end_of_a_label(label, expected):
    assert split_subject(label) == expected
    assert join_subject(*expected) == label


@given(st.text("a ()\n", min_size=1).map(str.strip).filter(bool))
def test_label_is_its_behavior_and_subject(label):
    assert join_subject(*split_subject(label)) == label


def test_subjects_are_written_and_read(tmp_path):
    path = tmp_path / "p.boris"
    written = (Segment("groom (Rex)", 1.0, 3.0), Segment("groom (Max)", 2.0, 4.0), Segment("groom", 2.5, 5.0))
    write(path, [Annotation("v", written)])
    project = json.loads(path.read_text())
    assert [behavior["code"] for behavior in project["behaviors_conf"].values()] == ["groom"]
    assert [subject["name"] for subject in project["subjects_conf"].values()] == ["Max", "Rex"]
    assert {event[3] for event in project["observations"]["v"]["events"]} == {""}
    assert Counter(read(path).annotations[0].segments) == Counter(written)


def test_events_of_boris_are_read(tmp_path):
    events = [
        [2.0, "", "run", "", "sure"],  # projects before version 8 have no frame index
        [5.0, "", "run", "", "", 125],
        [1.0, "No focal subject", "run", "", "", "NA"],
        [3.0, "Rex", "bark", "", "[score 0.5]", 75],
        [4.0, "Rex", "run", "None", "", 100],
        [6.5, "Rex", "run", "None", "", 163],
        [1.5, "", "run", "", "", 38],
    ]
    path = write_project(tmp_path / "p.boris", {"day 1": media_observation(events, ["C:\\films\\film.mp4"])})
    (annotation,), warnings = read(path)
    expected = {
        *(Segment("run", 1.0, 1.5), Segment("run", 2.0, 5.0)),
        *(Segment("bark (Rex)", 3.0, 3.0, 0.5), Segment("run (Rex)", 4.0, 6.5)),
    }
    assert set(annotation.segments) == expected and len(annotation.segments) == 4
    assert (annotation.id, annotation.duration, annotation.file_name) == ("film", 60.0, "film.mp4")
    assert warnings == []


@pytest.mark.parametrize(("length", "end"), [(60.0, 60.0), (0, 7.0), (6.5, 7.0)])
def test_state_without_stop_ends_with_the_video_or_the_last_event(length, end, tmp_path):
    events = [[2.0, "", "run", "", ""], [7.0, "", "bark", "", ""]]
    path = write_project(tmp_path / "p.boris", {"o": media_observation(events, length=length)})
    (annotation,), (warning,) = read(path)
    assert Segment("run", 2.0, end) in annotation.segments
    assert "without a stop" in warning.message and warning.count == 1


def test_modifiers_pair_events_and_are_ignored_with_a_warning(tmp_path):
    events = [[1.0, "", "run", "fast", ""], [2.0, "", "run", "slow|None", ""], [3.0, "", "run", "fast", ""]]
    events.append([9.0, "", "run", "slow|None", ""])
    path = write_project(tmp_path / "p.boris", {"o": media_observation(events)})
    (annotation,), (warning,) = read(path)
    assert set(annotation.segments) == {Segment("run", 1.0, 3.0), Segment("run", 2.0, 9.0)}
    assert "modifiers" in warning.message and warning.count == 4


def test_undefined_behaviors_are_points_with_a_warning(tmp_path):
    events = [[1.0, "", "sit", "", ""], [2.0, "", "sit", "", ""]]
    (annotation,), (warning,) = read(write_project(tmp_path / "p.boris", {"o": media_observation(events)}))
    assert annotation.segments == (Segment("sit", 1.0, 1.0), Segment("sit", 2.0, 2.0))
    assert "not defined" in warning.message and warning.count == 1


def test_time_offset_is_subtracted(tmp_path):
    events = [[3600.1, "", "run", "", ""], [3602.4, "", "run", "", ""]]
    path = write_project(tmp_path / "p.boris", {"o": media_observation(events, **{"time offset": 3600.0})})
    assert read(path).annotations[0].segments == (Segment("run", 0.1, 2.4),)


def test_ids_come_from_the_video_if_it_is_unambiguous(tmp_path):
    path = write_project(
        tmp_path / "p.boris",
        {
            "one film": media_observation([], ["a.mp4"]),
            "two films": media_observation([], ["b.mp4", "c.mp4"], length=30.0),
            "first observer": media_observation([], ["d.mp4"]),
            "second observer": media_observation([], ["d.mp4"]),
            "live": {"type": "LIVE", "file": [], "events": [[1, "", "bark", "", ""]]},
            "photos": {"type": "IMAGES", "file": {}, "events": [["NA", "", "bark", "", "", 1, "a.jpg"]]},
        },
    )
    annotations, (warning,) = read(path)
    assert {annotation.id: annotation.duration for annotation in annotations} == {
        **{"a": 60.0, "two films": 60.0, "first observer": 60.0, "second observer": 60.0, "live": None}
    }
    assert "images" in warning.message and warning.count == 1


def test_observation_with_the_id_of_another_video_is_rejected(tmp_path):
    observations = {"o": media_observation([], ["a.mp4"]), "a": media_observation([], ["b.mp4", "c.mp4"])}
    path = write_project(tmp_path / "p.boris", observations)
    with raises(DataError, code="duplicate-id", path=path):
        read(path)


@pytest.mark.parametrize(
    ("observation", "code"),
    [
        ([], "invalid-type"),
        ({"type": "MEDIA", "events": []}, "invalid-type"),
        ({"type": "MEDIA", "events": [], "file": {}}, "missing-key"),
        ({"type": "MEDIA", "events": [], "file": {"1": [7]}}, "invalid-value"),
        ({"type": "LIVE"}, "missing-key"),
        ({"type": "LIVE", "events": {}}, "invalid-type"),
        ({"type": "LIVE", "events": [[]]}, "invalid-value"),
        ({"type": "LIVE", "events": [["soon", "", "run"]]}, "invalid-value"),
        ({"type": "LIVE", "events": [[-1, "", "run"]]}, "invalid-value"),
        ({"type": "LIVE", "events": [[1, [], "run"]]}, "invalid-type"),
        ({"type": "LIVE", "events": [[1, "", None]]}, "invalid-value"),
        ({"type": "LIVE", "events": [[1, "", "run"]], "time offset": []}, "invalid-value"),
        ({"type": "LIVE", "events": [[1, "", "\ud800"]]}, "invalid-unicode"),
        ({"type": "LIVE", "events": [[1, "", "run" * 50_000]]}, "invalid-value"),
    ],
)
def test_invalid_observations_are_rejected_with_their_location(observation, code, tmp_path):
    path = write_project(tmp_path / "p.boris", {"day 1": observation})
    with raises(DataError, code=code, path=path) as caught:
        read(path)
    assert caught.value.location.startswith("observations, day 1")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("[]", "invalid-type"),
        ("{}", "missing-key"),
        ('{"behaviors_conf": [], "observations": {}}', "invalid-type"),
        ('{"behaviors_conf": {"0": {"code": "x"}}, "observations": {}}', "missing-key"),
        ('{"behaviors_conf": {}, "observations": ' + "[" * 100_000, "invalid-json"),
    ],
)
def test_other_json_is_rejected(content, code, tmp_path):
    path = tmp_path / "p.boris"
    path.write_text(content)
    with raises(DataError, code=code, path=path):
        read(path)


def test_frame_rate_is_stored_if_it_is_given(tmp_path):
    source = tmp_path / "t.csv"
    source.write_text("video,label,start,end\nv,run,1,2\n")
    for fps, expected in ((None, {}), (29.97, {"v": 29.97})):
        out = tmp_path / f"{fps}.boris"
        assert convert_annotations(source, out, fps=fps).warnings == ()
        project = json.loads(out.read_text())
        assert project["observations"]["v"]["media_info"]["fps"] == expected
