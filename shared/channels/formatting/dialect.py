"""What counts as Markdown: CommonMark with tables and strikethrough, without what chat texts contain by accident.

Left as text: emphasis within words and between numbers (snake_case, 2*3*4, 2**3), HTML and entities, indented code, references,
a line without a bar below a table, underlined headings (`---` below a line is a rule without an empty line before it), `+`
bullets ("+ shipping"), `>` without a space (">18"), links to no address ("f[0](x)"), and addresses of the web, whatever
characters they have.

Marked all the same: what CommonMark leaves with its stars because of what stands beside it, as in "**Price:**10 €",
"Price**10 €**", "~~12 €~~9 €" and scripts without spaces.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, fence, list_block
from markdown_it.rules_inline import StateInline, escape
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.tree import SyntaxTreeNode

#: How deep quotes, lists and marks are nested at most; what is deeper stays text, as a whole.
MAX_NESTING = 60
#: Opening brackets of a text that is parsed; each is looked for its end, so time grows with their square.
MAX_BRACKETS = 1_000
#: What a link may lead to.
_ADDRESS = re.compile(
    r"(?:https?://|mailto:|tel:|sms:|whatsapp:|geo:|www\.|[/#])\S|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:[/?#:]|$)", re.I
)
#: What a fence is called whose content is the answer itself, and no code.
MARKDOWN = re.compile(r"\s*(?:markdown|md)\s*", re.I)
_SCHEME = re.compile(r"(?<![a-z0-9])https?\Z", re.I)
_URL_REST = re.compile(r"://(?:[^\s<>\[\]`\"*]|\*(?!\*))+", re.I)
_ESCAPED = frozenset(string.punctuation + "\n") - {"\\"}
_BREAK = re.compile(r"<br\s*/?>", re.I)
_WINDOWS_PATH = re.compile(r"\A\W?(?:[a-z]:\\|\\\\)", re.I)


def parse(text: str) -> SyntaxTreeNode | None:
    """The tree of a text; None if it is nested too deep, or has too many brackets, to be anybody's meaning."""
    if text.count("[") > MAX_BRACKETS:
        return None
    tokens = _parser.parse(text)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return None
    return SyntaxTreeNode(tokens)


def is_word(character: str) -> bool:
    """Whether a character is part of a word: letters, digits, and the signs that are written above and below them."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def is_amount(before: str, after: str) -> bool:
    """Whether a number or a sum stands right behind a word: "Price" and "10 €". Behind one letter it is arithmetic ("x**2")."""
    begins = after[:1].isdigit() or unicodedata.category(after[:1] or " ") == "Sc"
    return begins and len(before) > 1 and before[-2:].isalpha()


def _is_unspaced(character: str) -> bool:
    """Whether its script writes words without spaces between them: Thai to Khmer, Chinese, Japanese, and their punctuation."""
    return "\u0e00" <= character <= "\u0eff" or "\u1780" <= character <= "\u17ff" or "\u3000" <= character <= "\u9fff"


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Marks of emphasis. They open and close at the borders of words, in every script."""
    start = state.pos
    marker = state.src[start]
    if silent or marker not in "_*":
        return False
    length = state.scanDelims(start, marker == "*").length
    before, after = state.src[start - 1 : start] or " ", state.src[start + length : start + length + 1] or " "
    following = state.src[start + length + 1 : start + length + 2]
    can_open, can_close = _sides(marker, length, before, after, following)
    if length == 2:
        can_close = can_close or _ends_label(state.src[:start], after)
        if marker == "*" and is_amount(state.src[max(0, start - 2) : start], after):
            line = state.src[state.src.rfind("\n", 0, start) + 1 : start]
            can_open, can_close = can_open or not _is_open(line), can_close or _is_begun(line)
    for _ in range(length):
        state.push("text", "", 0).content = marker
        delimiter = Delimiter(
            marker=ord(marker), length=length, token=len(state.tokens) - 1, end=-1, open=can_open, close=can_close
        )
        state.delimiters.append(delimiter)
    state.pos += length
    return True


def _strike(state: StateInline, silent: bool) -> bool:
    """What is struck out, mostly a price; at whatever stands beside it, unlike in CommonMark: "~~25 €~~19 €"."""
    start = state.pos
    if silent or state.src[start] != "~":
        return False
    length = state.scanDelims(start, True).length
    state.push("text", "", 0).content = "~" * length
    if length == 2:
        can_open, can_close = not state.src[start + 2 : start + 3].isspace(), not state.src[start - 1 : start].isspace()
        delimiter = Delimiter(marker=ord("~"), length=0, token=len(state.tokens) - 1, end=-1, open=can_open, close=can_close)
        state.delimiters.append(delimiter)
    state.pos += length
    return True


def _ends_label(text: str, after: str) -> bool:
    """Whether marks behind this text end a label whose space is on the wrong side of them: "**Note: **we ship"."""
    return text.endswith((": ", "：")) and not after.isspace() and _is_open(text.rpartition("\n")[2])


def _is_open(line: str) -> bool:
    return line.count("**") % 2 == 1


def _is_begun(line: str) -> bool:
    """Whether a word is marked from its beginning on, as in "**Price**10 €"; of "radius**2 + width**2" none is."""
    before = line.rpartition("**")[0]
    return _is_open(line) and not is_word(before[-1:] or " ")


def _sides(marker: str, length: int, before: str, after: str, following: str) -> tuple[bool, bool]:
    """Whether marks between these characters open, and whether they close."""
    if length > 3:
        return False, False  # a line to be filled in
    can_open, can_close = _underscores(before, after, following) if marker == "_" else _stars(length, before, after)
    if before in ":：" and is_word(after):  # a label: "*Price:*10"
        can_close = can_close or marker == "*" or length > 1
    return can_open and not after.isspace(), can_close and not before.isspace()


def _underscores(before: str, after: str, following: str) -> tuple[bool, bool]:
    """Neither side is within a name or an address: snake_case, /a_b/."""
    goes_on = is_word(after) or after in "/@\\=&" or (after == "." and following.isalnum())
    return not is_word(before) and before not in "/@\\=&.", not goes_on


def _stars(length: int, before: str, after: str) -> tuple[bool, bool]:
    """One star is at a border of a word. Two and more may be within one, unless it is arithmetic: "(a+b)**2"."""
    can_open, can_close = not is_word(before) or _is_unspaced(before), not is_word(after) or _is_unspaced(after)
    if length == 1:
        return can_open and before not in ")]", can_close
    is_within_word = before.isalpha() and after.isalpha()  # "un**believ**able"
    is_run_on = not is_word(before) and (after.isalpha() or (after.isdigit() and before not in ")]}"))  # "**50%**5"
    return can_open or is_within_word, can_close or is_within_word or is_run_on


def _address(state: StateInline, silent: bool) -> bool:
    """The address of a page, from its colon on; its scheme is read already."""
    pos = state.pos
    if not state.src.startswith("://", pos) or not (scheme := _SCHEME.search(state.src, max(0, pos - 6), pos)):
        return False
    rest = _URL_REST.match(state.src, pos, state.posMax)
    url = _without_tail(scheme[0] + rest[0]) if rest else ""
    if len(url) <= len(scheme[0]) + 3:
        return False
    if not silent:
        if state.linkLevel:
            state.pending += url[len(scheme[0]) :]
        else:
            state.pending = state.pending.removesuffix(scheme[0])
            opening = state.push("link_open", "a", 1)
            opening.attrs, opening.info = {"href": url}, "address"
            state.push("text", "", 0).content = url
            state.push("link_close", "a", -1)
    state.pos += len(url) - len(scheme[0])
    return True


def _without_tail(url: str) -> str:
    """Without the punctuation of the sentence around it. A bracket that the address opened is its own."""
    while url and (url[-1] in ".,;:!?'*_~|}" or (url[-1] == ")" and url.count("(") < url.count(")"))):
        url = url[:-1]
    return url


def _escape(state: StateInline, silent: bool) -> bool:
    """A backslash before a mark, but for those of Windows paths (C:\\_old) and of ¯\\_(ツ)_/¯."""
    pos, source = state.pos, state.src
    if source[pos] != "\\" or source[pos - 1 : pos] in ("\\", "¯") or source[pos + 1 : pos + 2] not in _ESCAPED:
        return False
    word = source[max(source.rfind(blank, 0, pos) for blank in " \n\t") + 1 : pos + 1]
    return not _WINDOWS_PATH.match(word) and escape(state, silent)


def _line_break(state: StateInline, silent: bool) -> bool:
    """The one tag that models write where Markdown has nothing: a new line."""
    found = _BREAK.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


BlockRule = Callable[[StateBlock, int, int, bool], bool]


def _unless(rule: BlockRule, looks_like_text: re.Pattern[str]) -> BlockRule:
    """The rule, for lines whose beginning is not just text that looks like it."""

    def chosen(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        at = state.bMarks[start] + state.tShift[start]
        return not looks_like_text.match(state.src, at, state.eMarks[start]) and rule(state, start, end, silent)

    return chosen


def _ends_table(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """A line without a bar is no row of the table above it, but what is said next."""
    return silent and state.parentType == "table" and "|" not in state.src[state.bMarks[start] : state.eMarks[start]]


def _make() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    parser.disable(["code", "lheading", "reference", "html_block", "html_inline", "entity", "text_join"])
    for name, rule, looks_like_text, interrupts in (
        ("list", list_block, r"\+", ["paragraph", "reference", "blockquote"]),
        ("blockquote", blockquote, r">(?:[^\s>]|>>)", ["paragraph", "reference", "blockquote", "list"]),
        ("fence", fence, r"~", ["paragraph", "reference", "blockquote", "list"]),
    ):
        parser.block.ruler.at(name, _unless(rule, re.compile(looks_like_text)), {"alt": interrupts})
    parser.block.ruler.push("ends_table", _ends_table, {"alt": ["blockquote"]})  # whose rules end tables as well
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.inline.ruler.at("strikethrough", _strike)
    parser.inline.ruler.at("escape", _escape)
    parser.inline.ruler.before("emphasis", "address", _address)
    parser.inline.ruler.before("autolink", "line_break", _line_break)
    chosen: Any = parser  # its methods are meant to be replaced
    chosen.validateLink = lambda url: _ADDRESS.match(url) is not None
    chosen.normalizeLink = str
    chosen.normalizeLinkText = str
    return parser


_parser = _make()
