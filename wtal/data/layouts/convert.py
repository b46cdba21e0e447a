"""Conversion of a data layout to a data set folder."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import ConfigError, DataError, WtalError
from wtal.core.fingerprint import stat_fingerprint
from wtal.core.io import read_json, read_text, require_not_input, write_json, write_text
from wtal.core.structures import Video
from wtal.core.text import format_list
from wtal.data.dataset import SYNTHETIC_KEY, write_dataset_info
from wtal.data.layouts.base import FeatureTiming, Layout, OnProgress
from wtal.data.layouts.registry import LAYOUTS, detect_layout
from wtal.data.layouts.thumos import AMBIGUOUS_NAME, find_ambiguous_list, read_ambiguous

STATE_NAME = "converted.json"  # {"files": fingerprint of the source, "done": bool}
SYNTHETIC_NAME = "rehearsal.json"  # marks folders with synthetic features


@dataclass(frozen=True)
class ConvertedLayout:
    """A finished conversion.

    Attributes:
        path: The data set folder.
        layout: The title of the source's layout.
        videos: The converted videos.
        remarks: What the user should know, such as videos that were left out.
        annotations: The annotation file that also lists videos without features, if there is one.
    """

    path: Path
    layout: str
    videos: tuple[Video, ...]
    remarks: tuple[str, ...] = ()
    annotations: Path | None = None


def convert_layout(
    source: Path,
    out: Path,
    *,
    timing: FeatureTiming | None = None,
    layout: Layout | None = None,
    on_progress: OnProgress | None = None,
) -> ConvertedLayout:
    """Convert a folder or archive in a known layout to a data set folder.

    An interrupted conversion continues when called again.

    Args:
        source: The folder or archive. It is not changed.
        out: The data set folder to write.
        timing: The times of the features, for layouts that do not store them.
        layout: The layout of the source; None to detect it.
        on_progress: Called with the number of videos done and of all videos.

    Raises:
        DataError: The layout is unknown, the source is malformed, or `out` holds something else.
        ConfigError: `timing` was given for a layout that defines the times.
    """
    if not source.exists():
        raise DataError("file or folder not found", path=source, hint="check the path", code="file-not-found")
    require_not_input(out, source)
    layout = layout or detect_layout(source)
    if layout is None:
        raise _unknown_layout(source)
    if timing not in (None, FeatureTiming()) and not layout.needs_timing:
        raise ConfigError(
            f"{layout.title} defines the times of its features",
            path=source,
            hint="leave out --stride, --window and --fps",
            code="timing-not-supported",
        )
    ambiguous = find_ambiguous_list(source)
    if ambiguous:
        read_ambiguous(ambiguous)  # reports an invalid file before anything is written
    _start(out, layout.inputs(source))
    try:
        conversion = layout.convert(source, out, timing or FeatureTiming(), on_progress)
        videos, about = conversion.videos, conversion.about
        classes = conversion.classes
        if classes is None:
            classes = sorted({label for video in videos for label in video.labels})
        if any((folder / SYNTHETIC_NAME).is_file() for folder in (source, source.absolute().parent)):
            about = {**about, **SYNTHETIC_KEY}
        write_dataset_info(out, videos, conversion.clock, classes, conversion.modalities, about)
        if ambiguous:  # some protocols of THUMOS14 need it beside the ground truth
            write_text(out / AMBIGUOUS_NAME, read_text(ambiguous))
    except WtalError:
        _remove_if_empty(out)
        raise
    write_json(out / STATE_NAME, {**read_json(out / STATE_NAME), "done": True})
    return ConvertedLayout(out, layout.title, tuple(videos), conversion.remarks, conversion.annotations)


def _start(out: Path, inputs: Sequence[Path]) -> None:
    """Record what `out` is converted from. Features of another source are removed, or refused if complete."""
    files = stat_fingerprint(*inputs)
    state = read_json(out / STATE_NAME) if (out / STATE_NAME).is_file() else None
    if state is None and out.is_dir() and any(out.iterdir()):
        raise DataError(
            "the folder is not empty and holds no conversion",
            path=out,
            hint="choose an empty or a new folder",
            code="already-exists",
        )
    if isinstance(state, dict) and state.get("files") != files:
        if state.get("done"):
            raise DataError(
                f"was converted from other files than those now in {inputs[0]}",
                path=out,
                hint="choose another folder",
                code="source-changed",
            )
        shutil.rmtree(out / "features", ignore_errors=True)
    write_json(out / STATE_NAME, {"files": files, "done": False})


def _remove_if_empty(out: Path) -> None:
    """Remove the output of a failed conversion unless it holds features."""
    with suppress(OSError):
        (out / "features").rmdir()
    if out.is_dir() and [path.name for path in out.iterdir()] == [STATE_NAME]:
        (out / STATE_NAME).unlink()
        out.rmdir()


def _unknown_layout(source: Path) -> DataError:
    layouts = "; ".join(f"{layout.title} ({layout.contents})" for layout in LAYOUTS.values())
    if not source.is_dir():
        return DataError("unknown data layout", path=source, hint=f"known layouts: {layouts}", code="unknown-layout")
    if (source / "dataset.json").is_file() and (source / "features").is_dir():
        return DataError("is a data set folder already", path=source, hint="use it as it is", code="already-converted")
    names = sorted(path.name + "/" * path.is_dir() for path in source.iterdir())
    if not names:
        return DataError("the folder is empty", path=source, hint=f"known layouts: {layouts}", code="empty-folder")
    return DataError(
        f"unknown data layout; the folder contains {format_list(names)}",
        path=source,
        hint=f"known layouts: {layouts}",
        code="unknown-layout",
    )
