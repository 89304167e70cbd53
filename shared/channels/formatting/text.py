"""Markdown as a text: with WhatsApp's marks, or with none.

What has no marks is left as it is, to the last space: each block of a text is either its own lines, or rendered. WhatsApp's marks
work on one line, at the borders of words, and have no headings, tables, links, rules or pictures; those become words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markdown_it.tree import SyntaxTreeNode as Node

from shared.channels.formatting import dialect

_QUOTE = re.compile(r"[\s>]*")
#: An address at the end of a mark would take the mark for its own.
_ADDRESS_AT_END = re.compile(r"(?:https?://|www\.)[^\s)]*\Z", re.I)
_LISTS = ("bullet_list", "ordered_list")
_MARKDOWN = re.compile(r"\s*(?:markdown|md)\s*", re.I)


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


_WHATSAPP = Style(bold="*", italic="_", single="_", strike="~", code="`", fence="```", anywhere=False)
#: A person who writes *so* knows WhatsApp and means bold.
_WHATSAPP_BY_PERSON = Style(bold="*", italic="_", single="*", strike="~", code="`", fence="```", anywhere=False)
#: What is struck out says the opposite without a mark.
_PLAIN = Style(bold="", italic="", single="", strike="~", code="", fence="", anywhere=True)


def to_whatsapp(markdown: str, *, by_person: bool = False) -> str:
    """The text with WhatsApp's marks. `by_person`: someone of the business wrote it, who may know those marks."""
    return _convert(markdown, _WHATSAPP_BY_PERSON if by_person else _WHATSAPP)


def to_plain(markdown: str) -> str:
    """The text without marks, for channels that have none."""
    return _convert(markdown, _PLAIN)


def _convert(markdown: str, style: Style) -> str:
    if dialect.is_plain(markdown):
        return markdown
    source = markdown.replace("\r\n", "\n").replace("\r", "\n")
    tree = dialect.parse(source)
    if tree is None:
        return markdown
    rendered = _Renderer(source.split("\n"), style).document(tree)
    return markdown if rendered == source or not rendered.strip() else rendered


class _Renderer:
    """Renders the blocks of one source."""

    def __init__(self, lines: list[str], style: Style) -> None:
        self.lines, self.style = lines, style

    def document(self, tree: Node) -> str:
        if not tree.children:
            return "\n".join(self.lines)
        rendered = self.blocks(tree.children)
        first, last = tree.children[0], tree.children[-1]
        before = "\n" * _span(first)[0]
        after = "\n" * (len(self.lines) - self._end(last))
        has_ends = first.type != "hr" and last.type != "hr"
        return before + rendered + after if has_ends else rendered.strip("\n")

    def blocks(self, nodes: Sequence[Node]) -> str:
        """The blocks with as many empty lines between them as the source has."""
        text, is_after_rule = "", False
        for node in nodes:
            block = self._block(node)
            if block is None:  # a rule: what is around it stands apart
                is_after_rule = True
                continue
            if text:
                gap = max(self._gap_before(node), 1 if is_after_rule or node.type == "table" else 0)
                text += "\n" * (gap + 1)
            text += block
            is_after_rule = False
        return text

    def _block(self, node: Node) -> str | None:
        if self._is_unchanged(node):
            return "\n".join(self.lines[_span(node)[0] : self._end(node)])
        render = _BLOCKS.get(node.type)
        return render(self, node) if render else self.blocks(node.children)

    def _is_unchanged(self, node: Node) -> bool:
        if node.parent is None or node.parent.type != "root":
            return False
        if node.type == "fence":
            return not node.content
        if node.type == "hr":
            return len(self.lines[_span(node)[0]].strip()) > len("- - -")  # drawn by hand
        return _is_literal_block(node)

    def _paragraph(self, node: Node) -> str:
        inline = node.children[0]
        return inline.content if _is_literal(inline) else self._children(inline)

    def _heading(self, node: Node) -> str:
        if not node.children or not node.children[0].content:
            return ""
        return self._wrap(self._children(node.children[0], frozenset({"strong"})), self.style.bold)

    def _fence(self, node: Node) -> str:
        content = node.content.removesuffix("\n")
        if _MARKDOWN.fullmatch(node.info):
            return _convert(content, self.style)
        return f"{self.style.fence}\n{content}\n{self.style.fence}" if self.style.fence else content

    def _quote(self, node: Node) -> str:
        return "\n".join(
            line if line.startswith("> ") else f"> {line}".rstrip() for line in self.blocks(node.children).split("\n")
        )

    def _list(self, node: Node) -> str:
        text = ""
        for bullet, item in zip(_bullets(node), node.children, strict=True):
            text += "\n" * (self._gap_before(item) + 1) if text else ""
            text += bullet + self._item(item)
        return text

    def _item(self, item: Node) -> str:
        """What is below the first line of an item stands in; code does not, whose spaces would be shown."""
        first, *rest = self.blocks(item.children).split("\n") if item.children else [""]
        is_code, lines = first.startswith("```"), [first]
        for line in rest:
            is_fence = line.startswith("```")
            lines.append(line if is_code or is_fence or not line else f"  {line}")
            is_code ^= is_fence
        return "\n".join(lines)

    def _table(self, node: Node) -> str:
        head, *bodies = node.children
        names = [self._cell(cell, frozenset({"strong"})).rstrip(":") for cell in head.children[0].children]
        rows = [[self._cell(cell) for cell in row.children] for body in bodies for row in body.children]
        named = ["\n".join(self._named(*pair) for pair in zip(names, row, strict=False) if pair[1]) for row in rows]
        return "\n\n".join(filter(None, named)) if rows else ", ".join(filter(None, names))

    def _cell(self, cell: Node, active: frozenset[str] = frozenset()) -> str:
        return self._children(cell.children[0], active).replace("\n", ", ")

    def _named(self, name: str, value: str) -> str:
        return f"{self._wrap(f'{name}:', self.style.bold)} {value}" if name else value

    def _gap_before(self, node: Node) -> int:
        start = at = _span(node)[0]
        while at > 0 and _QUOTE.fullmatch(self.lines[at - 1]):
            at -= 1
        return start - at

    def _end(self, node: Node) -> int:
        """The line behind the last one of a block; a list's own end includes what is empty below it."""
        start, end = _span(node)
        while end - 1 > start and not self.lines[end - 1].strip() and node.type != "fence":
            end -= 1
        return end

    # ---- what is within a line

    def _children(self, node: Node, active: frozenset[str] = frozenset()) -> str:
        pieces = [(child, self._piece(child, active)) for child in node.children]
        text = ""
        for index, (child, piece) in enumerate(pieces):
            mark = self._mark_of(child, active)
            after = next((other for _, other in pieces[index + 1 :] if other), "")
            is_within_word = dialect.is_word(text[-1:] or " ") or dialect.is_word(after[:1] or " ")
            if is_within_word and not self.style.anywhere:
                mark = ""
            text += self._wrap(piece, mark) if mark else piece
        return text

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
                return self._wrap(self._children(inner, active | {"strong", "em"}), self.style.italic)
            return self._children(node, active | {node.type})
        if node.type == "code_inline":
            return self._code(node.content)
        if node.type in ("softbreak", "hardbreak"):
            return "\n"
        if node.type in ("link", "image"):
            return self._link(node, active)
        return node.content if not node.children else self._children(node, active)

    def _code(self, content: str) -> str:
        mark = self.style.fence if "`" in content else self.style.code
        return f"{mark}{content}{mark}"

    def _link(self, node: Node, active: frozenset[str]) -> str:
        is_image = node.type == "image"
        address = str(node.attrs["src" if is_image else "href"])
        label = self._children(node, active).strip() if node.children else ""
        shown = address.removeprefix("mailto:").removeprefix("tel:")
        if not label or _bare(label) == _bare(shown):
            return shown
        if any(child.type == "image" for child in node.children):  # a picture that is a link
            label = re.sub(r"\s\(\S+\)\Z", "", label)
        return f"{label} ({shown})"

    def _wrap(self, text: str, mark: str) -> str:
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


def _span(node: Node) -> tuple[int, int]:
    assert node.map is not None, "blocks know their lines"
    return node.map


def _only_strong(node: Node) -> Node | None:
    within = [child for child in node.children if child.type != "text" or child.content]
    return within[0] if node.type == "em" and len(within) == 1 and within[0].type == "strong" else None


def _is_literal(inline: Node) -> bool:
    """Whether a text says what it says."""
    return "\\\n" not in inline.content and all(
        child.type in ("text", "softbreak") or (child.type == "hardbreak" and "<" not in inline.content) or _is_bare_link(child)
        for child in inline.children
    )


def _is_bare_link(node: Node) -> bool:
    return node.type == "link" and node.info == "address"


def _is_literal_list(node: Node) -> bool:
    return not _is_renumbered(node) and all(_is_literal_block(child) for item in node.children for child in item.children)


def _is_literal_block(node: Node) -> bool:
    if node.type == "paragraph":
        return _is_literal(node.children[0])
    return node.type in _LISTS and _is_literal_list(node)


def _is_renumbered(node: Node) -> bool:
    """Whether all items have the same number, as Markdown allows: they count for themselves."""
    numbers = {item.info for item in node.children}
    return node.type == "ordered_list" and len(node.children) > 1 and len(numbers) == 1


def _bullets(node: Node) -> list[str]:
    if node.type == "bullet_list":
        return ["- "] * len(node.children)
    first = int(node.children[0].info)
    numbers = range(first, first + len(node.children)) if _is_renumbered(node) else [item.info for item in node.children]
    return [f"{number}{node.markup} " for number in numbers]


_BLOCKS: dict[str, Callable[[_Renderer, Node], str | None]] = {
    "paragraph": _Renderer._paragraph,
    "heading": _Renderer._heading,
    "fence": _Renderer._fence,
    "blockquote": _Renderer._quote,
    "bullet_list": _Renderer._list,
    "ordered_list": _Renderer._list,
    "table": _Renderer._table,
    "hr": lambda _self, _node: None,
}
