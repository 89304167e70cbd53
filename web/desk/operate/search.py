"""Where a pasted id leads, and the journey of a message as a picture."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from shared import db
from shared.models import KnowledgeItem
from shared.operations import journey as operations
from shared.operations.search import LONGEST, find
from web.desk import desk
from web.desk.access import allowed
from web.desk.operate import words
from web.desk.redirects import see_other


@desk.get("/operate/search")
@allowed("operator")
def search() -> Response:
    """Hits; a single one that is about a message is opened at once."""
    text = request.args.get("q", "").strip()[:LONGEST]
    hits = find(text) if text else []
    if len(hits) == 1 and hits[0]["message_id"]:
        return see_other(url_for("desk.journey", message_id=hits[0]["message_id"]))
    return make_response(render_template("desk/operate/search.html", text=text, hits=hits, words=words))


@desk.get("/operate/messages/<int:message_id>")
@allowed("operator")
def journey(message_id: int) -> Response:
    """The journey."""
    found = operations.of_message(message_id)
    if found is None:
        raise NotFound
    shown = {"journey": found, "words": words, "message_id": message_id, "items": _items(found)}
    return make_response(render_template("desk/operate/journey.html", **shown))


def _items(journey: operations.Journey) -> dict[int, dict[str, Any]]:
    """The knowledge that an answer was made of, as it is called today."""
    ids = [item["id"] for step in journey.steps for item in step.facts.get("knowledge", ())]
    columns = (KnowledgeItem.id, KnowledgeItem.title, KnowledgeItem.knowledge_base.alias("base_id"))
    return {row["id"]: row for row in db.rows(KnowledgeItem.select(*columns).where(KnowledgeItem.id.in_(ids)))} if ids else {}
