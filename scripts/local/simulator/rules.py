"""Fault rules as POST /__faults takes them: which fields each fault has, and what is wrong with a rule, in a sentence."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from scripts.local.simulator.providers import PROVIDERS
from scripts.local.simulator.services import SERVICES

_EXAMPLE = '[{"kind": "ai", "fault": "status", "status": 503}]'
#: The services that report what became of a message.
_REPORTING = ("graph", "waha", "evolution")
_STATUSES = ("sent", "delivered", "read", "failed")


def _about(description: str) -> dict[str, str]:
    """What a valid value is, for the sentence about one that is not."""
    return {"description": description}


def _whole(description: str, least: int, most: int | None = None, required: bool = False) -> fields.Integer:
    return fields.Integer(
        strict=True, required=required, validate=validate.Range(least, most), metadata=_about(f"{description}, a whole number")
    )


def _kind(kinds: tuple[str, ...]) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(kinds), metadata=_about(f"one of {', '.join(kinds)}"))


class Rule(Schema):
    """The fields that every rule has."""

    class Meta:
        """A misspelt field is refused."""

        unknown = RAISE

    kind = _kind(tuple(SERVICES))
    fault = fields.String(required=True)
    match = fields.String(metadata=_about("a text"))
    rate = fields.Float(validate=validate.Range(0, 1), metadata=_about("a number from 0 to 1"))
    times = _whole("how many requests it applies to at most", 0)


_MS = "milliseconds from 0"
_FIELDS: dict[str, dict[str, fields.Field[Any]]] = {
    "status": {
        "status": _whole("an HTTP status from 200 to 599", 200, 599),
        "body": fields.Raw(metadata=_about("a text or JSON")),
        "headers": fields.Dict(fields.String(), fields.String(), metadata=_about("an object of texts")),
    },
    "rate_limit": {"retry_after": _whole("seconds from 0", 0)},
    "provider": {
        "kind": _kind(("ai",)),
        "provider": fields.String(
            required=True, validate=validate.OneOf(tuple(PROVIDERS)), metadata=_about(f"one of {', '.join(PROVIDERS)}")
        ),
    },
    "revoked": {"kind": _kind(_REPORTING), "token": fields.String(metadata=_about("a text"))},
    "offline": {"kind": _kind(("waha", "evolution"))},
    "timeout": {"ms": _whole(_MS, 0)},
    "drip": {
        "ms": _whole(_MS, 0),
        "part": fields.String(validate=validate.OneOf(("head", "body")), metadata=_about("head or body")),
    },
    "cut": {
        "by": fields.String(validate=validate.OneOf(("close", "reset", "silence")), metadata=_about("close, reset or silence")),
        "ms": _whole(_MS, 0),
    },
    "pace": {"ms": _whole(_MS, 0, required=True)},
    "latency": {"ms": _whole(_MS, 0, required=True)},
    "hold": {},
    "statuses": {
        "kind": _kind(_REPORTING),
        "url": fields.Url(required=True, require_tld=False, schemes={"http", "https"}, metadata=_about("an http(s) address")),
        "statuses": fields.List(
            fields.Raw(), validate=validate.ContainsOnly(_STATUSES), metadata=_about(f"a list of {', '.join(_STATUSES)}")
        ),
        "delay_ms": _whole(_MS, 0),
        "app_secret": fields.String(metadata=_about("a text")),
    },
}


def checked(rules: object, faults: frozenset[str]) -> list[dict[str, Any]]:
    """The rules, if all are valid. Raises ValueError, whose text names the first one that is not, and why."""
    if not isinstance(rules, list):
        raise ValueError(f"The body must be a JSON list of rules, like {_EXAMPLE}, got {_short(rules)}.")
    return [_checked(f"Rule {number}", rule, faults) for number, rule in enumerate(rules, start=1)]


def parse_rules(body: bytes) -> object:
    """The body's JSON. Raises ValueError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        got = _short(body.decode("utf-8", "replace"))
        raise ValueError(f"The body must be a JSON list of rules, like {_EXAMPLE}, got {got}.") from None


def _checked(name: str, rule: object, faults: frozenset[str]) -> dict[str, Any]:
    if not isinstance(rule, dict):
        raise ValueError(f"{name} must be a JSON object, like {_EXAMPLE[1:-1]}, got {_short(rule)}.")
    fault = rule.get("fault")
    if not isinstance(fault, str) or fault not in faults:
        got = f"got {_short(fault)}" if "fault" in rule else "and is missing"
        raise ValueError(f"{name}: fault must be one of {', '.join(sorted(faults))}, {got}.")
    schema = Rule.from_dict(dict(_FIELDS.get(fault, {})))()
    try:
        return dict(schema.load(rule))
    except ValidationError as problem:
        _explain(name, rule, schema, problem)


def _explain(name: str, rule: dict[str, Any], schema: Schema, problem: ValidationError) -> NoReturn:
    field = next(iter(dict(problem.normalized_messages())))  # type: ignore[no-untyped-call]  # marshmallow's one untyped method
    if field not in schema.fields:
        valid = ", ".join(schema.fields)
        raise ValueError(f"{name}: the fault {rule['fault']} has no field {field}; its fields are {valid}.") from None
    got = f"got {_short(rule[field])}" if field in rule else "and is missing"
    raise ValueError(f"{name}: {field} must be {schema.fields[field].metadata['description']}, {got}.") from None


def _short(value: object) -> str:
    """A wrong value, as far as it helps to recognize it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
