"""Many videos localized: one after another in this process, or by Ray Data over the machines of a cluster."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from wtal import checkpoint, cluster
from wtal.errors import DataError, WtalError
from wtal.formats.plain import Folder
from wtal.localize import localize
from wtal.predict import Network, load_network, score_videos
from wtal.records import Proposal, Video

Found = tuple[str, list[Proposal]]  # a video's id, and its proposals
TRIES = 3  # a machine may go under a video twice; what kills a third is the video
DIED = "{}: each worker that localizes it dies, most often for want of memory; give them more, or leave it out"


def localize_here(
    network: Network, meta: checkpoint.Meta, folder: Folder, videos: Iterable[Video]
) -> Iterator[Found]:
    """Each video's proposals, one video at a time. Raises DataError for unusable features."""
    for video, scores in score_videos(network, folder, videos, meta.config):
        clock = folder.clock_of(video.id)
        yield video.id, localize(scores, meta.classes, clock, meta.config.localize)


def localize_on_ray(
    run: Path, branch: str, folder: Folder, videos: Sequence[Video], workers: int | None
) -> Iterator[Found]:
    """The same from `workers` actors (None: one a machine), each with the network open; in the videos' order.

    Run and data set must lie at the same paths on every machine. A worker that dies is replaced by Ray, and its
    video done again. Raises DataError as `localize_here`, ConfigError where Ray is missing or the cluster fails.
    """
    with cluster.connected(cluster.find_cluster(), workers):
        machines, processors, _ = cluster.size()
        there = replace(folder, path=folder.path.absolute())
        model = (checkpoint.newest(run) or run).absolute()  # the same for all, though training may go on
        arguments = (model, branch, there, torch.get_num_threads(), cluster.tally())
        rows = [{"id": video.id} for video in videos]
        crew = min(processors, workers or machines)
        done = cluster.answers(Worker, arguments, rows, crew)
        for row in _in_order([video.id for video in videos], done):
            if row["reason"]:
                raise DataError(row["reason"].replace(str(there.path / "features"), str(folder.path / "features")))
            yield row["id"], [Proposal(*entry) for entry in json.loads(row["found"])]


class Worker:
    """What each actor holds. The network is opened once, at the first video, where an error can be told."""

    def __init__(self, model: Path, branch: str, folder: Folder, threads: int, begun: Callable[[str], int]) -> None:
        """`threads`: as many as in the process that asks, since their number may decide the last digits.

        `begun` counts how often any worker has begun a video: Ray would begin one that kills them for ever.
        """
        torch.set_num_threads(threads)
        self.model, self.branch, self.folder, self.begun = model, branch, folder, begun
        self.videos = {video.id: video for video in folder.videos}
        self.opened: tuple[Network, checkpoint.Meta] | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[str]]:
        """One row of id to one of id, proposals as JSON, and the reason why there are none."""
        (id,) = map(str, batch["id"])
        try:
            if self.begun(id) > TRIES:
                raise DataError(DIED.format(self.folder.features_path(id)))
            self.opened = self.opened or load_network(self.model, self.branch)
            ((_, found),) = localize_here(*self.opened, self.folder, [self.videos[id]])
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
