"""Made movies: the files show what the plan says, when it says so, and the same again from the same seed."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wtal.core.errors import ConfigError, DataError
from wtal.data.synthetic.rendering import ACTIONS, MOTIONS, Pose
from wtal.data.synthetic.videos import CYCLE, GAP, Movie, MovieConfig, make_movies, write_movies
from wtal.data.tags import read_tags

SMALL = MovieConfig(training=5, validation=5, testing=5, seconds=(4.0, 6.0), actions=(1, 1), size=(48, 36))
FEW = MovieConfig(training=6, validation=5, testing=5)


@cache
def plan(seed: int, config: MovieConfig = FEW) -> list[Movie]:
    return list(make_movies(config, seed))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "movies"
    assert write_movies(folder, SMALL, seed=3)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def file_of(folder: Path, movie: Movie) -> Path:
    return folder / "videos" / f"{movie.video.id}{movie.suffix}"


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as file:
        frames = file.decode(video=0)
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in frames]


# --- the plan ---------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
@example(20)  # where a variable rate could end the movie too soon
@example(21)
def test_actions_fit_and_keep_apart(seed):
    for movie in plan(seed):
        actions, cuts = movie.video.segments, [scene.end for scene in movie.scenes]
        assert {action.label for action in actions} == set(movie.video.labels) and actions
        for action in actions:
            assert 1.49 <= action.end - action.start <= 5 + max(CYCLE.values())
            assert not any(action.start < cut < action.end for cut in cuts)
        edges = [-0.02, *(t for action in actions for t in (action.start, action.end)), movie.video.duration + 0.1]
        assert all(b - a > GAP - 0.15 for a, b in list(pairwise(edges))[::2])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_every_subset_shows_every_class(seed):
    for subset in FEW.subsets():
        carried = [movie.video.labels for movie in plan(seed) if movie.video.subset == subset]
        assert {label for labels in carried for label in labels} == set(ACTIONS)
        assert all(1 <= len(labels) <= 2 for labels in carried)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_frames_ascend_to_the_end(seed):
    for movie in plan(seed):
        steps = np.diff(movie.times)
        assert movie.times[0] == 0 and steps.min() >= 0.03 and steps.max() <= 0.13
        assert movie.times[-1] < movie.video.duration == movie.scenes[-1].end
        assert (np.ptp(steps) > 0.05) == (movie.suffix == ".mkv")  # the rate of these varies


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 15))
def test_nothing_jumps_within_a_scene(seed, number):
    movie = plan(seed)[number]
    starts = [0.0, *(scene.end for scene in movie.scenes)]
    for start, scene in zip(starts, movie.scenes, strict=False):
        for thing in scene.things:
            assert thing.moves[0].start == start and thing.moves[-1].end == scene.end
            for one, other in pairwise(thing.moves):
                assert one.end == other.start and step(one.pose(one.end), other.pose(other.start)) < 1e-6
            for time in np.random.default_rng(seed).uniform(start, scene.end - 0.01, 20).tolist():
                assert step(thing.pose(time), thing.pose(time + 0.01)) < 2


def step(before: Pose, after: Pose) -> float:
    """How far two poses are apart, about in pixels."""
    turn = abs((after.angle - before.angle + np.pi) % (2 * np.pi) - np.pi)
    growth = abs(after.scale - before.scale) + abs(after.light - before.light)
    return float(np.hypot(after.x - before.x, after.y - before.y) + 10 * (turn + growth))


@pytest.mark.parametrize("kind", sorted(MOTIONS))
@given(st.integers(1, 9), st.floats(0, 20))
def test_whole_cycles_lead_back(kind, cycles, reach):
    first, last = MOTIONS[kind](0, reach), MOTIONS[kind](cycles, reach)
    assert np.allclose((first.x, first.y, first.scale, first.light), (last.x, last.y, last.scale, last.light))
    assert np.isclose(np.cos(first.angle - last.angle), 1)


def test_the_seed_decides():
    again = list(make_movies(FEW, 5))
    assert [movie.video for movie in again] == [movie.video for movie in plan(5)]
    assert [movie.video for movie in again] != [movie.video for movie in plan(6)]


def test_too_few_movies_are_refused():
    with pytest.raises(ConfigError, match=r"movies\.testing is 4; 5 classes need as many"):
        MovieConfig(testing=4)


# --- the files --------------------------------------------------------------------------------------------------


def test_the_files_show_the_plan(written):
    """Every frame at its time, and in it what the scene shows then, but for noise and compression."""
    assert sorted(path.name for path in (written / "videos").iterdir()) == [
        file_of(written, movie).name for movie in plan(3, SMALL)
    ]
    for movie in plan(3, SMALL):
        frames = decoded(file_of(written, movie))
        assert np.allclose([time for time, _ in frames], movie.times, atol=0.001)
        for i in range(0, len(frames), 29):
            time, shown = frames[i]
            scene = next(scene for scene in movie.scenes if movie.times[i] < scene.end)
            assert np.abs(scene.picture(movie.times[i]) - shown).mean() < 14, f"{movie.video.id} at {time} s"


def test_one_has_a_variable_rate_and_some_another_container(written):
    movies = plan(3, SMALL)
    assert {movie.suffix for movie in movies} == {".mp4", ".mkv", ".avi"}
    varied = next(movie for movie in movies if movie.suffix == ".mkv")
    times = [time for time, _ in decoded(file_of(written, varied))]
    assert len(set(np.diff(times).round(3))) > 20


def test_the_table_is_the_one_that_init_reads(written):
    read = read_tags(written / "tags.csv")
    for found, movie in zip(read, plan(3, SMALL), strict=True):
        assert (found.id, found.subset, found.labels) == (movie.video.id, movie.video.subset, movie.video.labels)
        assert found.segments == (() if found.subset == "training" else movie.video.segments)


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    assert write_movies(tmp_path / "again", SMALL, seed=3)
    assert contents(tmp_path / "again") == contents(written)


def test_what_is_there_is_not_made_again(written):
    before, heard = contents(written), []
    (written / "data").mkdir()  # what others made of the movies stays
    assert not write_movies(written, SMALL, seed=3, done=lambda *how_far: heard.append(how_far))
    assert contents(written) == before and not heard and (written / "data").is_dir()


def test_other_movies_take_the_place_of_older_ones(tmp_path):
    (tmp_path / "movies.json").write_text('{"made": "by wtal 0.0 from a seed", "seed": 0, "settings": {}}')
    (tmp_path / "old").touch()
    heard: list[tuple[int, int]] = []
    assert write_movies(tmp_path, SMALL, seed=3, done=lambda done, total: heard.append((done, total)))
    assert heard == [(i, 15) for i in range(1, 16)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["movies.json", "tags.csv", "videos"]


@pytest.mark.parametrize("name, text", [("notes.txt", "mine"), ("movies.json", "[]"), ("movies.json", "{}")])
def test_the_folders_of_others_are_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="holds something other than made movies; choose an empty folder"):
        write_movies(tmp_path, SMALL)
    assert contents(tmp_path) == {name: text.encode()}


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "movies").write_text("mine")
    with pytest.raises(DataError, match="a file is in the way"):
        write_movies(tmp_path / "movies", SMALL)


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_movies(tmp_path / "movies", SMALL, done=interrupt)
    assert not list(tmp_path.iterdir())
