"""Markdown as a text: with WhatsApp's marks, or with none.

What has no marks is left as it is, to the last space: each block of a text is either its own lines, or rendered. WhatsApp's marks
work on one line, at the borders of words, and have no headings, tables, links, rules or pictures; those become words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markdown_it.tree import SyntaxTreeNode as Node

from shared.channels.formatting import dialect
from shared.channels.formatting.line import PLAIN, WHATSAPP, WHATSAPP_BY_PERSON, LineRenderer, Style

#: What may be a mark, a rule, or an item of a numbered list. A text without any is no Markdown.
_MAY_BE_MARK = re.compile(r"[*_`#\[|>\\<~]|^[ \t]*(?:(?:-[ \t]*){3,}$|\d+[.)][ \t])", re.M)
_QUOTE = re.compile(r"[\s>]*")
_LISTS = ("bullet_list", "ordered_list")


def is_plain(text: str) -> bool:
    """Whether nothing in a text can be Markdown. Most messages are, and need no parser."""
    return _MAY_BE_MARK.search(text) is None


def to_whatsapp(markdown: str, *, by_person: bool = False) -> str:
    """The text with WhatsApp's marks. `by_person`: someone of the business wrote it, who may know those marks."""
    return _convert(markdown, WHATSAPP_BY_PERSON if by_person else WHATSAPP)


def to_plain(markdown: str) -> str:
    """The text without marks, for channels that have none."""
    return _convert(markdown, PLAIN)


def _convert(markdown: str, style: Style) -> str:
    if is_plain(markdown):
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
        self.lines, self.style, self.line = lines, style, LineRenderer(style)

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
        text, stands_apart = "", False
        for node in nodes:
            block = self._block(node)
            if block is None:  # a rule: what is around it stands apart
                stands_apart = True
                continue
            if text:
                gap = max(self._gap_before(node), 1 if stands_apart or node.type == "table" else 0)
                text += "\n" * (gap + 1)
            text += block
            stands_apart = node.type == "table"
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
        return inline.content if _is_literal(inline) else self.line.render(inline)

    def _heading(self, node: Node) -> str:
        if not node.children or not node.children[0].content:
            return ""
        return self.line.marked(self.line.render(node.children[0], frozenset({"strong"})), self.style.bold)

    def _fence(self, node: Node) -> str:
        content = node.content.removesuffix("\n")
        if dialect.MARKDOWN.fullmatch(node.info):
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
        return self.line.render(cell.children[0], active).replace("\n", ", ")

    def _named(self, name: str, value: str) -> str:
        return f"{self.line.marked(f'{name}:', self.style.bold)} {value}" if name else value

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


def _span(node: Node) -> tuple[int, int]:
    assert node.map is not None, "blocks know their lines"
    return node.map


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
