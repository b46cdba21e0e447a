"""The annotation formats by name, and how the format of a file is chosen."""

from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json, read_text
from wtal.data.annotations import (
    activitynet,
    audacity,
    boris,
    boris_project,
    elan,
    fiftyone,
    label_studio,
    simba,
    sportscode,
    subtitles,
    table,
    via,
)
from wtal.data.annotations.base import AnnotationFormat

FORMATS: dict[str, AnnotationFormat] = {
    format.name: format
    for format in (
        table.FORMAT,
        subtitles.VTT,
        subtitles.SRT,
        audacity.FORMAT,
        elan.FORMAT,
        boris.FORMAT,
        boris_project.FORMAT,
        simba.FORMAT,
        sportscode.FORMAT,
        via.FORMAT,
        label_studio.FORMAT,
        fiftyone.FORMAT,
        activitynet.GROUND_TRUTH,
        activitynet.RESULTS,
    )
}


def find_format(name: str) -> AnnotationFormat:
    """The format with this name.

    Raises:
        ConfigError: There is none; the hint lists all names.
    """
    if name not in FORMATS:
        raise ConfigError(
            f"unknown annotation format {name!r}", hint=f"use one of {', '.join(FORMATS)}", code="unknown-name"
        )
    return FORMATS[name]


def format_for_output(path: Path) -> AnnotationFormat:
    """The format to write a file in, by its extension.

    Raises:
        ConfigError: Several formats have this extension and none is the default, or no format has it.
    """
    candidates = _with_extension(path)
    defaults = [format for format in candidates if format.default_for_extension]
    if len(defaults or candidates) != 1:
        names = [format.name for format in candidates] or FORMATS
        raise ConfigError(
            "the extension does not determine the annotation format",
            path=path,
            hint=f"choose it with --to, one of {', '.join(names)}",
            code="ambiguous-format",
        )
    return (defaults or candidates)[0]


def detect_format(path: Path) -> AnnotationFormat:
    """The format of an existing file: by its extension if only one format has it, else by its content.

    Raises:
        DataError: The file cannot be read, or no format recognizes it.
    """
    candidates = _with_extension(path)
    if len(candidates) == 1:
        return candidates[0]
    text = read_text(path).lstrip()
    if not text:
        raise DataError("is empty", path=path, hint="export or copy it again", code="unknown-format")
    content: Any = read_json(path) if text[:1] in ("{", "[") else text.partition("\n")[0].lower()
    for format in FORMATS.values():
        if format.detect(content):
            return format
    raise DataError(
        "unknown annotation format",
        path=path,
        hint=f"choose it with --from, one of {', '.join(FORMATS)}",
        code="unknown-format",
    )


def _with_extension(path: Path) -> list[AnnotationFormat]:
    return [format for format in FORMATS.values() if format.extension == path.suffix.lower()]
