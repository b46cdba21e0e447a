"""The W-TALC bundle (Thumos14reduced, ActivityNet1.2): arrays of annotations, and one array of all I3D features."""

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, first_validation_error
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.core.text import format_list
from wtal.data.dataset import unusable_ids
from wtal.data.features import features_path, open_features
from wtal.data.layouts.activitynet import use_validation_for_training
from wtal.data.layouts.base import Conversion, FeatureTiming, Layout, OnProgress
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.problems import raise_first

STRINGS = TypeAdapter(list[str])
STRING_LISTS = TypeAdapter(list[list[str]])
ARRAYS: Mapping[str, TypeAdapter[Any]] = {  # file name -> content, one item per video except for the classes
    "classlist": STRINGS,
    "duration": TypeAdapter(list[float | list[float]]),
    "labels": STRING_LISTS,
    "labels_all": STRING_LISTS,
    "segments": TypeAdapter(list[list[tuple[float, float]]]),
    "subset": TypeAdapter(list[Literal["train", "training", "validation", "test", "testing"]]),
    "videoname": STRINGS,
}
# 25 fps and 16 frames at any original rate; the bundle's extracted_fps.npy must be ignored.
CLOCK = SnippetClock(16 / 25)
ABOUT = {
    "feature": "I3D, RGB and flow",
    "source": "W-TALC bundle (Paul, Roy, Roy-Chowdhury 2018)",
    "beyond_duration": True,  # some segments of its ground truth end after their videos
}
HINT_COPY = "copy the whole bundle again"


class WtalcLayout(Layout):
    """Arrays of annotations, and one array with the features of all videos."""

    title = "W-TALC bundle"
    contents = "classlist.npy, labels_all.npy, ..., *-JOINTFeatures.npy"

    def detect(self, source: Path) -> bool:
        """Whether a folder is a bundle or contains one. Raises DataError if it contains several."""
        return find_bundle(source) is not None

    def inputs(self, source: Path) -> Sequence[Path]:
        """The folder of annotations, and the file of features if there is one."""
        bundle, joint = _find_files(source)
        return [bundle] if joint is None else [bundle, joint]

    def convert(
        self, source: Path, out: Path, timing: FeatureTiming, on_progress: OnProgress | None = None
    ) -> Conversion:
        """Split the joint array into one file per video. Without it only the annotations are converted."""
        bundle, joint = _find_files(source)
        videos = read_wtalc(bundle)
        raise_first(unusable_ids(videos, bundle))
        if joint is not None and not _has_all_features(videos, out):
            _split_features(videos, joint, out, on_progress)
        return Conversion(
            videos,
            CLOCK,
            _read_array(bundle / "classlist.npy"),
            _modalities(videos, out),
            ABOUT,
            () if joint else ("no *JOINTFeatures.npy, only the annotations were converted",),
        )


def find_bundle(source: Path) -> Path | None:
    """The folder of the annotation arrays: `source` or a folder in it. Raises DataError if there are several."""
    bundles = [path.parent for path in [*source.glob("labels_all.npy"), *sorted(source.glob("*/labels_all.npy"))]]
    if len(bundles) > 1:
        names = ", ".join(bundle.name for bundle in bundles)
        raise DataError(
            f"contains several data sets ({names})", path=source, hint="use one of these folders", code="ambiguous"
        )
    return bundles[0] if bundles else None


def read_wtalc(bundle: Path) -> list[Video]:
    """Read the annotations of a bundle.

    Args:
        bundle: The folder of the arrays.

    Returns:
        The videos in the order of the arrays. Labels are the video-level ones, on which W-TALC and its successors
        train; for some videos they differ from those of the segments. Training videos have segments too. Without a
        training subset, as in THUMOS14, the validation subset becomes the training subset.

    Raises:
        DataError: An array is missing or malformed, or the arrays have different lengths.
    """
    arrays = {name: _read_array(bundle / f"{name}.npy") for name in ARRAYS}
    lengths = {name: len(values) for name, values in arrays.items() if name != "classlist"}
    if len(set(lengths.values())) != 1:
        raise DataError(
            f"the arrays have different lengths ({lengths})", path=bundle, hint=HINT_COPY, code="length-mismatch"
        )
    if repeated := [id for id, count in Counter(arrays["videoname"]).items() if count > 1]:
        path = bundle / "videoname.npy"
        raise DataError(f"contains {format_list(repeated, 3)} twice", path=path, hint=HINT_COPY, code="duplicate-id")
    try:
        return use_validation_for_training(_video(arrays, index) for index in range(lengths["videoname"]))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"not the arrays of a W-TALC bundle ({error})", path=bundle, hint=HINT_COPY, code="invalid-array"
        ) from error


def _find_files(source: Path) -> tuple[Path, Path | None]:
    """The folder of annotations `<name>-Annotations`, and `<name>-I3D-JOINTFeatures.npy` in it or beside it."""
    bundle = find_bundle(source)
    if bundle is None:
        raise DataError("no labels_all.npy", path=source, hint="use the folder of a bundle", code="file-not-found")
    name = bundle.absolute().name.removesuffix("-Annotations")
    inside = sorted(bundle.glob("*JOINTFeatures.npy"))
    beside = sorted(bundle.absolute().parent.glob(f"{name}*JOINTFeatures.npy"))
    return bundle, next(iter([*inside, *beside]), None)


def _read_array(path: Path) -> Any:
    try:
        return ARRAYS[path.stem].validate_python(read_object_array(path))
    except ValidationError as error:
        message = f"not an array of a W-TALC bundle: {first_validation_error(error)}"
        raise DataError(message, path=path, hint=HINT_COPY, code="invalid-array") from error


def _video(arrays: dict[str, Any], index: int) -> Video:
    labels, times = arrays["labels"][index], arrays["segments"][index]
    segments = [Segment(label, start, end) for label, (start, end) in zip(labels, times, strict=True)]
    duration = arrays["duration"][index]
    duration = float(duration[0] if isinstance(duration, list) else duration)
    if not math.isfinite(duration + sum(segment.start + segment.end for segment in segments)):
        raise ValueError(f"times of {arrays['videoname'][index]} are not finite")
    return Video(
        arrays["videoname"][index],
        SUBSETS[arrays["subset"][index]],
        tuple(sorted(set(arrays["labels_all"][index]))),
        duration,
        tuple(segments),
    )


def _split_features(videos: list[Video], joint: Path, out: Path, on_progress: OnProgress | None) -> None:
    """Write the joint array, one T x D array per video, as `features/<id>.npy`."""
    (out / "features").mkdir(parents=True, exist_ok=True)
    array_dir = Path(tempfile.mkdtemp(dir=out, prefix=".spill"))  # in `out`, so that files can be renamed into place
    try:
        on_array = (lambda count: on_progress(count, len(videos))) if on_progress else None
        items = read_object_array(joint, array_dir, on_array)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(
                "not an array of T x D arrays",
                path=joint,
                hint="use the *-JOINTFeatures.npy file of the bundle",
                code="invalid-array",
            )
        if len(items) != len(videos):
            message = f"contains {len(items)} arrays for {len(videos)} videos"
            hint = "use features and annotations of the same bundle"
            raise DataError(message, path=joint, hint=hint, code="length-mismatch")
        paths = [array_dir / item["spilled"] for item in items]
        widths = {open_features(path).shape[1] for path in paths}
        if len(widths) != 1:
            message = f"the arrays have different widths, {sorted(widths)}"
            raise DataError(message, path=joint, hint="download it again", code="width-mismatch")
        for video, path in zip(videos, paths, strict=True):
            path.replace(features_path(out, video.id))
    finally:
        shutil.rmtree(array_dir, ignore_errors=True)


def _has_all_features(videos: list[Video], out: Path) -> bool:
    try:
        return len({open_features(features_path(out, video.id)).shape[1] for video in videos}) == 1
    except DataError:
        return False


def _modalities(videos: list[Video], out: Path) -> tuple[int, ...]:
    """(1024, 1024) for I3D's 2048, otherwise (D,); () without features."""
    if not videos or not features_path(out, videos[0].id).is_file():
        return ()
    width = open_features(features_path(out, videos[0].id)).shape[1]
    return (1024, 1024) if width == 2048 else (width,)
