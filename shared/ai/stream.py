"""A provider's answer while it comes: events are collected into one completion, and visible text is handed on at once.

Providers agree on little but `data: {"choices": [{"delta": {"content": "…"}}]}`. What they do besides, and what is read all the
same: comments between events, line ends of any kind, JSON in several `data` lines or cut at any byte, no `[DONE]`, a last chunk
whose `choices` are empty, null or missing, an error in the middle, and a plain JSON answer although a stream was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.ai.completion import text_of
from shared.ai.thoughts import VisibleText

#: Is given each new piece of visible text. An empty one says that what follows replaces what came before: the answer begins.
OnText = Callable[[str], None]

#: Bytes of a streamed answer: each token of MAX_RESPONSE_BYTES comes in an envelope of some 250 bytes.
MAX_STREAM_BYTES = 16 * 1024 * 1024
#: Bytes of an answer that came in one piece although a stream was asked for.
MAX_WHOLE_BYTES = 1024 * 1024
#: Seconds for the usage after the text has ended, and for the body's end after the last event: then the connection can be kept.
USAGE_WAIT, END_WAIT = 2.0, 0.2
#: How an answer that is no stream begins: JSON, or a page of HTML, behind comments that kept the connection until it came.
_BOM = b"\xef\xbb\xbf"
_NO_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s*:[^\r\n]*[\r\n])*\s*[{\[<]")
#: How a stream says that it is over.
_DONE = (b"[DONE]", b'"[DONE]"', b"DONE")
_LINE_END = re.compile(rb"\r\n|\r|\n")
#: Models that always think. Some servers put that into the text, and only its end is marked.
_THINKS_ALWAYS = re.compile(r"(^|[/:_-])(r1|qwq|reasoner|thinking)($|[/:_-])", re.I)
#: Where a chunk says what the answer costs.
_USAGE = frozenset({"usage", "x_groq", "usageMetadata", "usage_metadata"})
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class StopReading(Exception):
    """Nobody wants the rest of the answer."""


class EventReader:
    """The data of server-sent events, from pieces that end anywhere."""

    def __init__(self) -> None:
        self._rest, self._data = b"", list[bytes]()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that is complete now."""
        text = self._rest + piece
        held = 1 if text.endswith(b"\r") else 0  # it may be the first half of a line end
        *lines, rest = _LINE_END.split(text[: len(text) - held])
        self._rest = rest + text[len(text) - held :]
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[bytes]:
        """The data of an event that the stream's end completes."""
        line, self._rest = self._rest.rstrip(b"\r"), b""
        yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not line:
            if self._data:
                yield b"\n".join(self._data)
            self._data = []
            return
        name, _, value = line.removeprefix(_BOM).partition(b":")
        if name in (b"data", b"error"):  # llama.cpp has both; others: comments, which keep the connection, event, id and retry
            self._data.append(value.removeprefix(b" "))


class AnswerStream:
    """Collects one streamed completion. `take` is given the body as it comes."""

    def __init__(self, on_text: OnText, *, expects_usage: bool, begins_in_thoughts: bool = False) -> None:
        self._on_text, self._expects_usage = on_text, expects_usage
        self._events, self._visible = EventReader(), VisibleText(begins_in_thoughts=begins_in_thoughts)
        #: What `on_text` raised: there is no point in going on.
        self.stopped: Exception | None = None
        #: Whether nothing but the model's name says that its answers begin in thoughts.
        self.is_assumption = False
        #: What this answer taught of its model (profiles.py).
        self.lesson: dict[str, Any] = {}
        self._whole: bytearray | None = None  # an answer that is no stream
        self._begun = b""
        self._half = ""
        self._has_shown = False
        self._is_done = False
        self._texts: dict[str, list[str]] = {}
        self._tools: dict[Any, dict[str, Any]] = {}
        self._about: dict[str, Any] = {}
        self._finish_reason: Any = None
        self._has_usage = False
        self._error: dict[str, Any] | None = None

    @classmethod
    def of(cls, model: str, profile: Mapping[str, Any], on_text: OnText) -> AnswerStream:
        """One from a model, of which this is known."""
        is_assumed = "unmarked_thoughts" not in profile and _THINKS_ALWAYS.search(model) is not None
        stream = cls(
            on_text,
            expects_usage=profile.get("stream_options", 1) is not None,
            begins_in_thoughts=is_assumed or bool(profile.get("unmarked_thoughts")),
        )
        stream.is_assumption = is_assumed
        return stream

    def take(self, part: bytes) -> float | None:
        """Reads a part; for how many seconds the rest is still worth waiting for (OnPart in shared/http/client.py)."""
        if self._whole is None and not self._texts and not self._about:
            self._begun += part
            if begins := _NO_STREAM.match(self._begun):
                self._whole, part = bytearray(), self._begun[begins.end() - 1 :]
        if self._whole is not None:
            self._whole += part[: MAX_WHOLE_BYTES - len(self._whole)]
            return None
        try:
            for data in self._events.feed(part):
                self._read(data)
        except StopReading:
            return 0.0
        if self._is_done or self._error is not None:
            return END_WAIT
        if self._finish_reason is None:
            return None
        return USAGE_WAIT if self._expects_usage and not self._has_usage else END_WAIT

    @property
    def is_whole(self) -> bool:
        """Whether the answer has come to its end, by whatever the provider says that."""
        return self._whole is not None or self._is_done or self._error is not None or self._finish_reason is not None

    def end(self) -> None:
        """The body has ended. Raises what `on_text` raised."""
        if self._whole is not None and (chunks := _lines_of(bytes(self._whole))):
            self._whole = None
            for chunk in chunks:
                self._read_chunk(chunk)
        if self.stopped is None and self._whole is None:
            try:
                for data in self._events.end():
                    self._read(data)
            except StopReading:
                pass
        if self.stopped is not None:
            raise self.stopped
        if self.is_assumption and self._visible.is_unproven and "content" in self._texts:
            self.lesson = {"unmarked_thoughts": False}

    def completion(self) -> bytes | dict[str, Any]:
        """What came, as an answer that was not streamed: as its bytes if it was none, else as its JSON would be."""
        if self._whole is not None:
            return bytes(self._whole)
        if self._error is not None:
            return self._error
        texts = {name: _mended("".join(pieces)) for name, pieces in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": "", **texts}
        if self._tools:
            message["tool_calls"] = list(self._tools.values())
        return {**self._about, "choices": [{"message": message, "finish_reason": self._finish_reason}]}

    def _read(self, data: bytes) -> None:
        if data.strip() in _DONE:
            self._is_done = True
            return
        for chunk in _chunks_of(data):
            self._read_chunk(chunk)

    def _read_chunk(self, chunk: dict[str, Any]) -> None:
        if isinstance(chunk.get("data"), dict):  # a gateway's wrapping
            chunk = {**chunk, **chunk["data"]}
        choices = chunk.get("choices")
        choices = [choices] if isinstance(choices, dict) else choices
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if chunk.get("error") or choice.get("error") or _is_error(chunk):
            self._error = chunk
        self._about |= {name: value for name, value in chunk.items() if value and name != "choices"}
        if choice.get("usage"):
            self._about["usage"] = choice["usage"]
        self._has_usage = not _USAGE.isdisjoint(self._about)
        if choice.get("index"):  # of several answers the first
            return
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            words = next((choice[name] for name in ("delta", "text") if isinstance(choice.get(name), str)), None)
            whole = None if self._texts else choice.get("message")  # all of it at once
            delta = whole if words is None else {"content": words}
        if isinstance(delta, dict):
            self._read_delta(delta)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        for name in ("reasoning_content", "reasoning", "refusal"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._texts.setdefault(name, []).append(delta[name])
                self._visible.thoughts_are_apart()
        content = delta.get("content") or delta.get("text")
        text = text_of(content)
        if text:
            self._texts.setdefault("content", []).append(text)
            self._show(text)
        elif content:
            self._visible.thoughts_are_apart()  # it is a thought, among parts of a content
        if isinstance(delta.get("function_call"), dict):  # as it was called of old
            self._read_tool({"index": 0, "function": delta["function_call"]})
        tools = delta.get("tool_calls")
        for call in tools if isinstance(tools, list) else []:
            if isinstance(call, dict):
                self._read_tool(call)

    def _show(self, text: str) -> None:
        shown, starts_over = self._visible.feed(self._whole_characters(text))
        if starts_over:
            self.lesson = {"unmarked_thoughts": True}
        try:
            if starts_over or (shown and not self._has_shown):
                self._has_shown = True
                self._on_text("")
            if shown:
                self._on_text(shown)
        except Exception as problem:
            self.stopped = problem
            raise StopReading from problem

    def _read_tool(self, part: dict[str, Any]) -> None:
        key = part.get("index")
        if key is None:  # some send calls whole, and do not number them
            key = f"id {part['id']}" if part.get("id") else next(reversed(self._tools), 0)
        call = self._tools.setdefault(key, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = part.get("id") or call["id"]
        delta, function = part.get("function"), call["function"]
        if not isinstance(delta, dict):
            return
        if isinstance(delta.get("name"), str) and delta["name"] != function["name"]:
            function["name"] += delta["name"]
        if isinstance(delta.get("arguments"), str) and isinstance(function["arguments"], str):
            function["arguments"] += delta["arguments"]
        elif isinstance(delta.get("arguments"), dict):
            function["arguments"] = delta["arguments"]

    def _whole_characters(self, text: str) -> str:
        """The text without half a character at its end, behind the half that was kept before."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return _mended(text)


def _is_error(chunk: dict[str, Any]) -> bool:
    """Whether it is one that does not call itself so: vLLM's object, or nothing but a message."""
    if chunk.get("object") == "error" or chunk.get("type") == "error":
        return True
    base = chunk.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):  # MiniMax
        return True
    said = chunk.get("message") if isinstance(chunk.get("message"), str) else ""
    return not chunk.get("choices") and bool(said or any(chunk.get(name) for name in ("detail", "error_msg", "errors")))


def _lines_of(body: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream whose lines are JSON and nothing else; [] of anything else."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines):
        return []
    chunks = [_json(line) for line in lines]
    return [] if None in chunks else chunks


def _chunks_of(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of an event: one, or one a line of a provider that forgets the empty line between events."""
    chunk = _json(data)
    chunks = [_json(line) for line in data.split(b"\n")] if chunk is None else chunk if isinstance(chunk, list) else [chunk]
    return [chunk for chunk in chunks if isinstance(chunk, dict)]


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _mended(text: str) -> str:
    """Characters whose two halves (surrogates) came in different chunks, put together."""
    if not _HALF_CHARACTER.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
