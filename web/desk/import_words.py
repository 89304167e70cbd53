"""Why an import was refused, and why a page or a file could not be read, in the reader's language.

shared/knowledge and its worker say it in English, for the API as well. A test holds that each of their texts is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from flask_babel import gettext

from shared.knowledge.documents import LEFT_OUT
from web.desk.known_texts import marked as _l
from web.desk.known_texts import patterns_of
from web.desk.schema_words import translated

#: With a name where a value stands; `%(why)s` is another of these texts. What is first here is tried first.
_SAID = (
    _l("Another version of %(name)s is being imported. Wait until that is done, or stop it."),
    _l("The file has no name. Its extension says what it is: faq.csv."),
    _l("Files of %(number)s MB wait to be read. Import %(name)s when some of them are."),
    _l("%(name)s is a file: import its new version, and only what has changed is replaced."),
    _l("There is no source %(number)s."),
    _l("%(name)s is larger than %(number)s MB. Split it into smaller files."),
    _l("The address %(why)s."),
    _l("is empty"),
    _l("is larger than %(number)s MB; split it into smaller files"),
    _l("unpacks to more than %(number)s MB; split it into smaller files"),
    _l("unpacks to more than %(number)s MB"),
    _l("unpacks to more than can be read; split it into smaller files, or print it to a new PDF"),
    _l("took longer than %(number)s s to read; split it into smaller files"),
    _l("needs more memory to be read than this system has for it; split it into smaller files"),
    _l("too little memory was free to read it for an hour; try it again, or split it"),
    _l("could not be read in %(number)s s, for much goes on here; try it again later"),
    _l("its reader ended; it may need too much memory, so split it into smaller files"),
    _l("is nested too deeply to be read"),
    _l("is damaged in a way that its reader did not expect; save it again, or as another kind"),
    _l("is not kept any longer; import it again"),
    _l("is of a kind that cannot be read (%(kind)s); save it as %(other)s"),
    _l("is of a kind that cannot be read (%(kind)s); export it as %(other)s"),
    _l("is of a kind that cannot be read (%(kind)s); unpack it, and import its files one by one"),
    _l("is of a kind that cannot be read (its name has no extension); %(kinds)s can"),
    _l("is of a kind that cannot be read (%(kind)s); %(kinds)s can"),
    _l("is no page, but %(kind)s; HTML, PDF and texts can be read"),
    _l("is protected by a password, or of an old kind; open it, and save it again without a password"),
    _l("is damaged, or no Office file; open it, and save it again without a password"),
    _l("is protected by a password; save it without one"),
    _l("has %(number)s pages, and %(most)s are allowed; split it by topic"),
    _l("is damaged, or no PDF (%(kind)s); print it to a new PDF"),
    _l("has no text, only pictures: it is a scan. Run a text recognition (OCR) on it first"),
    _l("is damaged, or no Word file (%(kind)s); open it in Word and save it again"),
    _l("is no HTML page"),
    _l("has no text; if that is in a picture or drawn by JavaScript, write it to a file and import that"),
    _l("says that there is no such page, though the site answers as if there were; remove its address"),
    _l("is a check for browsers, and no page; let Switchboard through at the site's protection, or import a file"),
    _l("is for sale, and no page of a shop; remove its address"),
    _l("says that the site is closed for now; read it again when it is open"),
    _l("asks for a password; import a file with what stands behind it"),
    _l("asks for cookies and shows nothing else; import a file with what stands behind that"),
    _l("has no text; pictures are not read, so write what they show into it"),
    _l("would become more than %(number)s items; split it into files by topic"),
    _l("is damaged, or no Excel file (%(kind)s); open it in Excel and save it again"),
    _l("has more than %(number)s rows; split it into files by topic"),
    _l("has more than %(number)s characters; split it into files by topic"),
    _l("has one column; give it two columns with the headers question and answer"),
    _l("has no row with a question and an answer; give it two columns with the headers question and answer"),
    _l("is no sitemap"),
    _l("is a damaged gzip file"),
    _l("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8"),
    _l("the sitemap lists no pages of this site"),
    _l("the site has more than %(number)s pages; %(most)s are imported, some of each sitemap"),
    _l("the site has no sitemap that can be found; give the address of one, or import its pages one by one"),
    _l("breaks off"),
    _l("the site's sitemaps take longer than %(number)s s to read"),
    _l("the page redirects more than %(number)s times"),
    _l("the page redirects to an address that cannot be called"),
    _l("the page redirects to another site, %(name)s; import that one if it is yours"),
    _l("the page is gone (HTTP %(number)s)"),
    _l("the site answered HTTP %(number)s"),
    _l("the site asks us to slow down (HTTP %(number)s)"),
    _l("the site refuses the page (HTTP %(number)s)"),
    _l("the page is larger than %(number)s MB"),
    _l("robots.txt does not allow us to read the page that it redirects to"),
    _l("robots.txt does not allow us to read the page"),
    _l("the page asks not to be indexed (noindex)"),
    _l("the same page as %(name)s"),
    _l("left out: %(rows)s and %(number)s more"),
    _l("left out: %(rows)s"),
    _l("a quotation mark is not closed in %(rows)s and %(number)s more"),
    _l("a quotation mark is not closed in %(rows)s"),
    _l("formulas without their results (open it in Excel and save it): %(rows)s and %(number)s more"),
    _l("formulas without their results (open it in Excel and save it): %(rows)s"),
    _l("row %(number)s has no answer"),
    _l("row %(number)s is hidden"),
    _l("row %(number)s is marked as not public"),
    _l("row %(number)s"),
    _l("row %(number)s has no question"),
    _l("repetitions left out: %(number)s"),
    _l(
        "%(number)s of %(total)s items were left out, for a business may have %(most)s from imports: "
        "delete imports that you no longer need, and read it again"
    ),
    _l("%(number)s of %(most)s pages have no text and may be scans"),
    _l("CSV, TSV, Excel (.xlsx), Markdown, plain text, PDF, Word (.docx) and HTML"),
    _l("something went wrong here; try again, and tell us if it happens again"),
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
