"""What failed for good is a row of its own; a replay gives out what is meant, at a pace, and nobody gets a message twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from peewee import fn

from scripts.commands import jobs
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels import health
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.models import DeadLetter
from shared.operations import bulk_actions, criteria, dead_letters, replays
from shared.operations.dead_letters import Filter
from shared.queues import Queue
from tests.builders import World, prune
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_front_door_commands import run
from web.app import create_app

CLOUD, CLOUD_QUEUE = "whatsapp_cloud", "whatsapp-cloud-send"
REFUSED = {"kind": "graph", "fault": "status", "status": 400}


def fail_sends(world: World, simulator: Simulator, users: int) -> None:
    """A reply to each of so many people is refused for good."""
    simulator.faults([REFUSED])
    for user in range(users):
        world.say(channel=CLOUD, user=f"49{user:08}", external_id=f"in-{user}")
    world.drain()
    world.dead_letters()
    simulator.clear_faults()


def run_to_end(action: int) -> dict[str, int]:
    """The runner's steps, as fast as they can be; returns the counts."""
    while True:
        db.rows("update bulk_action set stepped_at = now() - interval '1 minute'")
        bulk_actions.run({replays.KIND: replays.step})
        row = bulk_actions.find(replays.KIND, action)
        assert row is not None
        if row["state"] != "running":
            return dict(row["counts"])


def test_failures_are_grouped_by_cause_and_one_cause_is_replayed(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 503}])
    fail_sends(world, simulator, 3)
    for _ in range(4):  # three retries
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
        world.drain()
    world.say("poison", external_id="p")
    db.rows("update job set payload = '{}' where queue = 'incoming-messages' and closed_at is null")
    world.drain()
    world.dead_letters()
    groups = {(group["queue"], group["error_code"]): group for group in dead_letters.groups()}
    assert groups.keys() >= {(CLOUD_QUEUE, "unknown_code"), ("incoming-messages", "bad_payload")}
    sends = groups[CLOUD_QUEUE, "unknown_code"]
    assert (sends["count"], sends["customers"], sends["channel"], sends["customer"]) == (3, 1, CLOUD, "Shop")
    assert (sum(sends["hours"]), len(sends["hours"]), sends["hours"][-1]) == (3, 24, 3)
    assert all("do you ship" not in row["error"].lower() for row in db.rows("select error from dead_letter"))

    where = Filter(queue=CLOUD_QUEUE, error_code="unknown_code")
    plan = replays.preview(where)
    assert (plan.total, plan.ready, plan.left_out, len(plan.samples)) == (3, 3, {}, 3)
    action = replays.begin(where, "ops@example.com", pace=2)
    assert bulk_actions.run({replays.KIND: replays.step}) == 0, "its pace allows none yet"
    assert run_to_end(action) == {"replayed": 3}
    assert replays.results(action) == {"waiting": 3}
    world.drain()
    assert replays.results(action) == {"sent": 3}
    assert simulator.counts()["graph"]["accepted"] == 3
    again = replays.begin(where, "ops@example.com")
    assert run_to_end(again) == {}
    assert dead_letters.count(Filter(queue="incoming-messages")) == 1, "another cause is left alone"


def test_the_overview_counts_what_an_operator_can_repeat(world: World) -> None:
    for number, queue in enumerate(Queue, 1):
        values = {"job_id": number, "queue": queue, "error_code": "other", "error": "Error: x", "attempts": 1}
        db.rows(DeadLetter.insert(**values, customer=world.customer, outcome_unknown=False, began_at=fn.now()))
    repeatable = [group["queue"] for group in dead_letters.groups() if group["is_repeatable"]]
    assert set(Queue) - set(repeatable) == {Queue.MEDIA, Queue.KNOWLEDGE_IMPORT, Queue.KNOWLEDGE_EMBEDDING}
    operator = Visitor(create_app(), person("operator", None))
    assert f"<b>{len(repeatable)}</b><span>open failures</span>" in operator.get("/desk/operate/").text
    own, others = operator.get("/desk/operate/failures").text.split("Repeated by the businesses themselves")
    assert (own.count('class="reason"'), own.count("Replay …")) == (len(repeatable),) * 2
    assert (others.count('class="reason"'), others.count("Replay …")) == (3, 0)
    db.rows(DeadLetter.delete().where(DeadLetter.queue != Queue.AI))
    assert "<b>1</b><span>open failure</span>" in operator.get("/desk/operate/").text


def test_each_that_is_left_out_has_its_reason(world: World, simulator: Simulator) -> None:
    fail_sends(world, simulator, 8)
    late, window, unknown, answered, closed, gone, _, ignored = world.messages(role="assistant")
    db.rows("update message set external_id = 'wamid.late' where id = %s", [late["id"]])
    assert apply_delivery_status("DELIVERED", provider_id="wamid.late") == "applied"
    db.rows("update conversation set window_ends_at = now() where id = %s", [window["conversation_id"]])
    db.rows("update dead_letter set outcome_unknown = true where message_id = %s", [unknown["id"]])
    db.rows("select conversation_take_over_v1(%s, 'person', 'phone')", [answered["conversation_id"]])
    db.rows("select conversation_take_over_v1(%s, 'closed', 'api')", [closed["conversation_id"]])
    db.rows("delete from message where id = %s", [gone["id"]])
    [letter] = db.rows("select id from dead_letter where message_id = %s", [ignored["id"]])
    assert dead_letters.ignore(Filter(ids=(letter["id"],)), "ops") == 1
    left_out = {"delivered": 1, "window_closed": 1, "outcome_unknown": 1, "answered": 1, "closed": 1, "gone": 1}
    plan = replays.preview(Filter(queue=CLOUD_QUEUE))
    assert (plan.total, plan.ready, dict(plan.left_out)) == (7, 1, left_out)
    assert set(plan.left_out) <= replays.REASONS.keys()
    with_unknown = replays.preview(Filter(queue=CLOUD_QUEUE), include_unknown=True)
    assert with_unknown.ready == 2
    assert [row["verdict"] for row in with_unknown.samples if row["message_id"] == unknown["id"]] == ["ready"]
    assert run_to_end(replays.begin(Filter(queue=CLOUD_QUEUE), "ops")) == left_out | {"replayed": 1}
    world.drain()
    assert simulator.counts()["graph"]["accepted"] == 1
    account = health.account_of(channel(CLOUD), world.chatbot, "x")
    health.report(account, health.BANNED, Reason.ACCOUNT_BANNED)
    db.rows("update conversation set owner = 'bot', owner_since = null, returns_at = null, window_ends_at = null")
    counts = replays.preview(Filter(queue=CLOUD_QUEUE), include_unknown=True).left_out
    assert counts["channel_down"] == 3
    db.rows("update message set status = 'DELIVERED' where id = %s", [window["id"]])
    assert (dead_letters.settle(), dead_letters.settle()) == (1, 0)


def test_who_got_the_fallback_is_answered_again(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "bad_key"}])
    world.say(user="v-1")
    world.say(user="v-2")
    world.drain()
    world.dead_letters()
    world.drain()
    simulator.clear_faults()
    assert [message["content"] for message in world.messages(role="assistant")] == ["We are busy."] * 2
    [group] = dead_letters.groups()
    assert (group["queue"], group["channel"], group["error_code"], group["count"]) == ("ai-processing", "widget", "http_401", 2)
    other = world.messages(role="assistant")[1]
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, role, content, status) values (%s, %s, 'widget', 'assistant',"
        " 'I am Anna', 'SENT')",
        [other["conversation_id"], world.chatbot],
    )
    assert run_to_end(replays.begin(Filter(queue="ai-processing"), "ops")) == {"replayed": 1, "answered": 1}
    world.drain()
    first = [m for m in world.messages(role="assistant") if m["conversation_id"] != other["conversation_id"]]
    assert [m["content"] == "We are busy." for m in first] == [True, False]
    assert "two days" in first[1]["content"]
    assert (first[0]["reply_to"], first[1]["status"]) == (None, "SENT")


def test_what_was_pruned_is_replayed_by_a_new_job_and_fails_again_as_the_same(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_sends(world, simulator, 2)
    db.rows("update job set closed_at = closed_at - interval '2 days'")
    prune()
    assert not world.jobs(queue=CLOUD_QUEUE)
    action = replays.begin(Filter(), "ops")
    assert run_to_end(action) == {"replayed": 2}
    simulator.faults([REFUSED | {"times": 1}])
    world.drain()
    world.dead_letters()
    assert replays.results(action) == {"failed": 1, "sent": 1}
    [again] = db.rows("select failures, state from dead_letter where state = 'open'")
    assert (again["failures"], db.scalar("select count(*) from dead_letter")) == (2, 2)
    assert run_to_end(replays.begin(Filter(), "ops")) == {"replayed": 1}
    world.drain()
    assert simulator.counts()["graph"]["accepted"] == 2
    monkeypatch.setenv("KEEP_DEAD_LETTERS_DAYS", "1")
    config.reset()
    db.rows("update dead_letter set failed_at = now() - interval '25 hours' where failures = 2")
    assert dead_letters.prune()["dead_letters"] == 1


def test_a_step_that_dies_is_as_if_it_had_not_begun_and_a_stopped_action_ends(world: World, simulator: Simulator) -> None:
    fail_sends(world, simulator, 3)
    action = replays.begin(Filter(), "ops", pace=1)
    db.rows("update bulk_action set stepped_at = now() - interval '1.5 seconds'")

    def dies(row: object, limit: int) -> object:
        replays.step(row, limit)  # type: ignore[arg-type]
        raise RuntimeError("kill -9")

    with pytest.raises(RuntimeError):
        bulk_actions.run({replays.KIND: dies})  # type: ignore[dict-item]
    assert dead_letters.count(Filter()) == 3
    assert bulk_actions.run({replays.KIND: replays.step}) == 1
    assert bulk_actions.stop(action, "ops@example.com")
    assert not bulk_actions.stop(action, "ops@example.com")
    db.rows("update bulk_action set stepped_at = now() - interval '1 minute'")
    assert bulk_actions.run({replays.KIND: replays.step}) == 0
    row = bulk_actions.find(replays.KIND, action)
    assert row is not None
    assert (row["state"], row["stopped_by"], row["counts"], row["total"]) == ("stopped", "ops@example.com", {"replayed": 1}, 3)
    world.drain()
    assert simulator.counts()["graph"]["accepted"] == 1


def test_an_action_that_always_fails_does_not_stop_the_others(world: World, simulator: Simulator) -> None:
    fail_sends(world, simulator, 1)
    bulk_actions.begin("broken", {}, 1, "ops")
    action = replays.begin(Filter(), "ops")
    db.rows("update bulk_action set stepped_at = now() - interval '1 minute'")

    def fails(row: object, limit: int) -> object:
        raise RuntimeError("always")

    with pytest.raises(RuntimeError, match="always"):
        bulk_actions.run({"broken": fails, replays.KIND: replays.step})  # type: ignore[dict-item]
    row = bulk_actions.find(replays.KIND, action)
    assert row is not None
    assert row["counts"] == {"replayed": 1}


def test_a_person_who_is_about_to_answer_and_a_replay_never_both_send(world: World, simulator: Simulator) -> None:
    """Whoever takes over after a replay put it on its way is asked again by the claim of the send."""
    fail_sends(world, simulator, 1)
    assert run_to_end(replays.begin(Filter(), "ops")) == {"replayed": 1}
    [reply] = world.messages(role="assistant")
    db.rows("select conversation_take_over_v1(%s, 'person', 'phone')", [reply["conversation_id"]])
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SUPERSEDED"
    assert simulator.counts()["graph"]["accepted"] == 0


def test_commands_preview_replay_and_pause(world: World, simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    fail_sends(world, simulator, 2)
    where = ("--queue", CLOUD_QUEUE, "--error", "unknown_code", "--since", "1h")
    assert run(jobs, "failed", "--by-reason") == 0
    assert "unknown_code" in capsys.readouterr().out
    assert run(jobs, "retry", *where, "--dry-run") == 0
    assert "2 failures match. 2 would run again." in capsys.readouterr().out
    assert db.scalar("select count(*) from bulk_action") == 0
    job, _ = world.jobs(queue=CLOUD_QUEUE)
    for more in (("--dry-run",), ("--queue", "x"), where):
        assert run(jobs, "retry", str(job["id"]), *more) == 2, more
    assert dead_letters.count(Filter()) == len(world.jobs(queue=CLOUD_QUEUE, state="failed")) == 2, "nothing ran again"
    assert run(jobs, "retry", *where, "--pace", "201") == 1
    assert "from 1 to 200 a second, not 201" in capsys.readouterr().err
    assert run(jobs, "retry", *where, "--pace", "100") == 0
    assert "replay 1 has begun" in capsys.readouterr().out
    assert run_to_end(1) == {"replayed": 2}
    assert run(jobs, "replays", "1") == 0
    assert "done, 2 of 2" in capsys.readouterr().out
    assert run(jobs, "replays") == run(jobs, "pauses") == 0
    assert run(jobs, "replays", "--stop") == 1
    assert "--stop ends one replay, and needs its id" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(jobs, "failed", "--limit", "9" * 20)
    assert "must be a whole number from 1, got '99999999999999999999'" in capsys.readouterr().err
    for wrong in (("retry",), ("retry", "--since", "yesterday"), ("retry", "--queue", "x"), ("pause",)):
        assert run(jobs, *wrong) == 2, wrong
    assert run(jobs, "pause", "--channel", CLOUD, "--chatbot", str(world.chatbot), "--reason", "number is checked") == 0
    assert run(jobs, "pauses") == 0
    assert "number is checked" in capsys.readouterr().out
    assert run(jobs, "resume", "1", "--pace", "201") == 1
    assert "from 1 to 200 a second, not 201" in capsys.readouterr().err
    assert db.scalar("select count(*) from pause") == 1, "it goes on"
    assert run(jobs, "resume", "1") == 0
    assert run(jobs, "resume", "1") == run(jobs, "replays", "9") == run(jobs, "replays", "1", "--stop") == 1


def test_a_command_prints_its_own_words_and_no_bare_log_events(environment: dict[str, str], world: World, root: Path) -> None:
    for words in (["pause", "--customer", str(world.customer)], ["resume", "1"]):
        command = [sys.executable, "-m", "scripts.commands.jobs", *words]
        done = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert done.stdout.startswith("pause 1 "), words


def test_an_operators_tools_replay_and_pause_by_http(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_sends(world, simulator, 3)
    client = create_app().test_client()
    monkeypatch.delenv("OPERATOR_TOKEN")
    config.reset()
    assert client.get("/operations/v1/failures").status_code == 404, "it is off"
    monkeypatch.setenv("OPERATOR_TOKEN", "secret")
    config.reset()
    for shown in ({}, {"Authorization": "Bearer wrong"}):
        assert client.get("/operations/v1/failures", headers=shown).status_code == 401
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer secret"
    [reason] = client.get("/operations/v1/failures").json["reasons"]
    assert (reason["queue"], reason["count"]) == (CLOUD_QUEUE, 3)
    found = client.get(f"/operations/v1/failures?queue={CLOUD_QUEUE}&since=1h").json
    assert (found["total"], {row["verdict"] for row in found["failures"]}) == (3, {"ready"})
    where = {"queue": CLOUD_QUEUE, "error": "unknown_code"}
    plan = client.post("/operations/v1/replays", json={**where, "dry_run": True})
    assert (plan.status_code, plan.json["ready"], dead_letters.count(Filter())) == (200, 3, 3)
    begun = client.post("/operations/v1/replays", json={**where, "ids": [found["failures"][0]["id"]], "pace": 50, "name": "x"})
    assert begun.status_code == 201
    assert run_to_end(begun.json["id"]) == {"replayed": 1}
    world.drain()
    shown = client.get(f"/operations/v1/replays/{begun.json['id']}").json
    assert (shown["state"], shown["counts"], shown["results"]) == ("done", {"replayed": 1}, {"sent": 1})
    assert client.post(f"/operations/v1/replays/{begun.json['id']}/stop").json["state"] == "done"
    beyond = {"since": "9999-12-31T23:59:59-23:59"}  # in UTC there is no such year
    wrong_options = (
        {**where, "pace": "fast"},
        {**where, "pace": 0.5},
        {**where, "pace": 201},
        {**where, "pace": 201, "dry_run": True},
        {**where, "dry_run": "false"},
        {**where, "include_unknown": 1},
        {**where, "name": [1]},
    )
    for wrong in ({}, {"queue": "x"}, {"since": "yesterday"}, beyond, {"que": "x"}, [1], *wrong_options):
        assert client.post("/operations/v1/replays", json=wrong).status_code == 400, wrong
    assert client.get("/operations/v1/failures?error=a%00b").status_code == 400
    said = client.post("/operations/v1/replays", json={"ids": [1, "x"], "since": "yesterday"}).json["detail"]
    assert said.startswith("filter refused: ids: number 2: must be a whole number (got 'x'); since: must be a time"), "for people"
    pause = client.post("/operations/v1/pauses", json={"channel": CLOUD, "chatbot": world.chatbot, "reason": "a check"})
    assert pause.status_code == 201
    assert client.get("/operations/v1/pauses").json["pauses"][0]["reason"] == "a check"
    assert client.delete(f"/operations/v1/pauses/{pause.json['id']}").json == {"released": 0}
    for wrong, why in (
        ({}, "Name a queue, a channel, a chatbot or a customer."),
        ({"chatbot": 4711}, "There is no chatbot 4711. Ids are in the addresses of the desk's pages"),
        ({"chatbot": "1"}, "chatbot must be an id, a whole number, got '1'"),
        ({"queue": 7}, "queue must be a text, got 7"),
        ({"channel": [CLOUD]}, "channel must be a text"),
        ({"channel": CLOUD, "chatbot_id": 7}, "Unknown: chatbot_id. Known are queue, channel, chatbot, customer, reason"),
        ({"channel": CLOUD, "reason": {"why": 1}}, "reason must be a text"),
        ([], "must be a JSON object, sent as application/json, with queue, channel"),
    ):
        refused = client.post("/operations/v1/pauses", json=wrong)
        assert (refused.status_code, why in refused.json["detail"]) == (400, True), refused.json
    assert client.get("/operations/v1/pauses").json["pauses"] == [], "nothing is paused by a body that names something else"
    assert "next_before" in client.get("/operations/v1/failures?before=x").json["detail"]
    assert "GET /operations/v1/pauses lists" in client.delete("/operations/v1/pauses/9").json["detail"]
    for address in ("pauses/9", f"pauses/{2**70}"):
        assert client.delete(f"/operations/v1/{address}").status_code == 404
    assert client.get(f"/operations/v1/replays/{2**70}").status_code == 404


def test_whoever_stops_a_replay_by_its_id_stops_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recovery = bulk_actions.begin("webhook_recovery", {}, 1, "the business", customer_id=world.customer)
    monkeypatch.setenv("OPERATOR_TOKEN", "secret")
    config.reset()
    client = create_app().test_client()
    stopped = client.post(f"/operations/v1/replays/{recovery}/stop", headers={"Authorization": "Bearer secret"})
    assert (stopped.status_code, run(jobs, "replays", str(recovery), "--stop")) == (404, 1)
    row = bulk_actions.find("webhook_recovery", recovery)
    assert row is not None
    assert row["state"] == "running"


def test_a_replay_is_shown_with_the_time_until_which_it_is_meant(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    action = replays.begin(criteria.read({"until": "2026-11-26T10:14:00Z"}), "ops")
    monkeypatch.setenv("OPERATOR_TOKEN", "secret")
    config.reset()
    shown = create_app().test_client().get(f"/operations/v1/replays/{action}", headers={"Authorization": "Bearer secret"})
    assert shown.json["until"] == "2026-11-26T10:14:00+00:00" == shown.json["filter"]["until"]
    operator = Visitor(create_app(), person("operator", None))
    assert "2026-11-26T10:14" in operator.get(f"/desk/operate/replays/{action}").text


def test_the_address_of_a_preview_has_no_token(world: World, simulator: Simulator) -> None:
    fail_sends(world, simulator, 1)
    operator = Visitor(create_app(), person("operator", None))
    for wrong in ("since=yesterday", "queue=x"):
        page = operator.get(f"/desk/operate/failures/list?{wrong}").text
        assert 'name="ids"' not in page, "a filter that says nothing means nothing"
        assert "failures/ignore" not in page
    page = operator.get(f"/desk/operate/failures/list?queue={CLOUD_QUEUE}").text
    [form] = re.findall(r'<form [^>]*id="failures".*?</form>', page, re.DOTALL)
    assert [tag for tag in re.findall(r"<input [^>]*>", form) if "csrf_token" in tag] == []
    [token] = re.findall(r'<button [^>]*formmethod="post"[^>]* name="csrf_token" value="([^"]+)"', form)
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)) | {"which": "all", "csrf_token": token}
    assert sent.keys() == {"queue", "until", "which", "csrf_token"}
    assert operator.client.post("/desk/operate/failures/ignore", data=sent).status_code == 303
    assert dead_letters.count(Filter()) == 0


def test_a_page_of_an_endpoints_failures_leads_to_the_next_one(world: World) -> None:
    letter = {"queue": Queue.WEBHOOKS, "error_code": "http_500", "error": "Error: x", "attempts": 1, "endpoint_id": 7}
    letter |= {"customer": world.customer, "outcome_unknown": False, "began_at": fn.now()}
    db.rows(DeadLetter.insert_many([{**letter, "job_id": number} for number in range(1, 62)]))
    operator = Visitor(create_app(), person("operator", None))
    page = operator.get("/desk/operate/failures/list?endpoint=7").text
    [address] = re.findall(r'href="([^"]+)" rel="next"', page)
    assert [shown.count('name="ids"') for shown in (page, operator.get(unescape(address)).text)] == [50, 11]


def test_all_that_a_page_shows_is_ignored_some_at_a_time_and_nothing_that_fails_later(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    fail_sends(world, simulator, 5)
    operator = Visitor(create_app(), person("operator", None))
    page = operator.get("/desk/operate/failures/list").text
    shown = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    db.rows("delete from job where state = 'failed'")
    again, *others = db.rows("select id, job_id from dead_letter order by id")
    db.rows("update dead_letter set failed_at = clock_timestamp(), failures = 2 where id = %s", [again["id"]])
    assert operator.post("/desk/operate/failures/ignore", **shown, which="all").status_code == 303
    assert [row["id"] for row in db.rows("select id from dead_letter where state = 'open'")] == [again["id"]]
    assert {row["changed_by"] for row in db.rows("select changed_by from dead_letter where state = 'ignored'")} == {
        "emma.operator.0@example.com"
    }
    assert len(others) == 4
    told = db.rows("select details ->> 'count' as count from audit_entry where action = 'failures.ignored'")
    assert told == [{"count": "4"}], "one row of all batches"
    assert dead_letters.ignore(Filter(state="ignored"), "ops") == 0, "and it ends"
    assert dead_letters.count(Filter(state="ignored"), 3) == 3
    db.rows("update dead_letter set state = 'open', changed_at = null, changed_by = null")
    db.rows("update message set status = 'SENT', error = null where status = 'FAILED'")
    [old, *_, newest] = db.rows("select id from dead_letter order by id")
    db.rows("update dead_letter set failed_at = failed_at - interval '4 days' where id = %s", [old["id"]])
    db.rows(
        "update dead_letter set failed_at = (select max(failed_at) from dead_letter) where id < %s and id > %s",
        [newest["id"], old["id"]],
    )
    assert (dead_letters.settle(), dead_letters.settle()) == (4, 0), "a page after the other, whatever failed at the same moment"
    assert dead_letters.count(Filter(ids=(old["id"],))) == 1, "what failed days ago is not looked at any more"


def test_what_is_ignored_and_its_audit_row_commit_together(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    fail_sends(world, simulator, 5)
    operator = Visitor(create_app(), person("operator", None))
    db.rows("alter table audit_entry add constraint fails check (details ->> 'count' is distinct from '4')")
    try:
        assert operator.post("/desk/operate/failures/ignore", which="all").status_code == 500
    finally:
        db.rows("alter table audit_entry drop constraint fails")
    assert dead_letters.count(Filter(state="ignored")) == 2, "the second batch is undone with its row"
    assert db.rows("select details ->> 'count' as count from audit_entry where action = 'failures.ignored'") == [{"count": "2"}]
