"""What the page learns from: a data set, with the corrections as labels of its training videos.

Some corrected videos are never trained on, so that models can be measured on them: complete timelines of the data
set's other subsets, and every fourth of the other complete timelines. This is decided once and stored. Two kinds of
videos are not held out: those whose times the first model was trained on, and the last one with a class.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import realpath, write_json
from wtal.core.structures import Segment, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.features import features_path
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.provenance import origin_path, read_origin
from wtal.data.video_files import LISTING_NAME, read_listing, video_ids
from wtal.models.checkpoint import ModelMetadata
from wtal.web.corrections import CorrectionRecord
from wtal.web.models import LabelCounts
from wtal.web.videos import VideoFile, VideoLibrary

HOLD_OUT_EVERY = 4  # complete timelines: one of so many is not trained on
MEASURED = "testing"  # the subset of the videos that models are measured on
HINT_DATA = "start the server with `--data DATA`, the data set folder that the model was trained on"


@dataclass(frozen=True)
class CorrectedVideo:
    """A corrected video.

    Attributes:
        id: The id in the data set, or a new one.
        file: The video file.
        fingerprint: Identifies its content.
        record: The corrections.
        source: The video in the data set, None if it is not there.
    """

    id: str
    file: VideoFile
    fingerprint: str
    record: CorrectionRecord
    source: Video | None

    @property
    def is_trainable(self) -> bool:
        """Whether it may be trained on: it is new, or in the training subset."""
        return self.source is None or self.source.subset == "training"

    def to_video(self, subset: str) -> Video:
        """The video with the corrections as labels. Unknown tags are those of the corrected timeline."""
        segments = tuple(Segment(s.label, s.start, s.end) for s in self.record.labels)
        labels = {segment.label for segment in segments}
        if not self.record.complete:
            labels |= set(self.source.labels) if self.source else {segment.label for segment in self.record.segments}
        duration = self.source.duration if self.source else None
        return Video(self.id, subset, tuple(sorted(labels)), duration, segments, self.record.complete)


@dataclass(frozen=True)
class TrainingSet:
    """A data set to write.

    Attributes:
        videos: The training videos, and those to measure on, in the subset `testing`.
        classes: The classes of the data set, and new ones.
        decisions: Fingerprint of each corrected training video to whether it is held out from now on.
        counts: The corrections among the training videos.
        measured: Id to file name of the videos to measure on.
        features: Id to the features that the data set has.
        extra: Id to the corrected video, of videos without features.
    """

    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    decisions: dict[str, bool]
    counts: LabelCounts
    measured: Mapping[str, str]
    features: Mapping[str, Path]
    extra: Mapping[str, CorrectedVideo]

    def write(self, folder: Path, about: Mapping[str, object]) -> None:
        """Write annotations.json and dataset.json, and link the features. Raises DataError or OSError."""
        write_json(folder / "dataset.json", {**about, "classes": list(self.classes)})
        write_activitynet(folder / "annotations.json", self.videos, folder.name)
        (folder / "features").mkdir(exist_ok=True)
        for id, source in self.features.items():
            link_features(source, features_path(folder, id))


@dataclass(frozen=True)
class TrainingData:
    """The data set that a model was trained on, as a source of tags and features.

    Attributes:
        dataset: The data set.
        has_learned_times: Whether the model was trained on its points and segments too.
    """

    dataset: Dataset
    has_learned_times: bool = False

    @cached_property
    def ids(self) -> dict[str, str]:
        """Fingerprint of the video file to id, of the videos whose features record it, also those without tags."""
        ids: dict[str, str] = {}
        names = dict.fromkeys(video.id for video in self.dataset.videos)
        with suppress(DataError):  # not made by `wtal init`
            names |= dict.fromkeys(read_listing(self.dataset.path).files)
        for id in names:
            with suppress(DataError):
                origin = read_origin(self.dataset.features_path(id))
                if origin and origin.fingerprint:
                    ids.setdefault(origin.fingerprint, id)
        return ids

    def features(self, fingerprint: str) -> Path | None:
        """The features of the video file with a fingerprint, None if the data set has none."""
        return self.dataset.features_path(self.ids[fingerprint]) if fingerprint in self.ids else None

    def corrected(self, records: Mapping[str, CorrectionRecord], library: VideoLibrary) -> list[CorrectedVideo]:
        """The corrected videos that have labels, and whose files are there and were not replaced."""
        files = library.files()
        sources = {video.id: video for video in self.dataset.videos}
        new_ids = video_ids([file.name for file in files.values()], reserved=sources)
        videos: dict[str, CorrectedVideo] = {}
        for key, record in sorted(records.items()):
            fingerprint = library.fingerprint(files[key]) if key in files else ""
            if not fingerprint or record.fingerprint not in ("", fingerprint):
                continue
            if record.labels or record.complete:
                id = self.ids.get(fingerprint, new_ids[files[key].name])
                videos.setdefault(id, CorrectedVideo(id, files[key], fingerprint, record, sources.get(id)))
        return list(videos.values())

    def build(self, corrected: Sequence[CorrectedVideo], decided: Mapping[str, bool]) -> TrainingSet:
        """The data set to train on and to measure on.

        Args:
            corrected: The corrected videos.
            decided: Earlier decisions on which videos are held out, by fingerprint.
        """
        trainable = [video for video in corrected if video.is_trainable]
        decisions = self._decide(trainable, decided)
        decisions = {v.fingerprint: decided.get(v.fingerprint, False) for v in trainable} | decisions
        held_out = [video for video in corrected if not video.is_trainable or decisions[video.fingerprint]]
        used = [video for video in trainable if not decisions[video.fingerprint]]
        measured = [video for video in held_out if video.record.complete]
        never_trained = {video.id for video in held_out} | {self.ids.get(f, "") for f, held in decided.items() if held}
        replaced = {video.id: video.to_video("training") for video in used}
        videos = [
            replaced.pop(video.id, video)
            for video in self.dataset.videos
            if video.subset == "training" and video.id not in never_trained
        ]
        videos += replaced.values()
        videos += [video.to_video(MEASURED) for video in measured]
        new_classes = {label for video in videos for label in video.labels} - {*self.dataset.classes}
        available = {v.id: path for v in videos if (path := self.dataset.features_path(v.id)).is_file()}
        return TrainingSet(
            tuple(videos),
            self.dataset.classes + tuple(sorted(new_classes)),
            decisions,
            _count(used),
            {video.id: video.file.name for video in measured},
            available,
            {video.id: video for video in (*used, *measured) if video.id not in available},
        )

    def _decide(self, trainable: Sequence[CorrectedVideo], decided: Mapping[str, bool]) -> dict[str, bool]:
        """Which of the complete timelines that can be measured on are held out."""
        labels = {video.id: video.labels for video in self.dataset.videos if video.subset == "training"}
        labels |= {video.id: video.to_video("training").labels for video in trainable}
        held_out = {self.ids.get(fingerprint, "") for fingerprint, held in decided.items() if held}
        counts = Counter(label for id in labels.keys() - held_out for label in labels[id])
        complete = {
            video.fingerprint: labels[video.id]
            for video in trainable
            if video.record.complete
            and not (self.has_learned_times and video.source is not None and video.source.segments)
        }
        return decide_held_out(complete, decided, counts)


def decide_held_out(
    complete: Mapping[str, Collection[str]], decided: Mapping[str, bool], counts: Mapping[str, int]
) -> dict[str, bool]:
    """Which complete timelines are held out: one of four, and one of two or three.

    A decision never changes, so a video that was trained on is never measured on. The last training video with a class
    is not held out: a model could not learn the class without it.

    Args:
        complete: The classes of the videos with complete timelines, by fingerprint.
        decided: Earlier decisions, by fingerprint.
        counts: The number of training videos of each class before new decisions.
    """
    remaining = Counter(counts)
    decisions = {fingerprint: decided[fingerprint] for fingerprint in complete if fingerprint in decided}
    target = max(len(complete) // HOLD_OUT_EVERY, int(len(complete) > 1))
    for fingerprint in sorted(set(complete) - decisions.keys(), key=lambda text: sha256(text.encode()).digest()):
        is_last = any(remaining[label] < 2 for label in complete[fingerprint])
        decisions[fingerprint] = sum(decisions.values()) < target and not is_last
        if decisions[fingerprint]:
            remaining.subtract(complete[fingerprint])
    return decisions


def open_training_data(data: Path | None, videos: Path, meta: ModelMetadata) -> TrainingData:
    """Open the data set that a model was trained on.

    Args:
        data: Its folder; None to look for one beside the folder of videos whose videos.json names that folder.
        videos: The folder of videos.
        meta: The metadata of the model.

    Raises:
        DataError: There is none, or it does not match the model.
    """
    folder = data or _find_data(videos, meta)
    if folder is None:
        raise DataError("the data set of the model is not known", hint=HINT_DATA, code="no-data")
    dataset = load_dataset(folder)
    if difference := _difference(dataset, meta):
        raise DataError(f"the data set has other {difference} than the model", path=folder.name, hint=HINT_DATA)
    dataset.subset("training")
    return TrainingData(replace(dataset, path=dataset.path.absolute()), meta.config.supervision != "tags")


def link_features(source: Path, target: Path) -> None:
    """Link a feature file and its origin. Raises OSError."""
    for path, link in ((source, target), (origin_path(source), origin_path(target))):
        if path.is_file() and not os.path.lexists(link):
            link.symlink_to(realpath(path))


def _find_data(videos: Path, meta: ModelMetadata) -> Path | None:
    """The data set in a folder beside the videos, or in one beside their parent."""
    folder = realpath(videos)
    for parent in (folder.parent, folder.parent.parent):
        for path in sorted(parent.glob(f"*/{LISTING_NAME}")):
            with suppress(DataError, OSError):
                lists_folder = realpath(read_listing(path.parent).folder) == folder
                if lists_folder and not _difference(load_dataset(path.parent), meta):
                    return path.parent
    return None


def _difference(dataset: Dataset, meta: ModelMetadata) -> str:
    """What does not match: classes or features; "" if all matches."""
    if dataset.classes != meta.classes:
        return "classes"
    return "" if (dataset.modalities, dataset.provenance) == (meta.modalities, meta.provenance) else "features"


def _count(videos: Sequence[CorrectedVideo]) -> LabelCounts:
    labels = [segment for video in videos for segment in video.record.labels]
    points = sum(segment.is_point for segment in labels)
    complete = sum(video.record.complete for video in videos)
    return LabelCounts(videos=len(videos), points=points, segments=len(labels) - points, complete=complete)
