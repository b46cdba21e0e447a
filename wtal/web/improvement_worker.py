"""The process that improves a model: extracts missing features, trains, and measures the old and the new model."""

import os
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from wtal.core.config import Config
from wtal.core.errors import DataError, WtalError, short_message
from wtal.core.io import os_error_message
from wtal.core.structures import Segment, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.features import features_path
from wtal.data.layouts.activitynet import read_activitynet, write_activitynet
from wtal.evaluation.agreement import AgreementOptions, measure_agreement
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.experiments.pipeline import train
from wtal.inference.calibration import calibrate_trained
from wtal.inference.localizer import Localizer
from wtal.inference.postprocessing import RELATIVE_SCORE_THRESHOLD, SegmentConstraints, remove_overlaps
from wtal.models import checkpoint
from wtal.models.teacher import STAGE_ONE_DIR, stage_one_dirs
from wtal.training.stages import total_steps
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.extract_video import extract_video
from wtal.web.models import Scores
from wtal.web.processes import WorkerProcess, init_background_process
from wtal.web.training_set import MEASURED, link_features

EXTRACTION_SHARE, TRAINING_SHARE = 0.2, 0.7  # of the progress; the rest is for measuring
F1_OPTIONS = AgreementOptions(min_tiou=0.5, tolerance=0.0)


class ExtraVideo(BaseModel):
    """A video whose features the data set does not have: its file, and where its features are kept."""

    name: str
    video: Path
    features: Path


class ImprovementJob(BaseModel):
    """What a process needs to improve a model.

    Attributes:
        data: The data set to train on; features of `extra` are missing.
        out: The run folder to write.
        base: The run folder of the first model, whose settings and models of stage one are used.
        before: The run folder of the model to compare with.
        method: The method of the first model, whose import the server allows.
        extra: Id to video, of the videos without features.
    """

    data: Path
    out: Path
    base: Path
    before: Path
    method: str
    extra: dict[str, ExtraVideo] = {}


class ImprovementProgress(BaseModel):
    """A message of the process; `done` or `error` is set at the end.

    Attributes:
        stage: What is being done.
        share: How much is done, from 0 to 1.
        done: Whether the model is complete.
        error: Why it failed.
        before: The scores of the old model, None if nothing could be measured.
        after: The scores of the new model.
        skipped: Why videos were not used: file name to reason.
    """

    stage: str = ""
    share: float = 0.0
    done: bool = False
    error: str = ""
    before: Scores | None = None
    after: Scores | None = None
    skipped: dict[str, str] = {}


Report = Callable[[str, float], object]  # receives the stage and the share that is done


class ImprovementWorkerProtocol(Protocol):
    """What the page needs of an `ImprovementWorker`. `poll` raises EOFError or OSError if the process is gone."""

    def poll(self, timeout: float) -> ImprovementProgress | None: ...
    def stop(self) -> int | None: ...


class ImprovementWorker(WorkerProcess[ImprovementProgress]):
    """The process that does a job, seen from the server."""

    def __init__(self, job: ImprovementJob, options: BackboneOptions) -> None:
        super().__init__(_run, job, options)


def _run(pipe: Connection, job: ImprovementJob, options: BackboneOptions) -> None:
    init_background_process()

    def report(stage: str, share: float) -> None:
        pipe.send(ImprovementProgress(stage=stage, share=share))

    with suppress(ConnectionError):  # the server is gone
        try:
            result = improve(job, options, report)
        except Exception as error:  # decoders, file systems and training raise many types
            result = ImprovementProgress(error=_error_message(error, job))
        pipe.send(result)


def _error_message(error: Exception, job: ImprovementJob) -> str:
    """One sentence, without the folders of the server."""
    if isinstance(error, WtalError):
        message = str(error)
    else:
        message = os_error_message(error) if isinstance(error, OSError) else short_message(error)
    for path in (job.out, job.data, job.base, job.before):
        message = message.replace(f"{path.parent}{os.sep}", "")
    return message


def improve(job: ImprovementJob, options: BackboneOptions, report: Report) -> ImprovementProgress:
    """Do a job, or the rest of one that was interrupted.

    Raises:
        WtalError, OSError: The model cannot be trained.
    """
    skipped = _extract(job, options, report)
    dataset = load_dataset(job.data)
    config = _training_config(job.base)
    stage_one = reusable_stage_one(job.base, config, dataset)
    steps = config.train.steps if stage_one else total_steps(config)

    def on_progress(step: int, losses: dict[str, float]) -> None:
        report("Training", EXTRACTION_SHARE + TRAINING_SHARE * step / steps)

    train(
        job.data,
        job.out,
        config,
        resume=True,
        device=options.device,
        features_checked=True,
        trained_stage_one=stage_one,
        on_progress=on_progress,
    )
    report("Measuring", EXTRACTION_SHARE + TRAINING_SHARE)
    with suppress(DataError):  # the relative rule is used then
        calibrate_trained(job.out, job.data)
    videos = [video for video in dataset.videos if video.subset == MEASURED]
    before, after = (measure(run, job.method, dataset, videos) for run in (job.before, job.out))
    return ImprovementProgress(stage="Done", share=1.0, done=True, before=before, after=after, skipped=skipped)


def reusable_stage_one(run: Path, config: Config, dataset: Dataset) -> Path | None:
    """The folder of the models of stage one of a run, if all are trained and fit a data set; else None."""
    if not config.method_spec.has_two_stages:
        return None
    for folder in stage_one_dirs(run / STAGE_ONE_DIR, config):
        if checkpoint.latest_checkpoint(folder) is None:
            return None
        meta = checkpoint.read_meta(folder)
        if (meta.classes, meta.modalities) != (dataset.classes, dataset.modalities):
            return None
        if meta.step < meta.config.train.steps:
            return None
    return run / STAGE_ONE_DIR


def measure(run: Path, method: str, dataset: Dataset, videos: list[Video]) -> Scores | None:
    """The scores of a model on videos with complete timelines; None if these have no segments."""
    truth = {video.id: video.segments for video in videos}
    if not any(truth.values()):
        return None
    localizer = Localizer(run, method=method)
    # Features, not the data set: it may have classes that an old model does not know.
    inputs = ((id, dataset.features(id), dataset.clock_of(id)) for id in truth)
    proposals = {id: localizer.localize(features, clock).segments for id, features, clock in inputs}
    options = EvaluationOptions(subset=MEASURED)
    shown = {id: _shown(segments) for id, segments in proposals.items()}
    f1 = measure_agreement(shown, truth, options=F1_OPTIONS).overall.f1
    return Scores(map=evaluate(proposals, videos, options).average(), f1=f1 or 0.0)


def _shown(proposals: list[Segment]) -> list[Segment]:
    """The segments that the page shows of an uncalibrated model; the same rule for both models."""
    highest = max((proposal.confidence for proposal in proposals), default=0.0)
    candidates = remove_overlaps(proposals, SegmentConstraints())
    return [segment for segment in candidates if segment.confidence >= RELATIVE_SCORE_THRESHOLD * highest]


def _training_config(run: Path) -> Config:
    config = checkpoint.read_meta(run).config
    return config.model_copy(update={"train": config.train.model_copy(update={"supervision": "all"})})


def _extract(job: ImprovementJob, options: BackboneOptions, report: Report) -> dict[str, str]:
    """Extract and link the features of the extra videos. Returns why videos are left out, by file name."""
    missing = {id: extra for id, extra in job.extra.items() if not features_path(job.data, id).is_file()}
    skipped: dict[str, str] = {}
    if missing:
        report("Extracting features", 0.0)
        backbone = Localizer(job.base, backbone=options, method=job.method).backbone
    for number, (id, extra) in enumerate(missing.items()):
        if not extra.features.is_file():
            extra.features.parent.mkdir(parents=True, exist_ok=True)
            try:
                extract_video(extra.video, extra.features, backbone)
            except DataError as error:
                if isinstance(error.__cause__, OSError) and error.path != str(extra.video):
                    raise  # such as a full disk
                skipped[extra.name] = error.message
                continue
        link_features(extra.features, features_path(job.data, id))
        report("Extracting features", EXTRACTION_SHARE * (number + 1) / len(missing))
    _leave_out(job.data, {id for id, extra in job.extra.items() if extra.name in skipped})
    return skipped


def _leave_out(data: Path, ids: set[str]) -> None:
    """Remove videos from annotations.json."""
    path = data / "annotations.json"
    if ids:
        write_activitynet(path, [video for video in read_activitynet(path) if video.id not in ids], data.name)
