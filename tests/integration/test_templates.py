"""WhatsApp's templates: read from Meta, kept right by its webhooks, and each business sees its own."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels.whatsapp_cloud import template_store, template_sync
from shared.telemetry import metrics
from tests.integration.front_door import FrontDoor, change, webhook
from tests.waiting import until

WABA = "102290129340398"


@pytest.fixture
def business(door: FrontDoor) -> FrontDoor:
    """The number's business account is known."""
    template_store.learn(db.scalar("select id from whatsapp_cloud_account"), WABA)
    return door


def stored() -> dict[tuple[str, str], dict[str, Any]]:
    """The templates that are known, by name and language."""
    return {(row["name"], row["language"]): row for row in db.rows("select * from whatsapp_template")}


def is_wanted() -> bool:
    """Whether the list is to be read again."""
    return bool(db.scalar("select templates_synced_at is null from whatsapp_business"))


def later(seconds: float) -> None:
    """That much time passes, for the lists."""
    moved = ", ".join(
        f"{name} = {name} - make_interval(secs => {seconds})" for name in ("templates_synced_at", "templates_tried_at")
    )
    db.rows(f"update whatsapp_business set {moved}")


def test_a_number_learns_its_business_from_the_first_webhook(door: FrontDoor) -> None:
    status = {"id": "wamid.X", "status": "sent"}
    for _ in range(2):
        body = webhook(change(door.number, statuses=[status]))
        body["entry"][0]["id"] = WABA
        assert door.meta(body).status_code == 200
    assert db.scalar("select waba_id from whatsapp_cloud_account") == WABA


def test_the_list_is_read_by_pages_and_not_more_often_than_meta_allows(
    business: FrontDoor, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_sync, "PAGE", 2)
    assert template_sync.sync_due() == 1
    assert len(simulator.record("templates")) == 2, "two pages"
    known = stored()
    assert {key: row["status"] for key, row in known.items()} == {
        ("order_update", "en_US"): "APPROVED",
        ("order_update", "pt_BR"): "APPROVED",
        ("come_back", "en_US"): "APPROVED",
        ("summer", "en_US"): "REJECTED",
    }
    assert known["summer", "en_US"]["reason"] == "PROMOTIONAL"
    assert known["order_update", "en_US"]["components"][0]["text"].startswith("Hi {{1}}")
    assert template_sync.sync_due() == 0, "it is fresh"
    template_store.want(WABA)
    assert template_sync.sync_due() == 0, "it was read just now"
    db.rows("insert into whatsapp_template (waba_id, name, language, status) values (%s, 'old', 'en', 'APPROVED')", [WABA])
    later(61)
    assert template_sync.sync_due() == 1, "five templates make three pages, which take a minute of the 200 calls an hour"
    assert ("old", "en") not in stored(), "Meta has it no more"
    later(template_sync.FRESH + 1)
    assert template_sync.sync_due() == 1, "it is old"


def test_a_failure_keeps_what_is_known_and_waits_longer(business: FrontDoor, simulator: Simulator) -> None:
    template_sync.sync_due()
    later(template_sync.FRESH + 1)
    error = {"error": {"message": "Error validating access token", "type": "OAuthException", "code": 190}}
    simulator.faults([{"kind": "templates", "fault": "status", "status": 401, "body": error}])
    assert template_sync.sync_due() == 0
    assert len(stored()) == 4
    assert "code 190" in db.scalar("select templates_error from whatsapp_business")
    simulator.clear_faults()
    later(template_sync.FAILED_PAUSE - 60)
    assert template_sync.sync_due() == 0
    later(61)
    assert template_sync.sync_due() == 1
    assert db.scalar("select templates_error from whatsapp_business") is None


@pytest.mark.parametrize("garbage", [{"data": {}}, {}, [], "<html>", {"data": [7, {}, {"name": "x"}]}])
def test_garbage_is_no_list(business: FrontDoor, simulator: Simulator, garbage: Any) -> None:
    simulator.faults([{"kind": "templates", "fault": "status", "status": 200, "body": garbage}])
    template_sync.sync_due()
    assert stored() == {}


def test_a_list_without_an_end_is_given_up(business: FrontDoor, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sync, "MAX_PAGES", 2)
    monkeypatch.setattr(template_sync, "PAGE", 1)
    assert template_sync.sync_due() == 0
    assert "more than 2 pages" in db.scalar("select templates_error from whatsapp_business")


def about(
    field: str, name: str = "order_update", language: str | None = "en_US", identity: Any = 1, **value: Any
) -> dict[str, Any]:
    """A webhook about a template; `identity` 1 is that of the first one."""
    told = {"message_template_id": 1689556908129000 + identity if identity else None, "message_template_name": name}
    told |= {"message_template_language": language} if language else {}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "time": 1, "changes": [{"field": field, "value": {**told, **value}}]}],
    }


STATUS = "message_template_status_update"
#: A webhook, the columns of order_update in English after it, and whether the list is read again.
TOLD: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "rejected": (
        about(STATUS, event="REJECTED", reason="INVALID_FORMAT"),
        {"status": "REJECTED", "reason": "INVALID_FORMAT"},
        False,
    ),
    "paused, with a reason of its own": (
        about(STATUS, event="PAUSED", reason="NONE", rejection_info={"reason": "Low quality"}),
        {"status": "PAUSED", "reason": "Low quality"},
        False,
    ),
    "without a language": (about(STATUS, language=None, event="DISABLED"), {"status": "DISABLED"}, False),
    "without an id": (about(STATUS, identity=None, event="FLAGGED"), {"status": "FLAGGED"}, False),
    "approved again": (about(STATUS, event="APPROVED"), {"status": "APPROVED"}, True),
    "reinstated": (about(STATUS, event="REINSTATED"), {"status": "APPROVED"}, True),
    "deleted": (about(STATUS, event="DELETED"), {}, False),
    "quality": (
        about("message_template_quality_update", new_quality_score="YELLOW"),
        {"quality": "YELLOW", "status": "APPROVED"},
        False,
    ),
    "category": (about("template_category_update", new_category="MARKETING"), {"category": "MARKETING"}, False),
    "another text": (about("message_template_components_update"), {"status": "APPROVED"}, True),
    "one that is not known": (about(STATUS, name="new", identity=99, event="PENDING"), {"status": "APPROVED"}, True),
    "nothing that makes sense": (about(STATUS, name="", language=None, identity=None, event=7), {"status": "APPROVED"}, True),
}


@pytest.mark.parametrize("case", TOLD)
def test_webhooks_keep_the_list_right(business: FrontDoor, case: str) -> None:
    body, expected, again = TOLD[case]
    template_sync.sync_due()
    assert business.meta(body).status_code == 200
    row = stored().get(("order_update", "en_US"))
    assert (row is None) is (case == "deleted")
    assert {name: row[name] for name in expected} == expected if row else True
    assert is_wanted() is again
    assert stored()["order_update", "pt_BR"]["status"] == "APPROVED", "its sibling is as it was"
    until(lambda: sum(by for name, by in metrics.read().items() if name[-1].startswith("template_")) == 1)


def test_another_business_account_is_not_touched(business: FrontDoor) -> None:
    template_sync.sync_due()
    body = about(STATUS, event="REJECTED")
    body["entry"][0]["id"] = "4711"
    business.meta(body)
    assert stored()["order_update", "en_US"]["status"] == "APPROVED"
