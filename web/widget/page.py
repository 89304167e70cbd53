"""The page that a business embeds: /widget/<chatbot>, and the script /widget.js that puts it into theirs."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, send_from_directory

from web.widget.access import Bot, find_bot

page = Blueprint("widget_page", __name__)

#: Seconds that browsers keep the embed script: a business's page loads it on every visit.
SCRIPT_AGE = 3600


@page.get("/widget/<name>")
def show(name: str) -> Response:
    """The chat."""
    bot = find_bot(name)
    answer = make_response(render_template("widget.html", name=bot.name, public_key=bot.public_key))
    answer.headers["Content-Security-Policy"] = policy(bot)
    answer.headers["Cache-Control"] = "no-cache"
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


@page.get("/widget.js")
def script() -> Response:
    """What the business's script tag loads."""
    answer = send_from_directory("static", "widget.js", max_age=SCRIPT_AGE)
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer
