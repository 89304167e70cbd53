"""What stands around an answer's words and is none of them: marks of turns, a role's name, JSON, markup of our own prompt.

A server whose chat template does not fit its model leaves the first; a model that was asked for JSON somewhere writes the second;
the last a small model copies from what it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_ASSISTANT = (
    r"(?:AI |KI-|virtual )?(?:assistant|assistent|asistente|assistente)|AI|chatbot"
    r"|ассистент|помощник|助手|アシスタント|어시스턴트"
)
_USER = (
    r"user|human|customer|kunde|kundin|nutzer|usuario|cliente|utilisateur|utente|gebruiker"
    r"|пользователь|用户|ユーザー|사용자"
)
#: What ends a turn for the model, where a server does not know it and leaves it in the text.
ENDS = (
    *(
        f"<|{name}|>"
        for name in ("im_end", "eot_id", "eom_id", "eot", "end", "return", "endoftext", "end_of_text", "end_of_turn")
    ),
    *(
        "<|endofturn|>",
        "<|eos|>",
        "<|end_of_turn_token|>",
        "<|observation|>",
        "[|endofturn|]",
        "<end_of_turn>",
        "<turn|>",
        "<eos>",
    ),
    *("<end_of_utterance>", "</s>", "[/inst]", "<｜end▁of▁sentence｜>"),
)
_ENDS = rf"(?:{'|'.join(map(re.escape, ENDS))})"
_END_OF_TURN = re.compile(rf"(?:{_ENDS}\s*)+\Z", re.I)
#: The customer's next turn, which the model makes up because nothing has stopped it; by marks, or by names of both roles.
_NEXT_TURN = re.compile(
    r"<\|im_start\|>\s*user|<\|start_header_id\|>\s*user|<start_of_turn>\s*user|<\|user\|>|<｜User｜>|</s>\s*(?:<s>\s*)?\[INST\]"
    rf"|{_ENDS}\s{{0,9}}(?:<\|(?:im_start|start_header_id)\|>\s*)?(?:{_USER})\s*[:：\n]"
    r"|\n[ \t]*\n(?:\*\*)?Human:"
    rf"|\n(?:\*\*)?(?:{_USER})(?:\*\*)?\s?[:：][^\n]*\n+(?:\*\*)?(?:{_ASSISTANT})(?:\*\*)?\s?[:：]",
    re.I,
)
#: How a turn of the model begins for a template; a role's name before it; a note as our prompt has them (prompt.py).
BEGINS = re.compile(
    r"\A\s*(?:(?:<s>|\[/INST\]|<\|im_start\|>\s*assistant\s*\n|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|assistant\|>"
    r"|<start_of_turn>\s*model\s*\n|<｜Assistant｜>|assistant\s*\n)\s*)+"
    rf"|\A\s*(?:\*\*|__)?(?:{_ASSISTANT})(?:\*\*|__)?\s?[:：](?:\*\*|__)?\s*(?=[^\s*_]|[*_]{{1,2}}\w)"
    r"|\A\s*\[(?:\d+ (?:hours|days|weeks) later|a colleague|replies to: |the customer reacted with )[^\]\n]{0,300}\]\s*(?=\S)",
    re.I,
)
#: The knowledge's markup, in an answer that repeats it.
_MARKUP = re.compile(r"</?knowledge>\s*|<item number=\"\d{1,3}\"[^<>]*>|</item>")
#: What our prompt escapes, or a server does.
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|#x27|#39);")
_CHARACTERS = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'"}
#: Letters that somebody escaped for JSON once too often.
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_ESCAPED_LINE_END = re.compile(r"\\n\\n|(?<=[.!?…)。])\\n")
_CODE = re.compile(r"(```[\s\S]*?(?:```|\Z)|`[^`\n]*`)")
#: Languages of a fence around a text that is no code.
_TEXTS = ("markdown", "md", "text", "txt")
#: Members of an object in which an answer may be.
_ANSWERS = ("answer", "response", "reply", "final_answer", "message", "text", "content", "output")


def without_turns(text: str) -> str:
    """The model's own turn: nothing of a template, no role's name before it, and none that it makes up behind it."""
    for _ in range(3):  # a mark, a name, a note
        text, found = BEGINS.subn("", text, count=1)
        if not found:
            break
    following = _NEXT_TURN.search(text)
    if following and text[: following.start()].strip():
        text = text[: following.start()]
    return without_end(text)


def without_end(text: str) -> str:
    """The text without the marks at its end that are the model's own; </s> may also end what is struck out."""
    found = _END_OF_TURN.search(text)
    return text if found is None or ("</s>" in found[0] and "<s>" in text) else text[: found.start()]


def words_of(text: str) -> str:
    """The words for the customer in an answer without calls and thoughts."""
    text = _unwrapped(text)
    text = _MARKUP.sub("", text)
    pieces = _CODE.split(text)  # every second one is code
    return "".join(piece if place % 2 else _readable(piece) for place, piece in enumerate(pieces)).strip()


def _readable(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED.sub(_letters, text)
        if "\n" not in text and _ESCAPED_LINE_END.search(text):
            text = text.replace("\\n", "\n")
    return _ENTITY.sub(lambda found: _CHARACTERS[found[0]], text)


def _letters(escaped: re.Match[str]) -> str:
    letters = escaped[0].encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return escaped[0] if letters.isascii() else letters


def _unwrapped(text: str) -> str:
    """What an answer says that is JSON, or a fence around a text, from its beginning to its end."""
    inner, language = text.strip(), ""
    if len(inner) > 6 and inner.startswith("```") and inner.endswith("```"):
        language, _, inner = inner[3:-3].partition("\n")
        language, inner = language.strip().lower(), inner.strip()
    if language in _TEXTS and "```" not in inner:
        return inner
    if language not in ("", "json"):
        return text
    if inner[:1] + inner[-1:] not in ("{}", "[]", '""'):
        return text
    try:
        value: Any = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return text
    return _words_in(value) or text


def _words_in(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        return "".join(part["text"] for part in value if isinstance(part.get("text"), str)).strip()
    if not isinstance(value, Mapping):
        return ""
    return next((words.strip() for name in _ANSWERS if isinstance(words := value.get(name), str) and words.strip()), "")
