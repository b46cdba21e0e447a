"""Synthetic video files, in which kinds of motion are the actions, and their table of tags."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream

from wtal import __version__
from wtal.core.concurrency import init_worker_process
from wtal.core.errors import DataError
from wtal.core.io import atomic_write_dir, read_json, realpath, write_json, write_text
from wtal.core.structures import Video
from wtal.data.synthetic.movie_plans import Movie, MovieConfig, plan_movies

__all__ = ["MovieConfig", "write_movies"]

INFO_NAME = "movies.json"
CODECS = {".avi": ("mpeg4", {"qmin": "3", "qmax": "3"}), ".mp4": ("libx264", {}), ".mkv": ("libx264", {})}
X264_OPTIONS = {"preset": "ultrafast", "crf": "23"}
TIME_BASE = Fraction(1, 1000)  # seconds
MAX_WORKERS = 8


def write_movies(
    folder: Path,
    config: MovieConfig | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], object] | None = None,
) -> bool:
    """Write video files, and the table of tags for `wtal init`.

    Writes `videos/<id>.mp4` (some are .mkv or .avi), `tags.csv` and `movies.json`. Training rows of the table have
    labels only. The same configuration and seed give the same bytes on one machine.

    Args:
        folder: The folder. Other synthetic movies in it are replaced; those of this configuration and seed are kept.
        config: Number, length and difficulty of the movies.
        seed: The seed of the random numbers.
        on_progress: Called with the number of movies written and of all movies.

    Returns:
        Whether movies were written.

    Raises:
        DataError: The folder holds anything else, or cannot be written.
    """
    config, folder = config or MovieConfig(), realpath(folder)
    settings = json.loads(json.dumps(asdict(config)))  # as read from a file: lists instead of tuples
    info = {"made": f"by wtal {__version__} from a seed", "seed": seed, "settings": settings}
    if _read_info(folder) == info:
        return False
    movies = list(plan_movies(config, seed))
    atomic_write_dir(folder, lambda part: _write_parts(part, movies, info, on_progress))
    return True


def _read_info(folder: Path) -> dict[str, Any] | None:
    """What was written to a folder; None if it is missing or empty. Raises DataError if it holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise DataError("is a file", path=folder, hint="choose another folder", code="not-a-directory")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    info = read_json(folder / INFO_NAME) if (folder / INFO_NAME).is_file() else None
    if not isinstance(info, dict) or "made" not in info:
        message = "the folder is not empty and holds no synthetic movies"
        raise DataError(message, path=folder, hint="choose an empty folder", code="already-exists")
    return info


def _write_parts(
    folder: Path, movies: list[Movie], info: dict[str, Any], on_progress: Callable[[int, int], object] | None
) -> None:
    videos = folder / "videos"
    videos.mkdir()
    num_workers = min(MAX_WORKERS, os.cpu_count() or 1)
    with ProcessPoolExecutor(num_workers, get_context("spawn"), init_worker_process) as pool:
        try:
            for count, _ in enumerate(pool.map(partial(_write_movie, videos), movies), start=1):
                if on_progress:
                    on_progress(count, len(movies))
        finally:  # after an error or interrupt, only the movies that are being written are finished
            pool.shutdown(cancel_futures=True)
    write_text(folder / "tags.csv", _to_csv([movie.video for movie in movies]))
    write_json(folder / INFO_NAME, info)


def _write_movie(folder: Path, movie: Movie) -> None:
    """Render and encode a movie with one thread; several would give other bytes on other machines."""
    codec, options = CODECS[movie.suffix]
    height, width = movie.noise.shape[1:3]
    rate = Fraction(movie.fps).limit_denominator(1000)
    path = folder / f"{movie.video.id}{movie.suffix}"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        stream = cast(VideoStream, file.add_stream(codec, rate, options=options or X264_OPTIONS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        time_base = 1 / rate if movie.suffix == ".avi" else TIME_BASE
        stream.codec_context.time_base = time_base
        for frame in _render_frames(movie, time_base):
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _render_frames(movie: Movie, time_base: Fraction) -> Iterator[av.VideoFrame]:
    scenes = iter(movie.scenes)
    scene = next(scenes)
    for number, time in enumerate(movie.times.tolist()):
        if time >= scene.end:
            scene = next(scenes)
        pixels = scene.render(time) + movie.noise[number * 5 % len(movie.noise)]
        frame = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), "rgb24")
        frame.pts, frame.time_base = round(time / time_base), time_base
        yield frame


def _to_csv(videos: Sequence[Video]) -> str:
    """The table of tags; segments are written in the cells of labels, except for training videos."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "labels", "subset"])
    for video in videos:
        segments = [f"{segment.label}[{segment.start:g} to {segment.end:g}]" for segment in video.segments]
        cell = ";".join(video.labels) if video.subset == "training" else "; ".join(segments)
        rows.writerow([video.id, cell, video.subset])
    return text.getvalue()
