"""Every reader: what it reads, what it writes back, and the sentence for each kind of bad input."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.data.layouts.activitynet import read_activitynet, write_activitynet
from wtal.data.layouts.convert import convert_layout
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.layouts.thumos import read_ambiguous, read_thumos
from wtal.data.layouts.wtalc import read_wtalc
from wtal.data.tags import read_tags

labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
seconds = st.floats(0, 1e5, allow_nan=False)
actions = st.builds(lambda label, a, b: Segment(label, min(a, b), max(a, b)), labels, seconds, seconds)


@st.composite
def videos(draw):
    found = draw(st.lists(actions, max_size=4))
    tags = set(draw(st.lists(labels, max_size=3))) | {action.label for action in found}
    return Video(
        draw(labels),
        draw(st.sampled_from(["training", "validation", "testing"])),
        tuple(sorted(tags)),
        draw(st.none() | st.floats(0.1, 1e5)),
        tuple(found),
    )


# ActivityNet JSON


@settings(deadline=None, max_examples=60)
@given(written=st.lists(videos(), max_size=4, unique_by=lambda video: video.id))
def test_activitynet_round_trip(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("round") / "annotations.json"
    write_activitynet(path, written)
    assert read_activitynet(path) == written


def annotations(tmp_path, text: str) -> Path:
    path = tmp_path / "annotations.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name, subset", [("train", "training"), ("Val", "validation"), ("TEST", "testing")])
def test_subset_names_are_normalised(tmp_path, name, subset):
    assert read_activitynet(annotations(tmp_path, f'{{"v": {{"subset": "{name}"}}}}'))[0].subset == subset


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "line 1: not valid JSON"),
        ('{"database":\n {"a": {"subset": "tra', "line 2: not valid JSON"),
        ("[" * 100_000, "not JSON that can be read"),
        ("[]", 'no "database"'),
        ('{"database": []}', 'no "database"'),
        ('{"database": {"a": 1}}', "a: is not an entry"),
        ('{"database": {"a": {"annotations": {}}}}', "a: is not an entry"),
        ('{"database": {"a": {}, "a": {}}}', '"a" appears twice'),
        ('{"database": {"a": {"subset": 3}}}', "a: subset is 3"),
        ('{"database": {"a": {"duration": "long"}}}', "a: duration is 'long'"),
        ('{"database": {"a": {"duration": NaN}}}', "a: duration is nan"),
        ('{"database": {"a": {"annotations": [{}]}}}', "a, annotation 1: has no label"),
        ('{"database": {"a": {"annotations": ["x"]}}}', "a, annotation 1: has no label"),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [3, 1]}]}}}', "before it starts"),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [NaN, 1]}]}}}', "segment is"),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [1, "end"]}]}}}', "segment is"),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": 0}]}}}', "segment is 0"),
    ],
)
def test_bad_activitynet(tmp_path, text, said):
    with pytest.raises(DataError) as caught:
        read_activitynet(annotations(tmp_path, text))
    assert said in str(caught.value) and "annotations.json" in str(caught.value)


def test_bad_entries_are_counted(tmp_path):
    with pytest.raises(DataError, match="1 more such"):
        read_activitynet(annotations(tmp_path, '{"database": {"a": 1, "b": 2}}'))


def test_real_activitynet_files(shared):
    read = read_activitynet(shared("anet", "anet_anno_action.json"))
    assert (len(read), read[0].duration) == (19_228, 82.73)
    read = read_activitynet(shared("thumos14", "basnet_gt.json"))
    testing = [video for video in read if video.subset == "testing"]
    assert (len(testing), sum(len(video.segments) for video in testing)) == (210, 3311)


# Tags


def tags(tmp_path, content: str | bytes) -> Path:
    path = tmp_path / "tags.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_tags_in_one_row_or_several(tmp_path):
    text = '\ufeffVideo, Labels\na,run; jump\n\nb,walk|run\na,swim\nc,\n"d, two","say ""hi"""\n'
    assert [(video.id, video.labels) for video in read_tags(tags(tmp_path, text))] == [
        ("a", ("jump", "run", "swim")),
        ("b", ("run", "walk")),
        ("c", ()),
        ("d, two", ('say "hi"',)),
    ]


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "line 1: the header is"),
        ("subject,what\na,run\n", "line 1: the header is `subject,what`"),
        ("a,run\n", "line 1: the header"),
        ("video,labels\n", "no video"),
        ('video,labels\na,"run\nb,jump\n', "a quote is out of place"),
        ('video,labels\na,"run"x\n', "line 2: a quote is out of place"),
        ("video,labels\na,run,jump\n", "line 2: 3 cells"),
        ("video,labels\na\n", "line 2: 1 cells"),
        ("video,labels\n ,run\n", "line 2: the video cell is empty"),
        ("video,labels\na,run\nb,run\na,run\n", "line 4: repeats line 2"),
        ("video,labels\na,é\n".encode("latin-1"), "line 2: not UTF-8"),
        ("video,labels\na,run\n".encode("utf-16"), "UTF-8"),
        ("video,labels\na,run\n".encode("utf-16-le"), "UTF-8"),
    ],
)
def test_bad_tags(tmp_path, content, said):
    with pytest.raises(DataError, match=r"tags\.csv") as caught:
        read_tags(tags(tmp_path, content))
    assert said in str(caught.value)


# THUMOS text


def test_thumos_text(tmp_path):
    (tmp_path / "Diving_test.txt").write_text("v2  1.0 2.0\nv1 3 4\n")
    (tmp_path / "CliffDiving_test.txt").write_text("v1 3 4\n")
    (tmp_path / "Diving_val.txt").write_text("w 0 1\n")
    (tmp_path / "Ambiguous_test.txt").write_text("v1 8 9\nv1 10 11\n")
    read = read_thumos(tmp_path)
    assert [(video.id, video.subset, video.labels) for video in read] == [
        ("v1", "testing", ("CliffDiving", "Diving")),
        ("v2", "testing", ("Diving",)),
        ("w", "training", ("Diving",)),
    ]
    assert read_ambiguous(tmp_path / "Ambiguous_test.txt") == {"v1": [(8.0, 9.0), (10.0, 11.0)]}


@pytest.mark.parametrize("line", ["v 1", "v one two", "v 1 2 3", "v 3 1", "v nan 2", "v 0 inf"])
def test_bad_thumos_lines(tmp_path, line):
    path = tmp_path / "Ambiguous_test.txt"
    path.write_text(f"v 1 2\n{line}\n")
    with pytest.raises(DataError, match="line 2"):
        read_ambiguous(path)


def test_no_thumos_files(tmp_path):
    with pytest.raises(DataError, match="no class file"):
        read_thumos(tmp_path)


def test_real_ambiguous_list(shared):
    read = read_ambiguous(shared("thumos14", "Thumos14reduced-Annotations", "Ambiguous_test.txt"))
    assert (len(read), sum(map(len, read.values()))) == (37, 99)


# Plain folders


@pytest.mark.parametrize("name, sizes, width", [("hapt", (249, 43, 48), 78), ("actrectut", (147, 30, 30), 195)])
def test_real_plain_folders(name, sizes, width, shared):
    folder = load_dataset(shared(name))
    assert tuple(len(folder.subset(subset)) for subset in ("train", "val", "test")) == sizes
    assert folder.modalities == (width,) and folder.features(folder.videos[0].id).shape[1] == width


def plain(tmp_path, **about) -> Path:
    (tmp_path / "dataset.json").write_text(json.dumps({"snippet_seconds": 0.5, **about}))
    found = [
        Video("a", "training", ("run",), 4.0, (Segment("run", 1, 2),)),
        Video("b", "testing", ("run",), 4.0),
    ]
    write_activitynet(tmp_path / "annotations.json", found)
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "b.npy", np.ones((8, 6), dtype=np.float32))
    return tmp_path


def test_plain_folder(tmp_path):
    folder = load_dataset(plain(tmp_path, modalities=[4, 2]))
    assert folder.classes == ("run",) and folder.modalities == (4, 2) and folder.width == 6
    assert folder.subsets == ("training", "testing") and folder.clock == SnippetClock(0.5)
    assert folder.features("b").shape == (8, 6)
    with pytest.raises(DataError, match="'training', 'testing'"):
        folder.subset("validation")


def test_plain_folder_of_tags(tmp_path):
    (plain(tmp_path) / "annotations.json").unlink()
    tags(tmp_path, "video,labels\nb,run;jump\n")
    folder = load_dataset(tmp_path)
    assert folder.classes == ("jump", "run") and folder.subsets == ("training",) and folder.modalities == (6,)


@settings(deadline=None, max_examples=30)
@given(written=st.lists(videos(), min_size=1, max_size=4), stride=st.floats(0.01, 10), offset=st.floats(-5, 5))
def test_plain_round_trip(tmp_path_factory, written, stride, offset):
    path = tmp_path_factory.mktemp("plain")
    written = [Video(f"v{i}", v.subset, v.labels, v.duration, v.segments) for i, v in enumerate(written)]
    classes = sorted({label for video in written for label in video.labels})
    write_dataset_info(path, written, SnippetClock(stride, offset), classes, (3, 4), {"licence": "ours"})
    folder = load_dataset(path)
    assert folder.clock == SnippetClock(stride, offset) and folder.classes == tuple(classes)
    assert folder.modalities == (3, 4) and folder.about["licence"] == "ours"
    expected = [video.without_segments() if video.subset == "training" else video for video in written]
    assert list(folder.videos) == expected


@pytest.mark.parametrize(
    "about, said",
    [
        ({"snippet_seconds": 0}, "snippet_seconds is 0"),
        ({"snippet_seconds": "1/2"}, "snippet_seconds is '1/2'"),
        ({"snippet_seconds": float("nan")}, "snippet_seconds is nan"),
        ({"snippet_seconds": 10**400}, "snippet_seconds is 1000"),
        ({"snippet_seconds": True}, "snippet_seconds is True"),
        ({"offset_seconds": None}, "offset_seconds is None"),
        ({"classes": "run"}, "`classes` is not a list"),
        ({"classes": ["run", "run"]}, "names run twice"),
        ({"classes": ["jump"]}, "unknown label 'run'"),
        ({"modalities": [0]}, "`modalities` is [0]"),
        ({"modalities": 6}, "`modalities` is 6"),
    ],
)
def test_bad_dataset_json(tmp_path, about, said):
    with pytest.raises(DataError) as caught:
        load_dataset(plain(tmp_path, **about))
    assert said in str(caught.value)


def test_a_folder_that_lacks_its_files(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(tmp_path / "none")
    with pytest.raises(DataError, match=r"neither annotations\.json nor tags\.csv"):
        load_dataset(tmp_path)
    (plain(tmp_path) / "dataset.json").unlink()
    with pytest.raises(DataError, match=r'"snippet_seconds": 0\.64'):
        load_dataset(tmp_path)
    tags(tmp_path, "video,labels\na,run\n")
    with pytest.raises(DataError, match="both"):
        load_dataset(tmp_path)


def test_a_wrong_width_and_an_id_that_leaves_the_folder(tmp_path):
    folder = load_dataset(plain(tmp_path, modalities=[5]))
    with pytest.raises(DataError, match="expected T x 5 features, found 8 x 6"):
        folder.features("b")
    write_activitynet(tmp_path / "annotations.json", [Video("../b", "training", ("run",))])
    with pytest.raises(DataError, match="cannot be a file name"):
        load_dataset(tmp_path)


# Object arrays and the W-TALC bundle


def objects(*items: object) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def save_pickled(path: Path, array: np.ndarray, protocol: int) -> None:
    """As numpy.save, in the pickle protocol of another Python."""
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(array, file, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_object_arrays_are_spilled_one_by_one(tmp_path, protocol):
    rng = np.random.default_rng(0)
    arrays = [rng.random((length, 64)).astype(dtype) for length, dtype in ((300, "f4"), (5, ">f8"), (9, "f2"))]
    arrays[1] = np.asfortranarray(arrays[1])
    save_pickled(tmp_path / "joint.npy", objects(*arrays), protocol)
    (tmp_path / "spill").mkdir()
    met: list[int] = []
    found = read_object_array(tmp_path / "joint.npy", tmp_path / "spill", met.append)
    assert met == [1, 2, 3]
    for item, array in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "spill" / item["spilled"]), array)


def test_nested_values(tmp_path):
    values = objects([["é", 1.5], [np.float64(2), None]], (1, b"x"), [])
    np.save(tmp_path / "v.npy", values, allow_pickle=True)
    assert read_object_array(tmp_path / "v.npy") == [[["é", 1.5], [2.0, None]], [1, "x"], []]


class Runs:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("how", [os.system, eval, getattr])
def test_a_malicious_pickle_does_not_run(tmp_path, how):
    owned = tmp_path / "owned"
    command = f"touch '{owned}'" if how is os.system else f"open({str(owned)!r}, 'w')"
    np.save(tmp_path / "v.npy", objects(Runs(how, command)), allow_pickle=True)
    with pytest.raises(DataError, match="which no array needs"):
        read_object_array(tmp_path / "v.npy")
    assert not owned.exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_arrays(tmp_path, content):
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"v\.npy: not a"):
        read_object_array(tmp_path / "v.npy")


def test_an_object_array_that_is_cut_off(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, objects(np.ones((40, 4)), np.ones((3, 4))), allow_pickle=True)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a safe array"):
        read_object_array(path)


def bundle(tmp_path, width=6) -> Path:
    folder = tmp_path / "source" / "Tiny-Annotations"
    folder.mkdir(parents=True)
    arrays = {
        "classlist": np.array([b"run", b"jump"]),
        "duration": np.array([[4.0], [6.0]]),
        "labels": objects(["run", "jump"], ["run"]),
        "labels_all": objects(["run"], ["run"]),
        "segments": objects([[0.0, 1.0], [1.0, 2.0]], [[2.0, 9.0]]),
        "subset": np.array([b"validation", b"test"]),
        "videoname": np.array([b"v1", b"v2"]),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    joint = objects(np.full((7, width), 1, np.float32), np.full((10, width), 2, np.float32))
    np.save(tmp_path / "source" / "Tiny-I3D-JOINTFeatures.npy", joint, allow_pickle=True)
    return tmp_path / "source"


def test_a_bundle_becomes_a_plain_folder(tmp_path):
    calls: list[tuple[int, int]] = []
    done = convert_layout(bundle(tmp_path), tmp_path / "out", lambda *call: calls.append(call))
    assert done.layout == "W-TALC bundle" and calls == [(1, 2), (2, 2)] and not done.remarks
    folder = load_dataset(tmp_path / "out")
    assert folder.videos == (
        Video("v1", "training", ("run",), 4.0),
        Video("v2", "testing", ("run",), 6.0, (Segment("run", 2.0, 9.0),)),
    )
    assert folder.classes == ("run", "jump") and folder.clock == SnippetClock(0.64)
    assert folder.features("v1").shape == (7, 6) and folder.features("v2")[0, 0] == 2
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "annotations.json",
        "converted.json",
        "dataset.json",
        "features",
    ]
    before = folder.features_path("v1").stat().st_mtime_ns
    convert_layout(tmp_path / "source" / "Tiny-Annotations", tmp_path / "out")
    assert folder.features_path("v1").stat().st_mtime_ns == before
    np.save(tmp_path / "source" / "Tiny-I3D-JOINTFeatures.npy", objects(np.ones((7, 6)), np.ones((10, 6))))
    with pytest.raises(DataError, match="was converted from other files than"):
        convert_layout(tmp_path / "source", tmp_path / "out")
    assert folder.features_path("v1").stat().st_mtime_ns == before


def test_i3d_has_two_modalities_and_annotations_may_come_alone(tmp_path):
    source = bundle(tmp_path, 2048)
    convert_layout(source, tmp_path / "out")
    assert load_dataset(tmp_path / "out").modalities == (1024, 1024)
    (source / "Tiny-I3D-JOINTFeatures.npy").unlink()
    assert "annotations alone" in convert_layout(source, tmp_path / "alone").remarks[0]
    assert load_dataset(tmp_path / "alone").modalities == ()


def test_a_bundle_that_does_not_fit(tmp_path):
    source = bundle(tmp_path)
    np.save(source / "Tiny-I3D-JOINTFeatures.npy", objects(np.ones((7, 4))), allow_pickle=True)
    with pytest.raises(DataError, match="1 arrays for 2 videos"):
        convert_layout(source, tmp_path / "out")
    assert not list((tmp_path / "out").glob(".spill*"))
    np.save(source / "Tiny-Annotations" / "subset.npy", np.array([b"test"]))
    with pytest.raises(DataError, match="different lengths"):
        convert_layout(source, tmp_path / "out")
    (source / "Tiny-Annotations" / "subset.npy").unlink()
    with pytest.raises(DataError, match=r"subset\.npy: there is no such file"):
        convert_layout(source, tmp_path / "out")


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("labels", np.array(3), "labels"),
        ("classlist", np.array(3), "classlist"),
        ("subset", np.array([["test"], ["test"]]), "subset"),
        ("subset", np.array([b"train", b"tests"]), "subset"),
        ("videoname", np.array([b"v1", b"v1"]), "names v1 twice"),
        ("labels_all", np.array([b"run", b"run"]), "labels_all"),
        ("duration", np.array([b"long", b"short"]), "duration"),
    ],
)
def test_an_array_that_is_something_else(name, value, said, tmp_path):
    source = bundle(tmp_path)
    np.save(source / "Tiny-Annotations" / f"{name}.npy", value)
    with pytest.raises(DataError, match=said):
        convert_layout(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spilled", ["own.npy", 3, "../../own.npy"])
def test_a_bundle_cannot_name_files_to_be_moved(spilled, tmp_path):
    source, own = bundle(tmp_path), tmp_path / "own.npy"
    np.save(own, np.ones((7, 4)))
    named = str(own) if spilled == "own.npy" else spilled
    lie = objects({"spilled": named}, {"spilled": named})
    np.save(source / "Tiny-I3D-JOINTFeatures.npy", lie, allow_pickle=True)
    with pytest.raises(DataError, match="not a safe array of arrays"):
        convert_layout(source, tmp_path / "out")
    assert own.is_file()


@pytest.mark.parametrize("name", ["annotations.json", "notes.txt"])
def test_a_folder_that_holds_something_else_is_left_alone(name, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    (place / name).write_text("{}")
    with pytest.raises(DataError, match="holds something that is no conversion; name an empty folder"):
        convert_layout(bundle(tmp_path), place)
    assert [path.name for path in place.iterdir()] == [name] and (place / name).read_text() == "{}"


def test_the_real_bundle(shared):
    read = read_wtalc(shared("thumos14", "Thumos14reduced-Annotations"))
    training = [video for video in read if video.subset == "training"]
    testing = [video for video in read if video.subset == "testing"]
    assert (len(training), len(testing)) == (200, 212)
    assert sum(len(video.segments) for video in training) == 3007
    assert sum(len(video.segments) for video in testing) == 3358
    assert len({label for video in training for label in video.labels}) == 20
    disagree = [sum({a.label for a in v.segments} != set(v.labels) for v in some) for some in (training, testing)]
    assert disagree == [8, 20]


# BaS-Net / CoLA


def basnet(tmp_path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    found = [Video("v1", "train", ("run",), segments=(Segment("run", 1, 2),)), Video("v2", "test", ("jump",))]
    write_activitynet(source / "gt.json", found)
    for name, video, lengths in (("train", "v1", (5, 5)), ("test", "v2", (8, 7))):
        (source / f"split_{name}.txt").write_text(f"{video}\n")
        for modality, length, value in zip(("rgb", "flow"), lengths, (1, 2), strict=True):
            path = source / "features" / name / modality / f"{video}.npy"
            path.parent.mkdir(parents=True)
            np.save(path, np.full((length, 3), value, np.float32))
    return source


def test_basnet_becomes_a_plain_folder(tmp_path):
    done = convert_layout(basnet(tmp_path), tmp_path / "out")
    assert done.layout == "BaS-Net / CoLA" and "which is dropped: v2" in done.remarks[0]
    folder = load_dataset(tmp_path / "out")
    assert folder.videos[0] == Video("v1", "training", ("run",)) and folder.modalities == (3, 3)
    np.testing.assert_array_equal(folder.features("v1")[0], [1, 1, 1, 2, 2, 2])
    assert folder.features("v2").shape == (7, 6)
    before = folder.features_path("v1").stat().st_mtime_ns
    convert_layout(tmp_path / "source", tmp_path / "out")
    assert folder.features_path("v1").stat().st_mtime_ns == before


def test_a_basnet_layout_at_fault(tmp_path):
    source = basnet(tmp_path)
    np.save(source / "features" / "test" / "flow" / "v2.npy", np.ones((5, 3)))
    with pytest.raises(DataError, match=r"\[8, 5\] snippets"):
        convert_layout(source, tmp_path / "out")
    (source / "split_test.txt").write_text("v2\nv3\n")
    with pytest.raises(DataError, match=r"split_test\.txt, line 2: v3 is not in gt\.json"):
        convert_layout(source, tmp_path / "out")
    (source / "split_test.txt").write_text("v2\nv2\n")
    with pytest.raises(DataError, match="twice"):
        convert_layout(source, tmp_path / "out")


def test_a_layout_that_nobody_knows(tmp_path):
    (tmp_path / "readme.md").touch()
    with pytest.raises(DataError, match=r"found readme\.md\. Known here: a W-TALC bundle"):
        convert_layout(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        convert_layout(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="the source itself"):
        convert_layout(tmp_path, tmp_path)
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="a plain folder already"):
        convert_layout(plain(tmp_path / "plain"), tmp_path / "out")
