"""Small movies made from a seed, with kinds of motion as actions; hands on video files and their table of tags."""

import csv
import io
import json
import os
import signal
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
from wtal.errors import DataError
from wtal.files import read_json, real, write_folder_whole, write_json, write_text
from wtal.records import Video
from wtal.synthetic.stories import Movie, MovieConfig, make_movies

__all__ = ["MovieConfig", "write_movies"]

ABOUT = "movies.json"
CODECS = {".avi": ("mpeg4", {"qmin": "3", "qmax": "3"}), ".mp4": ("libx264", {}), ".mkv": ("libx264", {})}
QUICK = {"preset": "ultrafast", "crf": "23"}
TICK = Fraction(1, 1000)  # seconds; frames of a variable rate stand at whole ones


def write_movies(
    folder: Path,
    settings: MovieConfig | None = None,
    seed: int = 0,
    done: Callable[[int, int], object] = lambda *_: None,
) -> bool:
    """Write `videos/<id>.mp4` (some .mkv or .avi), `tags.csv` for `wtal init`, and movies.json, which says how.

    Training rows of the table carry labels alone. The same settings and seed give the same bytes on one machine;
    where they lie already nothing is done, and False comes back. `done` hears (movies written, all). An older set
    in `folder` is replaced; raises DataError when the folder holds anything else.
    """
    settings, folder = settings or MovieConfig(), real(folder)
    values = json.loads(json.dumps(asdict(settings)))  # as they will be read: lists in place of tuples
    about = {"made": f"by wtal {__version__} from a seed", "seed": seed, "settings": values}
    if _is_there(folder, about):
        return False
    write_folder_whole(folder, lambda part: _write_parts(part, list(make_movies(settings, seed)), about, done))
    return True


def _is_there(folder: Path, about: dict[str, Any]) -> bool:
    """Whether these very movies lie in the folder. Raises DataError when what lies there is not ours to replace."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise DataError(f"{folder}: a file is in the way; choose another folder for the movies")
    if not any(folder.iterdir()):
        return False
    path = folder / ABOUT
    found = read_json(path) if path.is_file() else None
    if not isinstance(found, dict) or "made" not in found:
        raise DataError(f"{folder}: holds something other than made movies; choose an empty folder")
    return bool(found == about)


def _write_parts(
    folder: Path, movies: list[Movie], about: dict[str, Any], done: Callable[[int, int], object]
) -> None:
    videos = folder / "videos"
    videos.mkdir()
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), get_context("spawn"), _leave_interrupts) as pool:
        try:
            for count, _ in enumerate(pool.map(partial(_write_movie, videos), movies), start=1):
                done(count, len(movies))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    write_text(folder / "tags.csv", _table([movie.video for movie in movies]))
    write_json(folder / ABOUT, about)


def _leave_interrupts() -> None:
    """An interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_movie(folder: Path, movie: Movie) -> None:
    """Render and encode a movie, one thread alone: more would give other bytes on other machines."""
    codec, options = CODECS[movie.suffix]
    height, width = movie.grain.shape[1:3]
    rate = Fraction(movie.fps).limit_denominator(1000)
    path = folder / f"{movie.video.id}{movie.suffix}"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        stream = cast(VideoStream, file.add_stream(codec, rate, options=options or QUICK))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        tick = 1 / rate if movie.suffix == ".avi" else TICK
        stream.codec_context.time_base = tick
        for frame in _frames(movie, tick):
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _frames(movie: Movie, tick: Fraction) -> Iterator[av.VideoFrame]:
    scenes = iter(movie.scenes)
    scene = next(scenes)
    for number, time in enumerate(movie.times.tolist()):
        if time >= scene.end:
            scene = next(scenes)
        picture = scene.picture(time) + movie.grain[number * 5 % len(movie.grain)]
        frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
        frame.pts, frame.time_base = round(time / tick), tick
        yield frame


def _table(videos: Sequence[Video]) -> str:
    """The tags as a person would keep them in a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "labels", "subset"])
    for video in videos:
        marked = [f"{action.label}[{action.start:g} to {action.end:g}]" for action in video.actions]
        cell = ";".join(video.labels) if video.subset == "training" else "; ".join(marked)
        rows.writerow([video.id, cell, video.subset])
    return text.getvalue()
