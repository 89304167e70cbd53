"""Chatbots: what they may be, and how they are created, changed and deleted.

Each verb is given the customer that it is for, and sees no other's rows: None is "there is no such row".
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields as marshmallow_fields
from marshmallow import validate
from peewee import Expression, fn

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import Chatbot, Conversation, Job, KnowledgeBase, limits
from shared.payloads import Schema
from shared.queues import Queue
from shared.teaching import fields
from shared.teaching.default_texts import default_texts
from shared.teaching.hours import opening_hours_field, time_zone_field
from shared.teaching.knowledge import MAX_NAME, is_own_base
from shared.teaching.providers import MAX_MODEL, provider_list, providers, store
from shared.teaching.sites import MAX_SITES, site_origin
from shared.teaching.transcription import columns as transcription_columns
from shared.teaching.transcription import transcription, transcription_field

#: Characters. A prompt is paid for with each reply (schema.sql); the others fit into a message of every channel.
MAX_PROMPT, MAX_REPLY = 20_000, 4_000
#: Minutes until a person's conversation goes back to the bot: 30 days.
MAX_RETURN_MINUTES = 43_200
#: Questions without an answer in a row.
MAX_MISSES = 10

CHATBOT = (
    Chatbot.id,
    Chatbot.name,
    Chatbot.public_key,
    Chatbot.knowledge_base,
    Chatbot.system_prompt,
    Chatbot.model,
    providers().alias("providers"),
    Chatbot.temperature,
    Chatbot.max_tokens,
    Chatbot.fallback_message,
    Chatbot.unsupported_message,
    Chatbot.unsupported_hands_over,
    transcription().alias("transcription"),
    Chatbot.can_see,
    Chatbot.handover_message,
    Chatbot.no_answer_message,
    Chatbot.no_answer_hands_over,
    Chatbot.no_answer_hands_over_after,
    Chatbot.fallback_hands_over,
    Chatbot.opening_hours,
    Chatbot.time_zone,
    Chatbot.closed_hands_over,
    Chatbot.closed_message,
    Chatbot.return_after_minutes,
    Chatbot.cite_sources,
    Chatbot.shows_typing,
    Chatbot.knowledge_characters,
    Chatbot.history_characters,
    Chatbot.allowed_origins,
    Chatbot.debounce_seconds,
    Chatbot.created_at,
)


class _Sites(marshmallow_fields.List[Any]):
    def _deserialize(self, *given: Any, **options: Any) -> list[Any]:
        return list(dict.fromkeys(super()._deserialize(*given, **options)))


def _sites(**options: Any) -> marshmallow_fields.List[Any]:
    return _Sites(
        fields.site(site_origin),
        validate=validate.Length(max=MAX_SITES, error=f"must name at most {MAX_SITES} sites"),
        metadata={"description": "Sites whose pages may show the chat: https://shop.example."},
        **options,
    )


class ChatbotSchema(Schema):
    """A chatbot's settings. What a new one is not given, it gets from default_texts.py and the defaults of schema.sql."""

    what = "chatbot"
    name = fields.text(MAX_NAME, required=True)
    knowledge_base_id = fields.row_id(allow_none=True, metadata={"description": "What it answers from; null: nothing."})
    system_prompt = fields.text(MAX_PROMPT, metadata={"description": "Who it is, and how it speaks."})
    model = fields.text(MAX_MODEL, metadata={"description": "Of the first provider."})
    providers = provider_list()
    temperature = fields.decimal(0, 2)
    max_tokens = fields.whole(1, 32_000, metadata={"description": "Of one answer."})
    fallback_message = fields.text(MAX_REPLY, metadata={"description": "The reply when no provider answers."})
    unsupported_message = fields.text(
        MAX_REPLY, metadata={"description": "The reply to what it cannot read: files, pictures, voice notes."}
    )
    unsupported_hands_over = fields.switch(metadata={"description": "Whether a person takes over then."})
    transcription = transcription_field()
    can_see = fields.switch(metadata={"description": "Whether its models are shown the pictures that customers send."})
    handover_message = fields.text(
        MAX_REPLY,
        allow_none=True,
        metadata={"description": "Said when a conversation is handed over to a person; null: it never is."},
    )
    no_answer_message = fields.text(MAX_REPLY, metadata={"description": "Said when the knowledge holds no answer."})
    no_answer_hands_over = fields.switch(metadata={"description": "Whether a person takes over then."})
    no_answer_hands_over_after = fields.whole(
        1, MAX_MISSES, metadata={"description": "Questions without an answer in a row, with `no_answer_hands_over`."}
    )
    fallback_hands_over = fields.switch(
        metadata={"description": "Whether a person takes over where a customer got the `fallback_message`."}
    )
    opening_hours = opening_hours_field()
    time_zone = time_zone_field()
    closed_hands_over = fields.switch(
        metadata={"description": "Whether conversations wait for a person outside of the `opening_hours`."}
    )
    closed_message = fields.text(
        MAX_REPLY,
        allow_none=True,
        metadata={"description": "Said instead of the `handover_message` outside of the `opening_hours`."},
    )
    return_after_minutes = fields.whole(
        0,
        MAX_RETURN_MINUTES,
        metadata={"description": "Without a message, until the bot answers again where a person took over; 0: it never does."},
    )
    cite_sources = fields.switch(metadata={"description": "Whether a reply shows the links of the knowledge it is taken from."})
    shows_typing = fields.switch(
        metadata={"description": "Whether WhatsApp shows that a message was read, and that somebody types while it answers."}
    )
    knowledge_characters = fields.whole(
        0, 200_000, allow_none=True, metadata={"description": "Of knowledge in a prompt; null: PROMPT_KNOWLEDGE_CHARACTERS."}
    )
    history_characters = fields.whole(
        0, 200_000, allow_none=True, metadata={"description": "Of the conversation in it; null: PROMPT_HISTORY_CHARACTERS."}
    )
    allowed_origins = _sites()
    debounce_seconds = fields.decimal(
        0, 300, metadata={"description": "Messages that arrive within this time get one reply; 0: each gets its own."}
    )


#: What may be given, by name.
SETTINGS = frozenset(ChatbotSchema().fields)


class ChatbotChangesSchema(ChatbotSchema):
    """What changes; what is not named stays."""

    name = fields.text(MAX_NAME)


def create_chatbot(customer_id: int, chatbot: dict[str, Any]) -> dict[str, Any]:
    """A new chatbot. Raises InvalidPayload for a knowledge base that is not the customer's, and for a provider without a key.

    Raises TooMany.
    """
    given, values = _take_providers(chatbot)
    values = {**default_texts(_language_of_base(customer_id, values)), **values}
    if "transcription" in values:
        values |= transcription_columns(values.pop("transcription"), None)
    with db.transaction():
        limits.check(limits.CHATBOTS, customer_id, Chatbot.select(Chatbot.id).where(Chatbot.customer == customer_id))
        new = db.rows(Chatbot.insert(customer=customer_id, **values).returning(Chatbot.id))[0]
        if given:
            store(new["id"], given)
        return db.rows(Chatbot.select(*CHATBOT).where(Chatbot.id == new["id"]))[0]


def change_chatbot(customer_id: int, chatbot_id: int, changes: dict[str, Any]) -> dict[str, Any] | None:
    """Changes what is named. Raises InvalidPayload as create_chatbot does."""
    given, values = _take_providers(changes)
    _language_of_base(customer_id, values)
    own = is_own(customer_id, chatbot_id)
    with db.transaction():
        if db.row(Chatbot.select(Chatbot.id).where(own).for_update()) is None:
            return None
        if "transcription" in values:
            values |= transcription_columns(values.pop("transcription"), chatbot_id)
        if values:
            db.rows(Chatbot.update(**values).where(own))
        if given:
            store(chatbot_id, given)
        return db.row(Chatbot.select(*CHATBOT).where(own))


def delete_chatbot(customer_id: int, chatbot_id: int) -> str | None:
    """Deletes a chatbot that nobody has spoken to, and returns its name.

    Raises Refused for any other: what was said and used stays with it, and what was accepted is answered.
    """
    with db.transaction():
        # Locked: no conversation begins between the questions and the answer.
        bot = db.row(Chatbot.select(Chatbot.name).where(is_own(customer_id, chatbot_id)).for_update())
        if bot is None:
            return None
        # Nor is a message accepted (shared/queue_service.sql).
        db.rows("select pg_advisory_xact_lock(hashtextextended('chatbot', %s))", [chatbot_id])
        count = db.scalar(Conversation.select(fn.COUNT(Conversation.id)).where(Conversation.chatbot == chatbot_id))
        if count:
            raise Refused(
                f"Chatbot {chatbot_id} has conversations ({count}), and what they used is charged for, so it stays. To end it, "
                "empty its allowed_origins and disconnect its channels."
            )
        on_their_way = (Job.queue == Queue.INCOMING) & Job.closed_at.is_null() & (Job.id > 0)  # as the index has it
        if db.row(Job.select(Job.id).where(on_their_way, Job.payload.contains({"chatbot_id": chatbot_id})).limit(1)):
            raise Refused(
                f"Messages to chatbot {chatbot_id} are on their way, and are answered, so it stays. To end it, empty its "
                "allowed_origins and disconnect its channels."
            )
        db.rows(Chatbot.delete().where(Chatbot.id == chatbot_id))
    return str(bot["name"])


def names(customer_id: int) -> list[dict[str, Any]]:
    """The id and the name of each of a customer's chatbots, by name."""
    own = Chatbot.select(Chatbot.id, Chatbot.name).where(Chatbot.customer == customer_id)
    return db.rows(own.order_by(fn.lower(Chatbot.name), Chatbot.id))


def is_own(customer_id: int, chatbot_id: int) -> Expression:
    """Whether it is this chatbot, of this customer."""
    own: Expression = (Chatbot.customer == customer_id) & (Chatbot.id == chatbot_id)
    return own


def _take_providers(chatbot: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The providers that are given, and all other values."""
    given = chatbot.get("providers", [])
    if given and "model" in chatbot:
        raise InvalidPayload("chatbot", {"model": "is the first provider's; with providers give it there only"})
    return given, {name: value for name, value in chatbot.items() if name != "providers"}


def _language_of_base(customer_id: int, values: dict[str, Any]) -> str | None:
    """The language of the knowledge base that is given, if one is. Raises InvalidPayload for one that is not the customer's."""
    base_id = values.get("knowledge_base_id")
    if base_id is None:
        return None
    base = db.row(KnowledgeBase.select(KnowledgeBase.language).where(is_own_base(customer_id, base_id)))
    if base is None:
        raise InvalidPayload("chatbot", {"knowledge_base_id": "there is no such knowledge base; use the id of one of yours"})
    return str(base["language"])
