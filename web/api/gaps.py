"""/api/v1/knowledge-bases/{id}/gaps: questions that chatbots had no answer to (shared/teaching/gaps.py)."""

from __future__ import annotations

from typing import Any

from flask import Response

from shared import db
from shared.models import KnowledgeBase
from shared.teaching import gaps, knowledge
from shared.teaching.gaps import AnswerSchema
from web.api.api import MAX_TEXT_BODY, api, customer_id, existing, row_or_404
from web.api.teaching_schemas import GapQuerySchema, GapsSchema, StoredItemSchema
from web.audited import audited
from web.hardening import max_body


@api.get("/knowledge-bases/<int:base_id>/gaps")
@api.query(GapQuerySchema)
@api.response(200, GapsSchema)
def list_gaps(query: dict[str, Any], base_id: int) -> dict[str, Any]:
    """List questions without an answer

    Similar questions are listed as one; what was asked most comes first.
    """
    is_own = knowledge.is_own_base(customer_id(), base_id)
    base = row_or_404(KnowledgeBase.select(KnowledgeBase.id).where(is_own), "knowledge base")
    groups = gaps.of_base(customer_id(), base["id"])
    return {"data": [group.as_dict() for group in groups[: query["limit"]]], "total": len(groups)}


@api.post("/knowledge-bases/<int:base_id>/gaps/<int:gap_id>/answer")
@api.arguments(AnswerSchema)
@api.response(201, StoredItemSchema)
@max_body(MAX_TEXT_BODY)
def answer_gap(item: dict[str, Any], base_id: int, gap_id: int) -> dict[str, Any]:
    """Answer a question

    Creates an item, and closes the question with those like it.
    """
    with db.transaction():
        created = existing(gaps.answer(customer_id(), base_id, gap_id, item), "open question")
        audited("knowledge.gap_answered", "knowledge item", created["id"])
    return created


@api.post("/knowledge-bases/<int:base_id>/gaps/<int:gap_id>/dismiss")
@api.response(204)
def dismiss_gap(base_id: int, gap_id: int) -> Response:
    """Dismiss a question

    It is closed without an answer, with those like it.
    """
    with db.transaction():
        existing(gaps.dismiss(customer_id(), base_id, gap_id) or None, "open question")
        audited("knowledge.gap_dismissed", "knowledge gap", gap_id)
    return Response(status=204)
