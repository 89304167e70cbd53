"""Values that a business gives, with their limits: for the bodies of the API, and for the arguments of the commands.

Their metadata describe them in the OpenAPI document. Nothing there may be narrower than what is taken: clients that are generated
from it check what they send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError, fields, validate

from shared.http import headers
from shared.http.urls import MAX_URL, UrlRefused, normalize_url
from shared.payloads import INVISIBLE, MAX_ROW_ID, not_blank

#: As `not_blank` has it. From the beginning on, for some generated clients look nowhere else.
NOT_BLANK = rf"^[\s\S]*[^{INVISIBLE}]"
#: How an address begins, as normalize_url takes it.
HTTP = "^[Hh][Tt][Tt][Pp][Ss]?://"
_MESSAGES: dict[str, Any] = {"required": "must be given", "null": "must not be null"}


def text(maximum: int, **options: Any) -> fields.String:
    """A text that says something, of at most `maximum` characters."""
    checks: list[Any] = [not_blank, validate.Length(max=maximum, error=f"must have at most {maximum:,} characters")]
    described = {"maxLength": maximum, **options.pop("metadata", {})}
    return fields.String(
        validate=checks, metadata=described, error_messages={**_MESSAGES, "invalid": "must be a text"}, **options
    )


def secret(maximum: int, **options: Any) -> fields.String:
    """A token or key, which a header is to hold; blanks around it do not count."""
    described = {"pattern": rf"^\s*{headers.VALUE.strip('^$')}\s*$", **options.pop("metadata", {})}
    field = text(maximum, load_only=True, metadata=described, **options)
    field.validators.append(_may_be_sent)
    return field


def _may_be_sent(given: str) -> None:
    if given.strip() and not headers.may_hold(given.strip()):  # a blank one is told so by `not_blank`
        raise ValidationError("must be printable ASCII, without blanks at its ends")


def choice(*choices: str, **options: Any) -> fields.String:
    """One of these words."""
    is_one = validate.OneOf(choices, error="must be one of " + ", ".join(choices))
    return fields.String(validate=is_one, error_messages={**_MESSAGES, "invalid": "must be a text"}, **options)


def switch(**options: Any) -> fields.Boolean:
    """true or false, and nothing that only looks like it."""
    messages = {**_MESSAGES, "invalid": "must be true or false"}
    return _Switch(truthy={True}, falsy={False}, error_messages=messages, **options)


class _Switch(fields.Boolean):
    def _deserialize(self, value: Any, *more: Any, **options: Any) -> bool:
        if not isinstance(value, bool):  # Python's 1 and 0.0 are equal to them
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *more, **options)


class _Whole(fields.Integer):
    def _deserialize(self, value: Any, *more: Any, **options: Any) -> int:
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # JSON's 7.0 is 7
        if not is_whole or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *more, **options)


#: Digits behind the point: PostgreSQL's real refuses 1e-300.
_DIGITS = 6


class _Decimal(fields.Float):
    def _deserialize(self, value: Any, *more: Any, **options: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return round(super()._deserialize(value, *more, **options), _DIGITS)


def whole(minimum: int, maximum: int, **options: Any) -> fields.Integer:
    """A whole number."""
    return _whole(minimum, maximum, f"must be a whole number from {minimum:,} to {maximum:,}", **options)


def _whole(minimum: int, maximum: int, span: str, **options: Any) -> fields.Integer:
    in_span = validate.Range(minimum, maximum, error=span)
    return _Whole(validate=in_span, error_messages={**_MESSAGES, "invalid": span}, **options)


def decimal(minimum: float, maximum: float, **options: Any) -> fields.Float:
    """A number."""
    span = f"must be a number from {minimum:g} to {maximum:g}"
    in_span = validate.Range(minimum, maximum, error=span)
    messages = {**_MESSAGES, "invalid": span, "special": span, "too_large": span}
    return _Decimal(validate=in_span, error_messages=messages, **options)


def row_id(**options: Any) -> fields.Integer:
    """The id of a row."""
    return _whole(1, MAX_ROW_ID, "must be an id, a whole number above 0", **options)


class _Normalized(fields.String):
    """Loads an address as it is stored."""

    def __init__(self, normalize: Any, **options: Any) -> None:
        super().__init__(error_messages={**_MESSAGES, "invalid": "must be a text"}, **options)
        self._normalize = normalize

    def _deserialize(self, value: Any, *more: Any, **options: Any) -> str:
        try:
            return str(self._normalize(super()._deserialize(value, *more, **options)))
        except UrlRefused as problem:
            raise ValidationError(str(problem)) from None


def url(allow_private: Callable[[], bool], **options: Any) -> fields.String:
    """An http or https address, with its path; whether it may be one of a private network is asked when there is one."""
    described = {"format": "uri", "maxLength": MAX_URL, "pattern": HTTP, **options.pop("metadata", {})}
    return _Normalized(lambda given: normalize_url(given, allow_private=allow_private()), metadata=described, **options)


def site(normalize: Any, **options: Any) -> fields.String:
    """An address of a site."""
    return _Normalized(normalize, metadata={"maxLength": MAX_URL}, **options)
