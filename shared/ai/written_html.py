"""Answers that their model has written in HTML, as Markdown, which each channel shows in its own way.

Only an answer that is HTML all through counts: each `<` of it is a tag of the few that texts have, each tag has its end, unless
HTML lets that go, and it has neither code nor links as Markdown writes them. Whoever speaks of HTML leaves a tag open, writes
code, or names the thing.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

#: A tag, with attributes as HTML is written by who means it.
_TAG = re.compile(r"""<(/?)([a-z][a-z0-9]{0,9})((?:\s+[a-z-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'))*)\s*/?>""", re.I)
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.I)
_SOURCE, _INSTEAD = (re.compile(rf"""\s{name}\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.I) for name in ("src", "alt"))
_COLUMNS = re.compile(r"""\scolspan\s*=\s*["'](\d)["']""", re.I)
_START = re.compile(r"""\sstart\s*=\s*["']?(\d{1,4})\b""", re.I)
#: Of the web, of mail and of phones; the web's may have no scheme.
_ADDRESS = re.compile(r"(?:https?://|mailto:|tel:)\S+|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:[/?#:]\S*)?", re.I)
_HALF_TAG = re.compile(r"<(?:/|/?[a-z][^<>]{0,300})?\Z", re.I)
#: What our prompt escapes, or a server does; and what a model copies from pages: &nbsp;, &euro;, &ouml;. None without its end,
#: as in an address: "?a=1&copy=2".
ENTITY = re.compile(r"&(?:[a-z]{2,8}\d{0,2}|#\d{1,6}|#x[0-9a-f]{1,5});", re.I)
#: What an answer has that is no HTML, or speaks of it.
_NO_HTML = re.compile(r"`|\]\(|<!|\b(?:html|css|markup|(?-i:tags?))\b", re.I)
#: Elements that change how words look, and not what they say.
_PLAIN = frozenset({"span", "font", "small", "big", "mark", "ins", "sub", "sup", "abbr", "kbd", "label", "time"})
_MARKS = {
    **{"b": "**", "strong": "**", "i": "*", "em": "*", "s": "~~", "del": "~~", "strike": "~~", "code": "`", "u": "", "a": ""},
    **dict.fromkeys(_PLAIN, ""),
}
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_LISTS, _CELLS, _GROUPS = frozenset({"ul", "ol"}), frozenset({"td", "th"}), frozenset({"thead", "tbody", "tfoot"})
#: Blocks in which a line end of the source is a blank; those that begin a line, and do not stand apart.
_FLOWING = frozenset({"p", "li", "dt", "dd", "blockquote", "summary", "caption", "figcaption", *_CELLS, *_HEADINGS})
_CLOSE = frozenset(
    {"li", "dt", "dd", "dl", "div", "section", "article", "main", "center", "address", "figure", "details", *_LISTS}
)
_BLOCKS = _FLOWING | _CLOSE | _GROUPS | {"table", "tr", "pre"}
#: What stands in what: parts of lists and tables, and between these no words.
_WITHIN = {
    **{"li": _LISTS, "tr": _GROUPS | {"table"}, "caption": frozenset({"table"})},
    **dict.fromkeys(_GROUPS, frozenset({"table"})),
    **dict.fromkeys(_CELLS, frozenset({"tr"})),
}
_WORDLESS = _LISTS | _GROUPS | {"table", "tr"}
#: Elements whose ends HTML lets go, and the tags that end them.
_ENDED_BY = {
    "li": frozenset({"li", "/ul", "/ol"}),
    **dict.fromkeys(_CELLS, frozenset({"td", "th", "tr", "/tr", "/thead", "/tbody", "/tfoot", "/table", *_GROUPS})),
    "tr": frozenset({"tr", "/thead", "/tbody", "/tfoot", "/table", *_GROUPS}),
    **dict.fromkeys(_GROUPS, _GROUPS | {"/table"}),
    **dict.fromkeys(("dt", "dd"), frozenset({"dt", "dd", "/dl"})),
}
_EMPTY = frozenset({"br", "hr"})
_POWER = re.compile(r"(?:\d|(?<![^\W\d_])[^\W\d_]{1,3})\Z")
_RAISED = str.maketrans("0123456789+-−no", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ°")
_BLANKS = re.compile(r"\s+")
_BULLET = re.compile(r" *(?:-|\d+\.)")
#: An item of a list as Markdown has it, in a paragraph of HTML.
_ITEM = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s")
#: What a picture has that is one, and is not only spoken of.
_PICTURE = re.compile(r"<img\s[^<>]{0,300}https?://", re.I)
#: A whole page, and what it shows; code that HTML marks twice.
_PAGE = re.compile(
    r"\s*(?:<!doctype html[^<>]*>\s*)?<html\b[^<>]*>\s*(?:<head\b[^<>]*>(?:(?!</head>)[\s\S])*</head>\s*)?<body\b[^<>]*>"
    r"(?P<shown>(?:(?!</body>)[\s\S])*)(?:</body>\s*(?:</html>\s*)?)?\Z",
    re.I,
)
_CODE_BEGINS, _CODE_ENDS = re.compile(r"<pre>\s*<code\b[^<>]*>", re.I), re.compile(r"</code>\s*</pre>", re.I)
#: Empty lines, which end a mark.
_APART = re.compile(r"\n[^\S\n]*\n\s*")
#: Characters of an answer, and elements around each other, from which on it stays as it is.
MAX_LENGTH, MAX_DEPTH = 20_000, 12


def as_markdown(text: str) -> str | None:
    """The text as Markdown; None if it is not written in HTML."""
    return (_read(text) or None) if "</" in text or _PICTURE.search(text) else None


def begun_as_markdown(text: str) -> str:
    """The same of one that is still being written; as it is, if it is not written in HTML."""
    half = _HALF_TAG.search(text)
    begun = text[: half.start()] if half else text
    written = _read(begun, is_begun=True) if _TAG.search(begun) else None
    return text if written is None else written


@dataclass
class _Element:
    name: str
    attributes: str
    start: int
    items: int = 0


@dataclass
class _Writer:
    text: str = ""
    open: list[_Element] = field(default_factory=list)
    #: Of the table: its cells, each with its tag's name.
    rows: list[list[tuple[str, str]]] = field(default_factory=list)

    def say(self, words: str) -> bool:
        """Takes what stands between two tags. False, if it is no text of HTML."""
        if "<" in words:
            return False
        words = _unescaped(words).replace("\xa0", " ")
        names = {element.name for element in self.open}
        if self.open and self.open[-1].name in _WORDLESS:
            return not words.strip()
        if "pre" in names:
            self.text += words
            return True
        if names & _FLOWING:
            words = _BLANKS.sub(_between_words if "p" in names and not self._lists() else " ", words)
        if not self.text or self.text.endswith("\n"):
            words = words.lstrip()
        self.text += words
        return True

    def begin(self, name: str, attributes: str) -> bool:
        """Takes a tag that opens. False, if nobody writes it there."""
        self._end_before(name)
        names = [element.name for element in self.open]
        if len(names) == MAX_DEPTH or "pre" in names or (name in (*_MARKS, "table") and name in names):
            return False
        if name in _WITHIN and not _WITHIN[name].intersection(names[-1:]):
            return False
        if name in _BLOCKS and not _MARKS.keys().isdisjoint(names):
            return False
        if name == "li":
            self._item()
        elif name == "table":
            self.rows = []
        elif name == "tr":
            self.rows.append([])
        elif name in _BLOCKS:
            self._apart(1 if name in _CLOSE or self._lists() else 2)
            self.text += _HEADINGS.get(name, "")
        first = _START.search(attributes) if name == "ol" else None
        self.open.append(_Element(name, attributes, len(self.text), int(first[1]) - 1 if first else 0))
        return True

    def end(self, name: str) -> bool:
        """Takes one that closes. False, if it closes nothing."""
        self._end_before(f"/{name}")
        if not self.open or self.open[-1].name != name:
            return False
        element = self.open.pop()
        if name in _MARKS:
            return self._mark(element)
        if name in _CELLS:
            self._cell(element)
        elif name == "pre":
            self.text = f"{self.text[: element.start]}```\n{self.text[element.start :].strip()}\n```"
        if name == "table" and not self._table():
            return False
        if name not in _WITHIN or name in ("li", "caption"):
            self._apart(1 if (name in _CLOSE and name not in (*_LISTS, "dl")) or self._lists() else 2)
        return True

    def picture(self, attributes: str) -> bool:
        """Takes a picture: its address, or what stands for it."""
        found, instead = _SOURCE.search(attributes), _INSTEAD.search(attributes)
        address = _unescaped((found[1] or found[2] or "").strip()) if found else ""
        words = _unescaped((instead[1] or instead[2] or "").strip()) if instead else ""
        is_shown = address.startswith(("https://", "http://")) and not re.search(r"[\s()\[\]]", address + words.replace(" ", ""))
        self.text += f"![{words}]({address})" if is_shown else words
        return is_shown or bool(instead)

    def _end_before(self, tag: str) -> None:
        """Ends what this tag ends."""
        while self.open and tag in _ENDED_BY.get(self.open[-1].name, ()) and self.end(self.open[-1].name):
            pass

    def _cell(self, element: _Element) -> None:
        words = "<br>".join(filter(None, map(str.strip, self.text[element.start :].split("\n"))))
        columns = _COLUMNS.search(element.attributes)
        self.text = self.text[: element.start]
        self.rows[-1] += [
            (element.name, words.replace("|", "\\|")),
            *[(element.name, "")] * (int(columns[1]) - 1 if columns else 0),
        ]

    def _table(self) -> bool:
        """The table as Markdown has one; without a header, which that cannot do without, its rows as lines."""
        rows = [row for row in self.rows if any(cell for _, cell in row)]
        if sum(map(len, rows)) < 2:  # of which somebody speaks
            return False
        self._apart(2)
        if len(rows) > 1 and all(name == "th" or cell[:2] == cell[-2:] == "**" for name, cell in rows[0]):
            lines = [f"| {' | '.join(cell for _, cell in row)} |" for row in rows]
            self.text += "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
        else:
            self.text += "\n".join(_as_line([cell for _, cell in row]) for row in rows)
        return True

    def is_in_table(self) -> bool:
        """Whether the line is one of a table as Markdown has them, which a new line would end."""
        return self.text.startswith("|", self.text.rfind("\n") + 1)

    def _lists(self) -> list[_Element]:
        return [element for element in self.open if element.name in ("ul", "ol")]

    def _item(self) -> None:
        *outer, inner = self._lists()
        inner.items += 1
        self._apart(1)
        self.text += "   " * len(outer) + ("- " if inner.name == "ul" else f"{inner.items}. ")

    def _apart(self, lines: int) -> None:
        """What follows begins a line, or stands apart."""
        self.text = self.text.rstrip(" ")
        ends = len(self.text) - len(self.text.rstrip("\n"))
        if _BULLET.fullmatch(self.text, self.text.rfind("\n") + 1):  # the item's own first block
            self.text += " "
        elif self.text:
            self.text += "\n" * max(0, lines - ends)

    def _mark(self, element: _Element) -> bool:
        inner, mark = self.text[element.start :], _MARKS[element.name]
        words = inner.strip()
        if not any(map(str.isalnum, words)):  # <b></b>, <b>…</b>: of these somebody speaks
            return element.name in _PLAIN
        before, behind = inner[: inner.index(words)], inner[inner.rindex(words) + len(words) :]
        if element.name == "a":
            words = _linked(words, element.attributes)
        elif element.name == "sup":
            words = self._raised(words, element.start)
        else:
            words = mark + f"{mark}\n\n{mark}".join(map(str.strip, _APART.split(words))) + mark
        self.text = self.text[: element.start] + before + words + behind
        return True

    def _raised(self, words: str, start: int) -> str:
        """A power, behind a number or a unit; elsewhere the number of what the answer is taken from (citations.py)."""
        if re.fullmatch(r"[+−-]?\d{1,4}|[no]", words) and _POWER.search(self.text, max(0, start - 5), start):
            return words.translate(_RAISED)
        return f"[{words}]" if words.isdecimal() else words


def _unescaped(words: str) -> str:
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), words)


def _between_words(blanks: re.Match[str]) -> str:
    """What stands between two words of a paragraph: models write lists and empty lines in it as Markdown has them."""
    lines = blanks[0].count("\n")
    return "\n\n" if lines > 1 else "\n" if lines and _ITEM.match(blanks.string, blanks.end()) else " "


def _as_line(cells: list[str]) -> str:
    first, *others = [cell.replace("\\|", "|").replace("<br>", ", ") for cell in cells if cell]
    return f"{first.removesuffix(':')}: {', '.join(others)}" if others else first


def _linked(label: str, attributes: str) -> str:
    found = _HREF.search(attributes)
    address = _unescaped((found[1] or found[2] or "").strip()) if found else ""
    address = _BLANKS.sub("" if address[:4].lower() == "tel:" else "%20", address)
    if not _ADDRESS.fullmatch(address) or address in (label, f"mailto:{label}"):
        return label
    address = address.replace("(", "%28").replace(")", "%29")
    return f"{label} ({address})" if "[" in label or "]" in label else f"[{label}]({address})"


def _read(text: str, *, is_begun: bool = False) -> str | None:
    if len(text) > MAX_LENGTH:
        return None
    page = _PAGE.match(text)
    text = page["shown"] if page else text
    if _NO_HTML.search(text):
        return None
    text = _CODE_ENDS.sub("</pre>", _CODE_BEGINS.sub("<pre>", text))
    writer, at = _Writer(), 0
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not writer.say(text[at : tag.start()]):
            return None
        if name == "img":
            if not writer.picture(tag[3]):
                return None
        elif name in _EMPTY:
            writer.text += "\n\n---\n\n" if name == "hr" else "<br>" if writer.is_in_table() else "\n"
        elif (name not in _MARKS and name not in _BLOCKS) or not (writer.end(name) if tag[1] else writer.begin(name, tag[3])):
            return None
        at = tag.end()
    if not writer.say(text[at:]) or (writer.open and not is_begun):
        return None
    while writer.open and writer.end(writer.open[-1].name):
        pass
    return re.sub(r"\n{3,}", "\n\n", writer.text).strip()
