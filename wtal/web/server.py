"""The server process: on this machine only by default, else protected by a token."""

import errno
import logging
import re
import secrets
import socket
from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_text, to_data_error
from wtal.experiments.project import Project
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.api import create_app, create_project_app
from wtal.web.auth import AuthMiddleware, ResponseAbortedError, is_loopback, is_wildcard
from wtal.web.connections import ACCEPTED_AT_ONCE, LimitedServer, RepeatedMessages, limited_protocol
from wtal.web.project_site import open_project_site
from wtal.web.service import open_service

TOKEN_NAME = "token"
_repeated_messages = RepeatedMessages()  # one object, because a logger has each filter once
SHUTDOWN_TIMEOUT = 2  # seconds in which running responses may finish


def serve(
    run: Path,
    videos: Path,
    store: Path,
    options: BackboneOptions,
    host: str,
    port: int,
    on_ready: Callable[[str], object],
    data: Path | None = None,
) -> None:
    """Serve the web page until interrupted.

    Args:
        run: The run folder of the model.
        videos: The folder of videos.
        store: The folder of predictions, corrections and the queue.
        options: How features are extracted.
        host: The address to listen at; clients need a token unless it is a loopback address.
        port: The port, 0 for any free one.
        on_ready: Receives the address of the page.
        data: The data set that the model was trained on; None to look for it beside the videos.

    Raises:
        ConfigError: The server cannot listen at this address.
        CheckpointError, DataError: See `open_service`.
    """
    with _listen(host, port) as listener, open_service(run, videos, store, options, data) as service:
        _run(listener, host, store, partial(create_app, service), on_ready)


def serve_project(
    project: Project, options: BackboneOptions, host: str, port: int, on_ready: Callable[[str], object]
) -> None:
    """Serve the page of a project until interrupted: tagging, training, and the timelines of its newest model.

    Args:
        project: The project; it needs neither tags nor a model.
        options: How features are extracted.
        host: As in `serve`.
        port: As in `serve`.
        on_ready: Receives the address of the page.

    Raises:
        ConfigError: The server cannot listen at this address.
        DataError: See `open_project_site`.
    """
    with _listen(host, port) as listener, open_project_site(project, options) as site:
        _run(listener, host, project.page, partial(create_project_app, site), on_ready)


def _run(
    listener: socket.socket,
    host: str,
    store: Path,
    create: Callable[[str | None, tuple[str, ...]], AuthMiddleware],
    on_ready: Callable[[str], object],
) -> None:
    """Serve an application, which `create` makes of a token and names of this host, until interrupted."""
    token = None if is_loopback(host) else load_token(store)
    port = listener.getsockname()[1]
    name = socket.gethostname() if is_wildcard(host) else f"[{host}]" if ":" in host else host
    on_ready(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
    create_server(create(token, (name,))).run([listener])


def create_server(app: AuthMiddleware) -> uvicorn.Server:
    """A server with limits of connections that logs only warnings and errors, each once a minute."""
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_shorten_aborted)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(_repeated_messages)
    config = uvicorn.Config(
        app,
        http=limited_protocol(),
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )
    return LimitedServer(config)


def load_token(store: Path) -> str:
    """The token of a store, created once and readable by its owner only. Raises DataError."""
    path = store / TOKEN_NAME
    if path.exists():
        token = read_text(path).strip()
        if not re.fullmatch(r"[\w-]{32,}", token, re.ASCII):
            raise DataError("not a token", path=path, hint="delete the file to create a new one", code="invalid-value")
        return token
    token = secrets.token_urlsafe(32)
    try:
        path.touch(0o600)
        path.write_text(token + "\n", encoding="ascii")
    except OSError as error:
        raise to_data_error(error, path, "give another --store") from error
    return token


def _shorten_aborted(record: logging.LogRecord) -> bool:
    """Log an aborted response in one line, without a traceback, and those that end with the server not at all."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, CancelledError):
        return False
    if isinstance(error, ResponseAbortedError):
        record.msg, record.exc_info = str(error), None
    return True


def require_free_port(host: str, port: int) -> None:
    """Raise ConfigError if the server could not listen at this address."""
    _listen(host, port).close()


def _listen(host: str, port: int) -> socket.socket:
    if not host.strip():
        raise ConfigError(
            "--host is empty", hint="use 127.0.0.1, or 0.0.0.0 to accept other machines", code="invalid-value"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        dual_stack = family == socket.AF_INET6 and is_wildcard(host) and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=512, dualstack_ipv6=dual_stack)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower().partition(" (while ")[0]
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        hint = "choose another --port, or stop the program that uses it, such as another `wtal`"
        raise ConfigError(
            f"cannot listen at {host}, port {port} ({reason})",
            hint=hint if in_use else "choose another --port or --host",
            code="cannot-listen",
        ) from error
