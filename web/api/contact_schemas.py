"""The shapes of contacts in /api/v1; what a shape is: schemas.py."""

from __future__ import annotations

from marshmallow import fields

from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_time
from web.parameters import BodySchema, WholeNumber


class ContactQuerySchema(PageQuerySchema):
    """Which contacts."""

    chatbot_id = WholeNumber(metadata={"description": "Only contacts of this chatbot."})


class IdentitySchema(BodySchema):
    """A name by which channels know a person."""

    family = fields.String(
        required=True, metadata={"description": "The channels that know it: whatsapp (Cloud and QR), widget, telegram."}
    )
    name = fields.String(required=True)
    created_at = stored_time()
    left_at = stored_time(allow_none=True, metadata={"description": "When the person gave it up: a changed number."})


class ContactConversationSchema(BodySchema):
    """A conversation of a contact."""

    id = stored_id()
    channel = fields.String(required=True)
    external_user_id = fields.String(required=True)
    updated_at = stored_time()


class ContactSchema(BodySchema):
    """A person who writes to a chatbot, under all the names that channels have for them."""

    id = stored_id()
    chatbot_id = stored_id()
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "As the person calls themself, where a channel tells it."}
    )
    identities = fields.List(fields.Nested(IdentitySchema), required=True)
    conversations = fields.List(
        fields.Nested(ContactConversationSchema), required=True, metadata={"description": "At most one on each channel."}
    )
    created_at = stored_time()
    updated_at = stored_time()


class ContactExportSchema(ContactSchema):
    """All that is known of a person."""

    exported_at = stored_time()
    conversations = fields.List(
        fields.Dict(), required=True, metadata={"description": "With their `messages`, and what these came with."}
    )


ContactPageSchema = page_of("ContactPageSchema", ContactSchema)
