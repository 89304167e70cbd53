"""Which reader a document gets: by its name, else by what HTTP says, else by its first bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

from shared.knowledge.documents import MAX_FILE, Document, Raw, Unreadable
from shared.knowledge.sitemap_file import MEDIA_TYPE, read_sitemap
from shared.knowledge.spreadsheets import read_xlsx
from shared.knowledge.tables import read_csv
from shared.knowledge.texts import read_docx, read_html, read_markdown, read_pdf, read_text
from shared.teaching.languages import STEMMED, language_of

#: Bytes of an Office file when it is unpacked, and files in it: a book of pictures has less, a zip bomb more.
MAX_UNPACKED, MAX_PARTS = 200 * 1024 * 1024, 5_000

#: Items that say the language of a document, and items of one that are looked at by themselves; each takes a millisecond.
SAMPLE, MAX_LOOKED_AT = 20, 5_000

_READERS: dict[str, Callable[[Raw], Document]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".xlsx": read_xlsx,
    ".xlsm": read_xlsx,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_text,
    ".text": read_text,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
}
_MEDIA_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "text/html": ".html",
    "application/xhtml+xml": ".html",
}
#: Files that people try, and what they should do instead.
_OTHERS = {
    **dict.fromkeys((".xls", ".xlsb", ".xlt", ".xltx", ".xltm", ".ods", ".ots", ".fods"), "save it as .xlsx"),
    **dict.fromkeys(
        (".doc", ".docm", ".dot", ".dotx", ".dotm", ".odt", ".ott", ".fodt", ".rtf", ".wps", ".wpd"), "save it as .docx"
    ),
    **dict.fromkeys((".ppt", ".pptx", ".pptm", ".pps", ".ppsx", ".potx", ".odp", ".key", ".gslides"), "export it as PDF"),
    **dict.fromkeys((".epub", ".mobi", ".pub", ".odg", ".xps", ".ai", ".indd"), "export it as PDF"),
    **dict.fromkeys(
        (".json", ".jsonl", ".yaml", ".yml", ".xml", ".sql", ".mdb", ".accdb", ".numbers", ".gsheet"), "export it as CSV"
    ),
    **dict.fromkeys((".pages", ".gdoc"), "export it as Word"),
    **dict.fromkeys((".eml", ".msg", ".mht", ".mhtml", ".webarchive"), "save it as PDF"),
    **dict.fromkeys((".rst", ".adoc", ".asciidoc", ".tex", ".log", ".mdx", ".org"), "save it as .txt"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz"), "unpack it, and import its files one by one"),
}
#: How pages and JSON begin, whatever their name says: a login page that was saved in a table's place, an export of another kind.
_PAGE = re.compile(rb"\A(?:\xef\xbb\xbf)?\s{0,100}(?:<!doctype html|<html[\s>])", re.I)
_JSON = re.compile(rb"\A(?:\xef\xbb\xbf)?\s{0,100}(?:\{|\[\s{0,100}\{)\s{0,100}\"")
_TABLES, _TEXTS = (".csv", ".tsv"), (".txt", ".text", ".md", ".markdown")
SUPPORTED = "CSV, TSV, Excel (.xlsx), Markdown, plain text, PDF, Word (.docx) and HTML"


def supported(name: str) -> str:
    """The extension of a file's name, by which it is read. Raises Unreadable."""
    extension = PurePath(name).suffix.lower()
    if extension in _OTHERS:
        raise Unreadable(f"is of a kind that cannot be read (*{extension}); {_OTHERS[extension]}")
    if extension not in _READERS:
        raise Unreadable(f"is of a kind that cannot be read ({extension or 'its name has no extension'}); {SUPPORTED} can")
    return extension


def kind_of(raw: Raw) -> str:
    """The extension that stands for the document's kind. Raises Unreadable."""
    extension = PurePath(raw.name).suffix.lower()
    media = _MEDIA_TYPES.get(raw.media_type.partition(";")[0].strip().lower())
    if raw.url is not None:
        extension = media or (extension if extension in _READERS else ".html" if raw.body.lstrip()[:1] == b"<" else "")
        if not extension:
            raise Unreadable(
                f"is no page, but {raw.media_type.partition(';')[0][:100] or 'something else'}; HTML, PDF and texts can be read"
            )
        extension = ".html" if extension in _TEXTS and _PAGE.match(raw.body) else extension
    elif extension not in _READERS:
        extension = media or extension
    return supported(f"x{extension}")


def read(raw: Raw) -> Document:
    """The document's text as items. Raises Unreadable; whatever else comes is a fault of a library or ours."""
    if not raw.body:
        raise Unreadable("is empty")
    if len(raw.body) > MAX_FILE:
        raise Unreadable(f"is larger than {MAX_FILE // 1024 // 1024} MB; split it into smaller files")
    if raw.media_type == MEDIA_TYPE:
        return read_sitemap(raw)
    extension = kind_of(raw)
    if extension in (".xlsx", ".xlsm", ".docx"):
        _check_zip(raw.body)
    if extension in (*_TABLES, *_TEXTS) and _PAGE.match(raw.body):
        raise Unreadable("is an HTML page, whatever its name says; export it again, or name it .html if that page is meant")
    if extension in _TABLES and _JSON.match(raw.body):
        raise Unreadable("is JSON, whatever its name says; export it as CSV")
    return _READERS[extension](raw)


def with_languages(document: Document) -> Document:
    """The document, with the language of each item as far as it can be detected: its own, or the whole document's."""
    declared = STEMMED.get((document.language or "").lower()[:2], "")
    whole = language_of("\n".join(f"{item.title}\n{item.content}" for item in document.items[:SAMPLE]), declared)
    document.items = [
        replace(item, language=language_of(f"{item.title}\n{item.content}", whole) if place < MAX_LOOKED_AT else whole)
        for place, item in enumerate(document.items)
    ]
    return document


def _check_zip(body: bytes) -> None:
    try:
        parts = zipfile.ZipFile(io.BytesIO(body)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        is_old = body.startswith(b"\xd0\xcf\x11\xe0")  # which is also how a password is put around a new one
        reason = "is protected by a password, or of an old kind" if is_old else "is damaged, or no Office file"
        raise Unreadable(f"{reason}; open it, and save it again without a password") from None
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise Unreadable(f"unpacks to more than {MAX_UNPACKED // 1024 // 1024} MB; split it into smaller files")
