"""What the page of an error says, in its reader's language: the desk's pages and all others.

An error that names what to do, like a missing setting, says so itself, in English: it may be a program's. A page has its German
from the catalogue (tests/unit/test_desk.py has the list of where such errors are raised).
"""

from __future__ import annotations

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

#: Of a status: the title, and what to do where the error itself does not say it.
_PAGES = {
    400: (_l("This cannot be done"), _l("Something in the address or in the form is wrong. Go back, and try it again.")),
    401: (_l("A login is missing"), _l("Log in, then open this address again.")),
    403: (_l("This address is not for you"), _l("Whoever runs this server can say who may open it.")),
    404: (_l("There is no such page"), _l("Check the address for a typo.")),
    405: (_l("This address is for forms"), _l("It cannot be opened as a page. Go back, and use the button again.")),
    409: (_l("It has changed meanwhile"), _l("Go back, reload the page, and look at it again.")),
    413: (_l("This is too large"), _l("Go back, and send less at once: a smaller file, or a shorter text.")),
    429: (_l("Too many attempts"), _l("Wait a minute, then try again.")),
    500: (_l("Something went wrong here"), _l("The error was recorded. Try again; if it happens again, tell the operator.")),
    503: (_l("This cannot be answered just now"), _l("Nothing is lost. Wait a few seconds, then load the page again.")),
}
#: What werkzeug raises of its own accord, with words for programs.
_GENERAL = (MethodNotAllowed, RequestEntityTooLarge)


def words_of(status: int, own: str | None = None, retry_after: int | None = None) -> tuple[str, str]:
    """Title, and what to do: what the error itself says of that, or when to come again, or else what is general."""
    title, advice = _PAGES.get(status, _PAGES[400])
    if status == 429 and retry_after:
        advice = ngettext("Try again in %(num)s second.", "Try again in %(num)s seconds.", retry_after)
    elif own:
        advice = gettext(own)
    return str(title), str(advice)


def own_words(error: HTTPException) -> str | None:
    """What an error says itself, in the place of its class's words."""
    is_general = isinstance(error, _GENERAL) or error.description == type(error).description
    return None if is_general else error.description
