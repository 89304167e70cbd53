"""A provider's answer while it comes: events are collected into one completion, and visible text is handed on at once.

Providers agree on little but `data: {"choices": [{"delta": {"content": "…"}}]}`. What they do besides, and what is read all the
same: comments between events, line ends of any kind, JSON in several `data` lines or cut at any byte (events.py), no `[DONE]`, a
last chunk whose `choices` are empty, null or missing, an error in the middle, a plain JSON answer although a stream was asked
for, events of a vendor's own (native.py), and pieces that repeat what came before them (pieces.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from shared.ai import events, native
from shared.ai.completion import content_of, ends_with_sentence, reason_of
from shared.ai.pieces import CallPieces, Pieces
from shared.ai.refusals import error_of
from shared.ai.visible_text import VisibleText

#: Is given each new piece of visible text. An empty one says that what follows replaces what came before: the answer begins.
OnText = Callable[[str], None]

#: Bytes of a streamed answer: each token of MAX_RESPONSE_BYTES comes in an envelope of some 250 bytes.
MAX_STREAM_BYTES = 16 * 1024 * 1024
#: Bytes of an answer that came in one piece although a stream was asked for.
MAX_WHOLE_BYTES = 1024 * 1024
#: Bytes of a body's beginning in which an answer that is no stream has to begin.
MOST_OF_BEGINNING = 64 * 1024
#: Seconds for the usage after the text has ended, and for the body's end after the last event: then the connection can be kept.
USAGE_WAIT, END_WAIT = 2.0, 0.2
#: How an answer that is no stream begins: JSON, or a page of HTML, behind comments that kept the connection until it came.
_NO_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s*:[^\r\n]*[\r\n])*\s*[{\[<]")
#: How a stream says that it is over.
_DONE = (b"[DONE]", b'"[DONE]"', b"DONE")
#: Models that always think. Some servers put that into the text, and only its end is marked.
_THINKS_ALWAYS = re.compile(r"(^|[/:_-])(r1|qwq|reasoner|thinking)($|[/:_-])", re.I)
#: Where a chunk says what the answer costs.
_USAGE = frozenset({"usage", "x_groq", "usageMetadata", "usage_metadata"})
#: What an event is that is no JSON: a piece of an answer, if it has one of these.
_OF_AN_ANSWER = re.compile(rb'"(?:choices|delta|content|text)"')
#: Half a character, as JSON may have it (a surrogate) or as bytes (events.BYTES_LEFT); and one that more may complete.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
_BEGUN_CHARACTER = re.compile(
    "([\ud800-\udbff]|[\udcc2-\udcf4]|[\udce0-\udcf4][\udc80-\udcbf]|[\udcf0-\udcf4][\udc80-\udcbf]{2})\\Z"
)


class StopReading(Exception):
    """Nobody wants the rest of the answer."""


class AnswerStream:
    """Collects one streamed completion. `take` is given the body as it comes."""

    def __init__(
        self,
        on_text: OnText,
        *,
        expects_usage: bool,
        begins_in_thoughts: bool = False,
        repeats_text: bool = False,
        own_name: str = "",
    ) -> None:
        self._on_text, self._expects_usage, self._repeats_text = on_text, expects_usage, repeats_text
        self._events, self._visible = events.EventReader(), VisibleText(begins_in_thoughts=begins_in_thoughts, own_name=own_name)
        #: What `on_text` raised: there is no point in going on.
        self.stopped: Exception | None = None
        #: Whether nothing but the model's name says that its answers begin in thoughts.
        self.is_assumption = False
        #: What this answer taught of its model (profiles.py).
        self.lesson: dict[str, Any] = {}
        self._whole: bytearray | None = None  # an answer that is no stream
        #: How the body begins, for whoever has to say that it is no answer.
        self.beginning = b""
        self._half = ""
        self._has_shown = False
        self._is_done = False
        self._texts: dict[str, Pieces] = {}
        self._calls = CallPieces()
        self._about: dict[str, Any] = {}
        self._finish_reason: str | None = None
        #: Whether its choices have deltas; whether its last event was no JSON.
        self._has_deltas = self._is_torn = False
        #: Whether a piece of the text was no JSON, so that it is missing.
        self._has_hole = False
        #: Whether the reason came with the first words: some say it with each piece.
        self._says_end_early = False
        self._has_usage = False
        self._error: dict[str, Any] | None = None

    @classmethod
    def of(cls, model: str, profile: Mapping[str, Any], on_text: OnText, own_name: str = "") -> AnswerStream:
        """One from a model, of which this is known; a bot is called so."""
        is_assumed = "unmarked_thoughts" not in profile and _THINKS_ALWAYS.search(model) is not None
        stream = cls(
            on_text,
            expects_usage=profile.get("stream_options", 1) is not None,
            begins_in_thoughts=is_assumed or bool(profile.get("unmarked_thoughts")),
            repeats_text=bool(profile.get("repeats_text")),
            own_name=own_name,
        )
        stream.is_assumption = is_assumed
        return stream

    def take(self, part: bytes) -> float | None:
        """Reads a part; for how many seconds the rest is still worth waiting for (OnPart in shared/http/client.py)."""
        if self._whole is None and not self.has_begun and not self._about and len(self.beginning) < MOST_OF_BEGINNING:
            self.beginning += part
            if begins := _NO_STREAM.match(self.beginning):
                self._whole, part = bytearray(), self.beginning[begins.end() - 1 :]
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
        if self._finish_reason is None or self._says_end_early:
            return None
        return USAGE_WAIT if self._expects_usage and not self._has_usage else END_WAIT

    @property
    def has_begun(self) -> bool:
        """Whether anything of an answer has come."""
        return bool(self._texts or self._calls.calls)

    @property
    def is_whole(self) -> bool:
        """Whether the answer has come to its end, by whatever the provider says that, or by itself where the body has ended."""
        if self._has_hole and self._error is None:
            return False
        if self._whole is not None or self._is_done or self._error is not None or self._finish_reason is not None:
            return True
        content = self._texts.get("content")
        return self._calls.is_whole or (content is not None and ends_with_sentence(content.text) and not self._is_torn)

    def end(self) -> None:
        """The body has ended. Raises what `on_text` raised."""
        if self._whole is not None and (chunks := events.lines_of(bytes(self._whole))):
            self._whole = None
            for chunk in chunks:
                self._read_chunk(chunk)
        if self.stopped is None and self._whole is None:
            try:
                for data in self._events.end():
                    self._read(data)
                self._read_rest()
            except StopReading:
                pass
        if self.stopped is not None:
            raise self.stopped
        if self.is_assumption and self._visible.is_unproven and "content" in self._texts:
            self.lesson |= {"unmarked_thoughts": False}

    def completion(self) -> bytes | dict[str, Any]:
        """What came, as an answer that was not streamed: as its bytes if it was none, else as its JSON would be."""
        if self._whole is not None:
            return bytes(self._whole)
        if self._error is not None:
            return self._error
        texts = {name: _mended(pieces.text) for name, pieces in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": "", **texts}
        if self._calls.calls:
            message["tool_calls"] = _mended_calls(self._calls.calls)
        return {**self._about, "choices": [{"message": message, "finish_reason": self._finish_reason}]}

    def _read(self, data: bytes) -> None:
        if data.strip() in _DONE:
            self._is_done = True
            return
        chunks, rest = events.objects_of(data)
        self._is_torn = not chunks
        for chunk in chunks:
            self._read_chunk(chunk)
        self._is_done |= rest.strip() in _DONE
        self._has_hole |= self.has_begun and self._finish_reason is None and _OF_AN_ANSWER.search(rest) is not None

    def _read_chunk(self, chunk: dict[str, Any]) -> None:
        is_error = events.is_error(chunk)
        chunk = native.as_chunk(chunk)
        choices = chunk.get("choices")
        choices = [choices] if isinstance(choices, dict) else choices
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if is_error or error_of(chunk) or error_of(choice):
            self._error = chunk
        self._learn_about(chunk)
        if choice.get("usage"):
            self._learn_about({"usage": choice["usage"]})
        self._has_usage = not _USAGE.isdisjoint(self._about)
        if choice.get("index"):  # of several answers the first
            return
        self._finish_reason = reason_of(choice) or self._finish_reason
        delta = self._delta_of(choice)
        if isinstance(delta, dict):
            had_text = bool(self._texts)
            self._read_delta(delta, is_last=self._finish_reason is not None)
            self._says_end_early |= self._finish_reason is not None and bool(self._texts) and not had_text

    def _learn_about(self, chunk: Mapping[str, Any]) -> None:
        """What a chunk says besides the answer; a price of nothing takes the place of none that was said before."""
        for name, value in chunk.items():
            if not value or name == "choices":
                continue
            known = self._about.get(name)
            if name in _USAGE and isinstance(known, dict) and isinstance(value, dict):
                value = {**known, **{member: count for member, count in value.items() if count}}
            self._about[name] = value

    def _delta_of(self, choice: Mapping[str, Any]) -> Any:
        """What a choice adds: a delta, a text, or the message so far, which counts where there are no deltas."""
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, dict) and (any(delta.values()) or not message):
            self._has_deltas = True
            return delta
        words = next((choice[name] for name in ("delta", "text") if isinstance(choice.get(name), str)), None)
        if words is not None:
            return {"content": words}
        if not isinstance(message, dict):
            return delta
        return {name: value for name, value in message.items() if name not in self._texts} if self._has_deltas else message

    def _read_delta(self, delta: dict[str, Any], *, is_last: bool) -> None:
        for name in ("reasoning_content", "reasoning", "thinking", "refusal"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._pieces(name).add(delta[name])
                self._visible.thoughts_are_apart()
        text = content_of(delta)
        if text:
            if more := self._pieces("content").add(text, is_last=is_last):
                self._show(more)
        elif delta.get("content") or delta.get("text"):
            self._visible.thoughts_are_apart()  # it is a thought, among parts of a content
        if isinstance(delta.get("function_call"), dict):  # as it was called of old
            self._calls.add({"index": 0, "function": delta["function_call"]})
        tools = delta.get("tool_calls")
        for call in [tools] if isinstance(tools, dict) else tools if isinstance(tools, list) else []:
            if isinstance(call, dict):
                self._calls.add(call)

    def _pieces(self, name: str) -> Pieces:
        return self._texts.setdefault(name, Pieces(repeats=self._repeats_text))

    def _read_rest(self) -> None:
        """What pieces held back of which nobody could tell whether they repeat the text."""
        for name, pieces in self._texts.items():
            more = pieces.end()
            if more and name == "content":
                self._show(more)
            if name == "content" and pieces.repeats is not None and pieces.repeats is not self._repeats_text:
                self.lesson |= {"repeats_text": pieces.repeats}
        self._hand_on(*self._visible.end())

    def _show(self, text: str) -> None:
        self._hand_on(*self._visible.feed(self._whole_characters(text)))

    def _hand_on(self, shown: str, starts_over: bool) -> None:
        if starts_over:
            self.lesson |= {"unmarked_thoughts": True}
        try:
            if starts_over or (shown and not self._has_shown):
                self._has_shown = True
                self._on_text("")
            if shown:
                self._on_text(shown)
        except Exception as problem:
            self.stopped = problem
            raise StopReading from problem

    def _whole_characters(self, text: str) -> str:
        """The text without half a character at its end, behind the half that was kept before."""
        text, self._half = self._half + text, ""
        if begun := _BEGUN_CHARACTER.search(text, max(0, len(text) - 3)):
            text, self._half = text[: begun.start()], begun[0]
        return _mended(text)


def _mended(text: str) -> str:
    """Characters whose halves (surrogates, bytes) came in different chunks, put together."""
    if not _HALF_CHARACTER.search(text):
        return text
    text = _BYTES.sub(lambda found: found[0].encode("utf-8", events.BYTES_LEFT).decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _mended_calls(tool_calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for function in (call["function"] for call in tool_calls):
        if isinstance(function["arguments"], str):
            function["arguments"] = _mended(function["arguments"])
    return tool_calls
