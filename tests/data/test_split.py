"""Held-out videos: classes in proportion, groups as a whole, the same choice for the same seed."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.create import CreatedDataset, create_dataset
from wtal.data.split import SplitOptions, choose_held_out

CLASSES = ["run", "jump", "swim", "dive"]
SHARES = st.floats(0.05, 0.6)


def count(videos: dict[str, list[str]], ids) -> Counter[str]:
    return Counter(label for id in ids for label in videos[id])


@st.composite
def labelled_videos(draw) -> dict[str, list[str]]:
    labels = draw(st.lists(st.lists(st.sampled_from(CLASSES), unique=True), min_size=1, max_size=40))
    return {f"v{number}": names for number, names in enumerate(labels)}


@given(st.integers(2, 5), st.integers(2, 30), SHARES, st.integers(0, 5))
def test_classes_of_equal_size_are_held_out_equally(classes, size, share, seed):
    videos = {f"{label}{number}": [str(label)] for label in range(classes) for number in range(size)}
    held_out = choose_held_out(videos, share, seed)
    counts = count(videos, held_out)
    assert len(held_out) >= 1
    assert max(counts.values()) - min(counts[str(label)] for label in range(classes)) <= 1
    assert all(abs(counts[str(label)] - share * size) <= 1 for label in range(classes))


@given(labelled_videos(), SHARES, st.integers(0, 5), st.randoms())
def test_choice_depends_on_the_seed_alone_and_leaves_every_class_in_training(videos, share, seed, random):
    order = list(videos)
    random.shuffle(order)
    try:
        held_out = choose_held_out(videos, share, seed)
    except ConfigError:
        rare = {label for label, number in count(videos, videos).items() if number == 1}
        unlabeled = sum(not labels for labels in videos.values())
        assert all(set(labels) & rare or (not labels and unlabeled == 1) for labels in videos.values())
        return
    assert held_out and held_out == choose_held_out({id: videos[id] for id in order}, share, seed)
    training = count(videos, videos.keys() - held_out)
    assert training.keys() == count(videos, videos).keys()
    assert videos.keys() - held_out, "something is left for training"


@given(labelled_videos(), st.data(), SHARES)
def test_groups_are_never_divided(videos, data, share):
    groups = {id: data.draw(st.sampled_from("abcde")) for id in videos}
    try:
        held_out = choose_held_out(videos, share, 0, groups)
    except ConfigError:
        return
    held_groups = {groups[id] for id in held_out}
    assert held_out == {id for id in videos if groups[id] in held_groups}
    assert held_groups < set(groups.values())


def test_seeds_differ():
    videos = {f"v{number}": [CLASSES[number % 2]] for number in range(30)}
    assert len({choose_held_out(videos, 0.2, seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("share", [0, 1, -0.2, 1.5, float("nan")])
def test_share_must_be_between_0_and_1(share):
    with raises(ConfigError, code="invalid-value"):
        choose_held_out({"a": ["run"], "b": ["run"]}, share)


# --- In `wtal init` ---


def init(root: Path, table: str, split: SplitOptions | None) -> CreatedDataset:
    (root / "tags.csv").write_text(table)
    return create_dataset(root / "data", root / "videos", [root / "tags.csv"], split)


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "videos").mkdir()
    for number in range(12):
        (tmp_path / f"videos/{number}.mp4").touch()
    return tmp_path


def rows(header: str, make) -> str:
    return "\n".join([header, *(make(number) for number in range(12)), ""])


def test_times_are_kept_and_whole_videos_are_held_out(root):
    table = rows("video,label,start,end", lambda n: f"{n},{CLASSES[n % 2]},{n},0:{n + 20}\n{n},swim,1.5,2.5")
    created = init(root, table, SplitOptions(0.25))
    by_subset = Counter(video.subset for video in created.videos)
    assert by_subset == {"training": 9, "validation": 3} and not created.problems
    assert all(len(video.segments) == 2 for video in created.videos)
    first = next(video for video in created.videos if video.id == "0")
    assert set(first.segments) == {Segment("run", 0, 20), Segment("swim", 1.5, 2.5)}
    assert any("3 of 12" in remark for remark in created.remarks)
    assert init(root, table, SplitOptions(0.25)).videos == created.videos


def test_groups_of_a_column_are_held_out_as_a_whole(root):
    table = rows("video,labels,Person", lambda n: f"{n},{CLASSES[n % 2]}[0 to 1],{'Ann Ben Cem'.split()[n // 4]}")
    created = init(root, table, SplitOptions(0.3, "person"))
    held_out = {int(video.id) // 4 for video in created.videos if video.subset == "validation"}
    assert len(held_out) == 1 and Counter(v.subset for v in created.videos) == {"training": 8, "validation": 4}
    assert any(name in remark for remark in created.remarks for name in ("Ann", "Ben", "Cem"))


def test_videos_without_times_of_a_held_out_group_are_not_used(root):
    def row(n: int) -> str:
        return f"{n},run,{n // 6}" if n % 3 == 0 else f"{n},run[0 to 1];jump[1 to 2],{n // 6}"

    created = init(root, rows("video,labels,group", row), SplitOptions(0.3, "group"))
    assert Counter(video.subset for video in created.videos) == {"training": 6, "validation": 4}
    assert len([problem for problem in created.problems if problem.code == "no-segments"]) == 2


def test_videos_without_times_stay_in_training(root):
    created = init(
        root, rows("video,labels", lambda n: f"{n},run" if n % 2 else f"{n},run[0 to 1]"), SplitOptions(0.34)
    )
    assert Counter(video.subset for video in created.videos) == {"training": 10, "validation": 2}
    assert all(int(video.id) % 2 == 0 for video in created.videos if video.subset == "validation")


@pytest.mark.parametrize(
    ("table", "group", "error", "code"),
    [
        (rows("video,labels", lambda n: f"{n},run"), "", DataError, "no-segments"),
        (rows("video,labels,subset", lambda n: f"{n},run[0 to 1],train"), "", ConfigError, "conflicting-options"),
        (rows("video,labels", lambda n: f"{n},run[0 to 1]"), "person", DataError, "unknown-name"),
        (rows("video,labels,person", lambda n: f"{n},run[0 to 1],"), "person", DataError, "invalid-group"),
        (rows("video,labels,p", lambda n: f"{n},run[0 to 1],a\n{n},jump[0 to 1],b"), "p", DataError, "invalid-group"),
        (rows("video,labels,person", lambda n: f"{n},run[0 to 1],a"), "person", ConfigError, "invalid-value"),
    ],
)
def test_tables_that_cannot_be_split(root, table, group, error, code):
    with raises(error, code=code):
        init(root, table, SplitOptions(0.2, group))
    assert not (root / "data").exists(), "nothing is written"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("1", "2.5", [(1, 2.5)]),
        ("0:01", "1:00:02", [(1, 3602)]),
        ("3", "3", [(3, 3)]),
        ("", "", []),
    ],
)
def test_columns_of_start_and_end(root, start, end, expected):
    created = init(root, f"video,label,Start (s),Stop (s)\n0,run,{start},{end}\n", None)
    assert [(s.start, s.end) for s in created.videos[0].segments] == expected and not created.problems


@pytest.mark.parametrize(("start", "end"), [("1", ""), ("", "2"), ("2", "1"), ("one", "2"), ("-1", "2")])
def test_faulty_start_or_end_is_a_problem_and_the_label_stays(root, start, end):
    created = init(root, f"video,label,start,end\n0,run,{start},{end}\n", None)
    assert [(problem.code, problem.fatal) for problem in created.problems] == [("invalid-times", False)]
    assert created.videos[0].labels == ("run",) and not created.videos[0].segments


def test_times_in_cells_win_over_columns(root):
    created = init(root, "video,label,start,end\n0,run[5 to 6],1,2\n", None)
    assert created.videos[0].segments == (Segment("run", 5, 6),)
