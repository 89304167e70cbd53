"""Reads the templates of a WhatsApp business account (WABA) from Meta, a whole list at a time (template_store.py keeps them).

Source: Meta's management API, message_templates; 200 calls an hour for each app and WABA. workers/maintenance.py runs `sync_due`.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from urllib.parse import quote

from shared.channels.inbound import get_objects, get_path, get_text
from shared.channels.whatsapp_cloud import template_store
from shared.channels.whatsapp_cloud.errors import classify_error
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, PermanentError, Snooze
from shared.http import fetch
from shared.jobs.independent import run_each

log = logging.getLogger(__name__)

FIELDS = "name,language,status,category,components,quality_score,rejected_reason"
#: Templates of a page, bytes of one (a template has some kB), and pages: a WABA has at most 6,000 templates.
PAGE, MAX_BYTES, MAX_PAGES = 100, 4 * 1024 * 1024, 100
#: Seconds after which a list is read again although nobody asked for it.
FRESH = 6 * 3600.0
#: Seconds between two readings, and more for each page: 180 calls an hour at most, of Meta's 200. After a failure.
LEAST_PAUSE, PAUSE_PER_PAGE, FAILED_PAUSE = 60.0, 20.0, 600.0
#: WABAs of one run.
BATCH = 20


class SyncFailed(Exception):
    """Meta did not give the templates; the text says why."""


def sync_due() -> int:
    """Reads the lists whose time has come; returns how many were read. Where that fails, what is known stays."""
    due = template_store.queries["claim_due"].rows(
        batch=BATCH, fresh=FRESH, least=LEAST_PAUSE, per_page=PAUSE_PER_PAGE, page=PAGE, failed=FAILED_PAUSE
    )
    return sum(run_each(partial(_sync, row["waba_id"], row["access_token"]) for row in due))


def _sync(waba_id: str, token: str) -> bool:
    try:
        template_store.store(waba_id, _read(waba_id, token))
    except SyncFailed as failed:
        log.warning("templates_not_synced", extra={"waba": waba_id, "error": str(failed)})
        template_store.store_failure(waba_id, str(failed))
        return False
    return True


def _read(waba_id: str, encrypted_token: str) -> list[dict[str, Any]]:
    try:
        token = decrypt(encrypted_token, f"WhatsApp business account {waba_id}")
        return _pages(waba_id, {"Authorization": f"Bearer {token}"})
    except (OutsideFailure, PermanentError, Snooze) as failure:
        raise SyncFailed(str(failure)) from failure


def _pages(waba_id: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    conf = settings()
    first = f"{conf.graph_url}/{conf.graph_version}/{quote(waba_id, safe='')}/message_templates?fields={FIELDS}&limit={PAGE}"
    templates: dict[tuple[str, str], dict[str, Any]] = {}
    cursor = ""
    for _ in range(MAX_PAGES):
        url = first + (f"&after={quote(cursor, safe='')}" if cursor else "")
        answer = fetch(url, headers, conf.http_timeout, allow_private=True, max_bytes=MAX_BYTES)
        if not answer.ok:
            raise classify_error(answer)
        body = answer.json()
        if not isinstance(get_path(body, "data"), list):
            raise SyncFailed("Meta's answer has no list of templates")
        read = [_template(raw) for raw in get_objects(body["data"])]
        templates |= {(one["name"], one["language"]): one for one in read if one["name"] and one["language"]}
        earlier, cursor = cursor, get_text(body, "paging", "cursors", "after")
        if not cursor or cursor == earlier or not get_text(body, "paging", "next"):
            return list(templates.values())
    raise SyncFailed(f"Meta's list has more than {MAX_PAGES} pages")


def _template(raw: dict[str, Any]) -> dict[str, Any]:
    reason = get_text(raw, "rejected_reason")
    return {
        "provider_id": get_text(raw, "id") or None,
        "name": get_text(raw, "name"),
        "language": get_text(raw, "language"),
        "status": get_text(raw, "status").upper() or "UNKNOWN",
        "category": get_text(raw, "category") or None,
        "quality": get_text(raw, "quality_score", "score") or None,
        "reason": None if reason in ("", "NONE") else reason,
        "components": get_objects(raw.get("components")),
    }
