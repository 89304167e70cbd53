"""The HTTP side: a small HTTP/1.1 server that can reset, truncate, delay and drip its answers."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.local.simulator import gateways, graph_accounts, graph_uploads, statuses
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.faults import CONTINUING, OTHER_PROVIDER, REFUSALS, Faults, refusal
from scripts.local.simulator.providers import answer_as
from scripts.local.simulator.record import Record
from scripts.local.simulator.rules import parse_rules
from scripts.local.simulator.services import SERVICES, kind_of
from scripts.local.simulator.site import SITE

_REASONS = {
    200: "OK",
    201: "Created",
    302: "Found",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
}
#: Bytes of the answer of a `big` fault.
BIG = 10 * 1024 * 1024


_ADDRESSES = (
    "/v1/chat/completions (AI), /v1/audio/transcriptions, /v25.0/<phone number id>/messages (Meta), /api/sendText (WAHA), "
    "/message/sendText/<instance> (Evolution API), "
    "/v25.0/<phone number id>/media, /api/sendFile, /message/sendMedia/<instance> (files that are sent), "
    "/v25.0/<media id>, /api/files/<session>/<name> and /chat/getBase64FromMediaMessage/<instance> (files), "
    "/customer/<anything> (webhooks), "
    "/sitemap.xml and /site/<page> (a shop's web site), and /__faults, /__site, /__record, /__counts, /__reset"
)


class World:
    """All simulated services, their faults and their record."""

    def __init__(self, seed: int | None = None) -> None:
        self.faults, self.record = Faults(seed), Record()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, request after request."""
        try:
            while (request := await _read(reader)) is not None:
                if not await self._handle(request, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        except asyncio.CancelledError:
            pass  # the simulator ends; Python before 3.12 would print this for each open connection
        finally:
            writer.close()

    async def _handle(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers the request; False if the connection cannot be used any longer."""
        kind = kind_of(request)
        if not kind:
            await _write(writer, self._control(request))
            return True
        drawn, replaced = self.faults.draw(kind, request), self.faults.replaced
        for rule in drawn:
            if rule["fault"] == "latency":
                await asyncio.sleep(rule["ms"] / 1000)
            elif rule["fault"] == "hold":
                await replaced.wait()
                if reader.at_eof():  # nobody waits any more; its effect would be a surprise to what happens by now
                    return False
        last = drawn[-1] if drawn and drawn[-1]["fault"] not in CONTINUING else None
        if last and last["fault"] in REFUSALS:
            return await self._refuse(kind, request, writer, last)
        reply = SERVICES[kind](request)
        if last and last["fault"] == OTHER_PROVIDER:
            reply, last = answer_as(last["provider"], request, reply), None
        row = self._note(kind, request, reply, drawn)
        if reply.events and (last is None or last["fault"] == "cut"):
            pace = next((rule["ms"] for rule in drawn if rule["fault"] == "pace"), 0)
            return await _stream(writer, reply, partial(_pause, pace / 1000, replaced), last, row)
        return await _write_spoilt(writer, reply, last) if last else await _write(writer, reply)

    def _note(self, kind: str, request: Request, reply: Reply, drawn: list[dict[str, Any]]) -> dict[str, Any]:
        row = self.record.note(kind, request, reply, reply.accepted, [rule["fault"] for rule in drawn])
        for rule in drawn:
            if rule["fault"] == "statuses" and reply.accepted:
                task = asyncio.create_task(statuses.report(kind, rule, reply))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return row

    async def _refuse(self, kind: str, request: Request, writer: asyncio.StreamWriter, rule: dict[str, Any]) -> bool:
        is_reset = rule["fault"] == "reset_before"
        reply = Reply(0, {}) if is_reset else refusal(kind, rule)
        self.record.note(kind, request, reply, accepted=False)
        if not is_reset:
            return await _write(writer, reply)
        _reset(writer)
        return False

    def _control(self, request: Request) -> Reply:
        address = urlsplit(request.path).path
        handle = {
            "/": lambda _: {"ok": True},
            "/__record": self._rows,
            "/__counts": lambda _: self.record.counts(),
            "/__reset": self._reset,
            "/__site": lambda request: SITE.change(request.body),
            "/__faults": self._faults,
        }.get(address)
        if handle is None:
            return Reply(404, {"error": f"The simulator has no address {address}. It has {_ADDRESSES}."})
        try:
            shown = handle(request)
        except ValueError as problem:
            return Reply(400, {"error": str(problem)})
        return Reply(200, {} if shown is None else shown)

    def _rows(self, request: Request) -> list[dict[str, Any]]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        for name in {"first", "count"} & query.keys():
            if not query[name].isdecimal():
                raise ValueError(f"{name} must be a whole number, got {query[name]!r}.")
        count = int(query["count"]) if "count" in query else None
        return self.record.rows(query.get("kind"), int(query.get("first", 0)), count)

    def _reset(self, _: Request) -> None:
        self.record.reset()
        self.faults.replace([])
        SITE.change()
        graph_accounts.forget()
        gateways.forget()
        graph_uploads.forget()

    def _faults(self, request: Request) -> list[dict[str, Any]] | None:
        """GET shows the rules, POST replaces all of them, DELETE removes them."""
        if request.method == "GET":
            return self.faults.current()
        self.faults.replace([] if request.method == "DELETE" else parse_rules(request.body))
        return None


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = int(headers.get("content-length", 0))
    return Request(method, path, headers, await reader.readexactly(length) if length else b"")


def _head(reply: Reply, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}",
        *([] if "Content-Type" in reply.headers else ["Content-Type: application/json"]),
        f"Content-Length: {length}",
    ]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    body = reply.encoded()
    writer.write(_head(reply, len(body)) + body)
    await writer.drain()
    return True


async def _write_spoilt(writer: asyncio.StreamWriter, reply: Reply, rule: dict[str, Any]) -> bool:
    """Spoils the answer of a request that had its effect. False if the connection cannot be used any longer."""
    body, fault = reply.encoded(), rule["fault"]
    if fault == "garbage":
        return await _write(writer, Reply(200, b"<html>not what you asked for</html>"))
    if fault == "big":
        return await _write(writer, Reply(200, b"x" * BIG))
    if fault == "half":
        writer.write(_head(reply, len(body)) + body[: len(body) // 2])
        await writer.drain()
        return False
    if fault == "drip":
        await _drip(writer, _head(reply, len(body)), body, rule)
        return True
    if fault == "cut":
        writer.write(_head(reply, len(body)) + body[: len(body) // 2])
        await writer.drain()
        return await _break_off(writer, rule)
    if fault == "timeout":
        await asyncio.sleep(rule.get("ms", 60_000) / 1000)
    _reset(writer)
    return False


async def _stream(
    writer: asyncio.StreamWriter,
    reply: Reply,
    pause: Callable[[], Awaitable[None]],
    cut: dict[str, Any] | None,
    row: dict[str, Any],
) -> bool:
    """Sends the reply's events, or half of them and half an event, and breaks off. Notes when the first word left."""
    head = [f"HTTP/1.1 {reply.status} OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", "", ""]
    writer.write("\r\n".join(head).encode())
    events = reply.events
    if cut:
        middle = len(events) // 2
        events = [*events[:middle], events[middle][: len(events[middle]) // 2]]
    for number, event in enumerate(events):
        if number == 1:  # behind the one with the role
            row["first_word_ns"] = time.time_ns()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await pause()
    if cut:
        return await _break_off(writer, cut)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _pause(seconds: float, replaced: asyncio.Event) -> None:
    """Until the next word; the rest comes at once when the rules are replaced."""
    if seconds:
        with suppress(TimeoutError):
            await asyncio.wait_for(replaced.wait(), seconds)


async def _break_off(writer: asyncio.StreamWriter, rule: dict[str, Any]) -> bool:
    """Ends an answer in its middle; the connection cannot be used any longer."""
    if rule.get("by") == "silence":
        await asyncio.sleep(rule.get("ms", 60_000) / 1000)
    if rule.get("by") != "close":
        _reset(writer)
    return False


async def _drip(writer: asyncio.StreamWriter, head: bytes, body: bytes, rule: dict[str, Any]) -> None:
    """Sends the body, or the head as well, a byte at a time."""
    whole, dripping = (b"", head + body) if rule.get("part") == "head" else (head, body)
    writer.write(whole)
    for byte in dripping:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(rule.get("ms", 100) / 1000)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes the connection with RST, as a crashed peer does."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
