"""What a model thinks before it answers: never for the customer, and never for a later prompt.

Where a provider does not keep them apart (`reasoning_content`), thoughts stand in the text between markers. One of the two may
be missing: a chat template begins the answer with the opening one, and a limit of tokens ends it before the closing one.
"""

from __future__ import annotations

import re

#: Names of the tags, as models write them.
TAGS = ("think", "thinking", "thought", "thoughts", "reasoning")
#: Characters of a tag with attributes.
MAX_TAG = 100

_NAMES = "|".join(TAGS)
_OPENING = re.compile(rf"<({_NAMES})(?:\s[^<>]*)?>", re.I)
_CLOSING = re.compile(rf"</({_NAMES})\s*>", re.I)
_TAG_BEGUN = re.compile(r"</?([a-zA-Z]*)(\s[^<>]*)?")
#: How a text begins that may be a call of a tool written as text, which nobody wants to read.
_MAY_BE_CALL = ("{", "```", "[{", "<tool")


class VisibleText:
    """What may be shown of a text that comes in pieces. Nothing is held back but what may yet become a tag, or a tool's call.

    `hides_beginning`: the model may begin in its thoughts, without an opening tag: nothing is shown before they end, or before
    they come apart from the text (`begin`).
    """

    def __init__(self, *, hides_beginning: bool = False) -> None:
        self._held = ""
        self._hides_beginning = hides_beginning
        self._is_thought = False
        self._has_begun = self._is_call = False
        #: Whether text that was shown has turned out to be a thought: what is shown next replaces it.
        self.takes_back = False

    def begin(self) -> None:
        """The text has its beginning where it seems to have it."""
        self._hides_beginning = False

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        self._held += piece
        visible = ""
        while tag := (_CLOSING if self._is_thought else _ANY).search(self._held):
            before, self._held = self._held[: tag.start()], self._held[tag.end() :]
            if self._is_thought:
                self._is_thought = False
            elif tag[0].startswith("</"):  # its opening was left out: all before was a thought
                visible, self.takes_back, self._has_begun = "", self._has_begun, False
            else:
                visible, self._is_thought = visible + before, True
            self._hides_beginning = False
        return self._shown(visible + self._released())

    def _released(self) -> str:
        """Takes from what is held what cannot become a tag any more."""
        at = self._held.rfind("<")
        end = at if at >= 0 and _may_become_tag(self._held[at:]) else len(self._held)
        released, self._held = self._held[:end], self._held[end:]
        return "" if self._is_thought or self._hides_beginning else released

    def _shown(self, text: str) -> str:
        if self._has_begun:
            return text
        text = text.lstrip()
        self._is_call = self._is_call or text.startswith(_MAY_BE_CALL)
        if self._is_call:
            return ""
        if any(start.startswith(text) for start in _MAY_BE_CALL):
            self._held = text + self._held
            return ""
        self._has_begun = True
        return text


_ANY = re.compile(f"{_OPENING.pattern}|{_CLOSING.pattern}", re.I)


def _may_become_tag(text: str) -> bool:
    begun = _TAG_BEGUN.fullmatch(text)
    if not begun or len(text) > MAX_TAG:
        return False
    name = begun[1].lower()
    return name in TAGS if begun[2] else any(tag.startswith(name) for tag in TAGS)


#: <think>, [THINK] (Mistral), ◁think▷ (Kimi), <|begin_of_thought|>, <|START_THINKING|> (Cohere), <unused94> (Gemma).
_NAMED = rf"(?:seed:|ant)?(?:{_NAMES})"
_OPENS = (
    rf"<\s*{_NAMED}(?:\s[^<>]*)?>|\[THINK\]|◁think▷"
    r"|<\|(?:begin_of_thought|START_THINKING|thinking)\|>|<unused94>(?:thought)?"
)
_CLOSES = rf"<\s*/\s*{_NAMED}\s*>|\[/THINK\]|◁/think▷|<\|(?:end_of_thought|END_THINKING|/thinking)\|>|<unused95>"
#: Channels: <|channel|>analysis<|message|> (Harmony), <|channel>thought (Gemma).
_CHANNEL_OPENS = r"<\|channel\|?>\s*(?:analysis|commentary|thought)\b[^<]*(?:<\|message\|>)?"
_CHANNEL_CLOSES = r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|?>\s*final\b[^<]*<\|message\|>|<channel\|>"
MARKER = re.compile(rf"(?P<opens>{_OPENS}|{_CHANNEL_OPENS})|(?P<closes>{_CLOSES}|{_CHANNEL_CLOSES})", re.I)
#: What frames the answer itself and is not part of it.
_FRAME = re.compile(
    r"<\|start\|>\s*assistant|</?(?:answer|response|final_answer)>"
    r"|<\|(?:start|end|return|message|call|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution|im_end)\|>",
    re.I,
)
#: Harmony whose markers a server has dropped, and left the names of the channels.
_BARE_HARMONY = re.compile(r"\A\s*analysis[\s\S]*?assistant\s?final(?=\S)")


def without(text: str) -> str:
    """The text without its thoughts; "" if it is nothing else."""
    bare = _BARE_HARMONY.match(text)
    if bare:
        text = text[bare.end() :]
    if not MARKER.search(text):
        return text
    visible, begin, is_thinking, has_closed = "", 0, False, False
    for marker in MARKER.finditer(text):
        piece = "" if is_thinking else text[begin : marker.start()]
        if marker["opens"]:
            visible, is_thinking = visible + piece, True
        elif is_thinking:
            is_thinking, has_closed = False, True
        elif has_closed and not text[marker.end() :].strip():
            visible += piece  # a closing marker too many, behind the answer
        else:
            visible, has_closed = "", True  # all before it were thoughts, whose beginning is not marked
        begin = marker.end()
    visible += "" if is_thinking else text[begin:]
    return _FRAME.sub("", visible).strip()
