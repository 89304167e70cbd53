"""What of an answer may be shown while it comes, in pieces that may end in the middle of a marker or of a call."""

from __future__ import annotations

import re

from shared.ai import calls, headed_thoughts, named_calls, roles, template_turns, tool_results
from shared.ai.answer_text import MARKUP, NOTHING, PIPED, PREFIXES, TAGS, TRIGGERS, markers_of, visible_part
from shared.ai.tools import TOOLS

#: From where on nothing is for the customer, as far as can be told before the end.
_NO_WORDS = re.compile(rf"{calls.MARK.pattern}|{tool_results.MARK.pattern}", re.I)
#: Characters of a marker with what belongs to it.
_MAX_MARKER = 100
#: What may yet become a marker, at the end of a text: a channel's name waits for what follows it.
_TAIL = re.compile(
    r"(?:<\|(?:start|channel|constrain)\|?>[^<>]{0,40}){0,3}(?P<begun>[<\[◁][^<>\[\]◁▷&`]{0,100}"
    r"|&(?:l?|lt|lt;[^<>&;`]{0,100}(?:&g?t?)?)|\\(?:u0{0,2}|u003c?|u003c[^<>\\`]{0,100}(?:\\(?:u0{0,2}|u003)?)?)?"
    r"|^[ \t]*`{1,3}[ \t]*[\w-]{0,40}[ \t]*)?\Z",
    re.M,
)
_BEGUN_TAG = re.compile(r"</?([\w:-]*)(\s.*)?", re.S)
#: As they are compared: without lines between their words.
_HIDDEN = TAGS | tool_results.NAMES
_THOUGHTS = (*sorted(_HIDDEN), *(prefix.rstrip("_") for prefix in PREFIXES))
_TAG_NAMES = (
    *headed_thoughts.FRAMES,
    *("details", "knowledge", "item", "grok:render"),
    *(
        f"{prefix}{name}"
        for prefix in ("", "seed:", "minimax:", "longcat_")
        for name in ("tool_call", "tool_calls", "function_call")
    ),
    *("function_calls", "toolcall", "tool_use", "tool_code", "start_function_call", *TOOLS, *named_calls.TAGS),
)
_PIPED = (
    "content inner_prefix inner_suffix channel message start end return call constrain begin_of_box end_of_box "
    "start_response end_response begin_of_solution end_of_solution im_end tool_call tool_calls tool_call_start tool_call_begin "
    "tool_calls_section_begin python_tag python_start action_start start_action tools_prefix"
)
_OTHERS = (
    *(f"[{mark}{word}]" for word in PIPED for mark in ("", "/")),
    *("◁think▷", "◁/think▷", "<unused94>", "<unused95>", "<channel|>", "<|channel>", "<|tool_call>"),
)
_OF_CALLS = (
    "[tool_calls]",
    *(f"[{mark}{word}]" for word in ("tool_results", "tool_content", *tool_results.BRACKETED) for mark in ("", "/")),
    *tool_results.BARRED,
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool_calls_begin｜>",
    "<｜dsml｜function_calls>",
)
_OF_THOUGHTS = (
    f"{before}{word}{behind}"
    for side in ("begin", "start", "end")
    for before in ("", "/", side, f"{side}_", f"{side}of", f"{side}_of_")
    for word in PIPED
    for behind in ("", "_start", "_begin", "_end")
)
_LITERALS = (
    *_OTHERS,
    *_OF_CALLS,
    *template_turns.ENDS,
    *template_turns.MARKS,
    *(f"<|{name}|>" for name in (*_PIPED.split(), *_OF_THOUGHTS)),
)
#: Characters of what is held back as a whole.
_LONGEST_PART = 3_600
#: What an item of knowledge begins with (prompt.py), up to the end of its title; a fold, up to the end of its summary; a server's
#: marks of what it has searched for. And markup behind which spaces go as well.
_BEGUN_SUMMARY = rf"(?:{'|'.join('summary'[:length] for length in range(8))})(?:\s[^<>]{{0,80}})?"
_BEGUN_PART = re.compile(
    r"<item number=[^<>]{0,3500}\Z"
    rf"|<details(?:\s[^<>]{{0,300}})?>\s*(?:<(?:{_BEGUN_SUMMARY}|summary\b[^<>]*>(?:(?!</summary\s*>)[\s\S]){{0,120}}))?\Z"
    r"|<grok:render\b(?:(?!</grok:render>)[\s\S]){0,500}\Z|\ue200[^\ue201]{0,300}\Z|【[\d:]{0,8}(?:†[^】\n]{0,80})?\Z"
)
_MARKUP_LAST = re.compile(rf"(?:{MARKUP.pattern})\Z")
#: How a text begins that may be no text: a call of a tool that is written as one, JSON, or thoughts without markers.
_MAY_BE_CALL = ("{", "```", "[{", "<json>", "json{", "json {", "json\n{", "json[", "json [", "json\n[")
_BARE_BEGINNINGS = (
    *("analysis", "assistantanalysis", "assistantcommentary", "Here is my thought process:", "Here's my thought process:"),
    *TOOLS,
    *(f"{mark}Thinking{dots}" for mark in ("", "*", "_") for dots in ("...", "…")),
)
#: A text of up to so many characters is read again at each piece that may have a marker; a longer one when it has grown by this
#: share of what is beyond, or a page of HTML would cost the square of its length; one of this length, when it is twice as long.
_READ_EACH_TIME, _GROWTH, _LONG = 2_000, 0.04, 40_000


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
        #: Whether there is more of the text than what was read.
        self._is_late = False
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
            self._is_held = self._is_late = True
            return "", False
        growth = _GROWTH * max(0, len(self._text) - _READ_EACH_TIME) if len(self._text) < _LONG else len(self._text)
        self._read_again_at = len(self._text) + growth
        return self._read()

    def end(self) -> tuple[str, bool]:
        """The same, where the text ends and was not read to its end."""
        return self._read() if self._is_late else ("", False)

    def _read(self) -> tuple[str, bool]:
        before, self._shown, self._is_late = self._shown, self._visible(), False
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
        markers = markers_of(settled)
        self._has_marker = bool(markers)
        # What a closing marker means is known when something follows it.
        is_undecided = bool(markers) and not settled[markers[-1].end :].strip()
        settled = settled[: markers[-1].end] if is_undecided else settled
        visible, is_thinking = visible_part(settled)
        self._is_held = is_undecided or len(settled) < len(self._text)
        visible = roles.without_beginning(visible.lstrip(), self._own_name).lstrip()
        call = _NO_WORDS.search(visible)
        visible = roles.without_end(visible[: call.start()]) if call else visible
        may_begin_turn = roles.may_begin(visible, self._own_name)
        visible, is_over = self._own_turn(visible, is_ended=is_thinking or call is not None)
        is_no_text = visible.startswith(_MAY_BE_CALL) or self.is_unproven
        begins = None if is_no_text or call else calls.begins(visible, TOOLS, goes_on=not is_thinking)
        if begins is not None:  # what is shown already stays
            visible, self._is_held = visible[: max(begins, len(self._shown))], True
        self._is_hidden = is_thinking or is_no_text or is_over or call is not None
        if is_no_text or visible.startswith(_BARE_BEGINNINGS) or headed_thoughts.has_begun(visible):
            return ""
        is_decided = is_thinking or call is not None
        may_be = may_begin_turn or any(start.startswith(visible) for start in (*_MAY_BE_CALL, *_BARE_BEGINNINGS, *NOTHING))
        return "" if (may_be or headed_thoughts.may_begin(visible)) and not is_decided else visible

    def _own_turn(self, text: str, *, is_ended: bool) -> tuple[str, bool]:
        """The text without what ends the model's turn, or may end it, and without markup; and whether the turn has ended."""
        if not is_ended and (begins := template_turns.may_begin(text)) is not None:
            text, self._is_held = text[:begins], True
        text, is_own = template_turns.own(text)
        own = roles.before_next_turn(text, self._own_name)
        is_over = not is_own or own != text
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
    if part := _BEGUN_PART.search(text, max(0, len(text) - _LONGEST_PART)):
        return part.start()
    tail = _TAIL.search(text, max(0, len(text) - 2 * _MAX_MARKER))
    assert tail is not None, "it matches an empty end"
    begun = tail["begun"]
    is_text = begun is not None and tail.start() == tail.start("begun") and not _may_become_marker(begun)
    return len(text) if is_text else tail.start()


def _may_become_marker(begun: str) -> bool:
    if (fence := begun.lstrip())[:1] == "`":
        language = _plain(fence.lstrip("`").strip().lower())
        return not language or any(name.startswith(language) for name in _HIDDEN)
    begun = begun.lower().replace("&lt;", "<", 1).replace("\\u003c", "<", 1)
    begun = re.sub(r"\A<\s*(/?)\s*", r"<\1", re.split(r"[&\\]", begun)[0] if begun[0] == "<" else begun)
    barred = begun.replace("｜", "|").replace("▁", "_")
    if begun[0] in "&\\" or any(literal.startswith((begun, barred)) for literal in _LITERALS):
        return True
    tag = _BEGUN_TAG.fullmatch(begun)
    if tag is None:
        return False
    name, is_suffixed, _ = tag[1].rpartition(":")
    if is_suffixed and (_plain(name) in TAGS or name in _TAG_NAMES):  # <think:opensource>
        return True
    thoughts = _plain(re.sub(rf"\A(?:{'|'.join(PREFIXES)}|minimax:)", "", tag[1]))
    if tag[2]:
        return tag[1] in _TAG_NAMES or thoughts in _HIDDEN
    return any(name.startswith(tag[1]) for name in _TAG_NAMES) or any(
        name.startswith((_plain(tag[1]), thoughts)) for name in _THOUGHTS
    )


def _plain(name: str) -> str:
    """A name without the lines between its words."""
    return re.sub("[_-]", "", name)
