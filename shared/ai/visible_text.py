"""What of an answer may be shown while it comes, in pieces that may end in the middle of a marker or of a call."""

from __future__ import annotations

import re

from shared.ai import calls, named_calls, roles
from shared.ai.answer_text import MARKUP, PREFIXES, TAGS, THOUGHT_HEADS, TRIGGERS, markers_of, visible_part
from shared.ai.calls import MARK as CALL
from shared.ai.tools import TOOLS

#: Characters of a marker with what belongs to it.
_MAX_MARKER = 100
#: What may yet become a marker, at the end of a text: a channel's name waits for what follows it.
_TAIL = re.compile(
    r"(?:<\|(?:start|channel)\|?>[^<>]{0,40}){0,2}(?P<begun>[<\[◁][^<>\[\]◁▷&`]{0,100}"
    r"|&(?:l?|lt|lt;[^<>&;`]{0,100}(?:&g?t?)?)|\\(?:u0{0,2}|u003c?|u003c[^<>\\`]{0,100}(?:\\(?:u0{0,2}|u003)?)?)?"
    r"|^[ \t]*`{1,3}[ \t]*[\w-]{0,40}[ \t]*)?\Z",
    re.M,
)
_BEGUN_TAG = re.compile(r"</?([a-z:_]*)(\s.*)?", re.S)
_TAG_NAMES = (
    *TAGS,
    *(f"{prefix}{tag}" for prefix in PREFIXES for tag in TAGS),
    *("answer", "response", "reply", "output", "final", "final_answer", "details", "knowledge", "item"),
    *(
        f"{prefix}{name}"
        for prefix in ("", "seed:", "minimax:", "longcat_")
        for name in ("tool_call", "tool_calls", "function_call")
    ),
    *("function_calls", "toolcall", "tool_use", "start_function_call", *TOOLS, *named_calls.TAGS),
)
_PIPED = (
    "begin_of_thought end_of_thought begin_of_reasoning end_of_reasoning reasoning /reasoning start_thinking end_thinking "
    "thinking /thinking think /think content inner_prefix inner_suffix channel message start end return call "
    "start_response end_response begin_of_solution end_of_solution im_end tool_call tool_calls tool_call_start tool_call_begin "
    "tool_calls_section_begin python_tag python_start action_start start_action tools_prefix"
)
_OTHERS = (
    *("[think]", "[/think]", "[thinking]", "[/thinking]", "[reasoning]", "[/reasoning]"),
    *("◁think▷", "◁/think▷", "<unused94>", "<unused95>", "<channel|>", "<|channel>", "<|tool_call>"),
)
_OF_CALLS = (
    "[tool_calls]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool_calls_begin｜>",
    "<｜dsml｜function_calls>",
)
_LITERALS = (*_OTHERS, *_OF_CALLS, *roles.ENDS, *roles.MARKS, *(f"<|{name}|>" for name in _PIPED.split()))
#: What an item of knowledge begins with (prompt.py), up to the end of its title; and markup behind which spaces go as well.
_BEGUN_ITEM = re.compile(r"<item number=[^<>]{0,3500}\Z")
_MARKUP_LAST = re.compile(rf"(?:{MARKUP.pattern})\Z")
#: How a text begins that may be no text: a call of a tool that is written as one, or thoughts without markers.
_MAY_BE_CALL = ("{", "```", "[{")
_BARE_BEGINNINGS = (
    *("analysis", "assistantanalysis", "assistantcommentary", "Here is my thought process:", "Here's my thought process:"),
    *(*TOOLS, *THOUGHT_HEADS),
    *(f"{mark}Thinking{dots}" for mark in ("", "*", "_") for dots in ("...", "…")),
)
#: A text of up to so many characters is read again at each piece that may have a marker; a longer one when it has grown by this
#: share of what is beyond, or a page of HTML would cost the square of its length.
_READ_EACH_TIME, _GROWTH = 2_000, 0.02


class VisibleText:
    """What of a text that comes in pieces may be shown. Nothing is held back but what may yet become a marker, or is no text.

    `begins_in_thoughts`: the model leaves the opening marker out, so nothing is shown before the closing one, unless its thoughts
    come apart (`thoughts_are_apart`). `own_name`: what the bot is called.
    """

    def __init__(self, *, begins_in_thoughts: bool = False, own_name: str = "") -> None:
        self._text, self._shown, self._own_name = "", "", own_name
        self._begins_in_thoughts = begins_in_thoughts
        #: Whether what comes next is hidden, unless a marker says otherwise; whether the text's end depends on what follows.
        self._is_hidden = self._is_held = False
        self._has_marker = False
        #: The length at which the text is read again.
        self._read_again_at = 0.0

    @property
    def is_unproven(self) -> bool:
        """Whether the end of the thoughts never came."""
        return self._begins_in_thoughts and not self._has_marker

    def thoughts_are_apart(self) -> None:
        """The text has none."""
        self._begins_in_thoughts = False

    def feed(self, piece: str) -> tuple[str, bool]:
        """What is to be shown now, and whether it takes the place of all that was shown before."""
        self._text += piece
        if not self._is_held and (self._shown or self._is_hidden) and not self._may_begin(piece):
            piece = "" if self._is_hidden else piece
            self._shown += piece
            return piece, False
        if len(self._text) < self._read_again_at:
            self._is_held = True
            return "", False
        self._read_again_at = len(self._text) + _GROWTH * max(0, len(self._text) - _READ_EACH_TIME)
        before, self._shown = self._shown, self._visible()
        if self._shown.startswith(before):
            return self._shown[len(before) :], False
        return self._shown, True

    def _may_begin(self, piece: str) -> bool:
        """Whether a piece has something that a marker, a turn or a call begins with."""
        if any(trigger in piece for trigger in TRIGGERS):
            return True
        return not self._is_hidden and (
            roles.has_begun_turn(self._text, len(piece)) or named_calls.begins(self._text, TOOLS) is not None
        )

    def _visible(self) -> str:
        settled = self._text[: _settled(self._text)]
        visible, is_thinking = visible_part(settled)
        markers = markers_of(settled)
        self._has_marker = bool(markers)
        # What a closing marker means is known when something follows it.
        self._is_held = len(settled) < len(self._text) or (bool(markers) and not settled[markers[-1].end :].strip())
        visible = roles.without_beginning(visible.lstrip(), self._own_name).lstrip()
        call = CALL.search(visible)
        visible = visible[: call.start()] if call else visible
        may_begin_turn = roles.may_begin(visible, self._own_name)
        visible, is_over = self._own_turn(visible, is_ended=is_thinking or call is not None)
        is_no_text = visible.startswith(_MAY_BE_CALL) or self.is_unproven
        begins = None if is_no_text or call else calls.begins(visible, TOOLS, goes_on=not is_thinking)
        if begins is not None:  # what is shown already stays
            visible, self._is_held = visible[: max(begins, len(self._shown))], True
        self._is_hidden = is_thinking or is_no_text or is_over or call is not None
        if is_no_text or visible.startswith(_BARE_BEGINNINGS):
            return ""
        is_decided = is_thinking or call is not None
        may_be = may_begin_turn or any(start.startswith(visible) for start in (*_MAY_BE_CALL, *_BARE_BEGINNINGS))
        return "" if may_be and not is_decided else visible

    def _own_turn(self, text: str, *, is_ended: bool) -> tuple[str, bool]:
        """The text without what ends the model's turn, or may end it, and without markup; and whether the turn has ended."""
        own = roles.before_next_turn(text, self._own_name)
        is_over = own != text
        if is_over or not is_ended:
            own = roles.without_end(own)
        if not is_over and not is_ended:  # what follows says whether it is the end
            begins = roles.next_may_begin(text, self._own_name)
            self._is_held |= begins is not None or own != text
            own = own if begins is None else own[:begins]
        self._is_held |= _MARKUP_LAST.search(own) is not None
        return MARKUP.sub("", own), is_over


def _settled(text: str) -> int:
    """Where the end of a text begins that may yet become a marker."""
    if item := _BEGUN_ITEM.search(text):
        return item.start()
    tail = _TAIL.search(text, max(0, len(text) - 2 * _MAX_MARKER))
    assert tail is not None, "it matches an empty end"
    begun = tail["begun"]
    is_text = begun is not None and tail.start() == tail.start("begun") and not _may_become_marker(begun)
    return len(text) if is_text else tail.start()


def _may_become_marker(begun: str) -> bool:
    if (fence := begun.lstrip())[:1] == "`":
        language = fence.lstrip("`").strip().lower()
        return not language or any(name.startswith(language) for name in TAGS)
    begun = begun.lower().replace("&lt;", "<", 1).replace("\\u003c", "<", 1)
    begun = re.sub(r"\A<\s*(/?)\s*", r"<\1", re.split(r"[&\\]", begun)[0] if begun[0] == "<" else begun)
    if begun[0] in "&\\" or any(literal.startswith(begun) for literal in _LITERALS):
        return True
    tag = _BEGUN_TAG.fullmatch(begun)
    if tag is None:
        return False
    return tag[1] in _TAG_NAMES if tag[2] else any(name.startswith(tag[1]) for name in _TAG_NAMES)
