"""The HTTP interface to the tags and the training of a project."""

from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from wtal.web.messages import json_response, json_response_if_changed, parse_body
from wtal.web.project_site import ProjectSite
from wtal.web.tagging import Label, TagChange

MAX_CHANGES = 10_000  # videos in one request


class TagsRequest(BaseModel):
    """Changes of tags by the key of the video."""

    model_config = ConfigDict(strict=True)

    changes: Annotated[dict[str, TagChange], Field(max_length=MAX_CHANGES)]


class ClassRequest(BaseModel):
    """A class to add, or the new name of a class; an empty one removes it."""

    model_config = ConfigDict(strict=True)

    name: Label


def add_tagging(app: FastAPI, site: ProjectSite | None) -> None:
    """Add the routes of a project to an application; without a project, only the answer that there is none."""

    @app.get("/api/project")
    def describe(request: Request) -> Response:
        return json_response_if_changed(request, site and site.describe())

    if site is None:
        return

    @app.post("/api/project/tags")
    async def change(request: Request) -> Response:
        body = await parse_body(request, TagsRequest)
        await run_in_threadpool(site.tagging.change, body.changes)
        return json_response(await run_in_threadpool(site.describe))

    @app.post("/api/project/classes")
    async def add_class(request: Request) -> Response:
        body = await parse_body(request, ClassRequest)
        await run_in_threadpool(site.tagging.add_class, body.name)
        return json_response(await run_in_threadpool(site.describe))

    @app.put("/api/project/classes/{name:path}")
    async def rename_class(name: str, request: Request) -> Response:
        body = await parse_body(request, ClassRequest)
        await run_in_threadpool(site.tagging.rename_class, name, body.name)
        return json_response(await run_in_threadpool(site.describe))

    @app.post("/api/project/training")
    def start() -> Response:
        site.training.start()
        return json_response(site.describe(), 202)

    @app.delete("/api/project/training")
    def stop() -> Response:
        site.training.stop()
        return json_response(site.describe())
