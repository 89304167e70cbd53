"""What Meta's webhooks tell of the message templates of a business account (WABA).

Source: Meta's webhooks reference, message_template_*_update and template_category_update. `entry.id` is the WABA's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.channels.inbound import TemplateUpdate, get_id, get_objects, get_path, get_text

#: Meta's word for what happened -> the status of the template, where it is not the same.
_STATUSES = {"REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED"}


def updates_in(body: Mapping[str, Any]) -> list[TemplateUpdate]:
    """What a webhook tells of templates; nothing, of most webhooks."""
    return [
        read(get_id(entry, "id"), change["value"])
        for entry in get_objects(body.get("entry"))
        for change in get_objects(entry.get("changes"))
        if (read := _READERS.get(get_text(change, "field"))) and isinstance(change.get("value"), dict)
    ]


def _update(waba_id: str, value: dict[str, Any], **fields: Any) -> TemplateUpdate:
    identity = get_path(value, "message_template_id")
    return TemplateUpdate(
        raw=value,
        waba_id=waba_id,
        provider_id=str(identity) if isinstance(identity, int | str) else None,
        name=get_text(value, "message_template_name"),
        language=get_text(value, "message_template_language"),
        **fields,
    )


def _status(waba_id: str, value: dict[str, Any]) -> TemplateUpdate:
    event = get_text(value, "event").upper()
    reason = get_text(value, "rejection_info", "reason") or get_text(value, "reason")
    return _update(
        waba_id,
        value,
        status=_STATUSES.get(event, event) or None,
        category=get_text(value, "message_template_category") or None,
        reason=None if reason in ("", "NONE") else reason,
    )


def _quality(waba_id: str, value: dict[str, Any]) -> TemplateUpdate:
    return _update(waba_id, value, quality=get_text(value, "new_quality_score") or None)


def _category(waba_id: str, value: dict[str, Any]) -> TemplateUpdate:
    return _update(waba_id, value, category=get_text(value, "new_category") or None)


def _components(waba_id: str, value: dict[str, Any]) -> TemplateUpdate:
    return _update(waba_id, value, is_changed=True)


_READERS: dict[str, Callable[[str, dict[str, Any]], TemplateUpdate]] = {
    "message_template_status_update": _status,
    "message_template_quality_update": _quality,
    "template_category_update": _category,
    "message_template_components_update": _components,
}
