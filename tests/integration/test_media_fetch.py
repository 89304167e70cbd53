"""media-fetch: what a message came with is there before it is answered, and what cannot be had never costs its answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from scripts.local.simulator.files import content
from shared import config, db
from shared.channels import health
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.db.credentials import encrypt
from shared.errors import OutcomeUnknown
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, NoRoom
from shared.media import files
from shared.media.storage import storage
from shared.models import Media
from tests.builders import World
from tests.waiting import until

PICTURE = {"kind": "image", "mime": "image/jpeg", "source": {"id": "137"}}


def cloud(name: str, **more: Any) -> dict[str, Any]:
    """A file of Meta's, as a parser describes it."""
    return {"kind": "image", "mime": "image/jpeg", "source": {"id": name}, **more}


def send(world: World, *media: dict[str, Any], **more: Any) -> int:
    """A message with media, saved; its media-fetch job waits."""
    message = world.service.accept_message(
        {
            "chatbot_id": world.chatbot,
            "channel": "whatsapp_cloud",
            "external_user_id": "5511912345678",
            "content": "[image]",
            "external_id": f"wamid.{len(world.messages())}",
            "media": [*media],
            **more,
        }
    ).message_id
    [job] = world.jobs(message_id=message, queue="incoming-messages")
    assert world.run(job["id"]) is None
    return message


def media_of(message: int) -> list[dict[str, Any]]:
    """Its rows."""
    return db.rows(Media.select().where(Media.message == message).order_by(Media.position))


def answer_in(message: int) -> float:
    """Seconds until the message is answered."""
    query = "select extract(epoch from run_at - now()) from job where queue = 'ai-processing' and message_id = %s"
    return float(db.scalar(query, [message]))


def test_the_answer_to_a_message_with_media_waits_for_them(world: World) -> None:
    message = send(world, PICTURE, {**PICTURE, "filename": "b.jpg"})
    rows = media_of(message)
    assert [(row["position"], row["filename"], row["state"]) for row in rows] == [(0, None, "waiting"), (1, "b.jpg", "waiting")]
    assert 8 < answer_in(message) <= 10
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert answer_in(message) <= 3, "for more pictures of an album"


def test_the_answer_waits_for_all_pictures_of_an_album(world: World) -> None:
    messages = [send(world, PICTURE, external_id=f"wamid.{number}") for number in range(3)]
    [answer] = world.jobs(queue="ai-processing")
    assert answer["message_id"] == messages[-1]
    for job in world.jobs(queue="media-fetch"):
        assert answer_in(messages[-1]) > 3
        assert world.run(job["id"]) is None
    assert answer_in(messages[-1]) <= 3


@pytest.mark.parametrize("hangs", [False, True])
def test_a_file_waits_for_room_and_its_answer_does_not_wait_for_a_gateway_that_hangs(
    world: World, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers import media_fetch  # it boots a worker, which needs the settings

    message = send(world, PICTURE)
    [job] = world.jobs(queue="media-fetch")
    bulkhead = Bulkhead(media_fetch._bulkhead._threads)
    monkeypatch.setattr(media_fetch, "_bulkhead", bulkhead)
    room = media_fetch.source_room(world.customer)
    for _ in range(3 * hangs):
        with pytest.raises(OutcomeUnknown), bulkhead.slot(room, age=0.0):
            raise OutcomeUnknown("no answer")
    with ExitStack() as calls:
        with suppress(NoRoom):
            for _ in range(MAX_SLOTS + 1):
                calls.enter_context(bulkhead.slot(room, age=0.0))
        world.run(job["id"])
        [job] = world.jobs(queue="media-fetch")
        assert (job["state"], job["attempts"]) == ("delayed", int(hangs))
        assert "calls without a response" in job["last_error"]
    assert [row["state"] for row in media_of(message)] == ["waiting"]
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job["id"]])
    assert world.run(job["id"]) is None
    assert [row["state"] for row in media_of(message)] == ["stored"]


VOICE = {"kind": "voice", "mime": "audio/ogg", "source": {"id": "42.ogg"}}


@pytest.mark.parametrize(
    ("fetch_state", "is_answered"),
    [
        ("state = 'waiting'", False),
        ("state = 'waiting', created_at = now() - interval '2 minutes'", True),
        ("state = 'active', claims = 1, attempts = 1, claimed_by = 'w', lease_until = now() + interval '1 minute'", False),
        ("state = 'delayed', claims = 1, attempts = 0, run_at = now() + interval '1 minute'", False),
        ("state = 'delayed', claims = 1, attempts = 1, run_at = now() + interval '1 minute'", True),
    ],
    ids=["waits", "nobody fetches", "is fetched", "throttled", "fails"],
)
def test_an_answer_waits_as_long_as_its_voice_note_may_come(world: World, fetch_state: str, is_answered: bool) -> None:
    message = send(world, VOICE, content="[audio]", kind="media", metadata={"unsupported": "audio"})
    db.rows(f"update job set {fetch_state} where queue = 'media-fetch'")
    db.rows("update job set run_at = now(), created_at = (select min(created_at) from job) where queue = 'ai-processing'")
    [job] = world.jobs(queue="ai-processing")
    world.run(job["id"])
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"]) == (("completed", 1) if is_answered else ("delayed", 0))
    assert len(world.messages(role="assistant")) == is_answered
    if not is_answered:
        free = "state = 'waiting', run_at = null, claimed_by = null, lease_until = null"
        db.rows(f"update job set {free} where queue = 'media-fetch'")
        world.run(world.jobs(queue="media-fetch")[0]["id"])
        assert answer_in(message) <= 0, "it is called at once"


def test_a_plain_text_goes_straight_to_the_ai(world: World) -> None:
    world.say("Hello")
    world.run(world.jobs()[0]["id"])
    assert [job["queue"] for job in world.jobs()] == ["incoming-messages", "ai-processing"]


def test_with_a_debounce_a_text_that_came_meanwhile_is_answered_together_with_the_picture(world: World) -> None:
    db.rows("update chatbot set debounce_seconds = 60 where id = %s", [world.chatbot])
    send(world, PICTURE)
    text = world.say("Is it broken?", channel="whatsapp_cloud", user="5511912345678", external_id="wamid.text")
    world.run(world.jobs(message_id=text)[0]["id"])
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert [job["message_id"] for job in world.jobs(queue="ai-processing")] == [text]
    assert 50 < answer_in(text) <= 60


def test_a_message_that_was_deleted_needs_no_media(world: World) -> None:
    message = send(world, PICTURE)
    db.rows("delete from message where id = %s", [message])
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert world.jobs(queue="media-fetch", state="completed")


def test_the_dead_letter_answers_a_message_whose_media_never_came(world: World) -> None:
    message = send(world, PICTURE)
    [job] = world.jobs(queue="media-fetch")
    db.rows("update job set state = 'failed', last_error = 'media: HTTP 503' where id = %s", [job["id"]])
    assert world.dead_letter(job["id"])
    assert [(row["state"], row["error"]) for row in media_of(message)] == [("failed", "media: HTTP 503")]
    assert answer_in(message) <= 3


# ------------------------------------------------------------------------------------------------------------------- fetching


def fetch(world: World, *media: dict[str, Any], **more: Any) -> tuple[list[dict[str, Any]], Exception | None]:
    """A message's media after one attempt, and what the attempt raised."""
    message = send(world, *media, **more)
    [job] = world.jobs(queue="media-fetch", message_id=message)
    raised = world.run(job["id"])
    return media_of(message), raised


def qr(world: World, dialect: str = "waha") -> dict[str, Any]:
    """For `fetch`: the message came by a QR session."""
    db.rows("update whatsapp_qr_session set dialect = %s, api_key = %s", [dialect, encrypt("gateway-key")])
    return {"channel": "whatsapp_qr", "external_user_id": "5511912345678@c.us"}


def address(world: World, name: str) -> dict[str, Any]:
    """A file of WAHA's, under the name that the gateway has in its container."""
    return {"kind": "image", "source": {"url": f"http://waha:3000/api/files/s{world.chatbot}/{name}"}}


def evolution(name: str, **more: Any) -> dict[str, Any]:
    """A file of Evolution's."""
    return {"kind": "image", "source": {"message": {"key": {"id": name}}, **more}}


def test_a_file_of_meta_is_stored_under_its_hash(world: World) -> None:
    [row], raised = fetch(world, cloud("4711.png"))
    mime, body = content("4711.png")
    assert raised is None
    assert (row["state"], row["mime"], row["size"], row["error"]) == ("stored", mime, len(body), None)
    assert row["storage_key"] == f"{world.customer}/{row['sha256'][:2]}/{row['sha256']}"
    assert storage().read(row["storage_key"]) == body
    assert not list(storage().arrivals.iterdir())


@pytest.mark.parametrize("name", ["expired-1.png", "expired-2.ogg"])
def test_an_address_that_has_expired_is_asked_for_again(world: World, name: str) -> None:
    [row], raised = fetch(world, cloud(name))
    assert (row["state"], raised) == ("stored", None)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("unknown-1.png", "has no such file any more"),
        ("gone-1.png", "HTTP 404; the file is not there any more"),
        ("wrong-hash-1.png", "another SHA-256 than was announced"),
        ("empty-1.png", "the file is empty"),
        ("short-1.png", "bytes came"),
        ("longer-1.png", "more came than the"),
        ("elsewhere-1.png", "said to be at localhost:"),
        ("redirected-1.png", "said to be at localhost:"),
        ("../me/accounts", "has no media id"),
        ("1?access_token=x", "has no media id"),
    ],
)
def test_what_meta_does_not_give_has_failed_and_the_message_is_answered(world: World, name: str, error: str) -> None:
    [row], raised = fetch(world, cloud(name))
    assert (row["state"], raised) == ("failed", None)
    assert error in row["error"]
    assert len(world.jobs(queue="ai-processing")) == 1
    # No other host was called, so none was shown the token.
    assert not world.simulator.record("webhook")
    assert not list(storage().arrivals.iterdir())


def test_a_file_that_fails_does_not_cost_the_others(world: World) -> None:
    rows, raised = fetch(world, cloud("gone-1.png"), cloud("2.png"), cloud("2.png"))
    assert [row["state"] for row in rows] == ["failed", "stored", "stored"]
    assert raised is None
    assert db.scalar("select count(*) from media_file") == 1  # the same bytes are one file


def test_what_the_webhook_says_of_a_hash_is_checked_as_well(world: World) -> None:
    rows, _ = fetch(world, cloud("1.png", sha256="0" * 64), cloud("1.png", sha256="not a hash"))
    # What Graph says is newer; what is no hash says nothing.
    assert [row["state"] for row in rows] == ["stored", "stored"]


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "status", "status": 503},
        {"fault": "reset_before"},
        {"fault": "reset_after"},
        {"fault": "half"},
        {"fault": "drip", "ms": 100},
    ],
    ids=lambda fault: fault["fault"],
)
def test_what_may_pass_is_tried_again_and_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    if fault["fault"] == "drip":
        monkeypatch.setenv("MEDIA_TIMEOUT_SECONDS", "3")
        config.reset()
    bad = f"bad-{fault['fault']}.png"
    world.simulator.faults([{"kind": "graph_media", "match": f"attachments/1/{bad}", **fault}])
    rows, raised = fetch(world, cloud(bad), cloud("good.png"))
    assert [row["state"] for row in rows] == ["waiting", "stored"]
    assert raised is not None
    world.simulator.clear_faults()
    monkeypatch.delenv("MEDIA_TIMEOUT_SECONDS", raising=False)
    config.reset()
    [job] = world.jobs(queue="media-fetch")
    db.rows("update job set run_at = now() where id = %s", [job["id"]])
    before = len(world.simulator.record("graph_media"))
    assert world.run(job["id"]) is None
    assert [row["state"] for row in media_of(job["message_id"])] == ["stored", "stored"]
    assert all(bad in row["path"] for row in world.simulator.record("graph_media")[before:])
    assert len(world.jobs(queue="ai-processing")) == 1


@pytest.mark.parametrize(
    ("fault", "delay"),
    [({"fault": "rate_limit", "retry_after": 77}, 77), ({"fault": "status", "status": 401}, 300)],
)
def test_too_many_calls_and_a_bad_token_cost_no_attempt(world: World, fault: dict[str, Any], delay: int) -> None:
    world.simulator.faults([{"kind": "graph_media", **fault}])
    [row], _ = fetch(world, cloud("1.png"))
    assert row["state"] == "waiting"
    [job] = world.jobs(queue="media-fetch")
    assert (job["state"], job["attempts"]) == ("delayed", 0)
    assert delay - 10 < (job["run_at"] - job["started_at"]).total_seconds() < delay + 60


@pytest.mark.parametrize("reason", [Reason.TOKEN_INVALID, Reason.PAYMENT_MISSING])
def test_a_fetch_waits_for_an_account_that_needs_another_token(world: World, reason: Reason) -> None:
    """Where something else is wrong with it, it gives its files all the same."""
    account = health.account_of(channel("whatsapp_cloud"), world.chatbot, "x")
    health.report(account, health.state_of(reason), reason)
    [row], _ = fetch(world, cloud("1.png"))
    waits = reason is Reason.TOKEN_INVALID
    [job] = world.jobs(queue="media-fetch")
    assert (row["state"], job["attempts"]) == (("waiting", 0) if waits else ("stored", 1))
    assert (job["waits_for"] is not None, len(world.simulator.record("graph_media"))) == (waits, 0 if waits else 2)
    assert health.retry(account)
    assert job["run_at"] == world.jobs(queue="media-fetch")[0]["run_at"], "a file is no proof that replies can be sent"
    health.connected(account)
    if waits:
        db.rows("update job set run_at = now() where id = %s", [job["id"]])
        world.run(job["id"])
    assert media_of(job["message_id"])[0]["state"] == "stored"
    assert len(world.jobs(queue="ai-processing")) == 1


BOT = "insert into telegram_bot (chatbot_id, bot_id, username, token, webhook_secret) values (%s, '123', 'b', %s, %s)"


@pytest.mark.parametrize(
    ("words", "state", "error"),
    [
        ("wrong file_id or the file is temporarily unavailable", "waiting", "media: Telegram does not have the file ready yet"),
        ("file is too big", "failed", "media: Telegram gives bots no file of more than 20 MB"),
        ("invalid file_id", "failed", "Telegram: HTTP 400"),
    ],
)
def test_what_telegram_does_not_give(world: World, words: str, state: str, error: str) -> None:
    db.rows(BOT, [world.chatbot, encrypt("123:token"), encrypt("s")])
    refusal = {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}
    world.simulator.faults([{"kind": "telegram", "fault": "status", "status": 400, "body": refusal, "times": 1}])
    [row], _ = fetch(world, {"kind": "voice", "source": {"file_id": "f"}}, channel="telegram", external_user_id="42")
    assert (row["state"], row["error"].removeprefix("MediaUnavailable: ")) == (state, error)


def test_a_file_that_an_account_is_refused_tells_that_it_is_down(world: World) -> None:
    values = [world.chatbot, encrypt("123:token"), encrypt("s")]
    db.rows(BOT, values)
    world.simulator.faults([{"kind": "telegram", "fault": "status", "status": 401}])
    [row], _ = fetch(world, {"kind": "voice", "source": {"file_id": "f"}}, channel="telegram", external_user_id="42")
    assert row["state"] == "waiting"
    [job] = world.jobs(queue="media-fetch")
    assert (job["waits_for"], job["attempts"]) == (f"telegram {world.chatbot}", 0)
    assert db.row("select state, reason from channel_health") == {"state": "needs_login", "reason": "token_invalid"}


def test_a_file_larger_than_the_limit_is_not_even_asked_for(world: World) -> None:
    big = {"url": f"{world.simulator.url}/x", "file_size": 17 * 1024 * 1024}
    world.simulator.faults([{"kind": "graph_media", "fault": "status", "status": 200, "body": big}])
    [row], raised = fetch(world, cloud("2.png"))
    assert raised is None
    assert "more than 16 MiB" in row["error"]


def test_the_body_of_a_file_is_cut_at_the_limit(world: World) -> None:
    # Ten MB come where 20 bytes were announced.
    world.simulator.faults([{"kind": "graph_media", "fault": "big", "match": "attachments"}])
    [row], _ = fetch(world, cloud("1.png"))
    assert "more came than the" in row["error"]


def test_the_quota_of_a_business_is_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_QUOTA_MB", "1")
    config.reset()
    db.rows("insert into media_file (customer_id, sha256, size) values (%s, %s, 1048500)", [world.customer, "a" * 64])
    rows, raised = fetch(world, cloud("1.png"), cloud("x.txt"))
    assert [row["state"] for row in rows] == ["failed", "stored"]
    db.rows("update media_file set size = 2000000 where sha256 = %s", ["a" * 64])
    assert fetch(world, cloud("x.txt"))[0][0]["state"] == "stored"  # what is there takes no more room
    assert "MEDIA_QUOTA_MB" in rows[0]["error"]
    assert raised is None
    world.customer, world.chatbot = world.tenant()
    [row], _ = fetch(world, cloud("1.png"))
    assert row["state"] == "stored"


def test_waha_is_asked_at_its_configured_address_with_its_key(world: World) -> None:
    [row], raised = fetch(world, address(world, "3EB0.oga"), **qr(world))
    assert (row["state"], row["mime"], raised) == ("stored", "audio/ogg", None)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://waha:3000/api/files/another/3EB0.png", "another session's file"),
        ("http://waha:3000/api/sessions", "not that of a file"),
        ("http://waha:3000/api/files/s1/../../sessions", "not that of a file"),
        ("http://waha:3000/api/files/..%2fsessions", "not that of a file"),
        ("http://waha:3000/api/files/%2e%2e/sessions", "not that of a file"),
        ("http://[::1", "address"),
        ("file:///etc/passwd", "address"),
        ("", "neither with the message nor at an address"),
    ],
)
def test_an_address_of_a_webhook_opens_nothing_else_at_the_gateway(world: World, url: str, error: str) -> None:
    [row], raised = fetch(world, {"kind": "image", "source": {"url": url}}, **qr(world))
    assert (row["state"], raised) == ("failed", None)
    assert error in row["error"]
    assert not world.simulator.record("waha_file")
    assert not world.simulator.record("waha")


def test_a_bucket_of_the_gateway_is_not_told_its_key_and_must_be_public(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{world.simulator.url}/customer/bucket.png"
    [row], _ = fetch(world, {"kind": "image", "source": {"url": url}}, **qr(world))
    assert row["state"] == "stored"
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    [row], _ = fetch(world, {"kind": "image", "source": {"url": url}}, **qr(world))
    assert "not a public address" in row["error"]
    assert len(world.simulator.record("webhook")) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_address_of_a_bucket_that_has_expired_keeps_nobody_waiting(world: World, status: int) -> None:
    world.simulator.faults([{"kind": "webhook", "fault": "status", "status": status}])
    url = f"{world.simulator.url}/customer/bucket.png"
    [row], raised = fetch(world, {"kind": "image", "source": {"url": url}}, **qr(world))
    assert (row["state"], raised) == ("failed", None)
    assert len(world.jobs(queue="ai-processing")) == 1


def test_metas_address_that_is_refused_is_asked_for_again_and_the_token_is_not_blamed(world: World) -> None:
    world.simulator.faults([{"kind": "graph_media", "match": "attachments", "fault": "status", "status": 403, "times": 1}])
    [row], raised = fetch(world, cloud("1.png"))
    assert (row["state"], raised) == ("stored", None)


@pytest.mark.parametrize("name", ["3EB0.png", "3EB1.txt"])
def test_evolution_is_asked_for_the_message(world: World, name: str) -> None:
    [row], raised = fetch(world, evolution(name), **qr(world, "evolution"))
    assert (row["state"], row["mime"], raised) == ("stored", content(name)[0], None)
    assert storage().read(row["storage_key"]) == content(name)[1]


def test_evolution_has_what_its_bucket_has_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    [row], _ = fetch(world, evolution("1.png", url="http://minio:9000/evolution/1.png"), **qr(world, "evolution"))
    assert row["state"] == "stored"


@pytest.mark.parametrize("name", ["gone-1.png", "empty-1.png"])
def test_what_evolution_does_not_have_has_failed(world: World, name: str) -> None:
    [row], raised = fetch(world, evolution(name), **qr(world, "evolution"))
    assert (row["state"], raised) == ("failed", None)


# ----------------------------------------------------------------------------------------------------------- keeping, deleting

_WORKER = """
import sys
from shared.queues import Queue
from tests.builders import stage_of_queue
stage_of_queue(Queue.MEDIA).run(int(sys.argv[1]))
"""


def test_a_kill_while_a_file_comes_leaves_no_half_file(world: World, root: Path) -> None:
    message = send(world, cloud("killed.ogg"))
    [job] = world.jobs(queue="media-fetch")
    world.simulator.faults([{"kind": "graph_media", "match": "attachments", "fault": "drip", "ms": 60_000}])
    worker = subprocess.Popen([sys.executable, "-c", _WORKER, str(job["id"])], cwd=root)
    arrivals = storage().arrivals
    until(lambda: list(arrivals.glob("*")))
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    [row] = media_of(message)
    assert (row["state"], db.scalar("select count(*) from media_file")) == ("waiting", 0)
    world.simulator.clear_faults()
    world.vanish()
    assert world.run(job["id"]) is None
    [row] = media_of(message)
    assert storage().read(row["storage_key"]) == content("killed.ogg")[1]
    # What the dead process left is nobody's after a day.
    [left] = arrivals.glob("*")
    assert files.prune()["media_arrivals"] == 0
    os.utime(left, (0, 0))
    assert files.prune()["media_arrivals"] == 1


def test_files_are_deleted_when_their_time_is_over_and_nobody_else_has_them(world: World) -> None:
    first, second = (fetch(world, cloud("same.png"))[0][0] for _ in range(2))
    db.rows("update media_file set wanted_at = now() - interval '2 days'")
    db.rows("update media set created_at = now() - interval '91 days' where id = %s", [first["id"]])
    assert files.prune() == {"media": 1, "media_files": 0, "media_arrivals": 0}
    assert storage().read(second["storage_key"])
    db.rows("update media set created_at = now() - interval '91 days'")
    assert files.prune() == {"media": 1, "media_files": 1, "media_arrivals": 0}
    assert not (Path(config.settings().media_folder) / second["storage_key"]).exists()
    assert [row["state"] for row in db.rows(Media.select())] == ["deleted", "deleted"]


def many_files(world: World, count: int, unwanted: int = 0) -> None:
    """Files that a message has, and behind them some that none has; all are days old."""
    fetch(world, cloud("one.png"))
    numbers = "generate_series(1, %s) n, encode(sha256(n::text::bytea), 'hex') hash"
    columns = "customer_id, message_id, position, kind, state, storage_key, sha256"
    values = "customer_id, message_id, n, 'image', 'stored', hash, hash"
    db.rows(f"insert into media ({columns}) select {values} from media, {numbers}", [count])
    every = [world.customer, count + unwanted]
    db.rows(f"insert into media_file (customer_id, size, sha256) select %s, 1, hash from {numbers}", every)
    db.rows("update media_file set wanted_at = now() - interval '2 days'")


def rows_read(table: str) -> int:
    """By this session, as far as PostgreSQL has not added it up."""
    return int(db.scalar("select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = %s", [table]))


def test_a_look_for_unwanted_files_goes_through_a_page_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many_files(world, 300)
    db.rows("analyze")
    monkeypatch.setattr(files, "PAGE", 20)
    with db.transaction():
        db.rows("set local enable_seqscan = off")  # as where they are a million
        before = rows_read("media_file"), rows_read("media")
        assert files.delete_unwanted() == 0
        assert 0 < rows_read("media_file") - before[0] <= 60, "the page, and where it ends"
        assert 0 < rows_read("media") - before[1] <= 20, "those of the page"


def test_unwanted_files_are_found_on_whichever_page_they_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many_files(world, 5, unwanted=7)
    monkeypatch.setattr(files, "PAGE", 3)
    monkeypatch.setattr(files, "BATCH", 2)
    assert sum(files.delete_unwanted() for _ in range(12)) == 7
    assert db.scalar("select count(*) from media_file") == 6
    db.rows("delete from message")
    assert sum(files.delete_unwanted() for _ in range(12)) == 6, "and begins anew"


def test_files_whose_time_is_over_go_at_once_whatever_page_is_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many_files(world, 5)
    monkeypatch.setattr(files, "PAGE", 1)
    expired, stored_again, *_ = (row["id"] for row in db.rows("select id from media order by sha256 desc"))
    db.rows("update media set created_at = now() - interval '91 days' where id = any (%s)", [[expired, stored_again]])
    db.rows("update media_file set wanted_at = now() where sha256 = (select sha256 from media where id = %s)", [stored_again])
    assert files.prune() == {"media": 2, "media_files": 1, "media_arrivals": 0}
    left = db.rows("select wanted_at > now() - interval '1 hour' as is_new from media_file order by wanted_at desc")
    assert [row["is_new"] for row in left] == [True, *[False] * 4], "its message may still come"


def test_more_files_than_one_look_deletes_do_not_wait_for_the_next_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many_files(world, 5, unwanted=4)
    monkeypatch.setattr(files, "BATCH", 2)
    monkeypatch.setattr(files, "_looked_at", files._FIRST)
    db.rows("update media set created_at = now() - interval '91 days'")
    assert files.prune() == {"media": 6, "media_files": 10, "media_arrivals": 0}
    assert db.scalar("select count(*) from media_file") == 0


@pytest.mark.parametrize("deleted", ["message", "customer"])
def test_files_of_what_was_deleted_go_after_a_day(world: World, deleted: str) -> None:
    [row], _ = fetch(world, cloud("orphan.png"))
    db.rows(f"delete from {deleted}")
    assert files.prune()["media_files"] == 0
    db.rows("update media_file set wanted_at = now() - interval '2 days'")
    assert files.prune()["media_files"] == 1
    assert not (Path(config.settings().media_folder) / row["storage_key"]).exists()
