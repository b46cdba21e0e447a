"""The formats of timelines by name, how a file of each is recognised, and what each can hold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json, read_text
from wtal.data.annotations import activitynet, audacity, elan, fiftyone, label_studio, subtitles, tabular, via
from wtal.data.annotations.base import AnnotationFile, file_id, one_line

IN_TEXT = "written into the text as [score 0.95], to four digits"
SUBTITLES = "Players show it where it lies beside the video and has its name."
ALL = frozenset({"empty videos", "durations", "subsets", "tags"})


@dataclass(frozen=True)
class Format:
    """A format: its name here and in the world, the ending of its files, how to read and write it, what it holds.

    `hint` says what to do with a file in the tool that it is for, where that is not plain.
    `read` and `write` take the frames a second as well where it counts `frames`. Other times are kept as they are,
    or in steps of 1 / `per_second` s; nothing is shorter than one where `no_points`. `scores` says what becomes of
    scores that are not simply kept; `text` and `id` make of a label and of an id what is read back.
    """

    name: str
    title: str
    ending: str
    read: Callable[..., AnnotationFile]
    write: Callable[..., None]
    one_video: bool = False
    frames: bool = False
    per_second: float = 0
    no_points: bool = False
    scores: str = ""
    text: Callable[[str], str] = str
    id: Callable[[str], str] = str
    holds: frozenset[str] = frozenset({"empty videos"})
    hint: str = ""


def _in_milliseconds(
    name: str,
    title: str,
    ending: str,
    read: Callable[..., AnnotationFile],
    write: Callable[..., None],
    **facts: Any,
) -> Format:
    return Format(name, title, ending, read, write, one_video=True, per_second=1000, no_points=True, **facts)


def _in_frames(
    name: str, title: str, read: Callable[..., AnnotationFile], write: Callable[..., None], **facts: Any
) -> Format:
    return Format(name, title, ".json", read, write, frames=True, no_points=True, **facts)


FORMATS = (
    Format(
        "csv",
        "Table",
        ".csv",
        tabular.read_table,
        tabular.write_table,
        text=tabular.lines_only,
        id=tabular.lines_only,
        holds=ALL,
    ),
    _in_milliseconds(
        "vtt",
        "WebVTT subtitles",
        ".vtt",
        subtitles.read_vtt,
        subtitles.write_vtt,
        scores=IN_TEXT,
        text=subtitles.vtt_label,
        hint=SUBTITLES,
    ),
    _in_milliseconds(
        "srt",
        "SRT subtitles",
        ".srt",
        subtitles.read_srt,
        subtitles.write_srt,
        scores=IN_TEXT,
        text=one_line,
        hint=SUBTITLES,
    ),
    Format(
        "audacity",
        "Audacity labels",
        ".txt",
        audacity.read,
        audacity.write,
        one_video=True,
        per_second=1e6,
        scores=IN_TEXT,
        text=one_line,
        hint="Audacity reads it under File, Import, Labels.",
    ),
    _in_milliseconds(
        "elan",
        "ELAN",
        ".eaf",
        elan.read,
        elan.write,
        text=elan.label,
        hint="Put it beside the video, and open it in ELAN.",
    ),
    Format(
        "boris",
        "BORIS table",
        ".csv",
        tabular.read_boris,
        tabular.write_boris,
        per_second=1000,
        scores="written as comments, [score 0.95], to four digits",
        text=tabular.lines_only,
        id=tabular.lines_only,
        holds=frozenset({"durations"}),
    ),
    Format(
        "via",
        "VIA 3",
        ".json",
        via.read,
        via.write,
        id=file_id,
        hint="Load it in VIA 3 as a project, and choose the video's file there.",
    ),
    _in_frames(
        "labelstudio",
        "Label Studio",
        label_studio.read,
        label_studio.write,
        id=file_id,
        hint="Label Studio knows videos by their addresses: put the video's in the place of its name in the file.",
    ),
    _in_frames(
        "fiftyone",
        "FiftyOne",
        fiftyone.read,
        fiftyone.write,
        hint="FiftyOne reads it as labels.json beside a folder called data that holds the video.",
    ),
    Format(
        "activitynet",
        "ActivityNet annotations",
        ".json",
        activitynet.read_ground_truth_file,
        activitynet.write_ground_truth_file,
        scores="left out",
        holds=ALL,
    ),
    Format(
        "results",
        "ActivityNet results",
        ".json",
        activitynet.read_predictions_file,
        activitynet.write_predictions_file,
    ),
)
NAMES = tuple(known.name for known in FORMATS)
OWN_ENDINGS = {known.ending: known for known in FORMATS if known.one_video}


def find_format(name: str) -> Format:
    """A format by its name. Raises ConfigError listing all names."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise ConfigError(f"there is no format {name!r}; choose one of {', '.join(NAMES)}")


def format_for_output(path: Path) -> Format:
    """The format of a file to be written, by its ending. Raises ConfigError where that says too little."""
    ending = path.suffix.lower()
    if ending in OWN_ENDINGS:
        return OWN_ENDINGS[ending]
    names = [known.name for known in FORMATS if known.ending == ending] or NAMES
    raise ConfigError(f"{path}: could be of several formats; say which with --to, one of {', '.join(names)}")


def detect_format(path: Path) -> Format:
    """The format of a file by its ending or else its content. Raises DataError where neither tells."""
    ending = path.suffix.lower()
    if ending in OWN_ENDINGS:
        return OWN_ENDINGS[ending]
    text = read_text(path).lstrip()
    name = _of_json(read_json(path)) if text[:1] in ("{", "[") else _of_text(text.partition("\n")[0].lower())
    if name is None:
        raise DataError(f"{path}: not a timeline known here; say what it is with --from, one of {', '.join(NAMES)}")
    return find_format(name)


def _of_json(value: object) -> str | None:
    if isinstance(value, list):
        return "labelstudio"
    keys = set(value) if isinstance(value, dict) else set()
    signs = (
        ("results", {"results"}),
        ("activitynet", {"database"}),
        ("via", {"metadata", "attribute"}),
        ("fiftyone", {"labels"}),
        ("labelstudio", {"data"}),
    )
    return next((name for name, sign in signs if sign <= keys), None)


def _of_text(head: str) -> str | None:
    if "behavior" in head and "start (s)" in head:
        return "boris"
    if all(column in head for column in tabular.TABLE_COLUMNS):
        return "csv"
    return "vtt" if head.startswith("webvtt") else "elan" if head.startswith("<?xml") else None
