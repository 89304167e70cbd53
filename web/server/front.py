"""The ASGI application: reads a request without a thread, refuses what needs no reading, and has Flask answer it in one.

Flask decides everything else: also who may open a stream, which its view then leaves in the environ, to be served here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Any

from flask import Flask
from werkzeug.exceptions import ClientDisconnected, HTTPException, ServiceUnavailable
from werkzeug.middleware.proxy_fix import ProxyFix

from shared.config import Settings, settings
from shared.media.storage import storage
from web import app, problems
from web.hardening import SECURITY_HEADERS, body_limits
from web.request_limits import site_of
from web.server.admission import RETRY, SHARE, SMALL, Admission, Body, Refused
from web.server.streams import STREAM, Receive, Send, Stream, close_streams
from web.server.threads import FairThreads
from web.server.wsgi import ABORT, PIECE, Answer, Environ, Parts, call, environ_of

#: Seconds for which the rest of a refused body is read and dropped: a client that still sends would not see the answer.
LINGER = 3.0
#: Seconds that unfinished requests have when the process ends.
CLOSING_SECONDS = 5.0
#: Bytes of bodies that one process keeps on the disk: two dozen files of the largest size. One address may use half of it.
DISK, DISK_SHARE = 512 * 1024 * 1024, 2
#: Bytes of whole answers that one process keeps until they are read; one address may have a SHARE of them.
UNREAD = 256 * 1024 * 1024


class Front:
    """One for each process."""

    def __init__(self, flask: Flask, conf: Settings) -> None:
        self.flask = flask
        #: Seconds in which a whole request has to arrive, and in which a client has to read (gunicorn's --timeout).
        self.request_seconds = 30.0
        self._admission = Admission(conf.web_address_unfinished, conf.web_body_memory * 1024 * 1024)
        self._disk = Admission(conf.web_address_unfinished, DISK, DISK_SHARE)
        self._unread = Admission(conf.web_address_unfinished, UNREAD)
        self._threads = FairThreads(conf.web_threads)
        proxies = conf.trusted_proxies
        self._closing = False
        self._readings: set[asyncio.Timeout] = set()
        self._fix_address: Any = ProxyFix(_nobody, x_for=proxies, x_proto=proxies) if proxies else _nobody

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request; of a stream only what serves it stays in memory."""
        try:
            stream = await self._answer(environ_of(scope), scope[ABORT], receive, send)
        except ClientDisconnected:
            return
        if stream is not None:
            scope["headers"].clear()
            await stream.hub.serve(stream, receive, send)

    def close(self) -> None:
        """The process ends: streams end at once, and unfinished requests soon."""
        if self._closing:
            return
        self._closing = True
        close_streams()
        for reading in self._readings:
            _end_at(reading, asyncio.get_running_loop().time() + CLOSING_SECONDS)

    async def _answer(self, environ: Environ, abort: Callable[[], None], receive: Receive, send: Send) -> Stream | None:
        self._fix_address(environ, _nothing)
        try:
            with self._admission.body(site_of(environ["REMOTE_ADDR"])) as body:
                content, is_read = await self._read(environ, receive, body)
                try:
                    answer = await self._threads.run(body.address, partial(call, self.flask, environ, content))
                finally:
                    if not isinstance(content, bytes):
                        content.close()
        except Refused as refusal:
            answer, is_read = _problem(refusal.error), False
        stream: Stream | None = environ.get(STREAM)
        if not is_read:
            answer.headers.append(("Connection", "close"))
        if answer.rest is not None:
            await self._send_as_it_is_read(answer, answer.rest, body.address, abort, receive, send)
        elif stream is None:
            with self._unread.body(body.address) as unread:
                unread.stop = abort  # the oldest ends where there are too many: its client does not read
                self._unread.take(unread, min(len(answer.body) - SMALL, UNREAD // SHARE))
                await _send(answer, is_read, environ["REQUEST_METHOD"] == "HEAD", receive, send)
        else:
            await self._begin_stream(stream, answer, send)
        return stream

    async def _send_as_it_is_read(
        self, answer: Answer, rest: Parts, address: str, abort: Callable[[], None], receive: Receive, send: Send
    ) -> None:
        """An answer of any length takes the memory of a piece, and a thread only while the next one is made."""
        piece, gone = answer.body, asyncio.ensure_future(_until_gone(receive))
        try:
            await send(answer.head)
            while piece and not gone.done():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = b"" if gone.done() else await self._threads.run(address, rest.take)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception as problem:
            problems.note_broken_off(problem)
            await send({"type": "http.response.body", "body": b"", "more_body": True})  # when what there is has been read
            abort()
            await gone  # until then uvicorn takes an answer without an end for an error
        finally:
            gone.cancel()
            rest.close()

    async def _begin_stream(self, stream: Stream, answer: Answer, send: Send) -> None:
        answer.headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
        try:
            await send(answer.head)
        except BaseException:
            stream.hub.leave(stream)
            raise

    async def _read(self, environ: Environ, receive: Receive, body: Body) -> tuple[bytes | IO[bytes], bool]:
        """The body, and whether it was read to its end: not if the route takes none, or none so large, or without proof.

        Flask says what is wrong then, as it would with the body. Raises Refused, ClientDisconnected.
        """
        announced = environ.get("CONTENT_LENGTH", "0")
        if announced == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
            return b"", True
        limit, in_memory = body_limits(self.flask, environ)
        if limit == 0:
            environ["CONTENT_LENGTH"] = "0"
        if limit == 0 or int(announced) > limit:
            return b"", False
        with self._admission.unfinished(body):
            content = await self._read_in_time(receive, body, limit, in_memory)
        if body.size > limit:
            environ["CONTENT_LENGTH"] = str(body.size)
            if not isinstance(content, bytes):
                content.close()
            return b"", False
        return content, True

    async def _read_in_time(self, receive: Receive, body: Body, limit: int, in_memory: int) -> bytes | IO[bytes]:
        try:
            async with asyncio.timeout(CLOSING_SECONDS if self._closing else self.request_seconds) as reading:
                body.stop = partial(_end_at, reading, 0.0)
                self._readings.add(reading)
                try:
                    return await self._read_all(receive, body, limit, in_memory)
                finally:
                    self._readings.discard(reading)
        except TimeoutError:
            raise Refused(body.why_stopped) from None

    async def _read_all(self, receive: Receive, body: Body, limit: int, in_memory: int) -> bytes | IO[bytes]:
        """All of it, or the beginning of what is too large; in a file, if that is large. Raises Refused, ClientDisconnected."""
        parts: list[bytes] = []
        file: IO[bytes] | None = None
        try:
            while body.size <= limit:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                body.grow(len(message["body"]))
                if file is None and body.size > in_memory:
                    body.move(self._disk)
                    file = _new_file(parts)
                (parts.append if file is None else file.write)(message["body"])
                if not message["more_body"]:
                    break
            if file is not None:
                file.flush()
        except BaseException as problem:
            if file is not None:
                file.close()
            if isinstance(problem, OSError):  # the disk is full
                raise Refused(ServiceUnavailable("There is no room for large bodies now.", retry_after=RETRY)) from problem
            raise
        return b"".join(parts) if file is None else file


def _new_file(parts: list[bytes]) -> IO[bytes]:
    """A file without a name: it is gone with its process, however that ends."""
    folder = storage().arrivals
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - it is closed when its request is answered
    file.writelines(parts)
    parts.clear()
    return file


def _end_at(reading: asyncio.Timeout, when: float) -> None:
    if not reading.expired():  # then it is ending
        reading.reschedule(when)


async def _send(answer: Answer, is_read: bool, is_head: bool, receive: Receive, send: Send) -> None:
    if answer.status not in (204, 304) and answer.length is None and not is_head:  # of what is streamed nobody knows it
        answer.headers.append(("Content-Length", str(len(answer.body))))
    await send(answer.head)
    for start in range(0, len(answer.body), PIECE):
        await send({"type": "http.response.body", "body": answer.body[start : start + PIECE], "more_body": True})
    if not is_read:
        await _drop_rest(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop_rest(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER):
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass
    except TimeoutError:
        pass


def _problem(error: HTTPException) -> Answer:
    answer = problems.answer_to(error)
    answer.headers.extend(SECURITY_HEADERS.items())
    return Answer(answer.status_code, list(answer.headers), answer.get_data())


def _nobody(_environ: Environ, _start_response: Any) -> list[bytes]:
    return []


def _nothing(*_: Any) -> None:
    pass


def create_front() -> Front:
    """What gunicorn serves; stops the process, naming the variable, when a setting is wrong."""
    return Front(app.create_app(), settings())
