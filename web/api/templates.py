"""/api/v1/chatbots/{id}/templates: the message templates of a chatbot's WhatsApp number, as Meta has them."""

from __future__ import annotations

from typing import Any

from flask import Response
from peewee import JOIN

from shared import db
from shared.channels.whatsapp_cloud import template_store
from shared.models import Chatbot, WhatsappBusiness, WhatsappCloudAccount, WhatsappTemplate
from web.api.api import api, customer_id, page, row_or_404
from web.api.outbound_schemas import TemplatePageSchema
from web.api.schemas import PageQuerySchema
from web.audited import audited


@api.get("/chatbots/<int:chatbot_id>/templates")
@api.query(PageQuerySchema)
@api.response(200, TemplatePageSchema)
def list_templates(query: dict[str, Any], chatbot_id: int) -> dict[str, Any]:
    """List the message templates of a chatbot's WhatsApp number

    `synced_at` says when Meta's list was last read; null: it is about to be, and `error` why that failed.
    """
    account = _account(chatbot_id)
    one = WhatsappTemplate
    columns = (one.id, one.name, one.language, one.status, one.category, one.quality, one.reason, one.components, one.updated_at)
    listed = page(one.select(*columns).where(one.waba_id == account["waba_id"]), **query)
    return {**listed, "synced_at": account["synced_at"], "error": account["error"]}


@api.post("/chatbots/<int:chatbot_id>/templates/sync")
@api.response(202)
def sync_templates(chatbot_id: int) -> Response:
    """Read Meta's list of templates again

    Within a minute or, if it was just read, within Meta's limit of calls.
    """
    if waba_id := _account(chatbot_id)["waba_id"]:
        with db.transaction():
            template_store.want(waba_id)
            audited("channel.templates_wanted", "channel", chatbot_id, name=waba_id)
    return Response(status=202)


def _account(chatbot_id: int) -> dict[str, Any]:
    """The WABA of a chatbot's number, which is null until it is known. Raises NotFound for another customer's."""
    account, business = WhatsappCloudAccount, WhatsappBusiness
    rows = (
        Chatbot.select(
            account.waba_id,
            business.templates_synced_at.alias("synced_at"),
            business.templates_error.alias("error"),
        )
        .join(account, JOIN.LEFT_OUTER, on=(account.chatbot == Chatbot.id) & account.active)
        .join(business, JOIN.LEFT_OUTER, on=business.waba_id == account.waba_id)
    )
    return row_or_404(rows.where(Chatbot.id == chatbot_id, Chatbot.customer == customer_id()), "chatbot")
