"""What is within a line of Markdown: bold, italic, code, links, as the marks that a channel has, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it.tree import SyntaxTreeNode as Node

from shared.channels.formatting import dialect

#: An address at the end of a mark would take the mark for its own.
_ADDRESS_AT_END = re.compile(r"(?:https?://|www\.)[^\s)]*\Z", re.I)

#: How what stands before its text ends: a name, a question, a call.
_ENDS_OF_LABELS = (":", "!", "?", "：", "！", "？", "。")


@dataclass(frozen=True)
class Style:
    """How marks are written; "" for none. `single`: what *one star* is, in bot's texts and in people's."""

    bold: str
    italic: str
    single: str
    strike: str
    code: str
    fence: str
    #: Whether marks work within a word.
    anywhere: bool


WHATSAPP = Style(bold="*", italic="_", single="_", strike="~", code="`", fence="```", anywhere=False)
#: A person who writes *so* knows WhatsApp and means bold.
WHATSAPP_BY_PERSON = Style(bold="*", italic="_", single="*", strike="~", code="`", fence="```", anywhere=False)
#: What is struck out says the opposite without a mark.
PLAIN = Style(bold="", italic="", single="", strike="~", code="", fence="", anywhere=True)


class LineRenderer:
    """Renders what is within a block, in one style."""

    def __init__(self, style: Style) -> None:
        self.style = style

    def render(self, node: Node, active: frozenset[str] = frozenset()) -> str:
        """The text of a node; `active` are the kinds of marks that are around it."""
        pieces = [(child, self._piece(child, active)) for child in node.children]
        text = ""
        for index, (child, piece) in enumerate(pieces):
            mark = self._mark_of(child, active)
            after = next((other for _, other in pieces[index + 1 :] if other), "")
            is_marked = mark or (self.style.anywhere and child.type == "strong")
            text += self._between(text, piece, after, mark, child.type) if is_marked else piece
        return text

    def _between(self, before: str, piece: str, after: str, mark: str, kind: str) -> str:
        """A marked piece between what stands around it. Where marks work at the borders of words only, one within a word has
        none; but a label, a sum, and what is struck out, which would say the opposite, get the space that they lack."""
        is_amount = kind == "strong" and dialect.is_amount(before, piece)
        has_amount = kind == "strong" and dialect.is_amount(piece, after)
        if self.style.anywhere:
            return f"{' ' * is_amount}{self.marked(piece, mark)}{' ' * has_amount}"
        opens_in_word = dialect.is_word(before[-1:] or " ") and not piece[:1].isspace()
        closes_in_word = dialect.is_word(after[:1] or " ") and not piece[-1:].isspace()
        if kind == "s" or is_amount or has_amount or (not opens_in_word and piece.endswith(_ENDS_OF_LABELS)):
            return f"{' ' * opens_in_word}{self.marked(piece, mark)}{' ' * closes_in_word}"
        return piece if opens_in_word or closes_in_word else self.marked(piece, mark)

    def _mark_of(self, node: Node, active: frozenset[str]) -> str:
        if node.type not in ("strong", "em", "s") or node.type in active:
            return ""
        if node.type == "strong" or (node.type == "em" and _only_strong(node)):
            return self.style.bold
        if node.type == "em":
            return self.style.single if node.markup == "*" else self.style.italic
        return self.style.strike

    def _piece(self, node: Node, active: frozenset[str]) -> str:
        if node.type in ("strong", "em", "s"):
            inner = _only_strong(node)
            if inner is not None and "strong" not in active:  # ***x***: bold around italic
                return self.marked(self.render(inner, active | {"strong", "em"}), self.style.italic)
            return self.render(node, active | {node.type})
        if node.type == "code_inline":
            return self._code(node.content)
        if node.type in ("softbreak", "hardbreak"):
            return "\n"
        if node.type in ("link", "image"):
            return self._link(node, active)
        return node.content if not node.children else self.render(node, active)

    def _code(self, content: str) -> str:
        mark = self.style.fence if "`" in content else self.style.code
        return f"{mark}{content}{mark}"

    def _link(self, node: Node, active: frozenset[str]) -> str:
        is_image = node.type == "image"
        address = str(node.attrs["src" if is_image else "href"])
        label = self.render(node, active).strip() if node.children else ""
        shown = address.removeprefix("mailto:").removeprefix("tel:")
        if not label or _bare(label) == _bare(shown):
            return shown
        if any(child.type == "image" for child in node.children):  # a picture that is a link
            label = re.sub(r"\s\(\S+\)\Z", "", label)
        return f"{label} ({shown})"

    def marked(self, text: str, mark: str) -> str:
        """Marks each line, without the space around its words."""
        return "\n".join(_wrap_line(line, mark) for line in text.split("\n")) if mark else text


def _wrap_line(line: str, mark: str) -> str:
    words = line.strip()
    if not words or _ADDRESS_AT_END.search(words):
        return line
    at = line.index(words)
    return f"{line[:at]}{mark}{words}{mark}{line[at + len(words) :]}"


def _bare(address: str) -> str:
    """An address as it is compared with the words of its link: a phone number by its digits."""
    if re.fullmatch(r"[+\d\s().-]+", address):
        return re.sub(r"\D", "", address)
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", address.lower()).rstrip("/")


def _only_strong(node: Node) -> Node | None:
    within = [child for child in node.children if child.type != "text" or child.content]
    return within[0] if node.type == "em" and len(within) == 1 and within[0].type == "strong" else None
