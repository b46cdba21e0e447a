"""Thumbnails and previews of the videos: made when they are first requested, one at a time, and kept in the store.

They are made in a process, so that a video that crashes or blocks the decoder does no harm to the server.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

from wtal.core.concurrency import limit_memory
from wtal.core.errors import DataError
from wtal.video.thumbnail import write_preview, write_thumbnail
from wtal.web.processes import POLL_INTERVAL, WorkerProcess, init_background_process
from wtal.web.videos import VideoFile, VideoLibrary

THUMBNAILS_DIR = "thumbnails"
TIMEOUT = 30.0  # seconds for an image, the start of the process included

Kind = Literal["thumbnail", "preview"]
WRITERS: Mapping[Kind, Callable[[Path, Path], object]] = {"thumbnail": write_thumbnail, "preview": write_preview}


class ThumbnailWorkerProtocol(Protocol):
    """What `Thumbnails` needs of a `ThumbnailWorker`. Methods raise EOFError or OSError if the process is gone."""

    def start(self, kind: Kind, video: Path, out: Path) -> None: ...
    def poll(self, timeout: float) -> str | None: ...
    def stop(self) -> int | None: ...


class ThumbnailWorker(WorkerProcess[str]):
    """The process that makes images, seen from the server. `poll` returns "", or why an image was not made."""

    def __init__(self) -> None:
        super().__init__(_run)

    def start(self, kind: Kind, video: Path, out: Path) -> None:
        """Make an image; the worker must be idle."""
        self._pipe.send((kind, video, out))


def _run(pipe: Connection) -> None:
    init_background_process()
    limit_memory(workers=8)  # one frame is decoded
    with suppress(EOFError, OSError):  # the server is gone
        while True:
            kind, video, out = pipe.recv()
            try:
                WRITERS[kind](video, out)
                pipe.send("")
            except Exception as error:  # decoders and file systems raise many types
                pipe.send(str(error) or type(error).__name__)


class Thumbnails:
    """The images in a folder, by the content of the video; all methods can be called from any thread.

    Args:
        folder: The folder of the images.
        library: The videos.
        start_worker: Starts the process that makes them.
    """

    def __init__(
        self, folder: Path, library: VideoLibrary, start_worker: type[ThumbnailWorkerProtocol] = ThumbnailWorker
    ) -> None:
        self._folder, self._library, self._start_worker = folder, library, start_worker
        self._lock = threading.Lock()  # held while an image is made
        self._worker: ThumbnailWorkerProtocol | None = None
        self._failed: set[Path] = set()  # images that cannot be made; tried again by the next server
        self._is_closed = False

    def find(self, file: VideoFile, kind: Kind = "thumbnail") -> Path | None:
        """The image of a video, None if it was not made yet."""
        path = self._path(self._library.fingerprint(file), kind)
        return path if path.is_file() else None

    def make(self, file: VideoFile, kind: Kind = "thumbnail") -> Path | None:
        """The image of a video; None if the video cannot be read."""
        fingerprint = self._library.fingerprint(file)
        path = self._path(fingerprint, kind)
        with self._lock:
            if not path.is_file() and fingerprint and path not in self._failed and not self._is_closed:
                self._make(kind, file, path)
                if not path.is_file():
                    self._failed.add(path)
        return path if path.is_file() else None

    def close(self) -> None:
        """End the process."""
        self._is_closed = True
        with self._lock:
            self._stop()

    def _make(self, kind: Kind, file: VideoFile, path: Path) -> None:
        try:
            video = self._library.path(file)
            self._worker = self._worker or self._start_worker()
            self._worker.start(kind, video, path)
            for _ in range(round(TIMEOUT / POLL_INTERVAL)):
                if self._is_closed or self._worker.poll(POLL_INTERVAL) is not None:
                    return
            self._stop()  # it takes too long
        except DataError:  # the video is gone
            pass
        except (EOFError, OSError):
            self._stop()

    def _stop(self) -> None:
        if self._worker:
            self._worker.stop()
            self._worker = None

    def _path(self, fingerprint: str, kind: Kind) -> Path:
        name = sha256(fingerprint.encode()).hexdigest()[:20]
        return self._folder / (f"{name}.jpg" if kind == "thumbnail" else f"{name}.{kind}.jpg")
