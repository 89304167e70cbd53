"""Answers that their model has wrapped: in JSON, because it was asked for that somewhere, or in a fence.

Only a whole answer counts. JSON has the words under one of the names that people and models give them, perhaps within other
JSON; an object without such a name may be what the customer asked for.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

#: Languages of a fence around a text that is no code.
_TEXTS = ("markdown", "md", "text", "txt")
_JSON = ("json", "json5", "jsonc")
#: JSON that says that it is, or ends with a fence that nobody has opened.
_NAMED = re.compile(r"(?:json\s*(?=[{\[])|<json>\s*)?([{\[][\s\S]*[}\]])\s*(?:</json>|```)?", re.I)
#: Members of an object in which an answer may be, the surest first, and those whose own members are looked at.
_ANSWERS = (
    *("answer", "final_answer", "response", "final_response", "reply", "assistant"),
    *("antwort", "respuesta", "réponse", "resposta", "risposta", "antwoord", "ответ", "回答"),
    *("action_input", "message", "nachricht", "mensaje", "text", "content", "output", "output_text", "result", "final"),
)
_AROUND = (*_ANSWERS, "data", "parameters", "arguments", "messages")
#: What else such a name may have: final_answer, bot_response, reply_text, "Reply to customer".
_MORE = re.compile(
    r"\A(?:final|bot|chatbot|assistant|model|your)_|_(?:text|message|content|(?:to|for)_(?:the_)?(?:customer|user))\Z"
)
#: How deep an answer may be wrapped, and characters of one that is written as Python writes its objects.
_DEPTH, _LONGEST = 4, 20_000
#: An object of such a name that has no end, for the answer reached its limit.
_BEGUN = re.compile(
    rf'\A\s*(?:```(?:json)?\s*)?\{{\s*"(?:{"|".join(_ANSWERS)})"\s*:\s*"'
    r'(?P<words>(?>(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-f]{4}))*))(?:\\(?:u[0-9a-f]{0,3})?)?\Z',
    re.I,
)


def words_of(text: str) -> str:
    """What a wrapped answer says; one that is not wrapped, as it is."""
    inner, language = text.strip(), ""
    if len(inner) > 6 and inner.startswith("```") and inner.endswith("```"):
        language, _, inner = inner[3:-3].partition("\n")
        language, inner = language.strip().lower(), inner.strip()
    if language in _TEXTS and "```" not in inner:
        return inner
    if language not in ("", *_JSON):
        return text
    inner = found[1] if (found := _NAMED.fullmatch(inner)) else inner
    if inner[:1] + inner[-1:] not in ("{}", "[]", '""'):
        return _words_begun(text) or text
    value = _loaded(inner)
    return _words_in(value) or ("" if _is_empty(value) else text)


def _loaded(text: str) -> Any:
    """JSON, or an object as Python writes it."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text) if text[0] == "{" and len(text) <= _LONGEST else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _is_empty(value: Any) -> bool:
    """Whether JSON says nothing: {}, or {"answer": "", "sources": []}."""
    if isinstance(value, Mapping) and value:
        has_answer = any(str(name).lower() in _ANSWERS and inner in ("", None) for name, inner in value.items())
        return has_answer and not any(value.values())
    return value in ("", {})


def _words_begun(text: str) -> str:
    """The words of an object that has no end."""
    begun = _BEGUN.match(text)
    try:
        return json.loads(f'"{begun["words"]}"', strict=False).strip() if begun else ""
    except ValueError:
        return ""


def _name(member: Any) -> str:
    name = str(member).strip().lower().replace(" ", "_")
    return name if name in _AROUND else _MORE.sub("", name)


def _words_in(value: Any, depth: int = _DEPTH) -> str:
    if isinstance(value, str):
        return value.strip()
    if not depth:
        return ""
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and part.get("type") for part in value):
        return "".join(part["text"] for part in value if part["type"] == "text" and isinstance(part.get("text"), str)).strip()
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        return _words_in(value[0], depth - 1)
    if not isinstance(value, Mapping) or value.get("role") in ("user", "system"):
        return ""
    members = {_name(name): inner for name, inner in value.items()}
    found = (_words_in(members[name], depth - 1) for name in _ANSWERS if name in members)
    around = (
        _words_in(inner, depth - 1) for name, inner in members.items() if name in _AROUND and isinstance(inner, Mapping | list)
    )
    return next(filter(None, (*found, *around)), "")
