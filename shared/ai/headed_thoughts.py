"""Thoughts that begin an answer under a head, and not between markers: "Thought: … Final Answer: …", "### Thinking … ### Answer",
the same in other languages, "> **Reasoning:** …" and a quote, <plan>…</plan>.

A head alone proves nothing: an answer may have a heading of that name. So the thoughts' end has to be marked as well, by the head
of the answer, or as a quote, a fence or a tag has it. Nor does a tag around a few words in a sentence that goes on: a shop may
write "<plan>Basic</plan> costs 5 €".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: How the thoughts are headed; the first ones also where only a quote or a fence shows their end.
_SURE_NAMES = (
    *("Thinking", "Thinking process", "Thought process", "Reasoning", "Reasoning process", "Chain of thought"),
    *("Internal reasoning", "Internal monologue", "Inner monologue", "思考过程", "思考過程", "思维链", "推理过程"),
    "思考プロセス",
)
_NAMES = (
    *_SURE_NAMES,
    *("Thought", "Thoughts", "Gedanken", "Gedankengang", "Überlegung", "Überlegungen", "Denkprozess", "Razonamiento"),
    *("Pensamiento", "Raisonnement", "Réflexion", "Ragionamento", "Raciocínio", "Redenering", "Рассуждение", "Рассуждения"),
    *("Размышления", "思考", "推理", "推論", "생각", "추론"),
)
#: How the answer is headed behind them.
_ANSWERS = (
    *("Final Answer", "Answer", "Final Response", "Response", "Final Reply", "Reply", "Antwort", "Respuesta", "Réponse"),
    *("Risposta", "Resposta", "Antwoord", "Ответ", "回答", "最终回答", "答案", "最终答案", "回复", "最終回答"),
    *("답변", "최종 답변"),
)
#: Tags that no text for a customer begins with and goes on behind.
_TAGS = (
    *("plan", "internal", "internal_notes", "hidden", "private", "rationale", "reflect", "ponder", "contemplation"),
    *("contemplator", "brainstorm", "brainstorming", "strategy"),
)
#: What frames a whole answer.
FRAMES = (
    *("answer", "response", "reply", "output", "final", "final_answer", "final_response", "assistant_response", "assistant"),
    *("message", "text", "customer_reply", "customer_response", "customer_message", "reply_to_customer"),
)

_EMOJI = "[💭🧠🤔]\ufe0f?"


def _any_of(names: Iterable[str]) -> str:
    return rf"(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})"


def _head(names: Iterable[str], *, is_marked: bool = True) -> str:
    """A head: a name with a colon, or in brackets, or alone on its line, marked as a heading unless something else marks it."""
    lead = rf"(?:#{{1,6}}[ \t]+)?(?:{_EMOJI}[ \t]*)?(?:\*{{1,2}}|_{{1,2}})?(?:{_EMOJI}[ \t]*)?"
    close, name = r"(?:\*{1,2}|_{1,2})?", rf"{_any_of(names)}(?:\.{{1,3}}|…)?"
    marked = rf"(?=#|\*|_|{_EMOJI})" if is_marked else ""
    with_colon, alone = rf"{lead}{name}{close}[ \t]?[:：]{close}", rf"{marked}{lead}{name}{close}[ \t]*(?=\n)"
    return rf"[ \t]*(?:{with_colon}|{alone}|(?:\*\*)?(?:【{_any_of(names)}】|\[{_any_of(names)}\])(?:\*\*)?)"


#: What a tag may stand around that is an answer's own: a few words, behind which their sentence goes on.
OWN_WORDS = (
    r">[^<>\s.!?…。]{1,24}(?:[ \t][^<>\s.!?…。]{1,24}){0,3}</(?P=own)>"
    r"(?=[ \t]+(?-i:[a-zß-öø-ÿа-я\d€$£(–—-])|[ \t]*[,;:.)|])"
)
_OWN = re.compile(rf"\s*<(?P<own>{'|'.join(_TAGS)}){OWN_WORDS}", re.I)
_LINE = r"(?:[ \t]*[>_][^\n]*(?:\n|\Z))"
#: Thoughts with their end, from the beginning of an answer on; an answer that is framed as a whole.
THOUGHTS = re.compile(
    rf"\A\s*+{_head(_NAMES)}[\s\S]*?\n{_head(_ANSWERS)}\s*(?=[^\s*_]|[*_]{{1,2}}\w)"
    rf"|\A\s*+{_head(_SURE_NAMES)}\s*\n(?:{_LINE}+|[ \t]*```[^\n]*\n[\s\S]*?\n[ \t]*```[ \t]*(?:\n|\Z))\s*"
    rf"|\A\s*+>{_head(_SURE_NAMES, is_marked=False)}[^\n]*(?:\n|\Z){_LINE}*\s*"
    rf"|\A(?!{_OWN.pattern})\s*+(?:<(?P<tag>{'|'.join(_TAGS)})>(?:(?!</?(?P=tag)>)[\s\S])*</(?P=tag)>\s*)+(?=\S)",
    re.I,
)
FRAMED = re.compile(rf"\A\s*+<(?P<frame>{'|'.join(FRAMES)})>(?P<inner>(?:(?!</?(?P=frame)>)[\s\S])*)</(?P=frame)>\s*\Z", re.I)
#: How a text begins that may be all of this: a whole head, or a tag; and what may yet become one.
_BEGUN = re.compile(
    rf"\s*>?(?:{_head(_NAMES)}|{_head(_NAMES, is_marked=False)}(?=\n>)|<(?:{'|'.join((*_TAGS, *FRAMES))})>)", re.I
)
_MARKS = re.compile(rf"(?:[\s>#*_\[【\ufe0f]|{_EMOJI}){{0,12}}")
_ENDS_OF_HEADS = re.compile(r"[.…*_\]】]{0,6}[ \t]?\Z")
_HEADS = tuple(name.casefold() for name in _NAMES)
_BEGINNINGS = (*_HEADS, *(f"<{name}>" for name in (*_TAGS, *FRAMES)))


def has_begun(text: str) -> bool:
    """Whether a text begins as thoughts of this kind do, so that only what follows says what it is."""
    return _BEGUN.match(text) is not None and _OWN.match(text) is None


def may_begin(text: str) -> bool:
    """Whether all of a text may yet become such a beginning."""
    marks = _MARKS.match(text)
    assert marks is not None, "it matches an empty beginning"
    plain = text[marks.end() :].casefold()
    if any(beginning.startswith(plain) for beginning in _BEGINNINGS):
        return True
    return any(plain.startswith(head) and _ENDS_OF_HEADS.match(plain, len(head)) for head in _HEADS)
