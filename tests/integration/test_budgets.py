"""What a customer may spend on models in a month: reserved before each call, settled with what it did cost."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scripts.commands import budgets as command
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import embeddings
from shared.ai.search import try_out
from shared.ai.understanding import understand
from shared.budgets import budgets, meter, prices
from shared.budgets.budgets import BudgetSchema
from shared.errors import LeaseLost
from shared.jobs.outcome import AttemptEnded
from shared.models import Budget, BudgetReservation, Chatbot, Conversation, ModelPrice, UsageLog
from shared.payloads import check
from shared.queues import Queue
from shared.telemetry.timings import Timings
from tests.builders import World, stage_of_queue
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from tests.integration.test_front_door_commands import run
from tests.integration.test_ledger_races import another_session, until_waiting
from tests.integration.test_understanding import OGG, VOICE, arrived
from tests.waiting import until

QUESTION = "When do you ship?"
MODEL = "gpt-4o-mini"


def budget(world: World, **columns: Any) -> int:
    """A budget of the world's customer."""
    given = {"customer": world.customer, "tokens": 1_000_000, "month": "2026-01-01", **columns}
    identity = int(db.scalar(Budget.insert(**given).returning(Budget.id)))
    db.rows("select budget_recount_v1(%s)", [identity])
    return identity


def price(simulator: Simulator, model: str = MODEL, prompt: str = "0.15", completion: str = "0.6") -> None:
    url = simulator.environment()["OPENAI_BASE_URL"].rstrip("/")
    db.rows(ModelPrice.insert(base_url=url, model=model, prompt=prompt, completion=completion))


def row(identity: int) -> dict[str, Any]:
    [found] = db.rows(Budget.select().where(Budget.id == identity))
    return found


def spend(identity: int, tokens: int) -> None:
    """As if so much had been spent before."""
    db.rows(Budget.update(spent_tokens=tokens).where(Budget.id == identity))


def reservations() -> list[dict[str, Any]]:
    return db.rows(BudgetReservation.select())


def used() -> int:
    """The tokens of the usage log."""
    return int(db.scalar("select coalesce(sum(prompt_tokens + completion_tokens), 0) from usage_log"))


def ask(world: World, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    """The reply to a question."""
    message = world.say(question, **more)
    world.drain()
    [reply] = world.messages(reply_to=message)
    return reply


def events() -> list[str]:
    rows = db.rows("select event from webhook_event where starts_with(event, 'budget.') order by id")
    return [event["event"] for event in rows]


def listen(world: World) -> None:
    endpoint = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set events = '{budget.warning,budget.exhausted}' where id = %s", [endpoint])


def choose_vectors(world: World) -> None:
    """The world's base gets vectors by a provider's model."""
    db.rows("update knowledge_base set embedding_model = 'bag-of-words' where customer_id = %s", [world.customer])


def test_who_has_no_budget_reserves_nothing_and_sees_what_it_costs(world: World, simulator: Simulator) -> None:
    price(simulator)
    ask(world)
    assert reservations() == []
    [usage] = db.rows(UsageLog.select().where(UsageLog.kind == "ai"))
    expected = (usage["prompt_tokens"] * Decimal("0.15") + usage["completion_tokens"] * Decimal("0.6")) / 1_000_000
    assert (usage["cost"], usage["chatbot_id"]) == (expected, world.chatbot)
    assert usage["counted_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_what_calls_cost_is_what_is_spent(world: World, simulator: Simulator) -> None:
    price(simulator)
    ask(world)
    mine = budget(world, money=5)
    theirs = budget(world, customer=world.tenant()[0])
    assert row(mine)["spent_tokens"] == used() > 0, "what was used before it was set"
    for number in range(3):
        ask(world, f"{QUESTION} {number}")
    ask(world, "Do you sell bicycles?")  # two calls
    assert len(simulator.record("ai")) == 6
    assert (row(mine)["spent_tokens"], reservations()) == (used(), [])
    assert row(mine)["spent_money"] == db.scalar("select sum(cost) from usage_log") > 0
    assert row(theirs)["spent_tokens"] == 0


@pytest.mark.parametrize(
    ("at_limit", "answer", "owner"),
    [
        ({"at_limit": "hand_over"}, "A colleague comes.", "person"),
        ({"at_limit": "text", "text": "Call us."}, "Call us.", "bot"),
        ({"at_limit": "cheaper_model", "model": "tiny"}, "Thanks for asking! We ship within two days.", "bot"),
    ],
)
def test_a_budget_that_is_used_up(world: World, at_limit: dict[str, str], answer: str, owner: str) -> None:
    listen(world)
    db.rows(Chatbot.update(handover_message="A colleague comes.").where(Chatbot.id == world.chatbot))
    mine = budget(world, chatbot=world.chatbot, tokens=1_000, **at_limit)
    spend(mine, 1_000)
    reply = ask(world)
    assert reply["content"].startswith(answer)
    assert reply["metadata"].get("model", "tiny") == "tiny"
    assert db.scalar(Conversation.select(Conversation.owner)) == owner
    assert (events(), reservations()) == (["budget.warning", "budget.exhausted"], [])
    ask(world, user="v-2")
    assert len(events()) == 2, "once a month"
    if owner == "bot" and "model" in at_limit:
        spend(mine, 2_000)
        assert ask(world, user="v-3")["content"] == "A colleague comes.", "the cheaper model is no way round"


def test_free_models_are_never_blocked(world: World, simulator: Simulator) -> None:
    mine = budget(world, tokens=0, money=0)
    price(simulator, prompt="0", completion="0")
    assert "two days" in ask(world)["content"]
    assert (row(mine)["spent_tokens"], used() > 0) == (0, True)


def test_a_model_without_a_price_costs_no_money(world: World) -> None:
    mine = budget(world, tokens=None, money=1)
    db.rows(Budget.update(spent_money=5).where(Budget.id == mine))
    assert "two days" in ask(world)["content"]


def test_a_free_provider_of_the_list_answers_where_the_first_is_too_dear(world: World, simulator: Simulator) -> None:
    price(simulator, "free-model", "0", "0")
    db.rows("insert into chatbot_provider (chatbot_id, position, model) values (%s, 2, 'free-model')", [world.chatbot])
    spend(budget(world, tokens=10), 10)
    assert ask(world)["metadata"]["model"] == "free-model"


def test_a_warning_at_four_fifths_comes_once(world: World) -> None:
    listen(world)
    mine = budget(world, tokens=100_000)
    spend(mine, 80_000)
    ask(world)
    ask(world, user="v-2")
    assert events() == ["budget.warning"]
    [payload] = db.rows("select payload from webhook_event where event = 'budget.warning'")
    assert payload["payload"]["spent_tokens"] > 80_000
    assert payload["payload"] | {"sequence": 1, "spent_tokens": 1} == {
        **{"budget_id": mine, "chatbot_id": None, "month": row(mine)["month"].strftime("%Y-%m")},
        **{"tokens": 100_000, "spent_tokens": 1, "money": None, "spent_money": 0, "at_limit": "hand_over", "sequence": 1},
    }


def run_delayed(world: World) -> list[Any]:
    """Runs the jobs again, all at once, that wait for what is reserved; returns them."""
    delayed = [job["id"] for job in world.jobs(queue=Queue.AI, state="delayed")]
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(world.run, delayed))
    return delayed


def test_fifty_questions_at_ninety_nine_percent(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "latency", "ms": 30}])
    ask(world, user="before")
    one = used()
    limit = one * 100
    mine = budget(world, tokens=limit, at_limit="text", text="Until next month.")
    spend(mine, limit - math.ceil(one / 2))
    jobs = []
    for number in range(50):
        world.say(user=f"v-{number}")
    for incoming in world.jobs(queue=Queue.INCOMING, state="waiting"):
        world.run(incoming["id"])
    jobs = [job["id"] for job in world.jobs(queue=Queue.AI, state="waiting")]
    assert len(jobs) == 50
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(world.run, jobs))
    until(lambda: not run_delayed(world), "what is reserved to be spent")
    texts = [message["content"] for message in world.messages(role="assistant")]
    asked = len(simulator.record("ai")) - 1
    assert (asked, len(texts), texts.count("Until next month.")) == (1, 51, 49)
    assert limit <= row(mine)["spent_tokens"] <= limit + one
    assert reservations() == []


def test_a_call_that_nobody_heard_the_end_of_counts_as_spent(world: World, simulator: Simulator) -> None:
    mine = budget(world)
    simulator.faults(
        [{"kind": "ai", "fault": "reset_after", "times": 1}, {"kind": "ai", "fault": "status", "status": 503, "times": 1}]
    )
    world.say()
    for _ in range(3):
        world.drain()
        if left := reservations():
            assert len(left) == 1
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    world.drain()
    [reply] = world.messages(role="assistant")
    assert "two days" in reply["content"]
    [lost] = reservations()
    assert meter.sweep() == 1
    assert meter.sweep() == 0
    [unknown] = db.rows(UsageLog.select().where(UsageLog.kind == "unknown"))
    assert unknown["prompt_tokens"] == lost["prompt_tokens"] > 0
    assert unknown["completion_tokens"] == lost["completion_tokens"] == 500, "what its model may write"
    assert (reservations(), row(mine)["spent_tokens"]) == ([], used())


def test_lost_calls_of_one_message_are_swept_together(world: World) -> None:
    mine = budget(world)
    question = world.say()
    world.run(world.jobs(queue=Queue.INCOMING)[0]["id"])
    paying = meter.Meter(meter.Payer(world.customer, world.chatbot, question), has_budget=True)
    for model in ("a", "b"):  # two providers, and neither answers
        with suppress(RuntimeError), paying.call("ai", "https://a.example/v1", model, meter.Most(10, 10)):
            raise RuntimeError
    db.rows("update budget_reservation set created_at = created_at - interval '1 day'")
    assert meter.sweep() == 2
    [unknown] = db.rows(UsageLog.select().where(UsageLog.kind == "unknown"))
    assert (unknown["message_id"], unknown["quantity"], unknown["prompt_tokens"]) == (question, 2, 20)
    assert (reservations(), row(mine)["spent_tokens"]) == ([], used())


def paid_for(world: World) -> meter.Meter:
    """A call without a job that was answered and is not booked yet."""
    paying = meter.Meter(meter.Payer(world.customer, world.chatbot), has_budget=True)
    with paying.call("ai", "https://a.example/v1", MODEL, meter.Most(1_000, 1_000)) as call:
        call.paid(10, 10)
    return paying


def test_what_is_booked_after_the_sweep_counts_once(world: World) -> None:
    mine = budget(world)
    late, in_time = paid_for(world), paid_for(world)
    in_time.book()
    assert (row(mine)["spent_tokens"], used()) == (20, 20)
    db.rows("update budget_reservation set created_at = created_at - interval '1 day'")
    assert meter.sweep() == 1
    late.book()
    assert (row(mine)["spent_tokens"], used(), reservations()) == (2_020, 2_020, [])


@pytest.mark.parametrize("has_budget", [True, False])
@pytest.mark.parametrize("why", ["it cannot be saved", "its question is gone", "another worker has the job"])
def test_what_an_answer_cost_counts_although_it_is_not_kept(
    world: World, simulator: Simulator, has_budget: bool, why: str
) -> None:
    mine = budget(world) if has_budget else None
    question = world.say(QUESTION)
    world.run(world.jobs(queue=Queue.INCOMING)[0]["id"])
    [job] = world.jobs(queue=Queue.AI)
    claimed = world.claim(job["id"])
    if why == "it cannot be saved":
        db.rows("alter table message add constraint fails check (role <> 'assistant')")
    elif why == "its question is gone":
        db.rows("delete from message where id = %s", [question])
    else:
        db.rows("update job set claims = claims + 1 where id = %s", [job["id"]])
    with suppress(AttemptEnded):
        stage_of_queue(Queue.AI)._execute(claimed, Timings())
    assert (world.messages(role="assistant"), len(simulator.record("ai"))) == ([], 1)
    counted = db.rows(UsageLog.select().where(UsageLog.kind == "ai"))
    assert [usage["quantity"] for usage in counted] == [1]
    assert used() > 0
    assert reservations() == []
    assert mine is None or row(mine)["spent_tokens"] == used()


def test_what_was_booked_with_the_end_of_the_job_is_not_booked_again_where_nobody_heard_of_it(world: World) -> None:
    ask(world)
    before = used()
    [job] = world.jobs(queue=Queue.AI)
    # The claim that ended the job; and others, whose numbers are larger or smaller: they are drawn (job_claim_v3).
    for claims, expected in ((job["claims"], before), (job["claims"] - 1, before + 20), (job["claims"] + 1, before + 40)):
        paying = meter.Meter(meter.Payer(world.customer, world.chatbot, job["message_id"], job["id"], claims), has_budget=False)
        with paying.call("ai", "https://a.example/v1", MODEL, meter.Most(1_000, 1_000)) as call:
            call.paid(10, 10)
        with pytest.raises(LeaseLost), paying.handed_over():
            raise LeaseLost
        assert used() == expected


def test_what_an_answer_cost_is_booked_when_postgres_is_back(
    world: World, simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying = meter.Meter(meter.Payer(world.customer, world.chatbot), has_budget=False)
    with paying.call("ai", "https://a.example/v1", MODEL, meter.Most(1_000, 1_000)) as call:
        call.paid(10, 10)
    monkeypatch.setenv("JOB_LEASE_SECONDS", "3600")
    config.reset()
    with another_session() as cursor, ThreadPoolExecutor() as pool:
        cursor.connection.autocommit = True
        name = cursor.connection.info.dbname
        cursor.execute(f"alter database {name} set default_transaction_read_only = on")
        db.reset()
        booking = pool.submit(paying.book)
        until(lambda: "service_unavailable" in caplog.messages)
        cursor.execute(f"alter database {name} reset default_transaction_read_only")
        booking.result()
    assert used() == 20


def test_the_address_of_a_call_is_that_of_its_price(world: World) -> None:
    prices.set_price("https://a.example/v1", MODEL, Decimal(1_000), Decimal(1_000))
    for address in ("https://A.example/v1/", "HTTPS://a.example:443/v1", "https://a.example./v1"):
        paying = meter.Meter(meter.Payer(world.customer, world.chatbot), has_budget=False)
        with paying.call("ai", address, MODEL, meter.Most(10, 10)) as call:
            call.paid(10, 10)
        paying.book()
    assert [usage["cost"] for usage in db.rows(UsageLog.select())] == [Decimal("0.02")] * 3


def test_a_late_booking_and_the_sweep_do_not_wait_for_each_other(world: World) -> None:
    mine, late = budget(world), paid_for(world)
    db.rows("update budget_reservation set created_at = created_at - interval '1 day'")
    with ThreadPoolExecutor(1) as other:
        with db.transaction():  # as the sweep does it: reservations, then budgets
            db.rows("select from budget_reservation for update")
            booking = other.submit(late.book)
            until_waiting(1)
            db.rows("select budget_sweep_v1(0)")
        booking.result(60)
    assert (row(mine)["spent_tokens"], used(), reservations()) == (2_000, 2_000, [])


def test_a_claim_that_is_alive_is_not_swept(world: World) -> None:
    budget(world)
    world.say()
    world.run(world.jobs(queue=Queue.INCOMING)[0]["id"])
    job = world.claim(world.jobs(queue=Queue.AI)[0]["id"])
    paying = meter.Meter(meter.Payer(world.customer, world.chatbot, None, job.id, job.claim), has_budget=True)
    with suppress(RuntimeError), paying.call("ai", "https://a.example/v1", "m", meter.Most(10, 10)):
        assert meter.sweep() == 0
        raise RuntimeError
    assert (meter.sweep(), len(reservations())) == (0, 1)
    world.vanish()
    db.rows("update job set claims = claims + 1 where id = %s", [job.id])
    assert meter.sweep() == 1


def test_a_month_begins_by_the_clock_of_its_time_zone(world: World) -> None:
    zones = {zone: budget(world, customer=world.tenant()[0], time_zone=zone) for zone in ("Pacific/Kiritimati", "Etc/GMT+12")}
    db.rows("update budget set month = '2020-01-01', spent_tokens = 7, warned_at = now(), exhausted_at = now()")
    for zone, identity in zones.items():
        db.rows("select budget_lock(array[customer_id]) from budget where id = %s", [identity])
        found = row(identity)
        today = db.scalar("select (now() at time zone %s)::date", [zone])
        assert (found["month"], found["spent_tokens"]) == (today.replace(day=1), 0)
        assert (found["warned_at"], found["exhausted_at"]) == (None, None)


def test_vectors_count(world: World, simulator: Simulator) -> None:
    embeddings.forget()
    mine = budget(world)
    choose_vectors(world)
    world.drain()
    of_items = row(mine)["spent_tokens"]
    assert of_items == used() == db.scalar("select sum(prompt_tokens) from usage_log where kind = 'embedding'") > 0
    ask(world)
    kinds = {usage["kind"] for usage in db.rows("select kind from usage_log where message_id is not null and kind <> 'message'")}
    assert {"ai", "embedding"} <= kinds
    assert (row(mine)["spent_tokens"], reservations()) == (used(), [])
    tried_out = used()
    assert try_out(world.customer, db.scalar("select min(id) from knowledge_base"), "and what of parcels?")
    assert (row(mine)["spent_tokens"], reservations()) == (used(), [])
    assert used() > tried_out
    calls = len(simulator.record("embeddings"))
    spend(mine, 10**6)
    assert ask(world, "What about returns?", user="v-2")["metadata"]["finish_reason"] == "budget"
    assert len(simulator.record("embeddings")) == calls
    world.know(db.scalar("select id from knowledge_base where customer_id = %s", [world.customer]), "More", "text")
    world.drain()
    assert "budget for models is used up" in db.scalar(
        "select embedding_error from knowledge_base where customer_id = %s", [world.customer]
    )


def test_transcriptions_count_by_token_and_by_minute(world: World, simulator: Simulator, tmp_path: Path) -> None:
    simulator_url = simulator.environment()["OPENAI_BASE_URL"]
    db.rows(ModelPrice.insert(base_url=simulator_url.rstrip("/"), model="whisper-1", prompt=0, completion=0, minute=6))
    db.rows(Chatbot.update(transcription_model="whisper-1").where(Chatbot.id == world.chatbot))
    mine = budget(world, money=5)
    note, path = arrived(world, "voice", VOICE), tmp_path / "note"
    path.write_bytes(OGG + b"says:When do you ship?")
    understand(note, path)
    [usage] = db.rows(UsageLog.select().where(UsageLog.kind == "transcription"))
    assert (usage["cost"], usage["prompt_tokens"]) == (Decimal("0.2"), 20)  # two seconds
    assert (row(mine)["spent_money"], row(mine)["spent_tokens"], reservations()) == (Decimal("0.2"), used(), [])
    spend(mine, 10**6)
    silent, path = arrived(world, "voice", VOICE, sha256="b" * 64), tmp_path / "other"
    path.write_bytes(OGG + b"says:Where are you?")
    understand(silent, path)
    assert "budget is used up" in db.scalar("select error from media where id = %s", [silent["id"]])
    assert len(simulator.record("transcription")) == 1


def test_a_business_sets_its_budgets_and_the_operator_has_the_last_word(door: FrontDoor) -> None:
    world = door.world
    mine, other = Business(door, world.customer), Business(door, world.tenant()[0])
    ask(world)
    of_all = mine("PUT", "/budgets", {"tokens": 5_000, "money": 2.5, "time_zone": "America/Sao_Paulo"})
    assert of_all.status_code == 200, of_all.text
    stored = of_all.json
    assert stored is not None
    assert (stored["chatbot_id"], stored["tokens"], stored["money"], stored["spent_tokens"]) == (None, 5_000, 2.5, used())
    assert mine("PUT", "/budgets", {"tokens": 9_000}).json["id"] == stored["id"], "in place of it"  # type: ignore[index]
    of_one = {"chatbot_id": world.chatbot, "tokens": 100, "at_limit": "text", "text": "Until Monday."}
    assert mine("PUT", "/budgets", of_one).status_code == 200
    assert other("PUT", "/budgets", of_one).status_code == 422
    for wrong in ({}, {"tokens": 1, "at_limit": "text"}, {"tokens": 1, "model": "x"}, {"tokens": 1, "time_zone": "Mars/Base"}):
        assert mine("PUT", "/budgets", wrong).status_code == 422
    page = mine("GET", "/budgets").json
    assert page is not None
    assert [(one["chatbot_id"], one["tokens"]) for one in page["data"]] == [(None, 9_000), (world.chatbot, 100)]
    assert mine("GET", "/usage").json["budgets"] == page["data"]  # type: ignore[index]
    assert other("GET", "/budgets").json == {"data": []}
    assert other("DELETE", f"/budgets/{stored['id']}").status_code == 404
    assert mine("DELETE", f"/budgets/{stored['id']}").status_code == 204
    budgets.set_budget(world.customer, check(BudgetSchema, "budget", {"tokens": 7}), by_operator=True)
    assert mine("PUT", "/budgets", {"tokens": 10**9}).status_code == 409
    [theirs] = db.rows("select id from budget where by_operator")
    assert mine("DELETE", f"/budgets/{theirs['id']}").status_code == 409


def test_the_command(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    customer = str(world.customer)
    assert run(command, "price", MODEL, "0.15", "0.6") == 0
    ask(world)
    assert run(command, "set", "--customer", customer, "--tokens", "1000000", "--money", "20") == 0
    assert run(command, "set", "--customer", customer, "--chatbot", str(world.chatbot), "--tokens", "5", "--customers-own") == 0
    assert run(command, "list") == 0
    printed = capsys.readouterr().out
    cost = db.scalar("select cost from usage_log where kind = 'ai'")
    assert 0 < cost < 1
    assert f"{cost:.6f}" in printed
    assert "hand_over (customer's own)" in printed
    assert run(command, "prices") == 0
    assert "gpt-4o-mini  0.15" in capsys.readouterr().out
    assert run(command, "price", "", "1", "1") == 1
    assert "model: must not be empty" in capsys.readouterr().err
    assert run(command, "set", "--customer", customer) == 1
    assert "give tokens, money, or both" in capsys.readouterr().err
    assert run(command, "remove", str(db.scalar("select min(id) from budget"))) == 0
    assert run(command, "forget-price", MODEL) == 0
    assert run(command, "forget-price", MODEL) == 1
    assert db.scalar("select count(*) from budget") == 1


def test_what_is_being_saved_while_a_budget_is_set_counts_a_minute_later(world: World) -> None:
    world.say(QUESTION)
    world.run(world.jobs()[0]["id"])
    [answer] = world.jobs(queue="ai-processing")
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        session.execute("select job_lock('ai-processing', %s)", [[answer["ordering_key"]]])
        saving = pool.submit(world.run, answer["id"])
        until_waiting(1)
        asked = {"tokens": 1_000_000, "money": None, "time_zone": "UTC", "at_limit": "hand_over", "text": None, "model": None}
        identity = budgets.set_budget(world.customer, {"chatbot_id": None, **asked})["id"]
        session.connection.commit()
        assert saving.result(45) is None
    assert (row(identity)["spent_tokens"], budgets.recount_due()) == (0, 0), "it is not time yet"
    db.rows("update budget set recount_at = recount_at - interval '1 minute'")
    assert budgets.recount_due() == 1
    assert row(identity)["spent_tokens"] == used() > 0
    assert budgets.recount_due() == 0
