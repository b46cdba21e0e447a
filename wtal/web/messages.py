"""JSON in requests and responses."""

import asyncio
from hashlib import sha256
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from wtal.core.errors import DataError, first_validation_error

MAX_BODY_BYTES = 8 << 20
BODY_TIMEOUT = 60.0  # seconds in which the body must arrive
NO_STORE = {"cache-control": "no-store"}

RequestModel = TypeVar("RequestModel", bound=BaseModel)


async def parse_body(request: Request, model: type[RequestModel]) -> RequestModel:
    """The JSON body. Raises HTTPException if it is too large or too slow, DataError if it is invalid."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"the request is larger than {MAX_BODY_BYTES:,} bytes; send less at once")
    except TimeoutError as error:
        raise HTTPException(408, f"the request took longer than {BODY_TIMEOUT:.0f} s; try again") from error
    try:
        return model.model_validate_json(bytes(body), strict=True)
    except ValidationError as error:
        raise DataError(
            f"the request is invalid ({first_validation_error(error)})", hint="reload the page", code="invalid-request"
        ) from error


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON, which is not cached."""
    return JSONResponse(value, status, NO_STORE)


def json_response_if_changed(request: Request, value: Any) -> Response:
    """A value as JSON, or an empty response if the client has it: what pages request at intervals."""
    response = json_response(value)
    etag = f'"{sha256(response.body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"etag": etag})
    response.headers["etag"] = etag
    return response
