"""The W-TALC bundle (Thumos14reduced, ActivityNet1.2) -> plain folder: annotations and a joint I3D array."""

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, first_validation_error
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.data.dataset import unusable_ids, write_dataset_info
from wtal.data.features import features_path, open_features
from wtal.data.layouts.activitynet import with_training
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.problems import raise_first

TEXTS = TypeAdapter(list[str])
LISTS = TypeAdapter(list[list[str]])
ARRAYS: Mapping[str, TypeAdapter[Any]] = {  # file -> what is in it, one item a video but for the classes
    "classlist": TEXTS,
    "duration": TypeAdapter(list[float | list[float]]),
    "labels": LISTS,
    "labels_all": LISTS,
    "segments": TypeAdapter(list[list[tuple[float, float]]]),
    "subset": TypeAdapter(list[Literal["train", "training", "validation", "test", "testing"]]),
    "videoname": TEXTS,
}
# 25 fps and 16 frames whatever the original rate; the bundle's extracted_fps.npy is to be ignored.
CLOCK = SnippetClock(16 / 25)
ABOUT = {
    "feature": "I3D, RGB and flow",
    "source": "W-TALC bundle (Paul, Roy, Roy-Chowdhury 2018)",
    "beyond_duration": True,  # its ground truth has actions after the end of their videos
}


def convert_wtalc(
    bundle: Path,
    features: Path | None,
    out: Path,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Video, ...]:
    """Write the bundle as a plain folder at `out`; returns its videos, with the video-level labels.

    `features` is the joint array (one T x D array a video); None writes annotations alone. `progress` hears
    (done, total). Features that are all there already are kept. Raises DataError on what does not fit.
    """
    videos = read_wtalc(bundle)
    raise_first(unusable_ids(videos, bundle))
    if features is not None and not _all_there(videos, out):
        _convert_features(videos, features, out, progress)
    classes = _checked(bundle / "classlist.npy")
    write_dataset_info(out, videos, CLOCK, classes, _modalities(videos, out), ABOUT)
    return tuple(videos)


def read_wtalc(bundle: Path) -> list[Video]:
    """Videos of a bundle in its order, with video-level labels and, training videos too, their actions.

    The two disagree for some videos; W-TALC and its successors train on the video-level labels. Where the
    bundle has no training subset its validation part is the training one, as in THUMOS14.
    Raises DataError when an array is missing or the arrays do not fit each other.
    """
    arrays = {name: _checked(bundle / f"{name}.npy") for name in ARRAYS}
    lengths = {name: len(values) for name, values in arrays.items() if name != "classlist"}
    if len(set(lengths.values())) != 1:
        raise DataError(f"{bundle}: the arrays have different lengths ({lengths}); copy the whole bundle again")
    if twice := [id for id, count in Counter(arrays["videoname"]).items() if count > 1]:
        raise DataError(f"{bundle / 'videoname.npy'}: names {', '.join(twice[:3])} twice; copy the bundle again")
    try:
        return with_training(_video(arrays, index) for index in range(lengths["videoname"]))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{bundle}: not the arrays of a W-TALC bundle ({error}); copy it again") from error


def _checked(path: Path) -> Any:
    try:
        return ARRAYS[path.stem].validate_python(read_object_array(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_validation_error(error)}; not as in a W-TALC bundle, copy it again") from error


def _video(arrays: dict[str, Any], index: int) -> Video:
    labels, segments = arrays["labels"][index], arrays["segments"][index]
    actions = [
        Segment(str(label), float(start), float(end)) for label, (start, end) in zip(labels, segments, strict=True)
    ]
    duration = arrays["duration"][index]
    seconds = float(duration[0] if isinstance(duration, list) else duration)
    if not math.isfinite(seconds + sum(a.start + a.end for a in actions)):
        raise ValueError(f"times of {arrays['videoname'][index]} are not finite")
    return Video(
        str(arrays["videoname"][index]),
        SUBSETS[arrays["subset"][index]],
        tuple(sorted({str(label) for label in arrays["labels_all"][index]})),
        seconds,
        tuple(actions),
    )


def _convert_features(
    videos: list[Video], source: Path, out: Path, progress: Callable[[int, int], object] | None
) -> None:
    folder = out / "features"
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the features, so that each file is put in place by a rename.
    spill = Path(tempfile.mkdtemp(dir=out, prefix=".spill"))
    try:
        found = read_object_array(source, spill, lambda n: progress(n, len(videos)) if progress else None)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise DataError(f"{source}: not an array of T x D arrays; give the *-JOINTFeatures.npy file")
        if len(found) != len(videos):
            raise DataError(f"{source}: {len(found)} arrays for {len(videos)} videos; they are not one bundle")
        widths = {open_features(spill / item["spilled"]).shape[1] for item in found}
        if len(widths) != 1:
            raise DataError(f"{source}: the arrays have different widths, {sorted(widths)}; download it again")
        for video, item in zip(videos, found, strict=True):
            (spill / item["spilled"]).replace(features_path(out, video.id))
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _all_there(videos: list[Video], out: Path) -> bool:
    try:
        return len({open_features(features_path(out, video.id)).shape[1] for video in videos}) == 1
    except DataError:
        return False


def _modalities(videos: list[Video], out: Path) -> tuple[int, ...]:
    """(1024, 1024) for I3D's 2048, else (D,); () without features."""
    if not videos or not features_path(out, videos[0].id).is_file():
        return ()
    width = open_features(features_path(out, videos[0].id)).shape[1]
    return (1024, 1024) if width == 2048 else (width,)
