"""Videos and tables become a data set: which file a name means, what is left out and said; all or nothing."""

import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.core.errors import DataError
from wtal.data.create import CreatedDataset, create_dataset
from wtal.data.features import is_file_name
from wtal.data.layouts.activitynet import read_activitynet
from wtal.data.video_files import VideoFolder, read_listing, video_ids


@pytest.fixture
def make(tmp_path):
    """`make({"set/a.mp4": "", "tags.csv": "video,labels\\na,run\\n"})`: files in a fresh folder."""

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


# Names


NAMES = ("a.mp4", "sub/B.MP4", "sub/deep/c d.avi", "sub/e.txt", "clip.v2.mov", "dup/x.mp4", "dup/two/x.mp4")


@pytest.mark.parametrize(
    "name, found",
    [
        ("a.mp4", "a.mp4"),
        ("a", "a.mp4"),
        ("A.MP4", "a.mp4"),
        ("./a.mp4", "a.mp4"),
        ("set/a.mp4", "a.mp4"),
        ("sub/b.mp4", "sub/B.MP4"),
        ("sub\\B", "sub/B.MP4"),
        ("b", "sub/B.MP4"),
        ("c d", "sub/deep/c d.avi"),
        ("deep/c d.avi", "sub/deep/c d.avi"),
        ("set/sub/deep/c d", "sub/deep/c d.avi"),
        ("other/deep/c d", None),
        ("e.txt", "sub/e.txt"),
        ("e", None),
        ("clip.v2", "clip.v2.mov"),
        ("clip", None),
        ("a.avi", None),
        ("two/x", "dup/two/x.mp4"),
        ("dup/x", "dup/x.mp4"),
        (".", None),
    ],
)
def test_what_a_name_means(make, name, found):
    root = make([f"set/{file}" for file in NAMES])
    assert VideoFolder(root / "set").find(name, root / "tags.csv") == ([found] if found else [])


def test_names_seen_from_the_table(make):
    root = make(["set/one/Fall/01.mp4", "set/one/10.mp4", "set/two/Fall/02.mp4", "set/two/ADL/10.mp4", "set/03.mp4"])
    place = VideoFolder(root / "set")
    assert place.find("01.mp4", root / "set/one/Fall.csv") == ["one/Fall/01.mp4"]
    assert place.find("one/10", root / "set/one/tags.csv") == ["one/10.mp4"]
    assert place.find("10", root / "set/one/tags.csv") == ["one/10.mp4"]
    assert place.find("ADL/10", root / "set/two/Fall.csv") == ["two/ADL/10.mp4"]
    # A row about a video that is not there must not get hold of another one's of the same name.
    assert place.find("01.mp4", root / "set/two/Fall.csv") == []
    assert place.find("10.mp4", root / "set/two/Fall.csv") == []
    assert place.find("03.mp4", root / "set/two/Fall.csv") == []
    assert sorted(place.find("10", root / "tags.csv")) == ["one/10.mp4", "two/ADL/10.mp4"]


def test_names_that_lead_out_are_refused(make):
    root = make({"secret.mp4": "", "set/a.mp4": "", "tags.csv": table("../secret.mp4,run", "/etc/passwd,run", "a,run")})
    problems = init(root).problems
    assert [problem.where for problem in problems] == [f"{root}/tags.csv, line {line}" for line in (2, 3)]
    assert all(f"lies outside {root}/set" in problem.what for problem in problems)
    assert files(root) == {"a": "a.mp4"}


def test_absolute_names_and_paths_from_the_table_may_lead_in(make):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "t/tags.csv": table("../set/a.mp4,run", "X/set/b.mp4,run")})
    (root / "t/tags.csv").write_text((root / "t/tags.csv").read_text().replace("X", str(root)))
    assert not init(root, "t/tags.csv").problems and len(files(root)) == 2
    (root / "link").symlink_to(root / "set")
    assert not init(root, "t/tags.csv", videos="link").problems and len(files(root)) == 2


def test_a_name_of_several_files(make):
    root = make({"set/x/a.mp4": "", "set/y/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run[1 2]", "b,run")})
    made = init(root)
    assert [str(problem) for problem in made.problems][1] == (
        f"{root}/tags.csv, line 2: left out, 'a' could be x/a.mp4, y/a.mp4; write the path from {root}/set"
    )
    assert "`1 2`" in made.problems[0].what and [video.id for video in made.videos] == ["b"]


def test_letters_composed_or_not(make):
    composed, apart = (unicodedata.normalize(form, "Übung é.mp4") for form in ("NFC", "NFD"))
    root = make({f"set/{apart}": "", "tags.csv": table(f"{composed},run")})
    assert init(root).videos[0].id == composed.removesuffix(".mp4")
    assert read_listing(root / "out").path(composed.removesuffix(".mp4")).is_file()


def test_capitals_choose_only_where_they_must(make):
    root = make(["set/a.mp4", "set/A.mp4"])
    place = VideoFolder(root / "set")
    if len(place.files) == 1:
        pytest.skip("here capitals make no other file")
    assert place.find("a.mp4", root / "t.csv") == ["a.mp4"] and place.find("A", root / "t.csv") == ["A.mp4"]
    assert sorted(place.find("a.MP4", root / "t.csv")) == ["A.mp4", "a.mp4"]


# Ids


part = st.text(st.sampled_from('aAéE\u0301_.: *"\\'), min_size=1, max_size=8).filter(lambda s: s not in (".", ".."))
paths = st.lists(st.lists(part, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8, unique=True)


@settings(deadline=None, max_examples=200)
@given(stems=paths, suffixes=st.lists(st.sampled_from([".mp4", ".MP4", ".avi", ".txt", ""]), min_size=1, max_size=2))
def test_ids_are_file_names_and_differ(stems, suffixes):
    paths = {stem + suffix for stem in stems for suffix in suffixes}
    ids = video_ids(sorted(paths))
    assert set(ids) == paths and all(map(is_file_name, ids.values()))
    assert len({id.casefold() for id in ids.values()}) == len(ids)
    assert not any(set(id) & set('/<>:"|?*\\') for id in ids.values())
    assert video_ids(sorted(paths, reverse=True)) == ids


def test_ids():
    assert video_ids(["a/b c.mp4", "x.mp4", "x.AVI", "y.txt"]) == {
        "a/b c.mp4": "a__b c",
        "x.mp4": "x.mp4",
        "x.AVI": "x.AVI",
        "y.txt": "y.txt",
    }
    (alike,) = {len(set(video_ids(["a/b.mp4", "a__b.mp4"]).values()))}
    assert alike == 2
    long = video_ids(["é" * 300 + ".mp4", "é" * 301 + ".mp4"])
    assert len(set(long.values())) == 2 and all(map(is_file_name, long.values()))


def test_an_id_does_not_hang_on_which_files_the_table_names(make):
    root = make({"set/x.mp4": "", "set/x.avi": "", "tags.csv": table("x.mp4,run")})
    init(root)
    assert files(root) == {"x.mp4": "x.mp4"}


# The folder


def test_what_is_written(make):
    rows = ("a.mp4,run;jump[1 to 2],", "b,run[0:01 to 0:02.5],test", "a,walk,train")
    root = make({"set/a.mp4": "", "set/b.mkv": "", "tags.csv": table(*rows, header="file,tags,split")})
    made = init(root)
    assert made.classes == ("jump", "run", "walk")
    videos = read_activitynet(root / "out/annotations.json")
    assert [(v.id, v.subset, v.labels, len(v.segments)) for v in videos] == [
        ("a", "training", ("jump", "run", "walk"), 0),
        ("b", "testing", ("run",), 1),
    ]
    assert json.loads((root / "out/dataset.json").read_text()) == {"classes": ["jump", "run", "walk"]}
    assert json.loads((root / "out/videos.json").read_text()) == {
        "folder": str(root / "set"),
        "files": {"a": "a.mp4", "b": "b.mkv"},
    }
    assert read_listing(root / "out", root / "moved").path("b") == root / "moved/b.mkv"
    assert sorted(path.name for path in (root / "out").iterdir() if path.name != ".lock") == [
        "annotations.json",
        "dataset.json",
        "videos.json",
    ]


def test_remarks(make):
    rows = [*(f"gone{n},run" for n in range(5)), "a,run[1 to 2]", "b,run", "c,jump", "d,"]
    root = make({**dict.fromkeys([f"set/{n}.mp4" for n in "abcdefghi"], ""), "tags.csv": table(*rows)})
    gone, other, timed, without, rare = init(root).remarks
    first = ", ".join(f"gone{n} ({root}/tags.csv, line {n + 2})" for n in range(3))
    assert gone == f"5 of 9 rows are left out, there is no such video in {root}/set: {first}, ..."
    assert "left out, 5: e.mp4, f.mp4, g.mp4, ..." in other
    assert "those of 1 training videos" in timed and "`subset`" in timed
    assert without.endswith("1: d") and "1: jump" in rare


def test_several_tables_and_a_folder_of_them(make):
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
    made = init(root, "one.csv", "more", "more/x/two.CSV")
    assert [(video.id, video.labels) for video in made.videos] == [("a", ("jump", "run")), ("b", ("run",))]
    assert [problem.where for problem in made.problems] == [f"{root}/more/other.csv, line 1"]
    with pytest.raises(DataError, match="the header is"):
        init(root, "more/other.csv")


def test_nothing_remains(make):
    root = make({"set/a.mp4": "", "tags.csv": table("x,run", "y,run"), "bad.csv": table(",run"), "none/x.txt": ""})
    for name, said in {
        "tags.csv": "2 of 2 rows are left out, there is no such video",
        "bad.csv": "line 2: the video cell is empty",
        "none": r"no \*.csv in it",
        "absent.csv": "there is no such file",
    }.items():
        with pytest.raises(DataError, match=said):
            init(root, name)
    with pytest.raises(DataError, match="no such folder"):
        init(root, videos="sets")
    assert not (root / "out").exists()


def test_again(make):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run")})
    init(root)
    about = root / "out/dataset.json"
    about.write_text(json.dumps({"classes": ["run"], "snippet_seconds": 0.64}))
    (root / "out/features").mkdir()
    (root / "out/features/a.npy").write_text("features")
    (root / "tags.csv").write_text(table("a,jump", "b,run"))
    init(root)
    assert json.loads(about.read_text()) == {"classes": ["jump", "run"], "snippet_seconds": 0.64}
    assert (root / "out/features/a.npy").read_text() == "features" and set(files(root)) == {"a", "b"}


@pytest.mark.parametrize("name", ["annotations.json", "dataset.json", "tags.csv"])
def test_a_folder_that_is_something_else(make, name):
    root = make({"set/a.mp4": "", "tags.csv": table("a,run"), f"out/{name}": "mine"})
    with pytest.raises(DataError, match=f"{name}: belongs to a data set that `wtal init` did not make"):
        init(root)
    assert [path.name for path in (root / "out").iterdir()] == [name]


def test_all_is_written_or_nothing(make, monkeypatch):
    root = make({"set/a.mp4": "", "set/b.mp4": "", "tags.csv": table("a,run")})
    init(root)
    before = {path.name: path.read_text() for path in (root / "out").iterdir()}
    (root / "tags.csv").write_text(table("b,jump"))

    def full(*_: object) -> None:
        raise DataError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("wtal.data.create.write_activitynet", full)
        with pytest.raises(DataError, match="disk is full"):
            init(root)
    assert {path.name: path.read_text() for path in (root / "out").iterdir()} == before
    (root / "out/annotations.json").unlink()
    (root / "out/annotations.json").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        init(root)
    assert not list((root / "out").glob("*.new")) + list((root / "out").glob(".*.new"))


def test_the_videos_may_lie_in_the_folder(make):
    root = make({"a.mp4": "", "sub/b.mp4": "", "tags.csv": table("a,run", "b,jump")})
    for folder in (root, root / "data"):
        made = create_dataset(folder, root, [root / "tags.csv"])
        assert [video.id for video in made.videos] == ["a", "sub__b"] and not made.problems
    root = make({"in/clips/c.mp4": "", "in/tags.csv": table("c,run")})
    assert create_dataset(root / "in", root / "in/clips", [root / "in/tags.csv"]).videos[0].id == "c"


def test_a_folder_of_tables_that_holds_the_data_set(make):
    root = make({"a.mp4": "", "tags.csv": table("a,run")})
    assert create_dataset(root, root, [root]).videos[0].id == "a"
    (root / "videos.json").unlink()
    with pytest.raises(DataError, match=r"annotations\.json: belongs to"):
        create_dataset(root, root, [root])


def test_odd_things_in_the_folder(make):
    root = make(
        {"set/sub/a.mp4": "", "set/._a.mp4": "", "tags.csv": table("a,run", "x,run", "broken,run", "f.bin,run")}
    )
    (root / "set/x.mp4").mkdir()
    (root / "set/sub/loop").symlink_to(root / "set")
    (root / "set/broken.mp4").symlink_to(root / "nowhere")
    (root / "elsewhere").mkdir()
    (root / "elsewhere/f.bin").write_text("")
    (root / "set/link").symlink_to(root / "elsewhere")
    Path(os.fsdecode(os.fsencode(root / "set") + b"/\xff")).mkdir()
    made = init(root)
    assert files(root) == {"sub__a": "sub/a.mp4", "x": "x.mp4", "broken": "broken.mp4", "link__f.bin": "link/f.bin"}
    assert not made.problems and any("is not UTF-8" in remark for remark in made.remarks)


def test_a_folder_that_cannot_be_looked_into_is_said(make, monkeypatch):
    root = make({"set/a.mp4": "", "set/closed/b.mp4": "", "tags.csv": table("a,run")})
    scan = os.scandir

    def closed(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("wtal.data.video_files.os.scandir", closed)
    assert f"{root}/set/closed: cannot be looked into (permission denied)" in init(root).remarks


def test_three_thousand_videos(make):
    names = [f"{n % 7}/clip {n}.mp4" for n in range(3000)]
    root = make({"tags.csv": table(*(f"clip {n},run" for n in range(3000)))})
    for n in range(7):
        (root / f"set/{n}").mkdir(parents=True)
    for name in names:
        (root / "set" / name).touch()
    assert len(init(root).videos) == 3000


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "has no videos.json"),
        ("[]", "is no listing"),
        ('{"folder": "x"}', "is no listing"),
        ('{"folder": "x", "files": {"a": 1}}', "a: 1 is no path"),
        ('{"folder": "x", "files": {"a": "../b"}}', "is no path in the folder"),
        ('{"folder": "x", "files": {"a": "/b"}}', "is no path in the folder"),
        ("{", "not valid JSON"),
    ],
)
def test_listings_at_fault(tmp_path, content, said):
    if content is not None:
        (tmp_path / "videos.json").write_text(content)
    with pytest.raises(DataError, match=said):
        read_listing(tmp_path)


def test_real_videos(shared, tmp_path):
    root = shared("videos", "gmdcsa24")
    made = create_dataset(tmp_path / "out", root, [root])
    listing = read_listing(tmp_path / "out")
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.mp4")}
    assert len(made.videos) == 23 and set(listing.files.values()) == there
    assert all(listing.path(video.id).is_file() for video in made.videos)
    labels = {video.id: video.labels for video in made.videos}
    assert labels["Subject 1__ADL__10"] == ("Reading", "Walking")  # not those of another subject's 10.mp4
    assert labels["Subject 1__Fall__14"] == ("Falling (BW)", "Standing")
    lines = [problem.where.removeprefix(f"{root}/") for problem in made.problems]
    assert lines == [
        "Subject 1/Fall.csv, line 6",
        "Subject 2/ADL.csv, line 7",
        "Subject 2/Fall.csv, line 12",
        "Subject 2/Fall.csv, line 20",
        "Subject 3/ADL.csv, line 5",
        "Subject 3/ADL.csv, line 13",
        "Subject 4/Fall.csv, line 10",
        "Subject 4/Fall.csv, line 16",
    ]
    assert made.remarks[0].startswith("136 of 159 rows are left out") and "Fall (FW)" in made.remarks[-1]
