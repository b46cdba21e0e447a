"""Runs the steps of a project that are needed: data set, features, model, calibration, predictions."""

import time
from pathlib import Path

from wtal.core.errors import DataError, WtalError
from wtal.core.hardware import available_cores
from wtal.core.io import directory_lock, os_error_message, write_json
from wtal.core.structures import Video
from wtal.core.text import format_count
from wtal.data.create import DatasetPlan
from wtal.data.dataset import load_dataset
from wtal.data.features import features_path
from wtal.data.layouts.activitynet import write_proposals
from wtal.data.video_files import LISTING_NAME
from wtal.experiments.pipeline import train
from wtal.experiments.project import Project
from wtal.experiments.project_models import create_run, find_run, usable_calibration
from wtal.experiments.project_status import OnProgress, StatusWriter, run_lock
from wtal.experiments.project_steps import STATE_NAME, Inspection, training_config
from wtal.experiments.remaining_time import RemainingTime
from wtal.inference.calibration import calibrate_trained, load_segment_filter
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import F1
from wtal.training.stages import total_steps
from wtal.video.backbones.base import BackboneOptions
from wtal.video.extract_dataset import ExtractionProgress, extract_dataset


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


def _run(project: Project, status: StatusWriter, device: str) -> None:
    """Do what is needed, in order; each step sees what the one before it wrote."""
    inspection = Inspection(project)
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
    model = _train(project, Inspection(project), status, device)
    if usable_calibration(model) is None:
        status.report("calibration", 0, 0, "choosing the thresholds")
        calibrate_trained(model, project.data)
    _predict(project, Inspection(project), model, status)


def _write_dataset(project: Project, inspection: Inspection) -> None:
    project.data.mkdir(parents=True, exist_ok=True)
    with directory_lock(project.data):
        if isinstance(inspection.plan, DatasetPlan):
            if not inspection.plan.is_written():
                inspection.plan.write()
        else:  # the features can be extracted before there are tags
            write_json(project.data / LISTING_NAME, inspection.listing.to_json())


def _extract(project: Project, inspection: Inspection, status: StatusWriter, device: str) -> None:
    if not inspection.missing:
        return
    remaining = RemainingTime({id: inspection.listing.path(id) for id in [*inspection.missing, *inspection.failed]})

    def report(state: ExtractionProgress) -> None:
        text = remaining.describe(state.finished, state.active, time.monotonic())
        message = f"extracting features with {project.backbone}{text and f', {text}'}"
        status.report("features", state.done, state.total, message)

    status.report("features", 0, len(inspection.missing), f"extracting features with {project.backbone}")
    extract_dataset(project.data, BackboneOptions(project.backbone, device=device), on_progress=report)


def _train(project: Project, inspection: Inspection, status: StatusWriter, device: str) -> Path:
    if inspection.model is not None:
        return inspection.model
    dataset = load_dataset(project.data)
    training = list(dataset.subset("training"))
    config = training_config(project, [video for video in inspection.usable if video.subset == "training"])
    run = find_run(project, inspection.inputs) or create_run(project, inspection.inputs)
    steps = total_steps(config)
    message = f"training on {format_count(len(training), 'video')}"
    status.report("model", 0, steps, message)
    train(
        project.data,
        run,
        config,
        resume=True,
        device=device,
        workers=available_cores(),
        on_progress=lambda step, losses: status.report("model", step, steps, message),
    )
    return run


def _predict(project: Project, inspection: Inspection, model: Path, status: StatusWriter) -> None:
    if inspection.is_predicted(model):
        return
    fingerprint = inspection.predictions(model)
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
