"""dataset.json of a plain folder: the clock, the classes, the widths of the features and where they come from."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from wtal.errors import DataError
from wtal.features import features_path, is_file_name, open_features
from wtal.formats.activitynet import load_json
from wtal.formats.problem import Problem, as_problem, short
from wtal.formats.videos import LISTING
from wtal.provenance import Provenance, parse_provenance, read_origin
from wtal.records import Video
from wtal.timeline import SnippetClock

MADE_UP = {"feature": "made up, not measured from any video", "source": "wtal rehearse"}  # what a rehearsal says
EXAMPLE = '{"snippet_seconds": 0.64, "offset_seconds": 0.0}'
STAND_IN = SnippetClock(1.0)  # so that a folder with a faulty dataset.json can still be looked through


def read_about(path: Path, problems: list[Problem]) -> tuple[Mapping[str, Any], SnippetClock]:
    """dataset.json and the clock it names; {} and a clock that stands in when it cannot be read."""
    try:
        about, repeated = _load_about(path)
    except DataError as error:
        problems.append(as_problem(error))
        return {}, STAND_IN
    problems += [Problem(str(path), f'"{key}" appears twice', "keep one of the two") for key in repeated]
    for name, default, least in (("snippet_seconds", None, 1e-9), ("offset_seconds", 0.0, -1e12)):
        value = about.get(name, default)
        if not _is_number(value) or value < least:
            problems.append(_no_clock(path, name, value))
            return about, STAND_IN
    return about, SnippetClock(float(about["snippet_seconds"]), float(about.get("offset_seconds", 0.0)))


def _no_clock(path: Path, name: str, value: object) -> Problem:
    if value is None and (path.parent / LISTING).is_file():
        folder = path.parent
        return Problem(str(folder), "has videos but no features yet", f"run `wtal extract {folder}`")
    return Problem(str(path), f"{name} is {short(repr(value))}", f"write the file as {EXAMPLE}")


def _load_about(path: Path) -> tuple[Mapping[str, Any], list[str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file, so the seconds of a snippet are unknown; write it as {EXAMPLE}"
        )
    about, repeated = load_json(path)
    if not isinstance(about, dict):
        raise DataError(f"{path}: is not a JSON object; write it as {EXAMPLE}")
    return about, repeated


def classes_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> tuple[str, ...]:
    """As dataset.json names them, else the sorted labels of training."""
    classes = about.get("classes")
    if classes is None:
        videos = list(videos)
        training = {label for v in videos if v.subset == "training" for label in v.labels}
        return tuple(sorted(training or {label for v in videos for label in v.labels}))
    if not isinstance(classes, list) or not all(isinstance(c, str) and c.strip() for c in classes):
        problems.append(Problem(str(path), "`classes` is not a list of names", 'use ["run", "jump"]'))
        return ()
    twice = sorted({c for c in classes if classes.count(c) > 1})
    if twice:
        problems.append(Problem(str(path), f"`classes` names {', '.join(twice)} twice", "name each once"))
    return tuple(dict.fromkeys(classes))


def modalities_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> tuple[int, ...]:
    """The widths of the feature groups, else the width of the first feature file."""
    widths = about.get("modalities")
    if widths is None:
        return _first_width(videos, path)
    if isinstance(widths, list) and widths and all(type(w) is int and w > 0 for w in widths):
        return tuple(widths)
    where = str(path / "dataset.json")
    problems.append(
        Problem(where, f"`modalities` is {short(repr(widths))}", "use the widths of the groups, as [1024, 1024]")
    )
    return _first_width(videos, path)


def provenance_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> Provenance | None:
    """As dataset.json says it, else as the first feature file that has an origin."""
    try:
        if "provenance" in about:
            return parse_provenance(about["provenance"], str(path / "dataset.json"))
        usable = (v for v in videos if is_file_name(v.id))
        origins = (read_origin(features_path(path, video.id)) for video in usable)
        return next((origin.provenance for origin in origins if origin is not None), None)
    except DataError as error:
        problems.append(as_problem(error))
        return None


def _first_width(videos: Iterable[Video], path: Path) -> tuple[int, ...]:
    """(D,) of the first feature file that can be opened, else ()."""
    for video in videos:
        if is_file_name(video.id) and features_path(path, video.id).is_file():
            try:
                return (open_features(features_path(path, video.id)).shape[1],)
            except DataError:
                continue  # said when that file is asked for; it must not hide the width of the others
    return ()


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
