"""What the server answers: the page, its files, and the few questions that the page asks."""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from wtal.core.errors import DataError, WtalError
from wtal.web import videos as upload
from wtal.web.auth import AuthMiddleware
from wtal.web.corrections import OutdatedError, checked
from wtal.web.service import AnnotationService
from wtal.web.videos import UPLOADS, MissingError, key_of

MOST_TEXT = 8 << 20  # bytes of what the page sends, but for videos
AT_ONCE = 4  # uploads
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
STATUS: dict[type, int] = {upload.TooLargeError: 413, MissingError: 404}
HTTP_MESSAGES = {
    "Not Found": "there is nothing at this address; open the one that the server printed",
    "Method Not Allowed": "the page is of another version than the server; load it again",
}
NOT_KEPT = {"cache-control": "no-store"}


def create_app(desk: AnnotationService, token: str | None = None) -> AuthMiddleware:
    """The server for a desk, as ASGI. With a token only those who bring it are answered."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app)
    _add_videos(app, desk)
    _add_corrections(app, desk)
    _add_uploads(app, desk)
    for kind in (WtalError, HTTPException, RequestValidationError, ClientDisconnect, OSError, Exception):
        app.add_exception_handler(kind, partial(_refused, desk.store))
    return AuthMiddleware(app, token)


def _add_pages(app: FastAPI) -> None:
    own = _static()

    @app.get("/")
    def page() -> Response:
        return own["index.html"]()

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in own:
            raise HTTPException(404, "the page has no such part; load it again")
        return own[name]()


def _add_videos(app: FastAPI, desk: AnnotationService) -> None:
    @app.get("/api/desk")
    def about() -> Response:
        return _json(desk.about())

    @app.get("/api/videos")
    def videos(request: Request) -> Response:
        response = _json({"videos": desk.videos(), "moved": desk.library.moved})
        tag = f'"{sha256(response.body).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        response.headers["etag"] = tag
        return response

    @app.get("/api/videos/{key}")
    def video(key: str) -> Response:
        return _json(desk.video(key))

    @app.get("/api/videos/{key}/file")
    def file(key: str) -> Response:
        return FileResponse(desk.library.path(desk.library.find(key)))

    @app.post("/api/videos/{key}/job")
    def ask(key: str) -> Response:
        desk.ask(key)
        return _json({}, 202)

    @app.post("/api/jobs")
    async def ask_all(request: Request) -> Response:
        said = await _body(request)
        keys = said.get("keys") if isinstance(said, dict) else None
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise DataError("what was sent is no list of videos; load the page again")
        await run_in_threadpool(desk.ask_all, keys)
        return _json({}, 202)

    @app.delete("/api/videos/{key}/job")
    def cancel(key: str) -> Response:
        desk.cancel(key)
        return _json({})

    @app.get("/api/videos/{key}/export/{format}")
    def export(key: str, format: str, least: float | None = None) -> Response:
        name, remarks, content = desk.export(key, format, least)
        return _json({"file": name, "remarks": remarks, "content": b64encode(content).decode("ascii")})


def _add_corrections(app: FastAPI, desk: AnnotationService) -> None:
    @app.put("/api/videos/{key}/corrections")
    async def save(key: str, request: Request) -> Response:
        said = await _body(request)
        return await run_in_threadpool(_saved, desk, key, said)

    @app.delete("/api/videos/{key}/corrections")
    def discard(key: str, revision: int) -> Response:
        def change() -> dict[str, Any]:
            desk.discard(key, revision)
            return {}

        return _unless_outdated(change)

    @app.get("/api/tags.csv")
    def tags() -> Response:
        headers = NOT_KEPT | {"content-disposition": 'attachment; filename="tags.csv"'}
        return PlainTextResponse(desk.corrections.tags(), media_type="text/csv", headers=headers)


def _add_uploads(app: FastAPI, desk: AnnotationService) -> None:
    under_way = asyncio.Semaphore(AT_ONCE)

    @app.put("/api/uploads/{name}")
    async def send(name: str, request: Request) -> Response:
        name = upload.checked_name(name)
        _make(desk.library.uploads)
        if under_way.locked():
            raise HTTPException(503, f"{AT_ONCE} uploads are under way; try again when one is done")
        async with under_way:
            said = request.headers.get("content-length")
            length = int(said) if said else None
            place = await upload.receive(request.stream(), name, desk.library.uploads, desk.most, length)
        key = key_of(f"{UPLOADS}/{place.name}")
        desk.library.look_again()
        await run_in_threadpool(desk.ask, key)
        return _json({"key": key, "name": place.name}, 201)


def _static() -> dict[str, Callable[[], Response]]:
    """The page and its parts by name: read once, and nothing else can be asked for."""
    found: dict[str, Callable[[], Response]] = {}
    for package in ("wtal.reporting.html", "wtal.web"):
        for file in (files(package) / "static").iterdir():
            kind = KINDS.get(PurePosixPath(file.name).suffix)
            if kind and (package == "wtal.web" or not file.name.startswith("page.")):
                headers = {"cache-control": "no-cache"}
                found[file.name] = partial(Response, file.read_bytes(), media_type=kind, headers=headers)
    return found


def _saved(desk: AnnotationService, key: str, said: Any) -> Response:
    if not isinstance(said, dict) or type(said.get("revision")) is not int or "file" not in said:
        raise DataError("what was sent is no timeline with its revision; load the page again")
    segments = checked(said.get("segments"))

    def save() -> dict[str, Any]:
        saved = desk.save(key, segments, said["revision"], said["file"])
        return {"revision": saved.revision, "saved": saved.saved}

    return _unless_outdated(save)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise OSError("leads out of the folder of videos")
    except OSError as error:
        raise HTTPException(403, "the folder of videos cannot be written to; copy the video into it by hand") from error


def _unless_outdated(change: Callable[[], dict[str, Any]]) -> Response:
    try:
        return _json(change())
    except OutdatedError as error:
        return _json({"error": str(error), "corrections": error.now.to_json() if error.now else None}, 409)


async def _body(request: Request) -> Any:
    """The JSON that comes in. Raises HTTPException where it is too much, DataError where it is none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_TEXT:
            raise HTTPException(413, f"what is sent may have {MOST_TEXT:,} bytes, and this has more; make it smaller")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError("what was sent is not JSON; load the page again") from error


async def _refused(store: Path, request: Request, error: Exception) -> Response:
    """Every error as a sentence, which does not tell where the store lies.

    The line is cut: who is still sending need not be heard to the end.
    """
    response = _json({"error": _sentence(error).replace(f"{store}{os.sep}", "")}, _status(error))
    response.headers["connection"] = "close"
    return response


def _sentence(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return HTTP_MESSAGES.get(str(error.detail), str(error.detail))
    if isinstance(error, WtalError):
        return str(error)
    if isinstance(error, RequestValidationError):
        return "a part of the address is not what it should be; load the page again"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return f"the server fails at this ({type(error).__name__}); see what it prints"


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if type(error) not in STATUS and isinstance(error.__cause__, OSError):
        return 503  # the disk: worth trying again
    if isinstance(error, WtalError | RequestValidationError):
        return STATUS.get(type(error), 400)
    return 500


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, NOT_KEPT)
