"""The desk's languages: texts by gettext, read from web/translations/<language>/*.po at the start; nothing is compiled.

English is in the code. To add a language, copy web/translations/de and translate the files; it is offered after a restart.
"""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, request, session
from flask_babel import Babel, Domain, get_locale

from web.assets import STATIC

TRANSLATIONS = Path(__file__).parents[1] / "translations"
#: A text in a script of ours.
_IN_SCRIPTS = re.compile(r'\b_\("([^"\\]+)"')
#: Where a browser's session keeps the language of who is logged in: for the pages of errors, which come before we know who it is.
LANGUAGE = "language"


def languages() -> dict[str, str]:
    """The languages that there are: their codes, and their own names."""
    codes = ["en", *sorted(folder.name for folder in TRANSLATIONS.iterdir() if folder.is_dir())]
    return {code: (Locale.parse(code).display_name or code).capitalize() for code in codes}


def language_name(code: str) -> str:
    """A language's code, as WhatsApp has it, in the reader's words: "en_US" is American English."""
    try:
        return Locale.parse(code).get_display_name(str(get_locale() or "en")) or code
    except (ValueError, UnknownLocaleError):
        return code


@cache
def translations(code: str) -> NullTranslations:
    """All files of a language as one."""
    catalog = Catalog(locale=code)
    for path in sorted((TRANSLATIONS / code).glob("*.po")):
        for message in read_po(BytesIO(path.read_bytes()), locale=code):
            if message.id and message.string:
                catalog.add(message.id, message.string, context=message.context)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled)


@cache
def script_words(code: str, *scripts: str) -> dict[str, str]:
    """The texts of scripts in a language, by their English; none in English."""
    if code == "en":
        return {}
    known = translations(code)
    written = "".join((STATIC / script).read_text(encoding="utf-8") for script in scripts)
    return {english: known.gettext(english) for english in _IN_SCRIPTS.findall(written)}


class _Texts(Domain):  # type: ignore[misc]  # flask-babel has no types
    """flask-babel's texts, from our files."""

    def get_translations(self) -> NullTranslations:
        """Those of this request's language."""
        code = str(get_locale() or "en")
        return NullTranslations() if code == "en" else translations(code)


def chosen() -> str:
    """This request's language: the user's own, else the one of ours that the browser likes best."""
    known = languages()
    own = g.user.language if "user" in g else session.get(LANGUAGE)
    liked = (tag.partition("-")[0].lower() for tag, weight in request.accept_languages if weight)  # de-AT is German
    return own if own in known else next((code for code in liked if code in known), "en")


def remember(code: str | None) -> None:
    """Keeps the language of who is logged in for the answers of this browser that do not get as far as asking who it is."""
    if session.get(LANGUAGE) != code:
        session[LANGUAGE] = code


def install(app: Flask) -> None:
    """Makes `_()` and dates speak the request's language."""
    babel = Babel(app, locale_selector=chosen)
    babel.domain_instance = _Texts()
    for code in languages():
        if code != "en":
            translations(code)
