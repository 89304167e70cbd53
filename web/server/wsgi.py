"""Between ASGI and WSGI: a request's head as an environ, and Flask's answer to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
#: Bytes of an answer that are made and sent at once; then the client has to read.
PIECE = 256 * 1024
#: Where the connection leaves in a request's scope what ends it at once (web/server/connection.py).
ABORT = "switchboard.abort"
#: Where a view finds the file that a large body is in.
BODY_FILE = "switchboard.body_file"
#: A WSGI application.
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Parts:
    """What an application answers with, made as it is asked for."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._left = parts, iter(parts)

    def take(self) -> bytes:
        """The next PIECE bytes, or a little more; fewer are the last."""
        taken: list[bytes] = []
        size = 0
        while size < PIECE and (part := next(self._left, None)) is not None:
            taken.append(part)
            size += len(part)
        return b"".join(taken)

    def close(self) -> None:
        """Nobody wants the rest."""
        if hasattr(self._parts, "close"):
            self._parts.close()


@dataclass
class Answer:
    """An answer: whole, or the beginning of one that is long, and the rest of it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    rest: Parts | None = None

    @property
    def length(self) -> int | None:
        """How long it is, if its headers say so."""
        return next((int(value) for name, value in self.headers if name.lower() == "content-length"), None)

    @property
    def is_begun(self) -> bool:
        """Whether more of it may come. An answer to HEAD has a length, and nothing else."""
        return len(self.body) >= PIECE if self.length is None else 0 < len(self.body) < self.length

    @property
    def head(self) -> dict[str, Any]:
        """The ASGI message that begins it."""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        return {"type": "http.response.start", "status": self.status, "headers": headers}


def environ_of(scope: dict[str, Any]) -> Environ:
    """The environ of a request without its body."""
    host, port = scope["server"] or ("localhost", 80)
    client = scope["client"] or ("", 0)
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **_headers(scope["headers"]),
    }


def _headers(received: Iterable[tuple[bytes, bytes]]) -> Environ:
    headers: Environ = {}
    for raw_name, raw_value in received:
        if b"_" in raw_name:  # in an environ X_Forwarded_For and X-Forwarded-For are one
            continue
        if (
            raw_name == b"upgrade"
        ):  # nothing else is spoken here; werkzeug's router would refuse a WebSocket as some wrong address
            continue
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        if name in headers:
            value = headers[name] + ("; " if name == "HTTP_COOKIE" else ",") + value
        headers[name] = value
    return headers


def call(application: Application, environ: Environ, body: bytes | IO[bytes]) -> Answer:
    """The application's answer to a complete request, whose body is in memory or in a file."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)  # it has been decoded
    if isinstance(body, bytes):
        environ["wsgi.input"] = BytesIO(body)
        environ.setdefault("CONTENT_LENGTH", str(len(body)))
    else:
        environ["CONTENT_LENGTH"] = str(body.tell())
        body.seek(0)
        environ["wsgi.input"] = environ[BODY_FILE] = body
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:  # noqa: ARG001 - WSGI's signature
        started[:] = int(status.split(" ", 1)[0]), headers
        return _no_write

    parts, is_begun = Parts(application(environ, start_response)), False
    try:
        answer = Answer(started[0], started[1], b"")
        answer.body = parts.take()
        is_begun = answer.is_begun
    finally:
        if not is_begun:
            parts.close()
    answer.rest = parts if is_begun else None
    return answer


def _no_write(_text: bytes) -> None:
    raise NotImplementedError("WSGI's write() is not offered")
