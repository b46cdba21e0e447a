"""Localize the videos of a data set in this process, or with Ray on the machines of a cluster."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wtal.core import ray_cluster
from wtal.core.errors import ConfigError, DataError, WtalError
from wtal.core.structures import Proposals, Segment, Video
from wtal.data.dataset import Dataset
from wtal.inference.localizer import Localizer
from wtal.models.checkpoint import require_checkpoint

ENGINES = ("local", "ray")


def localize_many(
    localizer: Localizer,
    dataset: Dataset,
    videos: Sequence[Video],
    engine: str = "local",
    workers: int | None = None,
) -> Proposals:
    """Localize videos of a data set. The result does not depend on the engine.

    Args:
        localizer: The model; for Ray, opened from a folder.
        dataset: The data set. For Ray, it and the model must have the same paths on every machine.
        videos: The videos.
        engine: `local` or `ray`.
        workers: Number of Ray workers, by default one per machine.

    Raises:
        CheckpointError: The data set does not match the model.
        ConfigError: The engine is unknown, Ray is missing, or the cluster fails.
        DataError: Features are missing or not finite.
    """
    localizer.require_compatible(dataset)
    if engine == "ray":
        return dict(_localize_on_ray(localizer, dataset, videos, workers))
    return {video.id: result.segments for video, result in localizer.localize_videos(dataset, videos)}


def require_engine(engine: str, workers: int | None) -> None:
    """Raise ConfigError if the engine is unknown or does not support `workers`."""
    if engine not in ENGINES:
        raise ConfigError(f"unknown engine {engine!r}", hint=f"use {', '.join(ENGINES)}", code="unknown-name")
    if workers is not None and engine == "local":
        raise ConfigError(
            "the local engine is a single process",
            hint="remove --workers, or add --engine ray",
            code="unsupported-option",
        )


def _localize_on_ray(
    localizer: Localizer, dataset: Dataset, videos: Sequence[Video], workers: int | None
) -> Iterator[tuple[str, list[Segment]]]:
    """The proposals of each video, in their order. Ray replaces a worker that dies and repeats its video."""
    assert localizer.path is not None
    ray_cluster.connect(ray_cluster.find_cluster(), workers)
    machines, processors, _ = ray_cluster.cluster_size()
    absolute = replace(dataset, path=dataset.path.absolute())
    # The checkpoint of the local branch is the same for all workers, even if training continues.
    model = require_checkpoint(localizer.path) if localizer.branch == "local" else localizer.path
    method = localizer.meta.config.method
    arguments = (model.absolute(), localizer.branch, method, absolute, torch.get_num_threads())
    ids = [video.id for video in videos]
    results = ray_cluster.map_items(Worker, arguments, ids, min(processors, workers or machines))
    for id, segments in zip(ids, in_order(results), strict=True):
        if isinstance(segments, ray_cluster.WorkerDiedError):
            hint = "give the workers more memory, or remove the video from the data set"
            raise DataError(segments.message, path=dataset.features_path(id), hint=hint, code=segments.code)
        if isinstance(segments, WtalError):
            raise _with_relative_path(segments, absolute.path, dataset.path)
        yield id, segments


class Worker:
    """A Ray worker. It opens the model at the first video, where an error can be reported."""

    def __init__(self, model: Path, branch: str, method: str, dataset: Dataset, threads: int) -> None:
        """Prepare for work.

        Args:
            model: The checkpoint folder.
            branch: `local`, `ensemble` or `global`.
            method: The method of the model, whose import the caller has allowed.
            dataset: The data set.
            threads: As many as in the calling process, since the number can affect the last digits.
        """
        torch.set_num_threads(threads)
        self.model, self.branch, self.method, self.dataset = model, branch, method, dataset
        self.videos = {video.id: video for video in dataset.videos}
        self.localizer: Localizer | None = None

    def __call__(self, id: str) -> list[Segment]:
        """The proposals of a video."""
        self.localizer = self.localizer or Localizer(self.model, branch=self.branch, method=self.method)
        ((_, result),) = self.localizer.localize_videos(self.dataset, [self.videos[id]])
        return result.segments


def in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Results that arrive in any order, by ascending index."""
    waiting: dict[int, Any] = {}
    next_index = 0
    for index, result in results:
        waiting[index] = result
        while next_index in waiting:
            yield waiting.pop(next_index)
            next_index += 1


def _with_relative_path(error: WtalError, absolute: Path, relative: Path) -> WtalError:
    """Replace the absolute path of the data set, which the workers use, by the path that the user gave."""
    error.message = error.message.replace(str(absolute), str(relative))
    if error.path and Path(error.path).is_relative_to(absolute):
        error.path = str(relative / Path(error.path).relative_to(absolute))
    return error
