"""Which dead letters somebody means, as they write it: in a page's address, as options of a command, as members of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates_schema

from shared import db
from shared.channels.registry import CHANNELS
from shared.operations.dead_letters import STATES, Filter
from shared.payloads import MAX_ROW_ID, refusal
from shared.queues import Queue

#: Dead letters that may be ticked at once: a page of a list, several times.
MAX_TICKED = 1_000
_AGO = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: Callable[[], datetime]) -> datetime:
    """When somebody means by a time with its zone, or by how long ago: 2026-11-26T10:14:00Z, 90m, 2d. Raises ValueError."""
    try:
        if match := _AGO.fullmatch(text):
            return now() - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if (time := datetime.fromisoformat(text)).tzinfo is not None:
            return time.astimezone(UTC)  # PostgreSQL does not know every zone that ISO 8601 does
    except OverflowError:  # before the year 1, or after the year 9999
        pass
    raise ValueError(f"no moment: {text!r}")


def check_period(since: datetime, until: datetime | None) -> None:
    """Raises ValidationError for a time that holds nothing: it ends before it begins, or begins after now."""
    if until is not None and until < since:
        raise ValidationError("must not be before since", "until")
    if since > datetime.now(UTC):
        raise ValidationError("must not be in the future", "since")


class _Since(fields.Field[datetime]):
    """Such a moment, by PostgreSQL's clock."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            return moment(str(value).strip(), lambda: db.scalar("select clock_timestamp()"))
        except ValueError:
            raise ValidationError(
                "must be a time with its zone, like 2026-11-26T10:14:00Z, or how long ago, like 90m or 2d."
            ) from None


def _id(said: str) -> fields.Integer:
    return fields.Integer(data_key=said, validate=validate.Range(1, MAX_ROW_ID), load_default=None, allow_none=True)


_ERROR = (validate.Length(1, 100), validate.ContainsNoneOf("\0", error="must not contain NUL."))


class Criteria(Schema):
    """What may be said; empty texts, as forms send them, say nothing. `load` gives a Filter."""

    class Meta:
        unknown = EXCLUDE

    queue = fields.String(validate=validate.OneOf(list(Queue)), load_default=None, allow_none=True)
    channel = fields.String(validate=validate.OneOf(list(CHANNELS)), load_default=None, allow_none=True)
    error_code = fields.String(data_key="error", validate=_ERROR, load_default=None, allow_none=True)
    customer_id = _id("customer")
    chatbot_id = _id("chatbot")
    endpoint_id = _id("endpoint")
    since = _Since(load_default=None, allow_none=True)
    until = _Since(load_default=None, allow_none=True)
    ids = fields.List(fields.Integer(validate=validate.Range(1, MAX_ROW_ID)), validate=validate.Length(1, MAX_TICKED))
    state = fields.String(validate=validate.OneOf(STATES), load_default="open")

    @validates_schema(skip_on_field_errors=True)
    def _check_period(self, values: dict[str, Any], **_: Any) -> None:
        if values["since"] and values["until"]:
            check_period(values["since"], values["until"])

    @post_load
    def _filter(self, values: dict[str, Any], **_: Any) -> Filter:
        return Filter(**(values | ({"ids": tuple(values["ids"])} if "ids" in values else {})))


#: Of a Filter's member the name that people write.
NAMES = {name: field.data_key or name for name, field in Criteria().fields.items()}


def read(said: Mapping[str, Any]) -> Filter:
    """Raises InvalidPayload; its errors are for whoever said it."""
    given = {name: value for name, value in said.items() if value not in ("", None)}
    try:
        where: Filter = Criteria().load(given)
    except ValidationError as problem:
        raise refusal("filter", problem.normalized_messages(), given) from None  # type: ignore[no-untyped-call]  # marshmallow's
    return where


def written(where: Filter) -> dict[str, Any]:
    """What `read` takes: the members of a page's address."""
    return {NAMES[name]: value for name, value in where.as_json().items() if (name, value) != ("state", "open")}


def facts(where: Filter) -> dict[str, Any]:
    """The same for the audit, which does not list what was ticked."""
    return {name: value for name, value in written(where).items() if name != "ids"}
