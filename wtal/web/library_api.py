"""The HTTP interface to the videos themselves: their files, thumbnails, and uploads."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from wtal.core.errors import DataError
from wtal.web.messages import NO_STORE, json_response
from wtal.web.thumbnails import Kind, Thumbnails
from wtal.web.uploads import MAX_UPLOAD_BYTES, check_name, save_upload
from wtal.web.videos import UPLOADS_DIR, VideoLibrary, video_key

MAX_PARALLEL_UPLOADS = 4
MAX_AGE = 7 * 24 * 3600  # seconds for which a browser keeps an image; the address names the version of the video


class VideoResponse(FileResponse):
    """The content of a video. Raises DataError, before anything is sent, if the video was moved or deleted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head of the response together with the start of its body, which is sent once the file is open."""
        head: Message | None = None

        async def send_head_with_body(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head:
                await send(head)
                head = None
            await send(message)

        try:
            # Otherwise the base class raises a RuntimeError if there is no file.
            self.stat_result = await run_in_threadpool(os.stat, self.path)
            self.set_stat_headers(self.stat_result)
            await super().__call__(scope, receive, send_head_with_body)
        except FileNotFoundError as error:
            name = Path(self.path).name
            raise DataError("the video was moved or deleted", path=name, code="video-not-found") from error


def add_library(
    app: FastAPI,
    library: VideoLibrary,
    thumbnails: Thumbnails,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    on_upload: Callable[[list[str]], object] = lambda keys: None,
) -> None:
    """Add the files and images of videos, and uploads, to an application.

    A video that cannot be read has no image: the response is empty, and the page shows a placeholder.

    Args:
        app: The application.
        library: The videos.
        thumbnails: Their thumbnails.
        max_upload_bytes: The largest upload that is accepted.
        on_upload: Receives the keys of uploaded videos.
    """
    # Requests wait here for their turn, so that they do not occupy the threads that answer other ones.
    image_slot = asyncio.Semaphore(1)

    @app.get("/api/videos/{key}/file")
    def file(key: str) -> Response:
        return VideoResponse(library.path(library.find(key)))

    @app.get("/api/videos/{key}/{kind}")
    async def image(key: str, kind: Kind) -> Response:
        video = await run_in_threadpool(library.find, key)
        path = await run_in_threadpool(thumbnails.find, video, kind)
        if path is None:
            async with image_slot:
                path = await run_in_threadpool(thumbnails.make, video, kind)
        if path is None:
            return Response(status_code=204, headers=NO_STORE)
        headers = {"cache-control": f"private, max-age={MAX_AGE}"}
        return FileResponse(path, media_type="image/jpeg", headers=headers)

    upload_slots = asyncio.Semaphore(MAX_PARALLEL_UPLOADS)

    @app.put("/api/uploads/{name}")
    async def upload(name: str, request: Request) -> Response:
        check_name(name)
        _make_folder(library.uploads)
        if upload_slots.locked():
            raise HTTPException(503, f"{MAX_PARALLEL_UPLOADS} uploads are running; try again when one is finished")
        length = request.headers.get("content-length")
        async with upload_slots:
            path = await save_upload(
                request.stream(),
                name,
                library.uploads,
                max_upload_bytes,
                None if length is None else int(length),
            )
        key = video_key(f"{UPLOADS_DIR}/{path.name}")
        library.refresh()
        await run_in_threadpool(on_upload, [key])
        return json_response({"key": key, "name": path.name}, 201)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise OSError("leads out of the folder of videos")
    except OSError as error:
        raise HTTPException(
            403, "the server cannot write to the folder of videos; copy the video into the folder instead"
        ) from error
