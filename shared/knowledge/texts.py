"""Running text: plain text, Markdown, PDF, Word, HTML. All become Markdown, which is split at its headings."""

from __future__ import annotations

import re
from configparser import ConfigParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from shared.knowledge import faq, markup, no_page, pdf, structured, word
from shared.knowledge.documents import MAX_ITEMS, Document, Item, Raw, Unreadable, stem
from shared.knowledge.encoding import as_written, decode
from shared.knowledge.split import split

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.{0,10000}?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S)
_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.M | re.I)
_FIRST_HEADING = re.compile(r"\s{0,1000}#[ \t]+([^\n]{1,200})(?:\n|\Z)")
#: What programs write as a title.
_NO_TITLE = re.compile(
    r"\(?(untitled|unbenannt|anonymous|unknown|unspecified|sans titre|sin título|senza titolo|title|titel)\)?( ?\d*| document)"
    r"|(word-)?(document|dokument|documento)[ _-]?\d*|(microsoft )?(word|excel|powerpoint)\b.*|.*\.[a-z]{3,4}x?|powerpoint .*",
    re.I,
)


def read_text(raw: Raw) -> Document:
    """Plain text."""
    return _document(stem(raw.name), faq.with_asking_lines(decode(raw.body)))


def read_markdown(raw: Raw) -> Document:
    """Markdown; what front matter says beside a title is not for customers."""
    text, title = decode(raw.body), ""
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        title = found[1] if (found := _TITLE.search(front[1])) else ""
    heading = _FIRST_HEADING.match(text)
    return _document(title or (heading[1].strip(" #\r") if heading else "") or stem(raw.name), text)


def read_pdf(raw: Raw) -> Document:
    """The text layer of a PDF."""
    title, text, warning = pdf.markdown_of(raw)
    document = _document(_titled(title, raw.name), text)
    document.warning = warning
    return document


def read_docx(raw: Raw) -> Document:
    """Paragraphs, headings, lists and tables of a Word file, in their order."""
    title, text = word.markdown_of(raw)
    return _document(_titled(title, raw.name), text)


def _titled(title: str, name: str) -> str:
    """The title that a file has in its properties, unless a program wrote it there; else its name."""
    title = " ".join(title.split())
    return title if 2 < len(title) < 150 and not _NO_TITLE.fullmatch(title) else stem(name)


def read_html(raw: Raw) -> Document:
    """The main text of a page, without menus and footers."""
    import trafilatura  # slow to import: only in the process that reads
    from lxml import html

    charset = re.search(r"charset=[\"']?([\w-]+)", raw.media_type)
    declared = charset or re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]+)", raw.body[:4096])
    name = declared[1] if declared else ""
    text = decode(raw.body, name.decode() if isinstance(name, bytes) else name)
    try:
        tree = html.document_fromstring(re.sub(r"\A\s*<\?xml[^>]{0,500}\?>", "", text))
    except (ValueError, html.etree.LxmlError):
        raise Unreadable("is no HTML page") from None
    head = _Head(tree, raw.url or "")
    asks_for_password = bool(tree.xpath("//input[@type='password']"))
    told = faq.answers_to_search_engines(tree)
    path = urlsplit(raw.url).path if raw.url else "/file"
    objects = list(faq.objects_of(tree))
    faq.mark_questions(tree)
    markup.mend(tree, raw.url or "", path)
    body = trafilatura.extract(
        tree, url=raw.url, output_format="markdown", include_links=False, include_images=False, include_tables=True,
        include_comments=False, favor_recall=True, prune_xpath=["//nav", "//footer"], config=_short_pages_too(),
    )  # fmt: skip
    body = _with_questions(body or "", told)
    facts = structured.facts_of(objects, head.language or "", body, of_shop=markup.is_contact(path))
    body = "\n\n".join(filter(None, (body, *facts)))
    if not head.noindex:
        no_page.check((head.title, head.heading), body, asks_for_password)
    if not body.strip() and not head.noindex:
        raise Unreadable("has no text; if that is in a picture or drawn by JavaScript, write it to a file and import that")
    document = _document(head.title or stem(raw.name), body, allow_empty=head.noindex)
    document.language, document.canonical, document.noindex = head.language, head.canonical, head.noindex
    return document


def _with_questions(body: str, told: list[tuple[str, str]]) -> str:
    """The page's text, and the questions that it tells search engines but does not show."""
    shown = " ".join(body.split()).casefold()
    missing = [(question, answer) for question, answer in told if " ".join(question.split()).casefold() not in shown]
    more = (f"### {' '.join(question.split())}\n\n{answer}" for question, answer in missing)
    return "\n\n".join(filter(None, (body.strip(), *more)))


def _short_pages_too() -> ConfigParser:
    """trafilatura's settings. By itself it takes a page of few words for a failure, and then all words of it, menus too."""
    from trafilatura.settings import use_config

    config: ConfigParser = use_config()
    config.set("DEFAULT", "MIN_EXTRACTED_SIZE", "10")
    config.set("DEFAULT", "MIN_OUTPUT_SIZE", "1")
    return config


class _Head:
    """What a page says of itself."""

    def __init__(self, tree: Any, url: str) -> None:
        social = tree.xpath("string(//meta[@property='og:title']/@content)")
        self.heading = " ".join("".join(_texts(tree, ".//h1")).split())
        titles = [" ".join(text.split()) for text in (tree.findtext(".//head/title"), self.heading, social) if text]
        self.title = next(filter(None, titles), "")
        self.language: str | None = tree.get("lang") or None
        self.noindex = any(
            re.search(r"\b(noindex|none)\b", meta.get("content") or "", re.I)
            for meta in tree.iter("meta")
            if (meta.get("name") or "").lower() in ("robots", "switchboard")
        )
        links = [link.get("href") for link in tree.iter("link") if "canonical" in (link.get("rel") or "").lower().split()]
        self.canonical: str | None = _absolute(url, links[0]) if links and links[0] else None


def _texts(tree: Any, path: str) -> list[str]:
    return ["".join(element.itertext()) for element in tree.findall(path)[:1]]


def _absolute(url: str, link: str) -> str | None:
    try:
        return urljoin(url, link.strip())
    except ValueError:
        return None


def _document(title: str, text: str, allow_empty: bool = False) -> Document:
    items = [Item(*item) for item in split(as_written(title), faq.with_headings(as_written(text)))]
    if not items and not allow_empty:
        raise Unreadable("has no text; pictures are not read, so write what they show into it")
    if len(items) > MAX_ITEMS:
        raise Unreadable(f"would become more than {MAX_ITEMS:,} items; split it into files by topic")
    return Document(title, items)
