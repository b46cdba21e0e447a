"""The server as it runs: for this machine alone unless told otherwise, and then for those who have its token."""

import logging
import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_text
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.api import create_app
from wtal.web.auth import BrokenOffError, is_everywhere, is_loopback
from wtal.web.service import AnnotationService, open_service

TOKEN = "token"
PATIENCE = 2  # seconds that answers under way get when the server stops


def serve(
    run: Path,
    videos: Path,
    store: Path,
    choice: BackboneOptions,
    host: str,
    port: int,
    said: Callable[[str], object],
) -> None:
    """Serve until interrupted; `said` hears the address to open.

    Raises ConfigError where the address cannot be had, else as `open_desk` does.
    """
    with _listening(host, port) as listening, open_service(run, videos, store, choice) as desk:
        token = None if is_loopback(host) else token_of(store)
        port = listening.getsockname()[1]
        name = socket.gethostname() if is_everywhere(host) else f"[{host}]" if ":" in host else host
        said(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
        server_of(desk, token).run([listening])


def server_of(desk: AnnotationService, token: str | None = None) -> uvicorn.Server:
    """A server that is ready to run; it says nothing but what goes wrong."""
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.WARNING)
    log.addFilter(_shortened)
    config = uvicorn.Config(
        create_app(desk, token),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    return uvicorn.Server(config)


def token_of(store: Path) -> str:
    """The token of this store, made once, so that a link stays good; readable by its owner alone."""
    path = store / TOKEN
    if path.exists():
        token = read_text(path).strip()
        if not re.fullmatch(r"[\w-]{32,}", token, re.ASCII):
            raise DataError(f"{path}: is no token; delete the file to have a new one made")
        return token
    token = secrets.token_urlsafe(32)
    try:
        path.touch(0o600)
        path.write_text(token + "\n", encoding="ascii")
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}; name another --store") from error
    return token


def _shortened(record: logging.LogRecord) -> bool:
    """A file that became shorter while it was sent is told in a line; what is our fault keeps its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, BrokenOffError):
        record.msg, record.exc_info = str(error), None
    return True


def _listening(host: str, port: int) -> socket.socket:
    if not host.strip():
        raise ConfigError("--host names no address; use 127.0.0.1, or 0.0.0.0 to be reached from other machines")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        both = family == socket.AF_INET6 and is_everywhere(host) and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=512, dualstack_ipv6=both)
    except (OSError, OverflowError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError(f"cannot listen at {host}, port {port} ({why}); choose another --port or --host") from error
