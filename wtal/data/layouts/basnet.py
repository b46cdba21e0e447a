"""The layout of BaS-Net and CoLA: `features/{train,test}/{rgb,flow}/<id>.npy`, `gt.json` and `split_*.txt`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import Video
from wtal.core.text import format_count, format_list
from wtal.data.dataset import unusable_ids
from wtal.data.features import features_path, has_features, open_features, write_features
from wtal.data.layouts.activitynet import read_activitynet
from wtal.data.layouts.base import Conversion, FeatureTiming, Layout, OnProgress
from wtal.data.problems import raise_first

CLOCK = SnippetClock(16 / 25)
SUBSET_FOLDERS = {"training": "train", "testing": "test"}
MODALITIES = ("rgb", "flow")  # in the order in which they are concatenated
ABOUT = {"feature": "I3D", "source": "BaS-Net / CoLA layout", "beyond_duration": True}


class BasNetLayout(Layout):
    """RGB and flow in separate files, and lists of the videos of each subset."""

    title = "BaS-Net / CoLA"
    contents = "gt.json, split_train.txt, features/train/rgb"

    def detect(self, source: Path) -> bool:
        """Whether a folder has a `gt.json`."""
        return (source / "gt.json").is_file()

    def convert(
        self, source: Path, out: Path, timing: FeatureTiming, on_progress: OnProgress | None = None
    ) -> Conversion:
        """Concatenate RGB and flow of each video. Where one is a single snippet longer, its last snippet is dropped."""
        videos, remarks = read_basnet(source)
        raise_first(unusable_ids(videos, source))
        modalities = [name for name in MODALITIES if any(source.glob(f"features/*/{name}"))]
        widths: tuple[int, ...] = ()
        missing: list[str] = []
        shortened: list[str] = []
        for number, video in enumerate(videos, start=1):
            folder = source / "features" / SUBSET_FOLDERS[video.subset]
            paths = [folder / name / f"{video.id}.npy" for name in modalities]
            if not any(path.is_file() for path in paths):
                missing.append(video.id)
                continue
            parts = [open_features(path, widths[i] if widths else None) for i, path in enumerate(paths)]
            widths = tuple(part.shape[1] for part in parts)
            lengths = [len(part) for part in parts]
            length = min(lengths)
            if max(lengths) - length > 1:
                raise DataError(
                    f"{' and '.join(modalities)} have {' and '.join(map(str, lengths))} snippets",
                    path=paths[0],
                    hint="extract them again",
                    code="length-mismatch",
                )
            if max(lengths) != length:
                shortened.append(video.id)
            path = features_path(out, video.id)
            if not has_features(path, length, sum(widths)):
                write_features(path, np.concatenate([part[:length] for part in parts], axis=1))
            if on_progress:
                on_progress(number, len(videos))
        if missing:
            ids = format_list(missing, 3)
            remarks.append(f"{format_count(len(missing), 'video')} without features in {source / 'features'}: {ids}")
        if shortened:
            ids = format_list(shortened, 3)
            remarks.append(
                f"{format_count(len(shortened), 'video')} with one snippet more of RGB or flow, which is dropped: {ids}"
            )
        return Conversion(videos, CLOCK, modalities=widths, about=ABOUT, remarks=tuple(remarks))


def read_basnet(source: Path) -> tuple[list[Video], list[str]]:
    """Read `gt.json` and the split lists.

    Args:
        source: The folder of the layout.

    Returns:
        The videos, each in the subset of the split list that names it, and remarks. Without a split list the subsets
        of `gt.json` hold.

    Raises:
        DataError: A file is missing or malformed, or a split list names an unknown video or one twice.
    """
    videos_by_id = {video.id: video for video in read_activitynet(source / "gt.json")}
    videos: list[Video] = []
    for subset, name in SUBSET_FOLDERS.items():
        path = source / f"split_{name}.txt"
        if not path.is_file():
            videos += [video for video in videos_by_id.values() if video.subset == subset]
            continue
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            id = line.strip()
            if id and id not in videos_by_id:
                raise DataError(
                    f"{id} is not in gt.json",
                    path=path,
                    location=f"line {number}",
                    hint="remove the line, or add the video to gt.json",
                    code="unknown-name",
                )
            if id:
                videos.append(replace(videos_by_id[id], subset=subset))
    repeated = sorted(id for id, count in Counter(video.id for video in videos).items() if count > 1)
    if repeated:
        raise DataError(
            f"the split lists contain {format_list(repeated, 3)} twice",
            path=source,
            hint="keep one line of each",
            code="duplicate-id",
        )
    unlisted = len(videos_by_id) - len(videos)
    return videos, [f"left out: {format_count(unlisted, 'video')} of gt.json in no split list"] if unlisted else []
