"""The shapes of /api/v1 of what a business sends (outbound.py), and of WhatsApp's templates."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from shared.channels.choices import MAX_CHOICES, ChoiceSchema
from shared.channels.outbound_file import MEGABYTE
from shared.payloads import not_blank
from shared.teaching.fields import switch
from web import uploads
from web.api.schemas import NewMessageSchema, page_of, stored_id, stored_time
from web.parameters import BodySchema

#: Of a template, what takes parameters.
_PARTS = ("header", "body", "buttons")


def _text(**options: Any) -> fields.String:
    return fields.String(required=True, **options)


class TemplateMessageSchema(BodySchema):
    """An approved template with its parameters."""

    name = fields.String(required=True, validate=[not_blank, validate.Length(max=512, error="must have at most 512 characters")])
    language = fields.String(
        required=True,
        validate=[not_blank, validate.Length(max=15, error="must have at most 15 characters")],
        metadata={"description": "As approved: pt_BR."},
    )
    parameters = fields.Dict(
        keys=fields.String(validate=validate.OneOf(_PARTS, error="parts are " + ", ".join(_PARTS))),
        load_default=dict,
        metadata={
            "description": "`body`: a list of texts for {{1}}, {{2}} …, or an object where they have names; `header`: the same, "
            'or the file (`{"link": "https://…"}`); `buttons`: an object of texts by the number of the button, from "0".'
        },
    )


class OwnMessageSchema(BodySchema):
    """What a business says: a text, with choices or without, or a template."""

    what = "message"
    content = fields.String(validate=not_blank, metadata=NewMessageSchema().fields["content"].metadata)
    choices = fields.List(
        fields.Nested(ChoiceSchema),
        validate=validate.Length(1, MAX_CHOICES, error=f"must be 1 to {MAX_CHOICES} choices"),
        metadata={"description": "Shown as the channel can: buttons, a list, or numbered lines."},
    )
    template = fields.Nested(TemplateMessageSchema, metadata={"description": "WhatsApp Cloud only."})
    take_over = switch(
        load_default=True,
        metadata={"description": "Whether a person takes the conversation over by it; false: the bot goes on."},
    )


class FileMessageSchema(BodySchema):
    """A picture or another file."""

    what = "message"
    file = fields.Raw(
        required=True,
        metadata={
            "type": "string",
            "format": "binary",
            "description": "With its name: a picture (JPEG, PNG, WebP, GIF), a PDF, a text, a CSV, a Word document, an Excel"
            f" table or a sound, of up to {uploads.MAX_FILE // MEGABYTE} MB.",
        },
    )
    content = fields.String(metadata={"description": "Its caption."})
    take_over = fields.Boolean(load_default=True, metadata=OwnMessageSchema().fields["take_over"].metadata)


class TemplateSchema(BodySchema):
    """A message template as Meta has it."""

    id = stored_id()
    name = _text()
    language = _text()
    status = _text(metadata={"description": "Only APPROVED can be sent."})
    category = _text(allow_none=True)
    quality = _text(allow_none=True)
    reason = _text(allow_none=True, metadata={"description": "Why Meta rejected or paused it."})
    components = fields.List(
        fields.Dict(), required=True, metadata={"description": "Its text and buttons, as Meta describes them."}
    )
    updated_at = stored_time()


TemplatePageSchema = type(
    "TemplatePageSchema",
    (page_of("_TemplatePageSchema", TemplateSchema),),
    {"synced_at": stored_time(allow_none=True), "error": _text(allow_none=True)},
)
