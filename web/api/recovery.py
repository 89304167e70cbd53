"""/api/v1/webhook-endpoints/{id}/recover: delivers the events of a period again (shared/operations/webhook_recovery.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from peewee import ModelSelect
from werkzeug.exceptions import Conflict

from shared import db
from shared.models import BulkAction, WebhookEndpoint
from shared.operations import bulk_actions
from shared.operations import webhook_recovery as recovery
from shared.operations.criteria import check_period
from shared.operations.webhook_recovery import DELIVERED, FAILED, Filter
from shared.teaching.fields import decimal
from shared.webhooks import endpoints
from web.api.api import api, customer_id, page, row_or_404
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_text, stored_time
from web.audited import BY_API, audited
from web.parameters import BodySchema, QuerySchema

#: Characters of a wrong time that are repeated to whoever sent it.
_QUOTED = 40
_SINCE, _UNTIL = {"description": "Events that were created from then on …"}, {"description": "… and until then, or until now."}


class _Time(fields.AwareDateTime):
    """A time with its zone; loads UTC, for PostgreSQL does not know every zone that ISO 8601 does."""

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> datetime:
        try:
            time: datetime = super()._deserialize(value, *arguments, **options)
        except ValidationError:
            raise ValidationError("must be a time with its zone, like 2026-11-26T17:00:00Z.") from None
        try:
            return time.astimezone(UTC)
        except OverflowError:  # in UTC it is before the year 1, or after the year 9999
            return (datetime.min if time.year == 1 else datetime.max).replace(tzinfo=UTC)


class _QueryTime(_Time):
    """In an address, where the + of a zone that is not written %2B is a blank."""

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> datetime:
        try:
            return super()._deserialize(value, *arguments, **options)
        except ValidationError as problem:
            hint = "; in an address + is written %2B" if " " in value else ""
            raise ValidationError(f"{str(problem.messages[0]).rstrip('.')}, got {value[:_QUOTED]!r}{hint}.") from None


def _status() -> fields.String:
    choices = validate.OneOf((FAILED, DELIVERED), error="must be FAILED or DELIVERED")
    about = "FAILED: what did not arrive, also what would be tried again. DELIVERED: what did, for a receiver that lost it."
    return fields.String(validate=choices, load_default=FAILED, metadata={"description": about})


class _Period(Schema):
    @validates_schema(skip_on_field_errors=True)
    def _check_period(self, values: dict[str, Any], **_: Any) -> None:
        check_period(values["since"], values["until"])


class RecoveryQuerySchema(_Period, QuerySchema):
    """Which events."""

    since = _QueryTime(format="iso", required=True, metadata=_SINCE)
    until = _QueryTime(format="iso", load_default=None, metadata=_UNTIL)
    status = _status()


class NewRecoverySchema(_Period, BodySchema):
    """Which events are delivered again, and how fast."""

    what = "recovery"
    since = _Time(format="iso", required=True, metadata=_SINCE)
    until = _Time(format="iso", load_default=None, allow_none=True, metadata=_UNTIL)
    status = _status()
    pace = decimal(
        bulk_actions.SLOWEST,
        bulk_actions.FASTEST,
        load_default=recovery.PACE,
        metadata={"description": "Events a second, at the most."},
    )


class RecoveryCountSchema(BodySchema):
    """What a recovery would deliver."""

    total = fields.Integer(required=True)


class RecoverySchema(BodySchema):
    """A recovery, and how far it is."""

    id = stored_id()
    state = stored_text("running", "stopped", "done")
    filter = fields.Dict(required=True, keys=fields.String(), metadata={"description": "endpoint_id, since, until, status."})
    total = fields.Integer(required=True, metadata={"description": "How many events were meant when it began."})
    counts = fields.Dict(
        required=True,
        keys=fields.String(),
        values=fields.Integer(),
        metadata={
            "description": "recovered: sent again; changed: somebody was quicker; endpoint_off: the endpoint was switched off."
        },
    )
    pace = fields.Float(required=True)
    created_at = stored_time()
    finished_at = stored_time(allow_none=True)


RecoveryPageSchema = page_of("RecoveryPageSchema", RecoverySchema)

_SHOWN = tuple(getattr(BulkAction, name) for name in RecoverySchema._declared_fields)
_ONE = "/webhook-endpoints/<int:endpoint_id>/recoveries/<int:recovery_id>"


@api.get("/webhook-endpoints/<int:endpoint_id>/recover")
@api.query(RecoveryQuerySchema)
@api.response(200, RecoveryCountSchema)
def count_recovery(query: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Count what a recovery would deliver"""
    _own(endpoint_id)
    return {"total": recovery.count(Filter(endpoint_id, **query))}


@api.post("/webhook-endpoints/<int:endpoint_id>/recover")
@api.arguments(NewRecoverySchema)
@api.response(202, RecoverySchema)
@api.alt_response(409, response="CONFLICT")
def recover_endpoint(asked: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Recover an endpoint

    Its events of a period are delivered again under their own ids, at a pace and behind first deliveries.
    """
    pace = asked.pop("pace")
    name, where = _own(endpoint_id), Filter(endpoint_id, **asked)
    total = recovery.count(where)
    with db.transaction():
        recovery_id = recovery.begin(where, total, BY_API, pace)
        audited("webhook.recovered", "webhook", endpoint_id, name=name, since=where.as_json()["since"], status=where.status)
    return row_or_404(_recoveries(endpoint_id).where(BulkAction.id == recovery_id), "recovery")


@api.get("/webhook-endpoints/<int:endpoint_id>/recoveries")
@api.query(PageQuerySchema)
@api.response(200, RecoveryPageSchema)
def list_recoveries(query: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """List an endpoint's recoveries"""
    _own(endpoint_id)
    return page(_recoveries(endpoint_id), **query)


@api.get(_ONE)
@api.response(200, RecoverySchema)
def get_recovery(endpoint_id: int, recovery_id: int) -> dict[str, Any]:
    """Get a recovery"""
    _own(endpoint_id)
    return row_or_404(_recoveries(endpoint_id).where(BulkAction.id == recovery_id), "recovery")


@api.post(_ONE + "/stop")
@api.response(200, RecoverySchema)
@api.alt_response(409, response="CONFLICT")
def stop_recovery(endpoint_id: int, recovery_id: int) -> dict[str, Any]:
    """Stop a recovery

    Deliveries that were begun go on.
    """
    name = _own(endpoint_id)
    get = _recoveries(endpoint_id).where(BulkAction.id == recovery_id)
    row_or_404(get, "recovery")
    with db.transaction():
        if not bulk_actions.stop(recovery_id, BY_API):
            raise Conflict("The recovery has ended already.")
        audited("webhook.recovery_stopped", "webhook", endpoint_id, name=name)
    return row_or_404(get, "recovery")


def _own(endpoint_id: int) -> str:
    """What it is called. Raises NotFound if it is not one of the customer's."""
    is_own = (WebhookEndpoint.id == endpoint_id) & (WebhookEndpoint.customer == customer_id())
    columns = (WebhookEndpoint.description, WebhookEndpoint.url)
    return endpoints.name_of(row_or_404(WebhookEndpoint.select(*columns).where(is_own), "webhook endpoint"))


def _recoveries(endpoint_id: int) -> ModelSelect[BulkAction]:
    return BulkAction.select(*_SHOWN).where(recovery.of_endpoint(endpoint_id), BulkAction.customer == customer_id())
