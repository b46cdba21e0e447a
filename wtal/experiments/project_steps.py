"""The steps of a project: which are up to date, and how each is done."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from wtal.core.config import Config, read_config
from wtal.core.errors import DataError, WtalError
from wtal.core.fingerprint import content_fingerprint
from wtal.core.hardware import available_cores
from wtal.core.io import directory_lock, os_error_message, read_json, write_json
from wtal.core.structures import Video
from wtal.core.text import format_count
from wtal.data.create import ANNOTATIONS_NAME, DatasetPlan, plan_dataset
from wtal.data.dataset import load_dataset, read_failed
from wtal.data.features import features_path
from wtal.data.layouts.activitynet import write_proposals
from wtal.data.provenance import read_origin
from wtal.data.video_files import LISTING_NAME, VideoFolder, VideoListing, video_ids
from wtal.experiments.pipeline import train
from wtal.experiments.project import Project
from wtal.experiments.project_status import OnProgress, StatusWriter, run_lock
from wtal.experiments.remaining_time import RemainingTime
from wtal.inference.calibration import CALIBRATION_NAME, calibrate_trained, load_segment_filter, read_calibration
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import F1, Calibration
from wtal.models import checkpoint
from wtal.training.stages import total_steps
from wtal.video.backbones.base import BackboneOptions
from wtal.video.extract_dataset import ExtractionProgress, extract_dataset, missing_features

STEPS = ("videos", "tags", "data set", "features", "model", "calibration", "predictions")
STATE_NAME, INPUTS_NAME = "state.json", "inputs.json"

State = Literal["done", "needed", "blocked"]


@dataclass(frozen=True)
class Step:
    """A step from videos to predictions.

    Attributes:
        name: A name in `STEPS`.
        state: `done`, `needed`, or `blocked` until a person has done something.
        sentence: What is there, or what is missing.
    """

    name: str
    state: State
    sentence: str


def find_steps(project: Project) -> list[Step]:
    """The steps from videos to predictions in order, and which of them are up to date."""
    return list(_Inspection(project).steps())


def run_steps(project: Project, on_progress: OnProgress = lambda _: None, *, device: str = "auto") -> None:
    """Do the steps that are needed, in order. It can be stopped at any time, and called again to continue.

    Its progress is written to status.json. Without tags, it stops after the features.

    Raises:
        WtalError: A step failed, or another process works on this project (code `locked`).
    """
    with run_lock(project.folder):
        status = StatusWriter(project.folder, on_progress)
        try:
            _run(project, status, device)
        except KeyboardInterrupt:
            status.finish("stopped")
            raise
        except WtalError as error:
            status.finish("failed", str(error))
            raise
        except OSError as error:
            status.finish("failed", os_error_message(error))
            raise
        status.finish("done")


def newest_model(project: Project) -> Path | None:
    """The run folder of the newest complete model of the current backbone, or None."""
    complete = [run for run in _runs(project) if _is_complete(run)]
    return complete[-1] if complete else None


# --- What is up to date -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inspection:
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
        return next((run for run in _runs(self.project) if _inputs_of(run) == self.inputs and _is_complete(run)), None)

    def predictions(self, model: Path) -> str:
        """The fingerprint of everything that the predictions depend on."""
        calibration = model / CALIBRATION_NAME
        content = [
            checkpoint.weights_fingerprint(model),
            content_fingerprint(calibration) if calibration.is_file() else "",
            *(f"{id} {self._feature_fingerprint(id)}" for id in self.listing.files),
        ]
        return _digest(content)

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
        calibration = _read_calibration(model)
        if calibration is None:
            yield Step("calibration", "needed", "not calibrated")
        else:
            yield Step("calibration", "done", calibration.operating_point(F1).describe())
        if (
            calibration is None
            or self.missing
            or _read_state(self.project).get("predictions") != self.predictions(model)
        ):
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
    """The settings of training: all times are used if the table has some, else the tags alone."""
    has_times = any(video.segments or video.complete for video in videos)
    supervision = ("train.supervision=all",) if has_times else ()
    return read_config(None, (*supervision, *project.overrides))


def _digest(content: list[str]) -> str:
    return sha256("\n".join(content).encode(errors="surrogatepass")).hexdigest()


def _runs(project: Project) -> list[Path]:
    """The run folders of the current backbone in the order in which they were made."""
    prefix = f"{project.data.name}-"
    runs = [path for path in project.runs.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdecimal()]
    return sorted(runs, key=lambda path: int(path.name.removeprefix(prefix)))


def _inputs_of(run: Path) -> str:
    with suppress(DataError):
        content = read_json(run / INPUTS_NAME)
        return str(content.get("inputs")) if isinstance(content, dict) else ""
    return ""


def _is_complete(run: Path) -> bool:
    with suppress(WtalError):
        meta = checkpoint.read_meta(run)
        return meta.step >= meta.config.train.steps
    return False


def _read_calibration(run: Path) -> Calibration | None:
    """The calibration of a model; None if there is none, or it cannot be used."""
    with suppress(WtalError):
        return read_calibration(run)
    return None


def _read_state(project: Project) -> dict[str, Any]:
    """state.json: what the files in the project were made of."""
    with suppress(DataError):
        content = read_json(project.folder / STATE_NAME)
        return content if isinstance(content, dict) else {}
    return {}


# --- Work -------------------------------------------------------------------------------------------------------------


def _run(project: Project, status: StatusWriter, device: str) -> None:
    """Do what is needed, in order; each step sees what the one before it wrote."""
    inspection = _Inspection(project)
    if not inspection.listing.files:
        raise DataError("contains no video", path=inspection.folder.path, hint="copy videos there", code="no-videos")
    status.report("data set", 0, 0, "reading the tags")
    if (
        isinstance(inspection.plan, DataError)
        and project.tags_file.exists()
        and inspection.plan.code not in ("no-labels", "no-videos")
    ):
        raise inspection.plan
    _write_dataset(project, inspection)
    _extract(project, inspection, status, device)
    if isinstance(inspection.plan, DataError):
        return
    model = _train(project, _Inspection(project), status, device)
    if _read_calibration(model) is None:
        status.report("calibration", 0, 0, "choosing the thresholds")
        calibrate_trained(model, project.data)
    _predict(project, _Inspection(project), model, status)


def _write_dataset(project: Project, inspection: _Inspection) -> None:
    project.data.mkdir(parents=True, exist_ok=True)
    with directory_lock(project.data):
        if isinstance(inspection.plan, DatasetPlan):
            if not inspection.plan.is_written():
                inspection.plan.write()
        else:  # the features can be extracted before there are tags
            write_json(project.data / LISTING_NAME, inspection.listing.to_json())


def _extract(project: Project, inspection: _Inspection, status: StatusWriter, device: str) -> None:
    if not inspection.missing:
        return
    remaining = RemainingTime({id: inspection.listing.path(id) for id in [*inspection.missing, *inspection.failed]})

    def report(state: ExtractionProgress) -> None:
        text = remaining.describe(state.finished, state.active, time.monotonic())
        sentence = f"extracting features with {project.backbone}{text and f', {text}'}"
        status.report("features", state.done, state.total, sentence)

    status.report("features", 0, len(inspection.missing), f"extracting features with {project.backbone}")
    extract_dataset(project.data, BackboneOptions(project.backbone, device=device), on_progress=report)


def _train(project: Project, inspection: _Inspection, status: StatusWriter, device: str) -> Path:
    if inspection.model is not None:
        return inspection.model
    dataset = load_dataset(project.data)
    training = list(dataset.subset("training"))
    config = training_config(project, [video for video in inspection.usable if video.subset == "training"])
    run = next((run for run in _runs(project) if _inputs_of(run) == inspection.inputs), None)
    run = run or _new_run(project, inspection.inputs)
    steps = total_steps(config)
    sentence = f"training on {format_count(len(training), 'video')}"
    status.report("model", 0, steps, sentence)
    train(
        project.data,
        run,
        config,
        resume=True,
        device=device,
        workers=available_cores(),
        on_progress=lambda step, losses: status.report("model", step, steps, sentence),
    )
    return run


def _new_run(project: Project, inputs: str) -> Path:
    """The folder of a new model, with the fingerprint of what it is trained on."""
    last = _runs(project)[-1:]
    number = 1 + (int(last[0].name.rpartition("-")[2]) if last else 0)
    run = project.runs / f"{project.data.name}-{number}"
    write_json(run / INPUTS_NAME, {"inputs": inputs})
    return run


def _predict(project: Project, inspection: _Inspection, model: Path, status: StatusWriter) -> None:
    fingerprint = inspection.predictions(model)
    if _read_state(project).get("predictions") == fingerprint and project.timeline_file.is_file():
        return
    dataset, localizer = load_dataset(project.data), Localizer(model)
    select, _ = load_segment_filter(model, F1)
    annotated = {video.id: video for video in dataset.videos}
    ids = [id for id in inspection.listing.files if features_path(project.data, id).is_file()]
    videos = [annotated.get(id) or Video(id, "", ()) for id in ids]
    proposals, shown = {}, {}
    for number, (video, result) in enumerate(localizer.localize_videos(dataset, videos)):
        status.report("predictions", number, len(videos), "predicting segments")
        proposals[video.id] = result.segments
        shown[video.id] = select(result.segments)
    write_proposals(project.proposals_file, proposals)
    write_proposals(project.timeline_file, shown)
    write_json(project.folder / STATE_NAME, {"predictions": fingerprint})
