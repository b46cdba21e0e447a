"""Videos and tables of tags become a data set: all files or none, and nothing is skipped silently."""

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.io import LOCK_NAME, write_json
from wtal.core.structures import Segment
from wtal.data.create import CreatedDataset, create_dataset
from wtal.data.layouts.activitynet import read_activitynet, write_activitynet
from wtal.data.video_files import read_listing


@pytest.fixture
def make(tmp_path):
    """`make({"set/a.mp4": "", "tags.csv": "video,labels\\na,run\\n"})` writes files and returns their root."""

    def write(files: Iterable[str] | dict[str, str]) -> Path:
        for name in files:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name] if isinstance(files, dict) else "")
        return tmp_path

    return write


def init(root: Path, *tables: str, videos: str = "set") -> CreatedDataset:
    return create_dataset(root / "out", root / videos, [root / name for name in tables or ("tags.csv",)])


def table(*rows: str, header: str = "video,labels") -> str:
    return "\n".join([header, *rows, ""])


def files(root: Path) -> dict[str, str]:
    return dict(read_listing(root / "out").files)


def test_written_files(make):
    rows = ("a.mp4,run;jump[1 to 2],", "b,run[0:01 to 0:02.5],test", "a,walk,train")
    root = make({"set/a.mp4": "", "set/b.mkv": "", "tags.csv": table(*rows, header="file,tags,split")})
    assert init(root).classes == ("jump", "run", "walk")
    assert [(v.id, v.subset, v.labels, len(v.segments)) for v in read_activitynet(root / "out/annotations.json")] == [
        ("a", "training", ("jump", "run", "walk"), 1),
        ("b", "testing", ("run",), 1),
    ]
    assert json.loads((root / "out/dataset.json").read_text()) == {"classes": ["jump", "run", "walk"]}
    assert json.loads((root / "out/videos.json").read_text()) == {
        "folder": str(root / "set"),
        "files": {"a": "a.mp4", "b": "b.mkv"},
    }
    names = {path.name for path in (root / "out").iterdir()}
    assert names - {LOCK_NAME} == {"annotations.json", "dataset.json", "videos.json"}


def test_names_outside_of_the_folder_are_problems(make):
    root = make({"secret.mp4": "", "set/a.mp4": "", "tags.csv": table("../secret.mp4,run", "/etc/passwd,run", "a,run")})
    problems = [(problem.path, problem.location, problem.code, problem.fatal) for problem in init(root).problems]
    assert problems == [(root / "tags.csv", f"line {line}", "invalid-path", True) for line in (2, 3)]
    assert files(root) == {"a": "a.mp4"}


def test_absolute_names_and_paths_relative_to_the_table(make):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "t/tags.csv": table("../set/a.mp4,run", "X/set/b.mp4,run")})
    (root / "t/tags.csv").write_text((root / "t/tags.csv").read_text().replace("X", str(root)))
    assert not init(root, "t/tags.csv").problems and len(files(root)) == 2
    (root / "link").symlink_to(root / "set")
    assert not init(root, "t/tags.csv", videos="link").problems and len(files(root)) == 2


def test_ambiguous_name_is_a_problem(make):
    root = make({"set/x/a.mp4": "", "set/y/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run[1 2]", "b,run")})
    created = init(root)
    times, ambiguous = created.problems
    assert (times.code, times.fatal) == ("invalid-times", False)
    assert (ambiguous.code, ambiguous.location, ambiguous.fatal) == ("ambiguous", "line 2", True)
    assert "x/a.mp4, y/a.mp4" in ambiguous.message and [video.id for video in created.videos] == ["b"]


def test_decomposed_file_name_is_found_and_gets_composed_id(make):
    composed, decomposed = (unicodedata.normalize(form, "Übung é.mp4") for form in ("NFC", "NFD"))
    root = make({f"set/{decomposed}": "", "tags.csv": table(f"{composed},run")})
    assert init(root).videos[0].id == composed.removesuffix(".mp4")
    assert read_listing(root / "out").path(composed.removesuffix(".mp4")).is_file()


def test_id_does_not_depend_on_which_files_the_table_names(make):
    root = make({"set/x.mp4": "", "set/x.avi": "", "tags.csv": table("x.mp4,run")})
    init(root)
    assert files(root) == {"x.mp4": "x.mp4"}


def test_remarks_count_what_is_skipped_or_suspicious(make):
    rows = [*(f"gone{n},run" for n in range(5)), "a,run[1 to 2]", "b,run", "c,jump", "d,"]
    root = make({**dict.fromkeys([f"set/{n}.mp4" for n in "abcdefghi"], ""), "tags.csv": table(*rows)})
    missing, unnamed, timed, unlabeled, rare = init(root).remarks
    assert "5 of 9 rows" in missing and f"gone2 ({root}/tags.csv, line 4) and 2 more" in missing
    assert "5 videos" in unnamed and "e.mp4, f.mp4, g.mp4 and 2 more" in unnamed
    assert "1 training video " in timed and "`subset`" in timed
    assert unlabeled.startswith("1 video ") and unlabeled.endswith(" d")
    assert rare.startswith("1 label ") and rare.endswith(" jump")


def test_several_tables_and_a_folder_of_tables(make):
    root = make(
        {
            "set/a.mp4": "",
            "set/b.mp4": "",
            "one.csv": table("a,run"),
            "more/x/two.CSV": table("a,jump", "b,run"),
            "more/.hidden.csv": "x",
            "more/other.csv": "time,price\n1,2\n",
        }
    )
    created = init(root, "one.csv", "more", "more/x/two.CSV")
    assert [(video.id, video.labels) for video in created.videos] == [("a", ("jump", "run")), ("b", ("run",))]
    (problem,) = created.problems
    assert (problem.path, problem.location, problem.code) == (root / "more/other.csv", "line 1", "invalid-header")
    with raises(DataError, code="invalid-header", path=root / "more/other.csv"):
        init(root, "more/other.csv")


@pytest.mark.parametrize(
    "name, videos, code, path",
    [
        ("tags.csv", "set", "no-videos", "tags.csv"),
        ("bad.csv", "set", "missing-value", "bad.csv"),
        ("unlabeled.csv", "set", "no-labels", "unlabeled.csv"),
        ("none", "set", "file-not-found", "none"),
        ("absent.csv", "set", "file-not-found", "absent.csv"),
        ("tags.csv", "sets", "file-not-found", "sets"),
    ],
)
def test_nothing_is_written_without_videos(make, name, videos, code, path):
    root = make(
        {
            "set/a.mp4": "",
            "tags.csv": table("x,run", "y,run"),
            "bad.csv": table(",run"),
            "unlabeled.csv": table("a,"),
            "none/x.txt": "",
        }
    )
    with raises(DataError, code=code, path=root / path):
        init(root, name, videos=videos)
    assert not (root / "out").exists()


def test_repeated_call_keeps_features_and_their_description(make):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run")})
    init(root)
    info = root / "out/dataset.json"
    info.write_text(json.dumps({"classes": ["run"], "snippet_seconds": 0.64}))
    (root / "out/features").mkdir()
    (root / "out/features/a.npy").write_text("features")
    (root / "tags.csv").write_text(table("a,jump", "b,run"))
    init(root)
    assert json.loads(info.read_text()) == {"classes": ["jump", "run"], "snippet_seconds": 0.64}
    assert (root / "out/features/a.npy").read_text() == "features" and set(files(root)) == {"a", "b"}


def test_repeated_call_keeps_labels_that_were_added(make):
    names = "abcdef"
    root = make({f"set/{name}.mp4": "" for name in names} | {"tags.csv": table(*(f"{name},run" for name in names))})
    init(root)
    rows = {
        "a": ([Segment("jump", 1.0, 2.0)], False),
        "b": ([Segment("jump", 1.0, 2.0)], True),
        "c": ([], True),
        "d": ([Segment("run", 3.0, 3.0)], False),
        "e": ([Segment("run", 3.0, 4.0)], False),
    }
    videos = [
        replace(video, segments=tuple(segments), complete=complete, labels=tuple({s.label for s in segments}))
        for video in read_activitynet(root / "out/annotations.json")
        for segments, complete in [rows.get(video.id, ([], False))]
    ]
    write_activitynet(root / "out/annotations.json", videos)
    header = "video,labels,subset"
    make(
        {
            "tags.csv": table(
                "a,run,", "b,run,", "c,run,", "d,run@5;walk,", "e,run[1 to 2],testing", "f,,", header=header
            )
        }
    )
    created = init(root)
    assert created.classes == ("jump", "run", "walk")
    assert {v.id: (v.labels, list(v.segments), v.complete) for v in created.videos} == {
        "a": (("jump", "run"), rows["a"][0], False),
        "b": (("jump",), rows["b"][0], True),
        "c": ((), [], True),
        "d": (("run", "walk"), [Segment("run", 5.0, 5.0)], False),
        "e": (("run",), [Segment("run", 1.0, 2.0)], False),
        "f": ((), [], False),
    }
    assert set(read_activitynet(root / "out/annotations.json")) == set(created.videos)
    remarks = [remark for remark in created.remarks if "annotations.json" in remark]
    assert [remark.split(": ")[-1] for remark in remarks] == ["a, b, c", "d"]
    assert init(root).videos == created.videos


@pytest.mark.parametrize("name", ["annotations.json", "dataset.json", "tags.csv"])
def test_other_data_set_is_not_replaced(make, name):
    root = make({"set/a.mp4": "", "tags.csv": table("a,run"), f"out/{name}": "mine"})
    with raises(DataError, code="already-exists", path=root / "out" / name):
        init(root)
    assert [path.name for path in (root / "out").iterdir()] == [name]


def test_all_files_are_written_or_none(make, monkeypatch):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run")})
    init(root)
    original = {path.name: path.read_text() for path in (root / "out").iterdir()}
    (root / "tags.csv").write_text(table("b,jump"))

    def fail(path: Path, value: object) -> None:
        if "annotations" in path.name:
            raise DataError("the disk is full", code="disk-full")
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr("wtal.data.create.write_json", fail)
        with raises(DataError, code="disk-full"):
            init(root)
    assert {path.name: path.read_text() for path in (root / "out").iterdir()} == original
    (root / "out/annotations.json").unlink()
    (root / "out/annotations.json").mkdir()
    with raises(DataError, code="not-a-file", path=root / "out"):
        init(root)
    assert not list((root / "out").glob("*.new")) + list((root / "out").glob(".*.new"))


def test_videos_may_lie_in_the_data_set_folder(make):
    root = make({"a.mp4": "", "sub/b.mp4": "", "tags.csv": table("a,run", "b,jump")})
    for folder in (root, root / "data"):
        created = create_dataset(folder, root, [root / "tags.csv"])
        assert [video.id for video in created.videos] == ["a", "sub__b"] and not created.problems
    root = make({"in/clips/c.mp4": "", "in/tags.csv": table("c,run")})
    assert create_dataset(root / "in", root / "in/clips", [root / "in/tags.csv"]).videos[0].id == "c"


def test_folder_of_tables_may_be_the_data_set_folder(make):
    root = make({"a.mp4": "", "tags.csv": table("a,run")})
    assert create_dataset(root, root, [root]).videos[0].id == "a"
    (root / "videos.json").unlink()
    with raises(DataError, code="already-exists", path=root / "annotations.json"):
        create_dataset(root, root, [root])


def test_links_and_folders_named_like_videos_are_accepted(make):
    root = make({"set/sub/a.mp4": "", "tags.csv": table("a,run", "x,run", "broken,run", "f.bin,run")})
    (root / "set/x.mp4").mkdir()
    (root / "set/broken.mp4").symlink_to(root / "nowhere")
    (root / "elsewhere").mkdir()
    (root / "elsewhere/f.bin").write_text("")
    (root / "set/link").symlink_to(root / "elsewhere")
    assert not init(root).problems
    assert files(root) == {"sub__a": "sub/a.mp4", "x": "x.mp4", "broken": "broken.mp4", "link__f.bin": "link/f.bin"}


def test_three_thousand_videos(make):
    root = make({"tags.csv": table(*(f"clip {n},run" for n in range(3000)))})
    for n in range(7):
        (root / f"set/{n}").mkdir(parents=True)
    for n in range(3000):
        (root / f"set/{n % 7}/clip {n}.mp4").touch()
    assert len(init(root).videos) == 3000


def test_public_videos(shared, tmp_path):
    root = shared("videos", "gmdcsa24")
    created = create_dataset(tmp_path / "out", root, [root])
    listing = read_listing(tmp_path / "out")
    present = {path.relative_to(root).as_posix() for path in root.rglob("*.mp4")}
    assert len(created.videos) == 23 and set(listing.files.values()) == present
    assert all(listing.path(video.id).is_file() for video in created.videos)
    labels = {video.id: video.labels for video in created.videos}
    assert labels["Subject 1__ADL__10"] == ("Reading", "Walking"), "not those of 10.mp4 of another subject"
    assert labels["Subject 1__Fall__14"] == ("Falling (BW)", "Standing")
    assert [f"{problem.path}, {problem.location}".removeprefix(f"{root}/") for problem in created.problems] == [
        "Subject 1/Fall.csv, line 6",
        "Subject 2/ADL.csv, line 7",
        "Subject 2/Fall.csv, line 12",
        "Subject 2/Fall.csv, line 20",
        "Subject 3/ADL.csv, line 5",
        "Subject 3/ADL.csv, line 13",
        "Subject 4/Fall.csv, line 10",
        "Subject 4/Fall.csv, line 16",
    ]
    assert "136 of 159 rows" in created.remarks[0] and "Fall (FW)" in created.remarks[-1]
