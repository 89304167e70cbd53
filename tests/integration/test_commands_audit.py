"""Each command that changes a business's data leaves a row of the audit that names the command, in the business's own audit."""

from __future__ import annotations

from typing import Any

from scripts.commands import budgets, connect, contacts, jobs, keys, knowledge, users, webhooks
from shared import db
from tests.builders import World
from tests.integration.test_front_door_commands import run
from web.desk.audit_log import ACTIONS

BOT_TOKEN = "987654321:AAE-simulated-token-of-a-bot"
SECRET = "EAA-secret-4711"


def prepare(world: World) -> dict[str, int]:
    """What the commands are about, by name."""
    world.endpoint(world.customer)
    gap = (
        "insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason)"
        " select knowledge_base_id, id, %s, %s, 'english', array[%s::text], 'no_knowledge' from chatbot where id = %s"
        " returning id"
    )
    asked = []
    for number in (1, 2):
        world.say(user=f"v-{number}")
        world.drain()
        db.rows("delete from knowledge_gap")
    messages = [row["id"] for row in db.rows("select id from message where role = 'user' order by id")]
    for word, message in zip(("boxes", "parking"), messages, strict=True):
        asked.append(db.scalar(gap, [message, f"{word}?", word, world.chatbot]))
    return {
        "customer": world.customer,
        "bot": world.chatbot,
        "base": db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]),
        "item": db.scalar("select min(id) from knowledge_item"),
        "gap": asked[0],
        "other_gap": asked[1],
        "endpoint": db.scalar("select id from webhook_endpoint"),
        "contact": db.scalar("select min(id) from contact"),
        "key": db.scalar(
            "insert into api_key (customer_id, name, hash) values (%s, 'till', repeat('0', 64)) returning id", [world.customer]
        ),
    }


#: Each command line, with what its row says; {names} are of `prepare`. The order counts: some need what those before them made.
COMMANDS: list[tuple[Any, str, str, str]] = [
    (connect, "business Shop", "", "customer.created"),
    (connect, "chatbot --customer {customer} --name Nora", "", "chatbot.created"),
    (connect, "chatbot {bot} --name Otto", "", "chatbot.changed"),
    (connect, "chatbot {bot} --new-base", "", "knowledge.base_created"),
    (connect, "chatbot {bot} --base {base}", "", "chatbot.changed"),
    (connect, "whatsapp --chatbot {bot} --phone-number-id 4711 --waba-id 12", SECRET, "channel.connected"),
    (connect, "templates --chatbot {bot} --refresh", "", "channel.templates_wanted"),
    (connect, "qr --chatbot {bot} --session shop", "", "channel.connected"),
    (connect, "telegram --chatbot {bot}", BOT_TOKEN, "channel.connected"),
    (keys, "create --customer {customer} --name till", "", "key.created"),
    (keys, "create --customer {customer} --manages", "", "key.created"),
    (keys, "revoke {key}", "", "key.revoked"),
    (budgets, "set --customer {customer} --tokens 1000", "", "budget.set"),
    (budgets, "remove 1", "", "budget.removed"),
    (budgets, "price gpt-x 1 2", "", "price.set"),
    (budgets, "forget-price gpt-x", "", "price.removed"),
    (contacts, "keep --customer {customer} --messages 30", "", "customer.changed"),
    (contacts, "export {contact}", "", "contact.exported"),
    (knowledge, "vectors --base {base} local", "", "knowledge.base_changed"),
    (knowledge, "add --base {base} Parking", "Behind the house.", "knowledge.item_created"),
    (knowledge, "off {item}", "", "knowledge.item_changed"),
    (knowledge, "remove {item}", "", "knowledge.item_deleted"),
    (knowledge, "answer {gap} Yes", "", "knowledge.gap_answered"),
    (knowledge, "dismiss {other_gap}", "", "knowledge.gap_dismissed"),
    (knowledge, "import --base {base} --no-wait https://shop.example/?key=" + SECRET, "", "knowledge.import_started"),
    (knowledge, "stop 1", "", "knowledge.source_stop"),
    (knowledge, "sync 1 --no-wait", "", "knowledge.source_sync"),
    (knowledge, "stop 1", "", "knowledge.source_stop"),
    (knowledge, "retry 1 --no-wait", "", "knowledge.source_retry"),
    (knowledge, "forget 1", "", "knowledge.source_delete"),
    (webhooks, "recover {endpoint} --since 1d --status DELIVERED", "", "webhook.recovered"),
    (webhooks, "stop 1", "", "webhook.recovery_stopped"),
    (jobs, "pause --customer {customer}", "", "pause.begun"),
    (jobs, "resume 1", "", "pause.ended"),
    (users, "create emma@shop.example --role owner --customer {customer}", "", "user.created"),
    (contacts, "erase {contact} --yes", "", "contact.erased"),
]
#: Of all businesses, or of a new one.
ELSEWHERE = {"customer.created", "price.set", "price.removed", "pause.ended"}


def test_each_command_that_changes_something_leaves_a_row(world: World) -> None:
    ids, entries = prepare(world), "select * from audit_entry order by id"
    for command, line, typed, action in COMMANDS:
        if line.startswith("retry"):  # nothing of it has failed
            db.rows("update knowledge_source set state = 'failed', error = 'x'")
        before = len(db.rows(entries))
        assert run(command, *line.format(**ids).split(), typed=typed + "\n") == 0, line
        new = db.rows(entries)[before:]
        assert action in [row["action"] for row in new], line
        for row in new:
            assert row["action"] in ACTIONS
            assert row["details"]["by"] == f"scripts/{command.__name__.rpartition('.')[2]}", line
            assert row["user_id"] is None
        [own] = [row for row in new if row["action"] == action]
        assert action in ELSEWHERE or own["customer_id"] == world.customer, line
    told = str(db.rows(entries))
    assert SECRET not in told
    assert BOT_TOKEN not in told
    assert "boxes" not in told, "what a customer asked"


def test_what_changes_nothing_leaves_none(world: World) -> None:
    ids = prepare(world)
    for command, line in (
        (contacts, "keep --customer {customer}"),
        (keys, "revoke 4711"),
        (keys, "list"),
        (budgets, "remove 4711"),
        (budgets, "forget-price gpt-x"),
        (webhooks, "stop 4711"),
        (knowledge, "vectors --base {base}"),
        (jobs, "resume 4711"),
    ):
        run(command, *line.format(**ids).split())
    assert db.rows("select * from audit_entry") == []
