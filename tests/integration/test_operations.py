"""What operators look at: queues and their day, where an id leads, and the journey of a message."""

from __future__ import annotations

from scripts.local.simulator.client import Simulator
from shared import db
from shared.broker import census
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.models import DeadLetter
from shared.operations import journey, overview, search
from shared.operations.journey import Journey
from tests.builders import World
from tests.integration.test_dead_letters import CLOUD, fail_sends


def of(message_id: int) -> Journey:
    found = journey.of_message(message_id)
    assert found is not None
    return found


def states(found: Journey) -> dict[str, str]:
    """Each step's state, by its kind, in order."""
    return {step.kind: step.state for step in found.steps}


def test_the_journey_of_a_message_from_one_end_to_the_other(world: World) -> None:
    question = world.say(channel=CLOUD, user="4911", external_id="wamid.in")
    accepted = of(question)
    assert states(accepted) == {"received": "done", "stored": "now"}
    assert (accepted.about["customer"], accepted.about["chatbot"], accepted.about["channel"]) == ("Shop", "Bot", CLOUD)
    [incoming] = world.jobs()
    world.run(incoming["id"])
    before = of(question)
    assert states(before) == {"received": "done", "stored": "done", "waiting": "now", "ai": "ahead"}
    assert before.steps[2].facts == {"lane": 1, "place": 0}
    world.drain()
    found = of(question)
    steps = {step.kind: step for step in found.steps}
    assert set(states(found).values()) == {"done", "ahead"}
    assert list(steps) == ["received", "stored", "waiting", "ai", "outgoing", "sending", "sent", "delivered", "read"]
    assert [steps[kind].state for kind in ("sent", "delivered", "read")] == ["done", "ahead", "ahead"]
    facts = steps["ai"].facts
    assert facts["prompt_tokens"] > 0
    assert {item["id"] for item in facts["knowledge"]} <= {row["id"] for row in db.rows("select id from knowledge_item")}
    assert all(step.seconds is None or step.seconds >= 0 for step in found.steps)
    assert found.reply is not None
    assert states(of(found.reply["id"])) == states(found)
    db.rows("update job set closed_at = closed_at - interval '2 hours'")
    db.rows("delete from job")
    assert states(of(question))["sent"] == "done", "without the records of its jobs"
    assert (found.about["customer"], found.about["external_user_id"]) == ("Shop", "4911")


def test_the_journey_of_a_message_that_could_not_be_stored(world: World) -> None:
    question = world.say(channel=CLOUD, user="4911", external_id="wamid.in")
    db.rows("update job set payload = payload - 'content'")
    world.drain()
    world.dead_letters()
    for _ in ("with the record of its job", "without it"):
        found = of(question)
        assert states(found) == {"received": "done", "stored": "failed"}
        assert (found.about["customer"], found.about["chatbot"], found.about["channel"]) == ("Shop", "Bot", CLOUD)
        assert "bad payload" in (found.steps[-1].error or "")
        db.rows("delete from job")
    db.rows("update dead_letter set state = 'replayed', changed_by = 'olga', changed_at = now()")
    assert journey.of_message(question) is None


def test_a_journey_says_why_a_message_got_no_answer(world: World) -> None:
    late = world.say_too_late("1", seconds=2 * settings().answer_within)
    unasked = world.say_too_late("2", seconds=0)
    world.drain()
    assert states(of(late)) == {"written": "done", "received": "done", "stored": "done", "kept": "done"}
    assert [of(message).steps[-1].facts for message in (late, unasked)] == [{"is_late": True}, {"is_late": False}]


def test_a_journey_tells_of_crashes_failures_and_messages_that_were_merged(world: World, simulator: Simulator) -> None:
    db.rows("update chatbot set debounce_seconds = 30")
    first, second = world.say("a", user="v", external_id="1"), world.say("b", user="v", external_id="2")
    world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    [job] = world.jobs(queue="ai-processing")
    world.claim(job["id"])
    world.vanish()
    world.run(job["id"])
    world.drain()
    assert of(first).merged == of(second).merged == (first, second)
    [answering] = [step for step in of(first).steps if step.kind == "ai"]
    assert (answering.state, answering.crashes, answering.retries) == ("done", 1, 1)
    db.rows("update chatbot set debounce_seconds = 0")
    fail_sends(world, simulator, 1)
    [failed] = world.messages(status="FAILED")
    last = of(failed["id"]).steps[-1]
    assert (last.kind, last.facts, last.error) == ("failed", {"error_code": "unknown_code"}, "WhatsApp Cloud: HTTP 400")


def test_where_a_pasted_id_leads(world: World) -> None:
    question = world.say(channel=CLOUD, user="4911234567", external_id="wamid.HBgN")
    world.drain()
    [reply] = world.messages(role="assistant")
    [job] = world.jobs(queue="whatsapp-cloud-send")
    for text, hit in {
        "wamid.HBgN": ("message", question),
        reply["external_id"]: ("message", reply["id"]),
        "+49 1123-4567": ("conversation", reply["conversation_id"]),
        "01123 / 4567": ("conversation", reply["conversation_id"]),
        "+49 (0) 1123 4567": ("conversation", reply["conversation_id"]),
        f"job-{job['id']}": ("job", job["id"]),
        str(reply["id"]): ("message", reply["id"]),
        "shop": ("customer", world.customer),
    }.items():
        assert hit in [(found["kind"], found["id"]) for found in search.find(text)], text
    [found] = [hit for hit in search.find(f"job-{job['id']}") if hit["kind"] == "job"]
    assert (found["message_id"], found["codes"]) == (reply["id"], ["whatsapp-cloud-send", "completed"])
    world.say(channel=CLOUD, user="4911234567", external_id="wamid.waits")
    [waiting] = search.find("wamid.waits")
    assert waiting["codes"] == ["incoming-messages", "waiting"], "it was accepted, and is not stored yet"
    assert journey.of_message(waiting["message_id"]) is not None
    for nothing in ("", "0112", "01123 456", "9" * 30, "%", "_", "\x00", "' or true --"):
        assert search.find(nothing) == [], nothing


def test_no_hit_leads_to_a_message_that_is_gone(world: World) -> None:
    question = world.say(channel=CLOUD, user="4911", external_id="wamid.in")
    db.rows("update job set payload = payload - 'content'")
    world.drain()
    world.dead_letters()
    [letter] = db.rows(DeadLetter.select())
    [hit] = search.find(f"job-{letter['job_id']}")
    assert (hit["message_id"], hit["failure"]) == (question, {"ids": letter["id"], "state": None})
    db.rows("update dead_letter set message_id = 4711, queue = 'ai-processing'")
    db.rows("update dead_letter set state = 'ignored', changed_by = 'olga', changed_at = now()")
    db.rows("update job set message_id = 4711")
    db.rows("update job set state = 'completed' where queue = 'incoming-messages'")
    [hit] = search.find(f"job-{letter['job_id']}")
    assert (hit["message_id"], hit["failure"]) == (None, {"ids": letter["id"], "state": "ignored"})


def test_queues_their_day_tenants_and_workers(world: World) -> None:
    other, bot = world.tenant()
    for number in range(3):
        world.say(user=f"v-{number}", external_id=f"{number}", chatbot_id=bot)
    world.say(external_id="x")
    db.rows("update job set created_at = created_at - interval '90 seconds'")
    depths = {row["queue"]: row for row in overview.queue_depths()}
    assert (depths["incoming-messages"]["ready"], depths["ai-processing"]["ready"]) == (4, 0)
    assert 90 <= depths["incoming-messages"]["oldest"] < 200
    assert (depths["incoming-messages"]["oldest_held"], depths["ai-processing"]["oldest"]) == (None, None)
    assert [(row["customer_id"], row["count"]) for row in overview.tenants()] == [(other, 3), (world.customer, 1)]
    world.drain()
    db.rows("update job set closed_at = closed_at - interval '2 minutes', created_at = created_at - interval '2 minutes'")
    assert overview.count_minutes() > 0
    assert overview.count_minutes() == 0, "each minute is counted once"
    day = overview.throughput("incoming-messages")
    assert (len(day), sum(bar["completed"] for bar in day)) == (overview.BARS, 4)
    assert max(bar["longest_wait"] or 0 for bar in day) >= 90
    assert sum(bar["completed"] for bar in overview.throughput()) > 4
    census.announce(["ai-processing"])
    assert census.workers() == [], "it has no heartbeat"
    get_broker().take("ai-processing.basic", 1)
    census.announce(["ai-processing"])
    [worker] = census.workers()
    assert (worker["queues"], worker["age"] < 5) == (["ai-processing"], True)
