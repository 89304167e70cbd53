"""A message template with its parameters: what Meta is sent, what a person reads, and what is wrong with the parameters.

Source: Meta's message templates, 2026. Meta refuses a wrong parameter as well, with a number and after it was queued; here it is
refused at once, by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.channels.inbound import get_objects, get_text
from shared.errors import InvalidPayload
from shared.http.urls import UrlRefused, normalize_url
from shared.payloads import strip_invalid

#: Characters, by Meta's reference, with the parameters in their places.
MAX_HEADER, MAX_BODY, MAX_PAYLOAD, MAX_CODE, MAX_URL = 60, 1024, 512, 15, 2000
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}", re.ASCII)
#: What Meta takes in no text parameter.
_SPACE = re.compile(r"[\n\r\t]| {5}")
_MEDIA = {"IMAGE": "image", "VIDEO": "video", "DOCUMENT": "document"}
#: Kinds of components, formats of headers and types of buttons that take no parameters, or are not here yet.
_PLAIN_BUTTONS = frozenset({"PHONE_NUMBER", "VOICE_CALL"})
_EXAMPLES = {"image": '{"link": "https://…"}', "document": '{"link": "https://…", "filename": "bill.pdf"}'}


class TemplateRefused(InvalidPayload):
    """The parameters do not fit the template; `errors` says by the names of the API what is wrong."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("template", errors)


@dataclass(frozen=True)
class Composed:
    """A template with its parameters in their places: Meta's components, and the words of header, body and footer."""

    components: list[dict[str, Any]]
    text: str


class _Wrong(Exception):
    """What is wrong with a parameter; reads on behind its name."""


def compose(components: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> Composed:
    """The approved components with the given parameters {"header", "body", "buttons"}. Raises TemplateRefused."""
    filled, words, errors = [], [], {}
    parts = {get_text(one, "type").upper(): one for one in get_objects(list(components))}
    for kind, (name, fill) in _FILLERS.items():
        part = parts.pop(kind, None)
        try:
            if part is not None:
                wire, text = fill(part, given.get(name))
                filled += wire
                words.append(text)
            elif given.get(name):
                raise _Wrong(f"must not be given, for the template has no {name}")
        except _Wrong as wrong:
            errors[f"parameters.{name}"] = str(wrong)
    if "FOOTER" in parts:
        words.append(get_text(parts.pop("FOOTER"), "text"))
    if parts:
        unknown = ", ".join(sorted(parts)).lower().replace("_", " ")
        errors["name"] = f"this template has a part that cannot be sent from here yet: {unknown}"
    if errors:
        raise TemplateRefused(errors)
    return Composed(filled, "\n\n".join(filter(None, words)))


_Filled = tuple[list[dict[str, Any]], str]


def _header(part: Mapping[str, Any], given: Any) -> _Filled:
    kind = get_text(part, "format").upper() or "TEXT"
    if kind == "TEXT":
        parameters, text = _with_texts(get_text(part, "text"), given, MAX_HEADER)
        return _component("header", parameters), text
    if kind == "LOCATION":
        return _component("header", [{"type": "location", "location": _location(given)}]), f"📍 {given['name']}"
    if kind not in _MEDIA:
        raise _Wrong(f"cannot be sent from here yet: it is a {kind.lower()}")
    media = _media(_MEDIA[kind], given)
    return _component("header", [{"type": _MEDIA[kind], _MEDIA[kind]: media}]), f"[{media.get('filename', _MEDIA[kind])}]"


def _body(part: Mapping[str, Any], given: Any) -> _Filled:
    parameters, text = _with_texts(get_text(part, "text"), given, MAX_BODY)
    return _component("body", parameters), text


def _buttons(part: Mapping[str, Any], given: Any) -> _Filled:
    """`given`: {"0": text} by the number of the button, which counts from 0."""
    buttons = get_objects(part.get("buttons"))
    texts = {} if given is None else given
    if not isinstance(texts, dict) or not set(texts) <= {str(number) for number in range(len(buttons))}:
        raise _Wrong(f'must be an object like {{"0": "text"}}, with numbers from 0 to {len(buttons) - 1}')
    filled = []
    for number, button in enumerate(buttons):
        try:
            parameter = _button(button, texts.get(str(number)))
        except _Wrong as wrong:
            raise _Wrong(f"button {number} ({get_text(button, 'text')!r}): {wrong}") from None
        if parameter is not None:
            sub_type, value = parameter
            filled.append({"type": "button", "sub_type": sub_type, "index": str(number), "parameters": [value]})
    return filled, ""


def _button(button: Mapping[str, Any], given: Any) -> tuple[str, dict[str, Any]] | None:
    """Its kind for Meta and its parameter; None if it takes none."""
    kind = get_text(button, "type").upper()
    if kind in ("URL", "OTP"):
        url = get_text(button, "url")
        if kind == "OTP" or _PLACEHOLDER.search(url):
            text = _text(given, MAX_URL - len(url))
            if " " in text:
                raise _Wrong("must not have a space, for it becomes part of an address")
            return "url", {"type": "text", "text": text}
    elif kind == "QUICK_REPLY":
        return ("quick_reply", {"type": "payload", "payload": _text(given, MAX_PAYLOAD)}) if given is not None else None
    elif kind == "COPY_CODE":
        return "copy_code", {"type": "coupon_code", "coupon_code": _text(given, MAX_CODE)}
    elif kind == "FLOW":
        token = "unused" if given is None else _text(given, MAX_PAYLOAD)
        return "flow", {"type": "action", "action": {"flow_token": token}}
    elif kind not in _PLAIN_BUTTONS:
        raise _Wrong(f"cannot be sent from here yet: it is of the type {kind.lower() or 'unknown'}")
    if given is not None:
        raise _Wrong("takes no parameter")
    return None


#: Meta's kind of component -> the name of its parameters in the API, and who fills it.
_FILLERS: dict[str, tuple[str, Callable[[Mapping[str, Any], Any], _Filled]]] = {
    "HEADER": ("header", _header),
    "BODY": ("body", _body),
    "BUTTONS": ("buttons", _buttons),
}


def _component(kind: str, parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": kind, "parameters": parameters}] if parameters else []


def _with_texts(words: str, given: Any, limit: int) -> tuple[list[dict[str, Any]], str]:
    """Meta's parameters for the placeholders of a text, and the text with them in their places."""
    names = list(dict.fromkeys(_PLACEHOLDER.findall(words)))
    texts = _positional(names, given) if all(name.isdigit() for name in names) else _named(names, given)
    text = _PLACEHOLDER.sub(lambda found: texts[found[1]], words)
    if len(text) > limit:
        raise _Wrong(f"makes a text of {len(text)} characters; at most {limit} are allowed")
    is_named = any(not name.isdigit() for name in names)
    return [{"type": "text", **({"parameter_name": name} if is_named else {}), "text": texts[name]} for name in texts], text


def _positional(names: list[str], given: Any) -> dict[str, str]:
    names = sorted(names, key=int)
    if not names:
        if given:
            raise _Wrong("must not be given, for this part takes no parameters")
        return {}
    shown = ", ".join(f"{{{{{name}}}}}" for name in names)
    if not isinstance(given, list):
        raise _Wrong(f"must be a list of {len(names)} texts, for {shown} in this order; names are for templates that have them")
    if len(given) != len(names):
        raise _Wrong(f"must be a list of {len(names)} texts, for {shown}, and has {len(given)}")
    return {name: _checked(f"number {name}", text) for name, text in zip(names, given, strict=True)}


def _named(names: list[str], given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise _Wrong(f"must be an object with {', '.join(names)}; a list is for templates whose parameters have numbers")
    if missing := [name for name in names if name not in given]:
        raise _Wrong(f"must have {', '.join(names)}; {', '.join(missing)} is missing")
    if unknown := sorted(set(given) - set(names)):
        raise _Wrong(f"must have {', '.join(names)} and nothing else, and has {', '.join(map(str, unknown))[:80]}")
    return {name: _checked(name, given[name]) for name in names}


def _checked(name: str, given: Any) -> str:
    try:
        return _text(given, MAX_BODY)
    except _Wrong as wrong:
        raise _Wrong(f"{name}: {wrong}") from None


def _text(given: Any, limit: int) -> str:
    if given is None:
        raise _Wrong("must be given")
    if not isinstance(given, str) or not given.strip():
        raise _Wrong("must be a text that is not empty")
    if len(given) > limit:
        raise _Wrong(f"must have at most {limit} characters, and has {len(given)}")
    if _SPACE.search(given) or strip_invalid(given) != given:
        raise _Wrong("must not have line breaks, tabs, more than four spaces in a row, or NUL")
    return given


def _media(kind: str, given: Any) -> dict[str, str]:
    """An uploaded file's id, or a link that Meta fetches."""
    allowed = {"id", "link", *(("filename",) if kind == "document" else ())}
    is_one = isinstance(given, dict) and set(given) <= allowed and len({"id", "link"} & set(given)) == 1
    if not is_one:
        raise _Wrong(f'must be the {kind}: {_EXAMPLES.get(kind, _EXAMPLES["image"])}, or {{"id": "…"}} of one that Meta has')
    media = {name: _text(value, MAX_URL) for name, value in given.items()}
    if "link" in media:
        try:
            media["link"] = normalize_url(media["link"], allow_private=False)
        except UrlRefused as refused:
            raise _Wrong(f"link: {refused}") from None
    return media


def _location(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) != {"latitude", "longitude", "name", "address"}:
        raise _Wrong('must be the place: {"latitude": -22.9, "longitude": -43.2, "name": "…", "address": "…"}')
    for name, most in (("latitude", 90), ("longitude", 180)):
        if isinstance(given[name], bool) or not isinstance(given[name], int | float) or not -most <= given[name] <= most:
            raise _Wrong(f"{name} must be a number from -{most} to {most}")
    return {**given, "name": _text(given["name"], MAX_BODY), "address": _text(given["address"], MAX_BODY)}
