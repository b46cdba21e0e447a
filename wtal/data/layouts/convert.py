"""From a public layout to a plain folder: look at what is there, name it, convert it."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.fingerprint import stat_fingerprint
from wtal.core.io import read_json, require_not_input, write_json
from wtal.core.structures import Video
from wtal.data.dataset import SYNTHETIC_KEY
from wtal.data.layouts.basnet import convert_basnet
from wtal.data.layouts.opentad import FeatureTiming, convert_opentad, find_opentad
from wtal.data.layouts.wtalc import convert_wtalc

CLAIM = "converted.json"
REHEARSAL = "rehearsal.json"  # marks made-up features
KNOWN = (
    "a W-TALC bundle (classlist.npy, labels_all.npy ... and *-JOINTFeatures.npy), "
    "the BaS-Net / CoLA layout (gt.json, split_train.txt, features/train/rgb), "
    "the OpenTAD / ActionFormer layout (annotations/*.json with a database, a folder of .npy)"
)


@dataclass(frozen=True)
class ConvertedLayout:
    """What a conversion made: the layout it took the source for, and what deserves a remark."""

    out: Path
    layout: str
    videos: tuple[Video, ...]
    remarks: tuple[str, ...] = ()


def convert_layout(
    source: Path, out: Path, progress: Callable[[int, int], object] | None = None, grid: FeatureTiming | None = None
) -> ConvertedLayout:
    """Recognise the layout of `source` and write it as a plain folder; `progress` hears (done, total).

    `grid` says how features lie in time where the layout does not. A conversion that was stopped goes on when it
    is run again. Raises DataError when the layout is not a known one (saying what was found), and where the source
    is at fault.
    """
    if not source.is_dir():
        raise DataError(f"{source}: there is no such folder; name the folder of the data set")
    require_not_input(out, source, hint="choose another folder")
    try:
        made = _converted(source, out, progress, grid)
    except DataError:
        _unclaim(out)
        raise
    _pass_on_mark(source, out)
    write_json(out / CLAIM, {**read_json(out / CLAIM), "done": True})
    return made


def _converted(
    source: Path, out: Path, progress: Callable[[int, int], object] | None, grid: FeatureTiming | None
) -> ConvertedLayout:
    if (bundle := find_bundle(source)) is not None:
        _require_no_grid(grid, source, "W-TALC bundle")
        joint = find_joint_features(bundle)
        _claim(out, bundle, *([joint] if joint else []))
        remarks = () if joint else ("no *JOINTFeatures.npy found: annotations alone were converted",)
        return ConvertedLayout(out, "W-TALC bundle", convert_wtalc(bundle, joint, out, progress), remarks)
    if (source / "gt.json").is_file():
        _require_no_grid(grid, source, "BaS-Net / CoLA layout")
        _claim(out, source)
        return ConvertedLayout(out, "BaS-Net / CoLA", *convert_basnet(source, out, progress))
    if not _is_plain(source) and (layout := find_opentad(source)) is not None:
        _claim(out, source)
        made = convert_opentad(layout, out, grid or FeatureTiming(), progress)
        return ConvertedLayout(out, "OpenTAD / ActionFormer", *made)
    raise DataError(f"{source}: {_found(source)}. Known here: {KNOWN}")


def _claim(out: Path, *places: Path) -> None:
    """Remember what `out` is made from: good files in it are kept, and those of another source must not be."""
    ours, known = stat_fingerprint(*places), read_json(out / CLAIM) if (out / CLAIM).is_file() else None
    if known is None and out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: holds something that is no conversion; name an empty folder, or a new one")
    if isinstance(known, dict) and known.get("files") != ours:
        if known.get("done"):
            raise DataError(f"{out}: was converted from other files than {places[0]} has now; name another folder")
        shutil.rmtree(out / "features", ignore_errors=True)
    write_json(out / CLAIM, {"files": ours, "done": False})


def _unclaim(out: Path) -> None:
    """Leave nothing behind where nothing was converted."""
    with suppress(OSError):
        (out / "features").rmdir()
    if out.is_dir() and [path.name for path in out.iterdir()] == [CLAIM]:
        (out / CLAIM).unlink()
        out.rmdir()


def _pass_on_mark(source: Path, out: Path) -> None:
    """Features that were made up stay known as such."""
    if any((place / REHEARSAL).is_file() for place in (source, source.absolute().parent)):
        write_json(out / "dataset.json", {**read_json(out / "dataset.json"), **SYNTHETIC_KEY})


def _require_no_grid(grid: FeatureTiming | None, source: Path, layout: str) -> None:
    if grid not in (None, FeatureTiming()):
        raise DataError(f"{source}: the times of a {layout} are known; leave out --stride, --window and --fps")


def _is_plain(source: Path) -> bool:
    return (source / "dataset.json").is_file() and (source / "features").is_dir()


def find_bundle(source: Path) -> Path | None:
    """The folder of the W-TALC annotation arrays: `source` itself or a folder right in it.

    Raises DataError when there are several.
    """
    found = [p.parent for p in [*source.glob("labels_all.npy"), *sorted(source.glob("*/labels_all.npy"))]]
    if len(found) > 1:
        raise DataError(f"{source}: holds {', '.join(p.name for p in found)}; name one of these folders")
    return found[0] if found else None


def find_joint_features(bundle: Path) -> Path | None:
    """`<name>-I3D-JOINTFeatures.npy` in the folder `<name>-Annotations` or beside it."""
    name = bundle.absolute().name.removesuffix("-Annotations")
    inside, beside = (
        bundle.glob("*JOINTFeatures.npy"),
        bundle.absolute().parent.glob(f"{name}*JOINTFeatures.npy"),
    )
    return next(iter([*sorted(inside), *sorted(beside)]), None)


def _found(source: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in source.iterdir())
    if not names:
        return "the folder is empty"
    if _is_plain(source):
        return "is a plain folder already, nothing to convert"
    return f"not a layout known here; found {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
