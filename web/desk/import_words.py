"""Why an import was refused, and why a page or a file could not be read, in the reader's language.

shared/knowledge and its worker say it in English, for the API as well. A test holds that each of their texts is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from flask_babel import gettext

from shared.knowledge.documents import LEFT_OUT
from web.desk.known_texts import marked, patterns_of
from web.desk.schema_words import translated

#: With a name where a value stands; `%(why)s` is another of these texts. What is first here is tried first.
_SAID = (
    marked("Another version of %(name)s is being imported. Wait until that is done, or stop it."),
    marked("The file has no name. Its extension says what it is: faq.csv."),
    marked("Files of %(number)s MB wait to be read. Import %(name)s when some of them are."),
    marked("%(name)s is a file: import its new version, and only what has changed is replaced."),
    marked("There is no source %(number)s."),
    marked("%(name)s is larger than %(number)s MB. Split it into smaller files."),
    marked("The address %(why)s."),
    marked("is empty"),
    marked("is larger than %(number)s MB; split it into smaller files"),
    marked("unpacks to more than %(number)s MB; split it into smaller files"),
    marked("unpacks to more than %(number)s MB"),
    marked("unpacks to more than can be read; split it into smaller files, or print it to a new PDF"),
    marked("took longer than %(number)s s to read; split it into smaller files"),
    marked("needs more memory to be read than this system has for it; split it into smaller files"),
    marked("too little memory was free to read it for an hour; try it again, or split it"),
    marked("could not be read in %(number)s s, for much goes on here; try it again later"),
    marked("its reader ended; it may need too much memory, so split it into smaller files"),
    marked("is nested too deeply to be read"),
    marked("is damaged in a way that its reader did not expect; save it again, or as another kind"),
    marked("is not kept any longer; import it again"),
    marked("is of a kind that cannot be read (%(kind)s); save it as %(other)s"),
    marked("is of a kind that cannot be read (%(kind)s); export it as %(other)s"),
    marked("is of a kind that cannot be read (%(kind)s); unpack it, and import its files one by one"),
    marked("is of a kind that cannot be read (its name has no extension); %(kinds)s can"),
    marked("is of a kind that cannot be read (%(kind)s); %(kinds)s can"),
    marked("is no page, but %(kind)s; HTML, PDF and texts can be read"),
    marked("is protected by a password, or of an old kind; open it, and save it again without a password"),
    marked("is damaged, or no Office file; open it, and save it again without a password"),
    marked("is protected by a password; save it without one"),
    marked("has %(number)s pages, and %(most)s are allowed; split it by topic"),
    marked("is damaged, or no PDF (%(kind)s); print it to a new PDF"),
    marked("has no text, only pictures: it is a scan. Run a text recognition (OCR) on it first"),
    marked("is damaged, or no Word file (%(kind)s); open it in Word and save it again"),
    marked("is no HTML page"),
    marked("has no text; if that is in a picture or drawn by JavaScript, write it to a file and import that"),
    marked("says that there is no such page, though the site answers as if there were; remove its address"),
    marked("is a check for browsers, and no page; let Switchboard through at the site's protection, or import a file"),
    marked("is for sale, and no page of a shop; remove its address"),
    marked("says that the site is closed for now; read it again when it is open"),
    marked("asks for a password; import a file with what stands behind it"),
    marked("asks for cookies and shows nothing else; import a file with what stands behind that"),
    marked("has no text; pictures are not read, so write what they show into it"),
    marked("would become more than %(number)s items; split it into files by topic"),
    marked("is damaged, or no Excel file (%(kind)s); open it in Excel and save it again"),
    marked("has more than %(number)s rows; split it into files by topic"),
    marked("has more than %(number)s characters; split it into files by topic"),
    marked("has one column; give it two columns with the headers question and answer"),
    marked("has no row with a question and an answer; give it two columns with the headers question and answer"),
    marked("is no sitemap"),
    marked("is a damaged gzip file"),
    marked("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8"),
    marked("is an HTML page, whatever its name says; export it again, or name it .html if that page is meant"),
    marked("is JSON, whatever its name says; export it as CSV"),
    marked("the sitemap lists no pages of this site"),
    marked("the site has more than %(number)s pages; %(most)s are imported, some of each sitemap"),
    marked("the site has no sitemap that can be found; give the address of one, or import its pages one by one"),
    marked("breaks off"),
    marked("the site's sitemaps take longer than %(number)s s to read"),
    marked("the page redirects more than %(number)s times"),
    marked("the page redirects to an address that cannot be called"),
    marked("the page redirects to another site, %(name)s; import that one if it is yours"),
    marked("the page is gone (HTTP %(number)s)"),
    marked("the site answered HTTP %(number)s"),
    marked("the site asks us to slow down (HTTP %(number)s)"),
    marked("the site refuses the page (HTTP %(number)s)"),
    marked("the page is larger than %(number)s MB"),
    marked("robots.txt does not allow us to read the page that it redirects to"),
    marked("robots.txt does not allow us to read the page"),
    marked("the page asks not to be indexed (noindex)"),
    marked("the same page as %(name)s"),
    marked("left out: %(rows)s and %(number)s more"),
    marked("left out: %(rows)s"),
    marked("a quotation mark is not closed in %(rows)s and %(number)s more"),
    marked("a quotation mark is not closed in %(rows)s"),
    marked("formulas without their results (open it in Excel and save it): %(rows)s and %(number)s more"),
    marked("formulas without their results (open it in Excel and save it): %(rows)s"),
    marked("row %(number)s has no answer"),
    marked("row %(number)s is hidden"),
    marked("row %(number)s is marked as not public"),
    marked("row %(number)s"),
    marked("row %(number)s has no question"),
    marked("repetitions left out: %(number)s"),
    marked(
        "%(number)s of %(total)s items were left out, for a business may have %(most)s from imports: "
        "delete imports that you no longer need, and read it again"
    ),
    marked("%(number)s of %(most)s pages have no text and may be scans"),
    marked("CSV, TSV, Excel (.xlsx), Markdown, plain text, PDF, Word (.docx) and HTML"),
    marked("something went wrong here; try again, and tell us if it happens again"),
)


#: How texts about a table's rows begin.
_OF_ROWS = ("left out: ", "a quotation mark is not closed in ", "formulas without their results ")


def import_words(text: str | None) -> str:
    """One of these texts, maybe with the path of a sitemap before it; what is unknown stays as it is."""
    if not text:
        return ""
    if text.startswith(_OF_ROWS) or LEFT_OUT in text:  # of a table's, one after the other
        return "; ".join(map(_said, text.split("; ")))
    path, colon, rest = text.partition(": ")
    return f"{path}: {_said(rest)}" if colon and path.startswith("/") and " " not in path else _said(text)


def _said(text: str) -> str:
    for pattern, known in patterns_of(_SAID):
        if match := pattern.fullmatch(text):
            return str(gettext(known, **{name: _VALUES.get(name, str)(value) for name, value in match.groupdict().items()}))
    return _of_a_file(text) if text.endswith(".") else text


def _of_a_file(text: str) -> str:
    """A file's name, in which there may be blanks, and what is wrong with it: "price list.xls is empty."."""
    for blank in re.finditer(" ", text):
        name, why = text[: blank.start()], text[blank.end() : -1]
        if (said := _said(why)) != why:
            return f"{name} {said}."
    return text


def _why(text: str) -> str:
    """What is wrong with a file or a site, or with an address, which a schema may say."""
    return said if (said := _said(text)) != text else translated(text)


def _rows(value: str) -> str:
    """Rows of a table, each with what it lacks."""
    return ", ".join(map(_said, value.split(", ")))


#: Values that are texts themselves.
_VALUES: Mapping[str, Callable[[str], str]] = {"why": _why, "rows": _rows, "kinds": _said}
