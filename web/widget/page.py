"""The page that a business embeds: /widget/<chatbot>, and the script /widget.js that puts it into theirs."""

from __future__ import annotations

import json
from functools import cache

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import get_locale

from web.assets import STATIC
from web.desk.language import languages, script_words
from web.uploads import ACCEPTED
from web.widget.access import Bot, find_bot

page = Blueprint("widget_page", __name__)

#: The chat page's script in its parts, in the order in which they run; they share what they declare.
SCRIPTS = tuple(f"widget/{name}.js" for name in ("device", "visitor", "receive", "send", "files", "screen", "page"))
#: Seconds that browsers keep the embed script: a business's page loads it on every visit.
SCRIPT_AGE = 3600


@page.get("/widget/<name>")
def show(name: str) -> Response:
    """The chat, in the visitor's language."""
    bot, locale = find_bot(name), str(get_locale() or "en")
    words = script_words(locale, *SCRIPTS)
    shown = {"name": bot.name, "public_key": bot.public_key, "accepted": ACCEPTED}
    answer = make_response(render_template("widget.html", **shown, locale=locale, words=words))
    answer.headers.add("Vary", "Accept-Language")
    answer.headers["Content-Security-Policy"] = policy(bot)
    answer.headers["Cache-Control"] = "no-cache"
    # Pages that are isolated from others (Cross-Origin-Embedder-Policy) show only frames that are so too.
    answer.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def policy(bot: Bot) -> str:
    """Only our own files, and frames only where the business says; without a list, only on its own.

    blob: is what the page has fetched with its visitor's token: the visitor's own files.
    """
    frames = " ".join(["'self'", *bot.allowed_origins])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; media-src blob:; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
    )


@page.get("/static/widget-page.js")
def page_script() -> Response:
    """What runs in the chat page, at one address in all releases: during a deploy a page may ask the other one."""
    answer = make_response(_page_script())
    answer.mimetype = "text/javascript"
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@cache
def _page_script() -> str:
    return "\n".join((STATIC / part).read_text(encoding="utf-8") for part in SCRIPTS)


@page.get("/widget.js")
def script() -> Response:
    """What the business's script tag loads: the same for everybody, so it has the words of all languages."""
    answer = make_response(_script())
    answer.mimetype = "text/javascript"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    answer.headers["Access-Control-Allow-Origin"] = "*"  # a tag of type="module", or with crossorigin
    answer.cache_control.public, answer.cache_control.max_age = True, SCRIPT_AGE
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@cache
def _script() -> str:
    words = {code: script_words(code, "widget.js") for code in languages() if code != "en"}
    return (STATIC / "widget.js").read_text(encoding="utf-8").replace("const words = {};", f"const words = {json.dumps(words)};")
