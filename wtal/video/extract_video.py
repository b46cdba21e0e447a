"""One video through one backbone: a stream of features and times, or a feature file with its origin."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import DataError, short_message
from wtal.core.fingerprint import sampled_fingerprint
from wtal.data.features import write_features_in_parts
from wtal.data.provenance import Origin, write_origin
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import provenance_of
from wtal.video.reader import read_snippets
from wtal.video.sampling import Snippet

AHEAD = 2  # batches that are decoded while the backbone works
Heard = Callable[[float], None]


def extract_features(video: Path, backbone: Backbone, heard: Heard | None = None) -> tuple[NDArray[np.float16], Origin]:
    """T x D features of a video file and their times, as `wtal extract` would write them.

    `heard` is told the second of the video that has been reached. Raises DataError when it cannot be decoded.
    """
    edges: list[float] = []
    parts = list(_parts(video, backbone, edges, heard))
    return np.concatenate(parts), _origin(video, backbone, edges)


def extract_video(video: Path, features: Path, backbone: Backbone, heard: Heard | None = None) -> int:
    """Write `features` (.npy) and its origin (.json), whole or not at all; returns the number of snippets.

    Memory does not grow with the video's length. Raises DataError when it cannot be decoded or written.
    """
    edges: list[float] = []

    def parts() -> Iterator[NDArray[np.float16]]:
        yield from _parts(video, backbone, edges, heard)
        write_origin(features, _origin(video, backbone, edges))  # first: where the .npy is, its origin is

    return write_features_in_parts(features, parts())


def _parts(video: Path, backbone: Backbone, edges: list[float], heard: Heard | None) -> Iterator[NDArray[np.float16]]:
    """n x D features, batch by batch; `edges` grows by the snippets' starts and, last, the end."""
    for batch in _ahead(_batches(read_snippets(video, backbone.sampling), backbone.batch)):
        features = _apply(video, backbone, batch)
        if not np.isfinite(features).all() or np.abs(features).max() > np.finfo(np.float16).max:
            raise DataError(f"{video}: the backbone made numbers that are not finite; use --precision float32")
        edges[-1:] = [snippet.start for snippet in batch] + [batch[-1].end]
        if heard:
            heard(batch[-1].end)
        yield features.astype(np.float16)


def _apply(video: Path, backbone: Backbone, batch: list[Snippet]) -> NDArray[np.float32]:
    """The backbone's features of a batch. What goes wrong in it (memory, mostly) is laid to the video."""
    try:
        return backbone(np.stack([snippet.pictures for snippet in batch]))
    except (MemoryError, RuntimeError, ArithmeticError, LookupError) as error:
        raise DataError(
            f"{video}: the backbone fails on it ({short_message(error)}); free some memory, or use another --device"
        ) from error


def _origin(video: Path, backbone: Backbone, edges: list[float]) -> Origin:
    return Origin(provenance_of(backbone), np.array(edges), backbone.precision, video.name, sampled_fingerprint(video))


def _batches(snippets: Iterator[Snippet], size: int) -> Iterator[list[Snippet]]:
    batch: list[Snippet] = []
    for snippet in snippets:
        batch.append(snippet)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _ahead(batches: Iterator[list[Snippet]]) -> Iterator[list[Snippet]]:
    """The same batches, a few of them made beforehand by a thread while the last one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, batches, None) for _ in range(AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, batches, None))
            yield batch
