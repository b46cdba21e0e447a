"""The HTTP interface to the videos themselves: their files and thumbnails."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from wtal.web.thumbnails import Thumbnails
from wtal.web.videos import VideoLibrary

MAX_AGE = 7 * 24 * 3600  # seconds for which a browser keeps a thumbnail; the address names the version of the video


def add_library(app: FastAPI, library: VideoLibrary, thumbnails: Thumbnails) -> None:
    """Add the files and the thumbnails of videos to an application.

    A video that cannot be read has no thumbnail: the response is empty, and the page shows a placeholder.
    """
    slot = asyncio.Semaphore(1)  # requests wait here, so that they do not occupy the threads that answer other ones

    @app.get("/api/videos/{key}/file")
    def file(key: str) -> Response:
        return FileResponse(library.path(library.find(key)))

    @app.get("/api/videos/{key}/thumbnail")
    async def thumbnail(key: str) -> Response:
        video = await run_in_threadpool(library.find, key)
        path = await run_in_threadpool(thumbnails.find, video)
        if path is None:
            async with slot:
                path = await run_in_threadpool(thumbnails.make, video)
        if path is None:
            return Response(status_code=204, headers={"cache-control": "no-store"})
        headers = {"cache-control": f"private, max-age={MAX_AGE}"}
        return FileResponse(path, media_type="image/jpeg", headers=headers)
