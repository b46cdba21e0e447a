"""Many videos localized: one after another in this process, or by Ray Data over the machines of a cluster."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from wtal.core import ray_cluster
from wtal.core.errors import DataError, WtalError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import Dataset
from wtal.inference.localizer import Network, load_network, score_videos
from wtal.inference.proposals import generate_proposals
from wtal.models import checkpoint

VideoProposals = tuple[str, list[Segment]]  # a video's id, and its proposals
MAX_ATTEMPTS = 3  # a machine may go under a video twice; what kills a third is the video
WORKER_DIED_MESSAGE = (
    "{}: each worker that localizes it dies, most often for want of memory; give them more, or leave it out"
)


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
        arguments = (model, branch, there, torch.get_num_threads(), ray_cluster.attempt_counter())
        rows = [{"id": video.id} for video in videos]
        crew = min(processors, workers or machines)
        done = ray_cluster.map_rows(Worker, arguments, rows, crew)
        for row in _in_order([video.id for video in videos], done):
            if row["reason"]:
                raise DataError(row["reason"].replace(str(there.path / "features"), str(folder.path / "features")))
            yield row["id"], [Segment(*entry) for entry in json.loads(row["found"])]


class Worker:
    """What each actor holds. The network is opened once, at the first video, where an error can be told."""

    def __init__(self, model: Path, branch: str, folder: Dataset, threads: int, begun: Callable[[str], int]) -> None:
        """`threads`: as many as in the process that asks, since their number may decide the last digits.

        `begun` counts how often any worker has begun a video: Ray would begin one that kills them for ever.
        """
        torch.set_num_threads(threads)
        self.model, self.branch, self.folder, self.begun = model, branch, folder, begun
        self.videos = {video.id: video for video in folder.videos}
        self.opened: tuple[Network, checkpoint.ModelMetadata] | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[str]]:
        """One row of id to one of id, proposals as JSON, and the reason why there are none."""
        (id,) = map(str, batch["id"])
        try:
            if self.begun(id) > MAX_ATTEMPTS:
                raise DataError(WORKER_DIED_MESSAGE.format(self.folder.features_path(id)))
            self.opened = self.opened or load_network(self.model, self.branch)
            ((_, found),) = localize_many(*self.opened, self.folder, [self.videos[id]])
        except WtalError as error:
            return {"id": [id], "found": [""], "reason": [str(error)]}
        return {"id": [id], "found": [json.dumps(found)], "reason": [""]}


def _in_order(ids: Iterable[str], rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows that come as they are ready, each when it is its turn."""
    early: dict[str, dict[str, Any]] = {}
    for id in ids:
        while id not in early:
            row = next(rows)
            early[row["id"]] = row
        yield early.pop(id)
