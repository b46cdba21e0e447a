"""Many videos localized: one after another in this process, or by Ray Data over the machines of a cluster."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wtal.core import ray_cluster
from wtal.core.errors import DataError, WtalError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import Dataset
from wtal.inference.localizer import Network, load_network, score_videos
from wtal.inference.proposals import generate_proposals
from wtal.models import checkpoint

VideoProposals = tuple[str, list[Segment]]  # a video's id, and its proposals


def localize_many(
    network: Network, meta: checkpoint.ModelMetadata, folder: Dataset, videos: Iterable[Video]
) -> Iterator[VideoProposals]:
    """Each video's proposals, one video at a time. Raises DataError for unusable features."""
    for video, scores in score_videos(network, folder, videos, meta.config):
        clock = folder.clock_of(video.id)
        yield video.id, generate_proposals(scores, meta.classes, clock, meta.config.localize)


def localize_on_ray(
    run: Path, branch: str, folder: Dataset, videos: Sequence[Video], workers: int | None
) -> Iterator[VideoProposals]:
    """The same from `workers` actors (None: one a machine), each with the network open; in the videos' order.

    Run and data set must lie at the same paths on every machine. A worker that dies is replaced by Ray, and its
    video done again. Raises DataError as `localize_here`, ConfigError where Ray is missing or the cluster fails.
    """
    with ray_cluster.connected(ray_cluster.find_cluster(), workers):
        machines, processors, _ = ray_cluster.cluster_size()
        there = replace(folder, path=folder.path.absolute())
        model = (checkpoint.latest_checkpoint(run) or run).absolute()  # the same for all, though training may go on
        arguments = (model, branch, there, torch.get_num_threads())
        ids = [video.id for video in videos]
        results = ray_cluster.map_items(Worker, arguments, ids, min(processors, workers or machines))
        for id, segments in zip(ids, _in_order(results), strict=True):
            if isinstance(segments, ray_cluster.WorkerDiedError):
                hint = "give the workers more memory, or remove the video from the data set"
                raise DataError(segments.message, path=folder.features_path(id), hint=hint, code=segments.code)
            if isinstance(segments, WtalError):
                raise _with_relative_path(segments, there.path, folder.path)
            yield id, segments


class Worker:
    """What each actor holds. The network is opened once, at the first video, where an error can be told."""

    def __init__(self, model: Path, branch: str, folder: Dataset, threads: int) -> None:
        """`threads`: as many as in the calling process, since their number may determine the last digits."""
        torch.set_num_threads(threads)
        self.model, self.branch, self.folder = model, branch, folder
        self.videos = {video.id: video for video in folder.videos}
        self.opened: tuple[Network, checkpoint.ModelMetadata] | None = None

    def __call__(self, id: str) -> list[Segment]:
        """The proposals of a video."""
        self.opened = self.opened or load_network(self.model, self.branch)
        ((_, segments),) = localize_many(*self.opened, self.folder, [self.videos[id]])
        return segments


def _in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Results that arrive in any order, by ascending index."""
    waiting: dict[int, Any] = {}
    next_index = 0
    for index, result in results:
        waiting[index] = result
        while next_index in waiting:
            yield waiting.pop(next_index)
            next_index += 1


def _with_relative_path(error: WtalError, absolute: Path, relative: Path) -> WtalError:
    """The error of a worker, which knows the data set by its absolute path, with the path that the user gave."""
    error.message = error.message.replace(str(absolute), str(relative))
    if error.path and Path(error.path).is_relative_to(absolute):
        error.path = str(relative / Path(error.path).relative_to(absolute))
    return error
