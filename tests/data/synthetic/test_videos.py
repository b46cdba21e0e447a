"""Synthetic movies: plans are consistent, files show what the plan says, and the same seed gives the same bytes."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.data.synthetic.movie_plans import CYCLE_SECONDS, MIN_GAP, Movie, MovieConfig, plan_movies
from wtal.data.synthetic.rendering import ACTIONS, MOTIONS, Pose
from wtal.data.synthetic.videos import write_movies
from wtal.data.tags import read_tags

SMALL = MovieConfig(training=5, validation=5, testing=5, seconds=(4.0, 6.0), actions=(1, 1), size=(48, 36))
FEW = MovieConfig(training=6, validation=5, testing=5)
seeds = st.integers(0, 2**32)


@cache
def plan(seed: int, config: MovieConfig = FEW) -> list[Movie]:
    return list(plan_movies(config, seed))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "movies"
    assert write_movies(folder, SMALL, seed=3)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def path_of(folder: Path, movie: Movie) -> Path:
    return folder / "videos" / f"{movie.video.id}{movie.suffix}"


def decode(path: Path) -> list[tuple[float, np.ndarray]]:
    """Time and pixels of each frame."""
    with av.open(str(path)) as file:
        frames = file.decode(video=0)
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in frames]


# Plans


@settings(max_examples=10, deadline=None)
@given(seeds)
@example(20)  # a variable frame rate could end the movie too early
@example(21)
def test_actions_fit_with_gaps_and_without_cuts(seed):
    for movie in plan(seed):
        segments, cuts = movie.video.segments, [scene.end for scene in movie.scenes]
        assert {segment.label for segment in segments} == set(movie.video.labels) and segments
        for segment in segments:
            assert 1.49 <= segment.end - segment.start <= 5 + max(CYCLE_SECONDS.values())
            assert not any(segment.start < cut < segment.end for cut in cuts)
        edges = [-0.02, *(t for s in segments for t in (s.start, s.end)), movie.video.duration + 0.1]
        assert all(end - start > MIN_GAP - 0.15 for start, end in list(pairwise(edges))[::2])


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_every_subset_has_every_class(seed):
    for subset in FEW.subsets():
        labels = [movie.video.labels for movie in plan(seed) if movie.video.subset == subset]
        assert {label for of_movie in labels for label in of_movie} == set(ACTIONS)
        assert all(1 <= len(of_movie) <= 2 for of_movie in labels)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_frame_times_ascend_to_the_end(seed):
    for movie in plan(seed):
        steps = np.diff(movie.times)
        assert movie.times[0] == 0 and steps.min() >= 0.03 and steps.max() <= 0.13
        assert movie.times[-1] < movie.video.duration == movie.scenes[-1].end
        assert (np.ptp(steps) > 0.05) == (movie.suffix == ".mkv")  # these have a variable rate


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 15))
def test_motion_is_continuous_within_a_scene(seed, number):
    movie = plan(seed)[number]
    starts = [0.0, *(scene.end for scene in movie.scenes)]
    for start, scene in zip(starts, movie.scenes, strict=False):
        for sprite in scene.sprites:
            assert sprite.moves[0].start == start and sprite.moves[-1].end == scene.end
            for first, second in pairwise(sprite.moves):
                assert first.end == second.start
                assert pose_distance(first.pose(first.end), second.pose(second.start)) < 1e-6
            for time in np.random.default_rng(seed).uniform(start, scene.end - 0.01, 20).tolist():
                assert pose_distance(sprite.pose(time), sprite.pose(time + 0.01)) < 2


def pose_distance(first: Pose, second: Pose) -> float:
    """The difference of two poses, roughly in pixels."""
    turn = abs((second.angle - first.angle + np.pi) % (2 * np.pi) - np.pi)
    growth = abs(second.scale - first.scale) + abs(second.light - first.light)
    return float(np.hypot(second.x - first.x, second.y - first.y) + 10 * (turn + growth))


@pytest.mark.parametrize("kind", sorted(MOTIONS))
@given(st.integers(1, 9), st.floats(0, 20))
def test_motion_returns_to_its_start_after_whole_cycles(kind, cycles, reach):
    first, last = MOTIONS[kind](0, reach), MOTIONS[kind](cycles, reach)
    assert np.allclose((first.x, first.y, first.scale, first.light), (last.x, last.y, last.scale, last.light))
    assert np.isclose(np.cos(first.angle - last.angle), 1)


def test_seed_determines_plan():
    videos = [movie.video for movie in plan_movies(FEW, 5)]
    assert videos == [movie.video for movie in plan(5)]
    assert videos != [movie.video for movie in plan(6)]


def test_too_few_movies_are_rejected():
    with raises(ConfigError, code="invalid-value"):
        MovieConfig(testing=4)


# Files


def test_frames_show_the_plan_at_their_times(written):
    """Up to noise and compression."""
    movies = plan(3, SMALL)
    assert sorted((written / "videos").iterdir()) == [path_of(written, movie) for movie in movies]
    for movie in movies:
        frames = decode(path_of(written, movie))
        assert np.allclose([time for time, _ in frames], movie.times, atol=0.001)
        for i in range(0, len(frames), 29):
            time, pixels = frames[i]
            scene = next(scene for scene in movie.scenes if movie.times[i] < scene.end)
            assert np.abs(scene.render(movie.times[i]) - pixels).mean() < 14, f"{movie.video.id} at {time} s"


def test_containers_and_frame_rates_differ(written):
    movies = plan(3, SMALL)
    assert {movie.suffix for movie in movies} == {".mp4", ".mkv", ".avi"}
    variable = next(movie for movie in movies if movie.suffix == ".mkv")
    times = [time for time, _ in decode(path_of(written, variable))]
    assert len(set(np.diff(times).round(3))) > 20


def test_table_is_read_as_tags(written):
    for tagged, movie in zip(read_tags(written / "tags.csv"), plan(3, SMALL), strict=True):
        assert (tagged.id, tagged.subset, tagged.labels) == (movie.video.id, movie.video.subset, movie.video.labels)
        assert tagged.segments == (() if tagged.subset == "training" else movie.video.segments)


def test_seed_determines_bytes(written, tmp_path):
    assert write_movies(tmp_path / "again", SMALL, seed=3)
    assert contents(tmp_path / "again") == contents(written)


def test_existing_movies_are_kept(written):
    expected, calls = contents(written), []
    (written / "data").mkdir()  # such as the data set made from the movies
    assert not write_movies(written, SMALL, seed=3, on_progress=lambda *call: calls.append(call))
    assert contents(written) == expected and not calls and (written / "data").is_dir()


def test_other_movies_are_replaced(tmp_path):
    (tmp_path / "movies.json").write_text('{"made": "by wtal 0.0 from a seed", "seed": 0, "settings": {}}')
    (tmp_path / "old").touch()
    calls: list[tuple[int, int]] = []
    assert write_movies(tmp_path, SMALL, seed=3, on_progress=lambda *call: calls.append(call))
    assert calls == [(i, 15) for i in range(1, 16)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["movies.json", "tags.csv", "videos"]


@pytest.mark.parametrize("name, text", [("notes.txt", "mine"), ("movies.json", "[]"), ("movies.json", "{}")])
def test_folder_with_other_content_is_not_overwritten(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with raises(DataError, code="already-exists", path=tmp_path):
        write_movies(tmp_path, SMALL)
    assert contents(tmp_path) == {name: text.encode()}


def test_file_is_not_overwritten(tmp_path):
    (tmp_path / "movies").write_text("mine")
    with raises(DataError, code="not-a-directory", path=tmp_path / "movies"):
        write_movies(tmp_path / "movies", SMALL)


def test_interrupt_leaves_nothing(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_movies(tmp_path / "movies", SMALL, on_progress=interrupt)
    assert not list(tmp_path.iterdir())
