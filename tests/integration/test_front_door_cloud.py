"""Meta's webhook: verified, signed, complete; whatever is in it, nothing good is lost and nothing bad is kept."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import get_ident
from types import FrameType
from typing import Any

import pytest
from redis.connection import Connection

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.telemetry import metrics
from tests.integration.front_door import CLOUD, VERIFY_TOKEN, FrontDoor, change, webhook, written


def accepted() -> list[dict[str, Any]]:
    """The payloads of accepted messages, oldest first."""
    return [row["payload"] for row in db.rows("select payload from job where queue = 'incoming-messages' order by id")]


def rejects() -> list[dict[str, Any]]:
    """What was kept for inspection."""
    return db.rows("select source, reason, subject, payload from inbound_reject order by id")


def test_meta_verifies_the_address(door: FrontDoor) -> None:
    ask = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    answer = door.client.get(CLOUD, query_string=ask)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "1158201444", "text/plain")
    for wrong in ({"hub.verify_token": "no"}, {"hub.mode": "unsubscribe"}, {"hub.verify_token": ""}):
        assert door.client.get(CLOUD, query_string={**ask, **wrong}).status_code == 403


def test_without_its_secret_the_hook_is_closed(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"):
        monkeypatch.delenv(name)
    config.reset()
    assert door.meta(webhook(change(door.number, messages=[written("wamid.1")])), secret="").status_code == 401
    assert door.client.get(CLOUD, query_string={"hub.mode": "subscribe", "hub.verify_token": ""}).status_code == 403


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "sha256=é"])
def test_a_wrong_signature_is_401_and_nothing_is_stored(door: FrontDoor, signature: str | None) -> None:
    headers = {} if signature is None else {"X-Hub-Signature-256": signature}
    answer = door.client.post(CLOUD, json=webhook(change(door.number, messages=[written("wamid.1")])), headers=headers)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert not accepted()
    assert not rejects()
    assert metrics.read()["inbound", "whatsapp_cloud", "bad_signature"] == 1


def test_a_message_is_answered(door: FrontDoor, simulator: Simulator) -> None:
    contact = {"profile": {"name": "Rui"}, "wa_id": "5511912345678", "user_id": "BR.1502576394655843"}
    assert door.meta(webhook(change(door.number, contacts=[contact], messages=[written("wamid.IN1")]))).status_code == 200
    door.world.drain()
    [question] = door.world.messages(role="user")
    assert (question["external_id"], question["metadata"]) == ("wamid.IN1", {"profile_name": "Rui"})
    [sent] = simulator.record("graph")
    assert (sent["key"], "two days" in sent["text"]) == ("5511912345678", True)


def test_a_contact_known_only_by_user_id_is_answered_as_recipient(door: FrontDoor, simulator: Simulator) -> None:
    message = written("wamid.B", from_user_id="BR.1502576394655843")
    del message["from"]
    contact = {"profile": {"name": "Rui", "username": "ruizinho"}, "user_id": "BR.1502576394655843"}
    door.meta(webhook(change(door.number, contacts=[contact], messages=[message])))
    door.world.drain()
    assert [sent["key"] for sent in simulator.record("graph")] == ["BR.1502576394655843"]
    assert [m["status"] for m in door.world.messages(role="assistant")] == ["SENT"]


def test_every_entry_change_message_and_status_counts_and_a_bad_one_drops_none(door: FrontDoor) -> None:
    bad: list[Any] = [
        {},
        {"id": "wamid.x"},
        7,
        None,
        written("w" * 256),
        {"id": "wamid.y", "from": "1", "type": "text", "text": "no object"},
    ]
    body = webhook(
        change(door.number, messages=[written("wamid.1", "one"), *bad, written("wamid.2", "two")], statuses=[{}, "odd"]),
        {"field": "account_update", "value": {}},
        change(door.number, messages=[written("wamid.3", "three")]),
    )
    body["entry"][2]["changes"].append(change(door.number, messages=[written("wamid.4", "four\x00\ud83d")]))
    assert door.meta(body).status_code == 200
    texts = [message["content"] for message in accepted()]
    assert texts == ["one", "no object", "two", "three", "four\ufffd?"]
    assert [reject["reason"].split(":")[0] for reject in rejects()] == [
        "A message has no id.",
        "A message has no from or from_user_id.",
        "messages must be a list of objects.",
        "messages must be a list of objects.",
        "message refused",  # its id is too long
        "A status has no id.",
        "statuses must be a list of objects.",
    ]


@pytest.mark.parametrize("field", [["messages"], {"name": "messages"}, None, 7, ""])
def test_a_change_whose_field_is_no_name_costs_no_other_one(door: FrontDoor, field: Any) -> None:
    odd, good = change(door.number, messages=[written("wamid.1")]), change(door.number, messages=[written("wamid.2")])
    assert door.meta(webhook({**odd, "field": field}, good)).status_code == 200
    assert [message["external_id"] for message in accepted()] == ["wamid.2"]


def test_the_same_delivery_again_is_the_same_message(door: FrontDoor, simulator: Simulator) -> None:
    body = webhook(change(door.number, messages=[written("wamid.1")]))
    for _ in range(3):
        assert door.meta(body).status_code == 200
    door.world.drain()
    assert door.meta(body).status_code == 200
    door.world.drain()
    assert len(simulator.record("graph")) == len(door.world.messages(role="user")) == 1
    assert metrics.read()["inbound", "whatsapp_cloud", "duplicate"] == 3


@pytest.mark.parametrize("size", [10**30, "9" * 40, 1e300, {"low": 1, "high": 10**20}, -5])
def test_a_size_that_no_file_has_costs_no_message(door: FrontDoor, size: Any) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1", type="image", image={"id": "7", "file_size": size})])))
    door.world.drain()
    assert db.rows("select state from media") == [{"state": "stored"}]
    assert len(door.world.messages(role="user")) == 1


CHOICES = [
    ({"type": "button", "button": {"text": "Yes, please", "payload": "yes"}}, "Yes, please"),
    (
        {"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "a", "title": "Call me"}}},
        "Call me",
    ),
    ({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "b", "title": "Friday"}}}, "Friday"),
    ({"type": "image", "image": {"id": "1", "caption": "Do you have this in red?"}}, "Do you have this in red?"),
]


@pytest.mark.parametrize(("message", "words"), CHOICES)
def test_what_was_chosen_becomes_text(door: FrontDoor, message: dict[str, Any], words: str) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1", **message)])))
    [stored] = accepted()
    assert (stored["content"], "unsupported" in stored["metadata"]) == (words, False)


@pytest.mark.parametrize(
    "kind", ["image", "audio", "video", "document", "sticker", "location", "contacts", "order", "unsupported"]
)
def test_what_is_no_text_gets_a_polite_answer_and_no_model_is_asked(door: FrontDoor, simulator: Simulator, kind: str) -> None:
    db.rows("update chatbot set unsupported_message = 'Only words, please.'")
    door.meta(webhook(change(door.number, messages=[written("wamid.1", type=kind, **{kind: {"id": "1"}})])))
    door.world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")  # a picture may be the first of an album
    door.world.drain()
    assert [sent["text"] for sent in simulator.record("graph")] == ["Only words, please."]
    assert not simulator.record("ai")
    assert db.scalar("select count(*) from usage_log where kind = 'ai'") == 0


def test_what_nobody_can_read_is_answered_once_however_many_come(door: FrontDoor, simulator: Simulator) -> None:
    polite = db.scalar("select unsupported_message from chatbot")

    def send(number: int, **message: Any) -> list[str]:
        """What the customer hears of it."""
        before = len(simulator.record("graph"))
        door.meta(webhook(change(door.number, messages=[written(f"wamid.{number}", **message)])))
        door.world.drain()
        return [sent["text"] for sent in simulator.record("graph")[before:]]

    unsupported = {"type": "unsupported", "errors": [{"code": 131051}]}
    assert send(1, **unsupported) == [polite]
    assert send(2, **unsupported) == send(3, type="sticker", sticker={}) == []
    [answer] = send(4, type="text", text={"body": "When do you ship?"})
    assert answer != polite
    assert send(5, **unsupported) == [polite], "something else was said in between"
    db.rows("update message set created_at = created_at - interval '3 minutes'")
    assert send(6, **unsupported) == [polite], "they may have forgotten"
    db.rows("update message set status = 'FAILED', error = 'x' where role = 'assistant'")
    assert send(7, **unsupported) == [polite], "they have not heard it"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bill\u202efdp.exe", "billfdp.exe"),  # which a page shows as billexe.pdf
        ("../../etc/pass\u200bwd\n", "passwd"),
        ("Größe 👍.png", "Größe 👍.png"),
        ("x" * 4000 + ".exe", "x" * 251 + ".exe"),
        ("\u202e\n", None),  # of which nothing is seen
    ],
)
def test_a_file_is_called_what_it_looks_like(door: FrontDoor, name: str, shown: str | None) -> None:
    file = {"id": "1", "mime_type": "application/pdf", "filename": name}
    door.meta(webhook(change(door.number, messages=[written("wamid.1", type="document", document=file)])))
    door.world.drain()
    assert db.scalar("select filename from media") == shown


OLD = [
    (0, 1),
    (23 * 3600, 1),
    (25 * 3600, 0),
    (60 * 86_400, 0),
    (-3600, 1),  # a clock that is ahead
]


@pytest.mark.parametrize(("age", "replies"), OLD)
def test_what_is_older_than_a_day_is_kept_and_not_answered(door: FrontDoor, age: int, replies: int) -> None:
    written_at = int(time.time()) - age
    door.meta(webhook(change(door.number, messages=[written("wamid.1", timestamp=written_at)])))
    door.world.drain()
    [question] = door.world.messages(role="user")
    assert question["sent_at"].timestamp() == written_at
    assert len(door.world.messages(role="assistant")) == replies


def test_a_flow_and_an_ad_reach_the_model_and_the_business(door: FrontDoor, simulator: Simulator) -> None:
    door.world.endpoint(door.world.customer)
    answers = {"response_json": '{"comment": "please call before", "flow_token": "t"}', "body": "Sent", "name": "flow"}
    form = written("wamid.1", type="interactive", interactive={"type": "nfm_reply", "nfm_reply": answers})
    ad = written(
        "wamid.2", "Can I get more info?", referral={"source_id": "1202", "headline": "Blue chair 50% off", "ctwa_clid": "A"}
    )
    door.meta(webhook(change(door.number, messages=[form])))
    door.meta(webhook(change(door.number, messages=[ad])))
    door.world.drain()
    asked = "\n".join(one["text"] for one in simulator.record("ai"))
    assert "comment: please call before" in asked
    assert "Blue chair 50% off" in asked
    events = [row["payload"] for row in db.rows("select payload from webhook_event where event = 'message.received' order by id")]
    assert events[0]["kind"] == "form"
    assert events[0]["data"]["form"]["answers"]["comment"] == "please call before"
    assert events[1]["data"]["referral"]["ctwa_clid"] == "A"
    assert [message["metadata"].get("ctwa_clid") for message in door.world.messages(role="user")] == [None, "A"]


ODD_TEXTS = {
    "NUL": ("a\x00b", "a\ufffdb"),
    "half of a pair": ("a\ud83db\udc00", "a?b?"),
    "right to left": ("\u202eשלום\u202c hello", "\u202eשלום\u202c hello"),
    "zero width": ("a\u200bb\u200d\ufeffc", "a\u200bb\u200d\ufeffc"),
    "100 kB": ("x " * 50_000 + "WHEN DO YOU SHIP?", "x " * 50_000 + "WHEN DO YOU SHIP?"),
    "65,536 characters": ("é" * 65_536, "é" * 65_536),
}


@pytest.mark.parametrize(("text", "kept"), ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_whatever_a_customer_writes_is_kept_and_answered(door: FrontDoor, text: str, kept: str) -> None:
    inside = {"latitude": 1, "longitude": 2, "name": text}
    place = written("wamid.2", type="location", location=inside)
    assert door.meta(webhook(change(door.number, messages=[written("wamid.1", text), place]))).status_code == 200
    door.world.drain()
    [first, second] = door.world.messages(role="user")
    assert (first["content"], second["data"]["location"]["name"]) == (kept, kept)
    assert len(door.world.messages(role="assistant")) == 2
    assert not rejects()


def test_an_error_of_metas_own_is_logged_and_counted(door: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    door.meta(
        webhook(change(door.number, errors=[{"code": 130429, "title": "Rate limit hit", "message": "no text of a customer's"}]))
    )
    assert metrics.read()["inbound", "whatsapp_cloud", "reported_error"] == 1
    assert [record.code for record in caplog.records if record.getMessage() == "channel_reported_error"] == ["130429"]  # type: ignore[attr-defined]


def test_a_picture_within_a_question_does_not_hide_the_question(door: FrontDoor, simulator: Simulator) -> None:
    db.rows("update chatbot set debounce_seconds = 60")
    door.meta(webhook(change(door.number, messages=[written("wamid.1"), written("wamid.2", type="image", image={"id": "1"})])))
    door.world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    door.world.drain()
    assert len(simulator.record("ai")) == len(simulator.record("graph")) == 1


def test_reactions_are_not_answered(door: FrontDoor) -> None:
    reaction = written("wamid.1", type="reaction", reaction={"message_id": "wamid.0", "emoji": "👍"})
    assert door.meta(webhook(change(door.number, messages=[reaction]))).status_code == 200
    assert not accepted()


def status_of(door: FrontDoor, wamid: str, status: str, **more: Any) -> None:
    report = {"id": wamid, "status": status, "timestamp": "1784232500", "recipient_id": "5511912345678", **more}
    assert door.meta(webhook(change(door.number, statuses=[report]))).status_code == 200


def test_statuses_move_the_reply_forward_only(door: FrontDoor) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    callback = {"biz_opaque_callback_data": f"msg_{reply['id']}"}
    for status, wanted in (("delivered", "DELIVERED"), ("sent", "DELIVERED"), ("read", "READ"), ("failed", "READ")):
        status_of(door, reply["external_id"], status, **callback)
        assert door.world.messages(role="assistant")[0]["status"] == wanted


def test_a_failure_that_meta_reports_later_is_kept_with_its_reason(door: FrontDoor) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    errors = [{"code": 131026, "message": "Message undeliverable", "error_data": {"details": "not on WhatsApp"}}]
    status_of(door, reply["external_id"], "failed", errors=errors)
    [reply] = door.world.messages(role="assistant")
    assert (reply["status"], reply["error"]) == ("FAILED", "WhatsApp Cloud: code 131026, Message undeliverable: not on WhatsApp")


def test_a_status_with_another_tenants_message_id_moves_nothing(door: FrontDoor) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    _, other = door.world.tenant()
    report = {"id": "wamid.theirs", "status": "failed", "biz_opaque_callback_data": f"msg_{reply['id']}"}
    door.meta(webhook(change(str(777000 + other), statuses=[report])))
    assert door.world.messages(role="assistant")[0]["status"] == "SENT"


def test_an_unknown_number_is_200_counted_and_kept(door: FrontDoor) -> None:
    assert door.meta(webhook(change("999", messages=[written("wamid.1")]))).status_code == 200
    [kept] = rejects()
    assert (kept["subject"], "wamid.1" in kept["payload"]) == ("999", True)
    assert metrics.read()["inbound", "whatsapp_cloud", "unknown_number"] == 1
    assert not accepted()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "line 1, column 2"),
        (b"", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"entry": NaN}', "NaN"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 100_000, "too deep"),
    ],
)
def test_malformed_json_is_400_and_says_what_is_wrong(door: FrontDoor, raw: bytes, words: str) -> None:
    answer = door.meta(raw)
    assert answer.status_code == 400
    assert words in answer.json["detail"]  # type: ignore[index]  # problem documents are objects
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "body", [{}, {"entry": None}, {"entry": [{"changes": "x"}]}, {"entry": [{"changes": [{"field": "messages"}]}]}]
)
def test_signed_but_empty_is_200(door: FrontDoor, body: dict[str, Any]) -> None:
    assert door.meta(body).status_code == 200


def test_a_body_beyond_the_limit_is_413(door: FrontDoor) -> None:
    assert door.meta(b'"' + b"x" * (3 * 1024 * 1024) + b'"').status_code == 413


_WEB = f"{Path(__file__).parents[2] / 'web'}/"


class _Walk:
    """The files of web/ that functions are called in, each time that it is another one."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        file = path.removeprefix(_WEB)
        if event == "call" and file != path and (not self.files or self.files[-1] != file):
            self.files.append(file)


def test_a_message_is_read_from_the_hook_to_the_queue_without_running_to_and_fro(door: FrontDoor) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))  # what is imported or made once
    walk = _Walk()
    sys.setprofile(walk)
    try:
        door.meta(webhook(change(door.number, messages=[written("wamid.2")])))
    finally:
        sys.setprofile(None)
    assert {"hooks/whatsapp_cloud.py", "hooks/inbox.py"} < set(walk.files)
    assert len(walk.files) - len(set(walk.files)) <= 3, walk.files


def test_an_answer_costs_two_statements_and_one_command_of_redis(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta waits for these; what the answer costs besides is microseconds."""
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))  # what is connected or prepared once
    statements, commands, here = list[str](), list[Any](), get_ident()
    execute, send = db.Pool.execute_sql, Connection.send_packed_command

    def counted_execute(pool: Any, sql: str, params: Any = None) -> Any:
        if get_ident() == here:
            statements.append(sql)
        return execute(pool, sql, params)

    def counted_send(connection: Connection, command: Any, **options: Any) -> None:
        if get_ident() == here:
            commands.append(command)
        send(connection, command, **options)

    monkeypatch.setattr(db.Pool, "execute_sql", counted_execute)
    monkeypatch.setattr(Connection, "send_packed_command", counted_send)
    somebody_new = written("wamid.2", **{"from": "5511912345679"})  # a second job of a conversation waits for the first
    assert door.meta(webhook(change(door.number, messages=[somebody_new]))).status_code == 200
    asked = [sql for sql in statements if sql != "discard plans"]  # now and then
    assert (len(asked), len(commands)) == (2, 1), (asked, commands)


@pytest.mark.parametrize("change_of_account", ["active = false", "phone_number_id = '1'", "chatbot_id = {other}"])
def test_a_number_that_was_switched_off_or_moved_is_so_at_once(door: FrontDoor, change_of_account: str) -> None:
    _, other = door.world.tenant()
    db.rows("delete from whatsapp_cloud_account where chatbot_id = %s", [other])
    number = door.number
    door.meta(webhook(change(number, messages=[written("wamid.1")])))
    db.rows(
        f"update whatsapp_cloud_account set {change_of_account.format(other=other)} where chatbot_id = %s", [door.world.chatbot]
    )
    assert door.meta(webhook(change(number, messages=[written("wamid.2")]))).status_code == 200
    accepted = [(job["payload"]["external_id"], job["payload"]["chatbot_id"]) for job in door.world.jobs()]
    moved = [("wamid.2", other)] if "chatbot_id" in change_of_account else []
    assert accepted == [("wamid.1", door.world.chatbot), *moved]
