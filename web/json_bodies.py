"""The JSON of requests: what PostgreSQL cannot keep, or what says two things, is refused, with what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from flask import Request, Response
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from shared.media.folder import down_if_it_fails
from shared.payloads import strip_invalid
from web.json_answers import encoded

#: Levels of nesting: Meta's deepest webhook has nine.
MAX_DEPTH = 32
#: An object's members as they were written.
Pairs = list[tuple[str, Any]]
#: Characters of a name that are repeated to whoever sent it.
_QUOTED = 40


class BadJson(ValueError):
    """JSON that we do not take; the text goes on from "The body"."""


class SafeJson(DefaultJSONProvider):
    """Reads only JSON that PostgreSQL can keep: no NaN, no NUL, no half characters, not too deep; and no name twice."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:  # noqa: ARG002 - Flask's signature
        """Raises ValueError, which says what is wrong."""
        return _loads(s, _refuse_depth, _named_once)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """An answer. Scripts and headers have what `dumps` says by itself, in ASCII."""
        dumps = partial(self.dumps, ensure_ascii=False, separators=(",", ":"))
        return Response(encoded(self._prepare_response_obj(args, kwargs), dumps), mimetype=self.mimetype)


def _loads(text: str | bytes, too_deep: Callable[[], Any], members: Callable[[Pairs], Any] | None = None) -> Any:
    plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    try:
        value = json.loads(plain, parse_constant=_refuse_constant, object_pairs_hook=members)
    except RecursionError:
        raise BadJson(_TOO_DEEP) from None
    return _storable(value, MAX_DEPTH, too_deep)


_TOO_DEEP = f"is nested too deeply; at most {MAX_DEPTH} levels are allowed"


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"holds {name}, which is not a JSON number")


def _named_once(pairs: Pairs) -> dict[str, Any]:
    """An object. Of two members with one name somebody would not be heard."""
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # adds it
        raise BadJson(f"names {twice[:_QUOTED]!r} twice in one object. Name it once")
    return members


def _refuse_depth() -> NoReturn:
    raise BadJson(_TOO_DEEP)


def _storable(value: Any, levels: int, too_deep: Callable[[], Any]) -> Any:
    """The value; what stands in the place of something below the last level, `too_deep` says."""
    if isinstance(value, str):
        return strip_invalid(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadJson("holds a number above 1.8e308, which is too large")
    if isinstance(value, dict | list):
        if levels == 0:
            return too_deep()
        if isinstance(value, dict):
            return {strip_invalid(name): _storable(item, levels - 1, too_deep) for name, item in value.items()}
        return [_storable(item, levels - 1, too_deep) for item in value]
    return value


class SafeRequest(Request):
    """Says what is wrong with a body."""

    def _load_form_data(self) -> None:
        """A form; its files beyond 500 KB are on the disk while they are read. Raises StorageDown."""
        with down_if_it_fails(is_temporary=True):
            super()._load_form_data()

    def get_outsiders_json(self) -> Any:
        """JSON whose shape others choose, and whose type they may not name: what is nested too deeply in it is null."""
        try:
            return _loads(self.get_data(), lambda: None)
        except ValueError as problem:
            return self.on_json_loading_failed(problem)

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Malformed JSON, or another content type."""
        if e is None:
            raise UnsupportedMediaType("The Content-Type must be application/json.")
        if isinstance(e, json.JSONDecodeError):
            raise BadRequest(f"The body is not JSON: {e.msg} at line {e.lineno}, column {e.colno}.")
        if isinstance(e, UnicodeDecodeError):
            raise BadRequest("The body is not UTF-8. Send JSON in UTF-8.")
        raise BadRequest(f"The body {e}." if isinstance(e, BadJson) else "The body holds a number with too many digits.")
