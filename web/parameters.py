"""How a request's query, headers and JSON body are read: schemas in, plain values out, and problems that say what is right.

The API and the widget share the fields of this module. The schemas of one route are beside it.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, ClassVar, NoReturn

import marshmallow
from flask import Request
from marshmallow import EXCLUDE, RAISE, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from shared.payloads import MAX_ROW_ID, Schema, in_plain_words, refusal

#: Characters of an Idempotency-Key: with a visitor's id before it, it has to fit into an external id's 255.
MAX_KEY = 200
IDEMPOTENCY_KEY = f"^[!-~]{{1,{MAX_KEY}}}$"
#: Characters of a wrong value that are repeated to whoever sent it.
_QUOTED = 40


class BodySchema(Schema):
    """Of a JSON body or of an answer: a member that it does not name is an error."""

    #: What the body is, for the problem that refuses it.
    what: ClassVar[str] = "body"

    class Meta:
        unknown = RAISE


class QuerySchema(Schema):
    """Of a query or of headers: what it does not name is somebody else's."""

    class Meta:
        unknown = EXCLUDE


class WholeNumber(fields.Integer):
    """A whole number of a query, in plain ASCII digits."""

    def __init__(self, minimum: int = 1, maximum: int = MAX_ROW_ID, **options: Any) -> None:
        super().__init__(validate=validate.Range(minimum, maximum), **options)
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        digits = value if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else ""
        if not digits or not self.minimum <= int(digits) <= self.maximum:
            is_id = self.maximum == MAX_ROW_ID
            span = f"of at least {self.minimum}" if is_id else f"from {self.minimum} to {self.maximum}"
            raise ValidationError(f"must be a whole number {span}, got {str(value)[:_QUOTED]!r}.")
        return int(digits)


class Day(fields.Date):
    """A date of a query, like 2026-11-24."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> date:
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
                raise ValueError
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError(f"must be a date like 2026-11-24, got {value[:_QUOTED]!r}.") from None


class IdempotencyHeader(QuerySchema):
    """Idempotency-Key, as `key`, where the request has one."""

    key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(IDEMPOTENCY_KEY, error=f"must be 1 to {MAX_KEY} printable ASCII characters without spaces."),
        metadata={"description": "The same key in the same conversation is the same message."},
    )


class Parser(FlaskParser):
    """webargs, with our problem documents: 422 names the wrong members of a body, 400 says what else is wrong."""

    def load_json(self, req: Request, _schema: marshmallow.Schema) -> dict[str, Any]:
        """The body, which has to be a JSON object. Raises BadRequest, UnsupportedMediaType."""
        body = req.get_json()
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object.")
        return body

    def handle_error(self, error: ValidationError, req: Request, schema: marshmallow.Schema, **_: Any) -> NoReturn:
        """Raises what `web/problems.py` answers."""
        [(location, messages)] = dict(error.normalized_messages()).items()  # type: ignore[no-untyped-call]  # marshmallow's one untyped method
        if location != "json":
            raise BadRequest(" ".join(f"{name} {in_plain_words(texts[0])}." for name, texts in sorted(messages.items())))
        raise refusal(getattr(schema, "what", "body"), messages, req.get_json())


parser = Parser()


def key_reused() -> UnprocessableEntity:
    """For a key that comes again with another request (draft-ietf-httpapi-idempotency-key-header, section 2.7)."""
    return UnprocessableEntity("This Idempotency-Key was used for another request. Use a new key for a new request.")
