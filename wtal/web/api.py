"""The HTTP interface: the page, its files, and a JSON API."""

import os
from base64 import b64encode
from functools import partial
from importlib.resources import files
from pathlib import Path, PurePosixPath

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from wtal.core.errors import WtalError
from wtal.core.io import os_error_message
from wtal.web.auth import AuthMiddleware
from wtal.web.budgets import BudgetReport, measure_budget
from wtal.web.corrections import ConflictError, SegmentModel
from wtal.web.library_api import add_library
from wtal.web.messages import NO_STORE, json_response, json_response_if_changed, parse_body
from wtal.web.project_site import ProjectSite
from wtal.web.service import AnnotationService
from wtal.web.tagging_api import add_tagging

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
STATUS_CODES = {"upload-too-large": 413, "disk-full": 503, "video-not-found": 404, "video-replaced": 404}
HTTP_MESSAGES = {
    "Not Found": "there is no page at this address; open the address that the server printed",
    "Method Not Allowed": "the page and the server have different versions; reload the page",
}


class JobsRequest(BaseModel):
    """Videos to process."""

    keys: list[str]


class SaveRequest(BaseModel):
    """Corrections to store; `version` is the version of the file that they were made for."""

    revision: int
    version: str
    segments: list[SegmentModel]
    complete: bool = False
    reviewed: bool = False


class BudgetRequest(BaseModel):
    """The video to measure, None for all; the thresholds of the videos that do not use the default."""

    key: str | None = None
    thresholds: dict[str, float] = {}


class ColorRequest(BaseModel):
    """A class and its color as #RRGGBB, None for the default."""

    label: str
    color: str | None


class ActivateRequest(BaseModel):
    """The model to use."""

    id: str


def create_app(service: AnnotationService, token: str | None = None, hosts: tuple[str, ...] = ()) -> AuthMiddleware:
    """The ASGI application.

    Args:
        service: The service to offer.
        token: The secret that clients must send, None for a server that only this machine can reach.
        hosts: Host names to accept besides the loopback names, if there is no token.
    """
    return AuthMiddleware(_create_annotation_app(service, None), token, hosts)


def create_project_app(site: ProjectSite, token: str | None = None, hosts: tuple[str, ...] = ()) -> AuthMiddleware:
    """The ASGI application for a project; arguments as in `create_app`.

    Timelines and corrections are offered while the project has a model.
    """
    without_model = _create_tagging_app(site)
    with_model: tuple[AnnotationService, FastAPI] | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal with_model
        if (service := site.service) is None:
            return await without_model(scope, receive, send)
        if with_model is None or with_model[0] is not service:
            with_model = service, _create_annotation_app(service, site)
        return await with_model[1](scope, receive, send)

    return AuthMiddleware(app, token, hosts)


def _create_annotation_app(service: AnnotationService, site: ProjectSite | None) -> FastAPI:
    app = _create_page_app(service.store)
    add_tagging(app, site)
    # An upload may end after the service was replaced.
    on_upload = site.run_detection if site else service.run_detection
    add_library(app, service.library, service.thumbnails, service.max_upload_bytes, on_upload)
    _add_videos(app, service)
    _add_jobs(app, service)
    _add_corrections(app, service)
    _add_budgets(app, service)
    _add_colors(app, service)
    _add_improvement(app, service)
    return app


def _create_tagging_app(site: ProjectSite) -> FastAPI:
    app = _create_page_app(site.project.folder)
    add_tagging(app, site)
    add_library(app, site.library, site.thumbnails, on_upload=site.run_detection)

    @app.api_route("/api/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def no_model(path: str) -> Response:
        raise HTTPException(503, "the model is being loaded; try again in a moment")

    return app


def _create_page_app(store: Path) -> FastAPI:
    """An application with the page and its files. Errors do not contain the path of the store."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app)
    for error_type in (WtalError, HTTPException, RequestValidationError, ClientDisconnect, OSError, Exception):
        app.add_exception_handler(error_type, partial(_error_response, store))
    return app


def _add_pages(app: FastAPI) -> None:
    static_files = _static_files()

    def respond(name: str) -> Response:
        if name not in static_files:
            raise HTTPException(404, "the page has no file of this name; reload the page")
        media_type = MEDIA_TYPES[PurePosixPath(name).suffix]
        return Response(static_files[name], media_type=media_type, headers={"cache-control": "no-cache"})

    app.get("/")(lambda: respond("index.html"))

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        return respond(name)


def _static_files() -> dict[str, bytes]:
    """File name to content of everything that can be requested; read once."""
    contents = {}
    for package in ("wtal.reporting.html", "wtal.web"):
        for file in (files(package) / "static").iterdir():
            is_of_report = package == "wtal.reporting.html" and file.name.startswith("page.")
            if PurePosixPath(file.name).suffix in MEDIA_TYPES and not is_of_report:
                contents[file.name] = file.read_bytes()
    return contents


def _add_videos(app: FastAPI, service: AnnotationService) -> None:
    @app.get("/api/config")
    def config() -> Response:
        return json_response(service.config())

    @app.get("/api/videos")
    def videos(request: Request) -> Response:
        listing = {"videos": service.videos(), "moved": service.library.moved, **service.model_config()}
        return json_response_if_changed(request, listing)

    @app.get("/api/videos/{key}")
    def video(key: str) -> Response:
        return json_response(service.video(key))

    @app.get("/api/videos/{key}/export/{format}")
    def export(key: str, format: str, threshold: float | None = None) -> Response:
        name, remarks, content = service.export(key, format, threshold)
        return json_response({"file": name, "remarks": remarks, "content": b64encode(content).decode("ascii")})


def _add_jobs(app: FastAPI, service: AnnotationService) -> None:
    @app.post("/api/jobs")
    async def run_detection(request: Request) -> Response:
        body = await parse_body(request, JobsRequest)
        await run_in_threadpool(service.run_detection, body.keys)
        return json_response({}, 202)

    @app.delete("/api/jobs/{key}")
    def cancel(key: str) -> Response:
        service.cancel(key)
        return json_response({})


def _add_corrections(app: FastAPI, service: AnnotationService) -> None:
    @app.put("/api/videos/{key}/corrections")
    async def save(key: str, request: Request) -> Response:
        body = await parse_body(request, SaveRequest)
        segments = [segment.to_segment() for segment in body.segments]
        record = await run_in_threadpool(
            service.save, key, segments, body.revision, body.version, complete=body.complete, reviewed=body.reviewed
        )
        return json_response({"revision": record.revision, "saved": record.saved})

    @app.delete("/api/videos/{key}/corrections")
    def discard(key: str, revision: int) -> Response:
        service.discard(key, revision)
        return json_response({})

    @app.get("/api/tags.csv")
    def tags() -> Response:
        headers = NO_STORE | {"content-disposition": 'attachment; filename="tags.csv"'}
        return PlainTextResponse(service.corrections.tags(), media_type="text/csv", headers=headers)

    @app.exception_handler(ConflictError)
    def conflict(request: Request, error: ConflictError) -> Response:
        current = error.current.to_json() if error.current else None
        return json_response({"error": str(error), "code": "conflict", "corrections": current}, 409)


def _add_colors(app: FastAPI, service: AnnotationService) -> None:
    @app.put("/api/colors")
    async def change(request: Request) -> Response:
        body = await parse_body(request, ColorRequest)
        await run_in_threadpool(service.colors.change, body.label, body.color)
        return json_response(service.colors.describe())


def _add_budgets(app: FastAPI, service: AnnotationService) -> None:
    async def measure(request: Request) -> BudgetReport:
        body = await parse_body(request, BudgetRequest)
        return await run_in_threadpool(measure_budget, service, body.key, body.thresholds)

    @app.post("/api/budget")
    async def budget(request: Request) -> Response:
        return json_response((await measure(request)).to_json())

    @app.post("/api/budget.csv")
    async def table(request: Request) -> Response:
        return json_response({"content": (await measure(request)).to_csv()})


def _add_improvement(app: FastAPI, service: AnnotationService) -> None:
    @app.get("/api/improvement")
    def describe() -> Response:
        return json_response(service.improver.describe())

    @app.post("/api/improvement")
    def start() -> Response:
        service.improver.start()
        return json_response({}, 202)

    @app.delete("/api/improvement")
    def cancel() -> Response:
        service.improver.cancel()
        return json_response({})

    @app.put("/api/model")
    async def activate(request: Request) -> Response:
        body = await parse_body(request, ActivateRequest)
        await run_in_threadpool(service.activate, body.id)
        return json_response({})


async def _error_response(store: Path, request: Request, error: Exception) -> Response:
    """An error as JSON, without the path of the store. Closes the connection, as the client may still be sending."""
    code = error.code if isinstance(error, WtalError) else "http-error"
    message = _error_message(error).replace(f"{store}{os.sep}", "")
    response = json_response({"error": message, "code": code}, _status_code(error))
    response.headers["connection"] = "close"
    return response


def _error_message(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return HTTP_MESSAGES.get(str(error.detail), str(error.detail))
    if isinstance(error, WtalError):
        return str(error)
    if isinstance(error, RequestValidationError):
        return "a parameter of the address is invalid; reload the page"
    if isinstance(error, OSError):
        return os_error_message(error)
    return f"internal server error ({type(error).__name__}); see the output of the server"


def _status_code(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, WtalError) and error.code in STATUS_CODES:
        return STATUS_CODES[error.code]
    if isinstance(error.__cause__, OSError):
        return 503  # a problem of the disk; the client tries again
    return 400 if isinstance(error, WtalError | RequestValidationError) else 500
