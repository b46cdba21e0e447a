"""The steps of a project, and which of them are up to date."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

from wtal.core.config import Config, read_config
from wtal.core.errors import DataError
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import read_json
from wtal.core.structures import Video
from wtal.core.text import format_count
from wtal.data.create import ANNOTATIONS_NAME, DatasetPlan, plan_dataset
from wtal.data.dataset import read_failed
from wtal.data.features import features_path
from wtal.data.provenance import read_origin
from wtal.data.video_files import VideoFolder, VideoListing, video_ids
from wtal.experiments.project import Project
from wtal.experiments.project_models import find_run, is_complete, usable_calibration
from wtal.inference.calibration import CALIBRATION_NAME
from wtal.inference.operating_point import F1
from wtal.models import checkpoint
from wtal.video.extract_dataset import missing_features

STEPS = ("videos", "tags", "data set", "features", "model", "calibration", "predictions")
STATE_NAME = "state.json"  # what the files in the project were made from

State = Literal["done", "needed", "blocked"]


@dataclass(frozen=True)
class Step:
    """A step from videos to predictions.

    Attributes:
        name: A name in `STEPS`.
        state: `done`, `needed`, or `blocked` until a person has done something.
        message: What is there, or what is missing.
    """

    name: str
    state: State
    message: str


def find_steps(project: Project) -> list[Step]:
    """The steps from videos to predictions in order, and which of them are up to date."""
    return list(Inspection(project).steps())


@dataclass(frozen=True)
class Inspection:
    """A project as it is when it is inspected; nothing is read twice."""

    project: Project

    @cached_property
    def folder(self) -> VideoFolder:
        return self.project.scan()

    @cached_property
    def plan(self) -> DatasetPlan | DataError:
        """What the data set should be, or why there can be none."""
        try:
            return plan_dataset(self.project.data, self.folder, [self.project.tags_file], list_all=True)
        except DataError as error:
            return error

    @cached_property
    def listing(self) -> VideoListing:
        """The videos to extract."""
        if isinstance(self.plan, DatasetPlan):
            return self.plan.listing
        ids = video_ids(self.folder.videos)
        files = {ids[file]: file for file in self.folder.videos if (self.folder.path / file).is_file()}
        return VideoListing(self.folder.path, files)

    @cached_property
    def failed(self) -> Mapping[str, str]:
        """The videos that cannot be read, and why."""
        return {id: reason for id, reason in read_failed(self.project.data).items() if id in self.listing.files}

    @cached_property
    def missing(self) -> list[str]:
        """The videos without features, except those that cannot be read."""
        return [id for id in missing_features(self.project.data, self.listing) if id not in self.failed]

    @cached_property
    def usable(self) -> list[Video]:
        """The tagged videos that have features."""
        videos = self.plan.videos if isinstance(self.plan, DatasetPlan) else ()
        return [video for video in videos if features_path(self.project.data, video.id).is_file()]

    @cached_property
    def inputs(self) -> str:
        """The fingerprint of everything that a model depends on: settings, tags and features."""
        training = [video for video in self.usable if video.subset == "training"]
        content = [
            training_config(self.project, training).model_dump_json(),
            *(f"{video!r} {self._feature_fingerprint(video.id)}" for video in training),
        ]
        return _digest(content)

    @cached_property
    def model(self) -> Path | None:
        """The complete model of these inputs."""
        run = find_run(self.project, self.inputs)
        return run if run and is_complete(run) else None

    def predictions(self, model: Path) -> str:
        """The fingerprint of everything that the predictions of a model depend on."""
        calibration = model / CALIBRATION_NAME
        content = [
            checkpoint.weights_fingerprint(model),
            content_fingerprint(calibration) if calibration.is_file() else "",
            *(f"{id} {self._feature_fingerprint(id)}" for id in self.listing.files),
        ]
        return _digest(content)

    def is_predicted(self, model: Path) -> bool:
        """Whether the predictions in the project are those of a model, its calibration and the features."""
        with suppress(DataError):
            state = read_json(self.project.folder / STATE_NAME)
            recorded = state.get("predictions") if isinstance(state, dict) else None
            return self.project.timeline_file.is_file() and recorded == self.predictions(model)
        return False

    def steps(self) -> Iterator[Step]:
        videos, failed = len(self.listing.files), len(self.failed)
        if not videos:
            yield Step("videos", "blocked", f"no video in {self.folder.path}; copy videos there")
        else:
            yield Step("videos", "done", format_count(videos, "video"))
        if isinstance(self.plan, DataError):
            reason = str(self.plan) if self.project.tags_file.exists() else "tag videos on the page, or pass --tags"
            yield Step("tags", "blocked", reason)
            yield Step("data set", "blocked", "needs tags")
        else:
            yield Step("tags", "done", str(self.project.tag_summary()))
            yield Step("data set", *self._data_set(self.plan))
        if not videos:
            yield Step("features", "blocked", "needs videos")
        else:
            text = f"{videos - failed - len(self.missing)} of {videos} videos have features ({self.project.backbone})"
            state: State = "needed" if self.missing else "done"
            yield Step("features", state, f"{text}; {failed} cannot be read" if failed else text)
        yield from self._model_steps()

    def _data_set(self, plan: DatasetPlan) -> tuple[State, str]:
        if plan.is_written():
            videos = format_count(len(plan.videos), "video")
            return "done", f"{videos} with {format_count(len(plan.classes), 'class', 'classes')}"
        return "needed", "the tags or videos have changed" if (plan.folder / ANNOTATIONS_NAME).exists() else "new"

    def _model_steps(self) -> Iterator[Step]:
        if isinstance(self.plan, DataError) or not (self.usable or self.missing):
            for name in STEPS[4:]:
                yield Step(name, "blocked", "needs tags" if isinstance(self.plan, DataError) else "needs features")
            return
        tagged = {video.id for video in self.plan.videos if video.subset == "training"}
        model = None if tagged & {*self.missing} else self.model
        if model is None:
            yield Step("model", "needed", "no model of these tags and features yet")
            yield Step("calibration", "needed", "after training")
            yield Step("predictions", "needed", "after training")
            return
        yield Step("model", "done", f"trained: {model.relative_to(self.project.folder)}")
        calibration = usable_calibration(model)
        if calibration is None:
            yield Step("calibration", "needed", "not calibrated")
        else:
            yield Step("calibration", "done", calibration.operating_point(F1).describe())
        if calibration is None or self.missing or not self.is_predicted(model):
            yield Step("predictions", "needed", "predictions of the current model and videos are missing")
        else:
            videos = len(self.listing.files) - len(self.failed)
            yield Step("predictions", "done", f"timelines of {format_count(videos, 'video')}")

    def _feature_fingerprint(self, id: str) -> str:
        """Identifies the features of a video; "" without features."""
        with suppress(DataError):
            origin = read_origin(features_path(self.project.data, id))
            return f"{origin.provenance} {origin.fingerprint}" if origin else ""
        return ""


def training_config(project: Project, videos: list[Video]) -> Config:
    """The settings of training: all times if the table has some, else only the tags."""
    has_times = any(video.segments or video.complete for video in videos)
    supervision = ("train.supervision=all",) if has_times else ()
    return read_config(None, (*supervision, *project.overrides))


def _digest(content: list[str]) -> str:
    return sha256("\n".join(content).encode(errors="surrogatepass")).hexdigest()
