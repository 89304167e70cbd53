"""The model's own turn in a text: no mark of a template and no role's name stands before it, and no turn behind it that the model
makes up because nothing has stopped it. The same rules say what may yet become one of these, at the end of a text that comes in
pieces.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from shared.ai.template_turns import ANY_END, ENDS, USERS

#: What a model calls itself before its turn.
_ASSISTANTS = (
    *(
        f"{kind}{word}"
        for kind in ("", "ai ", "ki-", "virtual ")
        for word in ("assistant", "assistent", "asistente", "assistente")
    ),
    *("ai", "chatbot", "ассистент", "помощник", "助手", "アシスタント", "어시스턴트"),
)
#: The same, where it may also be the answer's own word ("Response: 2 hours"): the chatbot's name is one as well.
_DOUBTFUL = ("response", "reply", "bot")
_ANSWERS = ("Final Answer", "Final answer", "Answer", "Antwort", "Respuesta", "Réponse", "Risposta", "Resposta")
#: How an answer is headed by models that were taught to think aloud.
ANSWER_HEADS = tuple(f"{mark}{word}:" for mark in ("", "**") for word in _ANSWERS)
#: Behind a head: what it heads. A sentence of its own, where the head is doubtful.
_WORDS = r"(?=[^\s*_]|[*_]{1,2}\w)"
_SENTENCE = r"(?=[*_]{0,2}(?-i:[A-ZÀ-ÖØ-Þ¡¿\u0370-\U0010ffff]))"
ANSWER_HEAD = rf"(?:{'|'.join(map(re.escape, ANSWER_HEADS))})(?:\*\*)?\s*{_WORDS}"
_BOLD = r"(?:\*\*|__)?"
_COLON = r"[^\S\n]?[:：]"

#: How a template begins the model's turn.
_OWN_BEGINNINGS = (
    *("<s>", "[/inst]", "<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>", "<|assistant|>"),
    *("<start_of_turn>model\n", "<｜assistant｜>", "assistant\n"),
)
_NOTES = ("[0 hours later", "[0 days later", "[0 weeks later", "[a colleague", "[replies to: ", "[the customer reacted with ")
_LONGEST_BEGINNING = 400
_NOTE = r"\[(?:\d+ (?:hours|days|weeks) later|a colleague|replies to: |the customer reacted with )[^\]\n]{0,300}"

_USER = rf"(?:{'|'.join(USERS)})"
_LAST_END = re.compile(rf"{ANY_END}\Z", re.I)
_LONGEST_END = max(map(len, ENDS))
#: A role's name alone on the last line, which is no form to fill in: the line before has no colon either.
_LONE_NAME = re.compile(
    rf"(?<=[^\s:：])\s*\n{_BOLD}(?P<name>{_USER}|{'|'.join(map(re.escape, _ASSISTANTS))}){_BOLD}{_COLON}{_BOLD}\s*\Z", re.I
)
#: A line of the customer's and how the next line begins, of which nobody can tell yet whether it is the model's.
_BEGUN_TURN = re.compile(rf"\n(?:\*\*)?{_USER}(?:\*\*)?{_COLON}[^\n]*(?:\n+(?P<next>[^\n]*))?\Z", re.I)
_NAMED_LINE = re.compile(rf"\n(?:\*\*)?{_USER}(?:\*\*)?{_COLON}", re.I)
#: The same at the beginning of a text.
_ASKED = re.compile(rf"\s*{_BOLD}{_USER}{_BOLD}{_COLON}[^\n]*(?:\n\s*(?P<next>[^\n]+)?)?\Z", re.I)
#: Characters of a name with its marks.
_LONGEST_NAME = 40


class _Patterns(NamedTuple):
    begins: re.Pattern[str]
    begun: re.Pattern[str]
    next_turn: re.Pattern[str]
    names: tuple[str, ...]


@lru_cache(maxsize=1024)
def _patterns(own_name: str) -> _Patterns:
    """What stands before the model's turn, a beginning of that which has all but the words, and the next turn, by names."""
    doubtful = (*_DOUBTFUL, own) if len(own := own_name.strip()) > 1 else _DOUBTFUL
    sure, maybe = _any_of(_ASSISTANTS), _any_of(doubtful)
    head = rf"{_BOLD}{{}}{_BOLD}{_COLON}{_BOLD}\s*"
    asked = rf"{_BOLD}{_USER}{_BOLD}{_COLON}[^\n]{{0,{_LONGEST_BEGINNING}}}\n\s*"  # what the model repeats before its answer
    template = (
        r"(?:<s>|\[/INST\]|<\|im_start\|>\s*assistant\s*\n|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|assistant\|>"
        r"|<start_of_turn>\s*model\s*\n|<｜Assistant｜>|assistant\s*\n)"
    )
    begins = (
        rf"\A\s*(?:{template}\s*)+|\A\s*{ANSWER_HEAD}|\A\s*{head.format(sure)}{_WORDS}|\A\s*{head.format(maybe)}{_SENTENCE}"
        rf"|\A\s*{_NOTE}\]\s*(?=\S)|\A\s*{asked}(?={head.format(sure)}{_WORDS}|{head.format(maybe)}{_SENTENCE})"
    )
    begun = rf"(?:{head.format(_any_of((*_ASSISTANTS, *doubtful, *map(str.casefold, _ANSWERS))))}[*_]*|{_NOTE}\]?\s*)\Z"
    next_turn = (
        r"\n[ \t]*\n(?:\*\*)?Human:"
        rf"|\n(?:\*\*)?{_USER}(?:\*\*)?{_COLON}[^\n]*\n+(?:\*\*)?{_any_of((*_ASSISTANTS, *doubtful))}(?:\*\*)?{_COLON}"
    )
    named = tuple(map(str.casefold, (*_ASSISTANTS, *doubtful)))
    return _Patterns(re.compile(begins, re.I), re.compile(begun, re.I), re.compile(next_turn, re.I), named)


def _any_of(names: tuple[str, ...]) -> str:
    return rf"(?:{'|'.join(map(re.escape, names))})"


def without_beginning(text: str, own_name: str = "") -> str:
    """The text without marks, a role's name and a note of our prompt (prompt.py) before it."""
    begins = _patterns(own_name).begins
    for _ in range(4):  # a mark, the question, a name, a note
        text, found = begins.subn("", text, count=1)
        if not found:
            break
    return text


def before_next_turn(text: str, own_name: str = "") -> str:
    """The text before the customer's next turn, by names; the end of its line stays."""
    following = _patterns(own_name).next_turn.search(text)
    if following is None or not text[: following.start()].strip():
        return text
    return text[: following.end() - len(following[0].lstrip())]


def without_end(text: str) -> str:
    """The text without the marks at its end that are the model's own, and a role's name that nothing follows; </s> may also end
    what is struck out.
    """
    end = _without_ends(text)
    if not ("</s>" in text[end:] and "<s>" in text):
        text = text[:end]
    lone = _LONE_NAME.search(text)
    return text[: text.rindex("\n", 0, lone.start("name")) + 1] if lone else text


def _without_ends(text: str) -> int:
    """Where the marks begin that a text ends with; read from the end, for a model may repeat one thousands of times."""
    begin = end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        found = _LAST_END.search(text, max(0, end - _LONGEST_END), end)
        if found is None:
            return begin
        begin = end = found.start()


def may_begin(text: str, own_name: str = "") -> bool:
    """Whether all of a text may yet become what `without_beginning` takes out."""
    if len(text) > _LONGEST_BEGINNING:
        return False
    patterns, plain = _patterns(own_name), text.casefold()
    if asked := _ASKED.match(plain):  # the next line says whose turn it is
        return asked["next"] is None or _begins_name(asked["next"], patterns.names)
    if plain.startswith("["):
        noted = re.sub(r"\d+", "0", plain)
        return any(note.startswith(noted) for note in _NOTES) or bool(patterns.begun.match(text)) or "[/inst]".startswith(plain)
    names = (*patterns.names, *map(str.casefold, (*_ANSWERS, *USERS)))
    plain = re.sub(r"(?<=>)\s+|[^\S\n]+(?=\n)", "", plain)
    return (
        any(mark.startswith(plain) for mark in _OWN_BEGINNINGS) or _begins_name(plain, names) or bool(patterns.begun.match(text))
    )


def next_may_begin(text: str, own_name: str = "") -> int | None:
    """Where the end of a text begins that may yet become the next turn; None if there is no such end."""
    turn = _BEGUN_TURN.search(text)
    if turn and (turn["next"] is None or _begins_name(turn["next"].casefold(), _patterns(own_name).names)):
        return turn.start() + 1
    line = text.rfind("\n") + 1
    return line if line and _is_begun_name(text[line:]) else None


def has_begun_turn(text: str, new: int) -> bool:
    """Whether a turn by names may begin in the last `new` characters of a text, or with its last line: quick, for each piece."""
    tail = text[-new - _LONGEST_NAME :]
    line = tail.rfind("\n") + 1
    return line > 0 and (tail[line : line + 1] == "#" or _is_begun_name(tail[line:]) or _NAMED_LINE.search(tail) is not None)


def _is_begun_name(line: str) -> bool:
    return bool(line) and _begins_name(line.casefold(), (*USERS, *_ASSISTANTS))


def _begins_name(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text may become a name with a colon; the name alone, in bold or not, and the colon are that as well."""
    bare = text.lstrip("*_").replace("：", ":").replace(" :", ":").rstrip(" *_:")
    return any(name.startswith(bare) for name in names) if bare or not text.strip("*_ ") else False
