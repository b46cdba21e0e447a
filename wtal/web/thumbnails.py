"""Thumbnails of the videos: made when they are first requested, one at a time, and kept in the store.

They are made in a process, so that a video that crashes or blocks the decoder does no harm to the server.
"""

import threading
from contextlib import suppress
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from wtal.core.concurrency import limit_memory
from wtal.core.errors import DataError
from wtal.video.thumbnail import write_thumbnail
from wtal.web.processes import POLL_INTERVAL, WorkerProcess, init_background_process
from wtal.web.videos import VideoFile, VideoLibrary

THUMBNAILS_DIR = "thumbnails"
TIMEOUT = 30.0  # seconds for a thumbnail, the start of the process included


class ThumbnailWorkerProtocol(Protocol):
    """What `Thumbnails` needs of a `ThumbnailWorker`. Methods raise EOFError or OSError if the process is gone."""

    def start(self, video: Path, out: Path) -> None: ...
    def poll(self, timeout: float) -> str | None: ...
    def stop(self) -> int | None: ...


class ThumbnailWorker(WorkerProcess[str]):
    """The process that makes thumbnails, seen from the server. `poll` returns "", or why a thumbnail was not made."""

    def __init__(self) -> None:
        super().__init__(_run)

    def start(self, video: Path, out: Path) -> None:
        """Make a thumbnail; the worker must be idle."""
        self._pipe.send((video, out))


def _run(pipe: Connection) -> None:
    init_background_process()
    limit_memory(workers=8)  # one frame is decoded
    with suppress(EOFError, OSError):  # the server is gone
        while True:
            video, out = pipe.recv()
            try:
                write_thumbnail(video, out)
                pipe.send("")
            except Exception as error:  # decoders and file systems raise many types
                pipe.send(str(error) or type(error).__name__)


class Thumbnails:
    """The thumbnails in a folder, by the content of the video; all methods can be called from any thread.

    Args:
        folder: The folder of the thumbnails.
        library: The videos.
        start_worker: Starts the process that makes thumbnails.
    """

    def __init__(
        self, folder: Path, library: VideoLibrary, start_worker: type[ThumbnailWorkerProtocol] = ThumbnailWorker
    ) -> None:
        self._folder, self._library, self._start_worker = folder, library, start_worker
        self._lock = threading.Lock()  # held while a thumbnail is made
        self._worker: ThumbnailWorkerProtocol | None = None
        self._failed: set[str] = set()  # fingerprints; tried again by the next server
        self._is_closed = False

    def find(self, file: VideoFile) -> Path | None:
        """The thumbnail of a video, None if it was not made yet."""
        path = self._path(self._library.fingerprint(file))
        return path if path.is_file() else None

    def make(self, file: VideoFile) -> Path | None:
        """The thumbnail of a video; None if the video cannot be read."""
        fingerprint = self._library.fingerprint(file)
        path = self._path(fingerprint)
        with self._lock:
            if not path.is_file() and fingerprint and fingerprint not in self._failed and not self._is_closed:
                self._make(file, path)
                if not path.is_file():
                    self._failed.add(fingerprint)
        return path if path.is_file() else None

    def close(self) -> None:
        """End the process."""
        self._is_closed = True
        with self._lock:
            self._stop()

    def _make(self, file: VideoFile, path: Path) -> None:
        try:
            video = self._library.path(file)
            self._worker = self._worker or self._start_worker()
            self._worker.start(video, path)
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

    def _path(self, fingerprint: str) -> Path:
        return self._folder / f"{sha256(fingerprint.encode()).hexdigest()[:20]}.jpg"
