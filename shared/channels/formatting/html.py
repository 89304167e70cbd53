"""Markdown as HTML that is safe to put into a page: only the tags below, every word escaped, links to web, mail and phone only.

Half a reply is as safe as a whole one, and looks like its beginning: the page shows replies while they are written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from html import escape

from markdown_it.tree import SyntaxTreeNode as Node

from shared.channels.formatting import dialect

_SCHEMES = re.compile(r"(?:https?://|mailto:|tel:)\S", re.I)
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+", re.I)
_SIMPLE = {"strong": "strong", "em": "em", "s": "s", "tr": "tr", "table": "table", "thead": "thead", "tbody": "tbody"}


@functools.lru_cache(maxsize=512)
def to_html(markdown: str) -> str:
    """The text as HTML. Kept for a while: each page that is open asks for the same again and again."""
    tree = dialect.parse(markdown)
    return _text(markdown) if tree is None else _all(tree)


def _all(node: Node, is_tight: bool = False) -> str:
    return "".join(_html(child, is_tight) for child in node.children)


def _html(node: Node, is_tight: bool = False) -> str:
    if node.type in _RENDERERS:
        return _RENDERERS[node.type](node)
    if node.type in _SIMPLE:
        tag = _SIMPLE[node.type]
        return f"<{tag}>{_all(node)}</{tag}>"
    if node.type == "paragraph":
        is_hidden = is_tight and node.hidden
        return _all(node) if is_hidden else f'<p dir="auto">{_all(node)}</p>'
    return _all(node) if node.children else _text(node.content)


def _text(words: str) -> str:
    return escape(words).replace("\n", "<br>")


def _list(node: Node) -> str:
    tag = "ul" if node.type == "bullet_list" else "ol"
    start = f' start="{int(node.attrs["start"])}"' if "start" in node.attrs else ""
    items = "".join(f'<li dir="auto">{_all(item, is_tight=True)}</li>' for item in node.children)
    return f"<{tag}{start}>{items}</{tag}>"


def _fence(node: Node) -> str:
    """Code; or an answer that its model has put into a fence, once."""
    tree = dialect.parse(node.content) if dialect.MARKDOWN.fullmatch(node.info) else None
    if tree is None or any(inner.type == "fence" and dialect.MARKDOWN.fullmatch(inner.info) for inner in tree.walk()):
        return f"<pre><code>{escape(node.content)}</code></pre>"
    return _all(tree)


def _link(node: Node) -> str:
    """A link; a picture is one too: of other sites the page shows none, for they would learn of its visitors."""
    address = str(node.attrs["src" if node.type == "image" else "href"])
    label = _text(_words(node)) if node.type == "image" else "".join(map(_label, node.children))
    label = label or escape(address)
    href = address if _SCHEMES.match(address) else f"https://{address}" if _DOMAIN.match(address) else ""
    if not href:
        return label
    return f'<a href="{escape(href)}" target="_blank" rel="noopener noreferrer nofollow">{label}</a>'


def _label(node: Node) -> str:
    return _text(_words(node)) if node.type in ("image", "link") else _html(node)


def _words(node: Node) -> str:
    return "".join(_words(child) for child in node.children) if node.children else node.content


_RENDERERS: dict[str, Callable[[Node], str]] = {
    "heading": lambda node: f'<p dir="auto" class="heading">{_all(node)}</p>',
    "bullet_list": _list,
    "ordered_list": _list,
    "blockquote": lambda node: f"<blockquote>{_all(node)}</blockquote>",
    "fence": _fence,
    "code_inline": lambda node: f"<code>{escape(node.content)}</code>",
    "th": lambda node: f'<th dir="auto">{_all(node)}</th>',
    "td": lambda node: f'<td dir="auto">{_all(node)}</td>',
    "hr": lambda _: "<hr>",
    "softbreak": lambda _: "<br>",
    "hardbreak": lambda _: "<br>",
    "link": _link,
    "image": _link,
}
