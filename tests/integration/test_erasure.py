"""An erased person is nowhere: in no table, no key of Redis, no file; and what is on its way brings nobody back."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from peewee import fn

from shared import config, db
from shared.broker.redis_broker import get_broker
from shared.channels import contacts, ownership
from shared.channels.delivery_status import apply_delivery_status
from shared.config import settings
from shared.jobs.outcome import AttemptEnded
from shared.media.folder import key_of
from shared.media.storage import storage
from shared.models import DeadLetter
from shared.people import audit
from shared.privacy import erasure, marks
from shared.queues import Queue
from tests.builders import World, stage_of_queue
from tests.integration.front_door import FrontDoor, change, waha_message, webhook, written
from tests.integration.test_contacts import NAMES, conversations, identities
from tests.integration.test_front_door_api import Business
from tests.site import Site, serving
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("own_folder")

PHONE, LID, BSUID, OTHER = "5511987654321", "77123456@lid", "BR.1502576394655843", "5511900000000"
PHRASE = "zwetschgenkuchen"
PICTURE = {"kind": "image", "mime": "image/jpeg", "source": {"id": "137"}}


def write(world: World, text: str, user: str = PHONE, channel: str = "whatsapp_cloud", **more: Any) -> int:
    """A message of a person that is accepted, and nothing more."""
    message = {"chatbot_id": world.chatbot, "channel": channel, "external_user_id": user, "content": text, **more}
    return world.service.accept_message(message).message_id


def contact_of(name: str = PHONE) -> int:
    """The contact that has this name."""
    return identities()[name]


def tables() -> list[str]:
    """All tables."""
    return [
        row["relname"]
        for row in db.rows("select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'")
    ]


def found_in_postgres(*words: str) -> dict[str, list[str]]:
    """Lines of all tables that have one of the words; and, once they are vacuumed, the files of tables and indexes."""
    found: dict[str, list[str]] = {}
    with closing(psycopg2.connect(settings().database_url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for table in tables():
            lines = StringIO()
            cursor.copy_expert(f'copy (select to_jsonb(t)::text from "{table}" t) to stdout', lines)
            if hits := [line for line in lines.getvalue().splitlines() if any(word in line for word in words)]:
                found[table] = hits
        cursor.execute("vacuum full")
        cursor.execute("checkpoint")
        cursor.execute(
            "select coalesce(nullif(relname, ''), oid::text), pg_read_binary_file(pg_relation_filepath(oid)) from pg_class"
            " where relkind in ('r', 'i', 't') and relpersistence = 'p'"
            " and (relnamespace = 'public'::regnamespace or relnamespace = 'pg_toast'::regnamespace)"
        )
        for name, content in cursor.fetchall():
            if any(word.encode() in bytes(content) for word in words):
                found[f"file of {name}"] = []
    return found


def found_in_redis(*words: str) -> list[str]:
    """Keys that have one of the words, or values that do."""
    client = get_broker().client
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    texts = [f"{key} {readers[client.type(key)](key)}" for key in client.keys("*")]
    return [text for text in texts if any(word in text for word in words)]


def found_in_files(folder: Path, *words: str) -> list[str]:
    """Files with one of the words in them."""
    return [
        str(path) for path in folder.rglob("*") if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]


def live(world: World, door: FrontDoor) -> None:
    """A person leaves something behind wherever anything can be left."""
    world.endpoint(world.customer)
    write(world, f"Where is my {PHRASE}?", external_id="wamid.1", identities=[BSUID], metadata={"profile_name": f"Ana {PHRASE}"})
    write(world, f"It is me, {PHRASE}", LID, "whatsapp_qr", external_id="3EB01", identities=[f"{PHONE}@c.us"])
    write(world, "[voice]", external_id="wamid.2", kind="media", media=[{**PICTURE, "filename": f"{PHRASE}.jpg"}])
    world.drain()
    message = db.scalar("select message_id from media where filename is not null")
    db.rows("update media set text = %s where message_id = %s", [PHRASE, message])
    db.rows(
        "insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason)"
        " select knowledge_base_id, id, %s, %s, 'english', %s, 'no_knowledge' from chatbot where id = %s",
        [message, f"Is there {PHRASE}?", [PHRASE], world.chatbot],
    )
    db.rows(
        "insert into reply_draft (conversation_id, reply_to, text)"
        " select id, 1, %s from conversation where external_user_id = %s",
        [PHRASE, PHONE],
    )
    apply_delivery_status("READ", provider_id=f"true_{PHONE}", chatbot_id=world.chatbot)
    # The business's own events, and a job that somebody wrote by hand.
    endpoint = world.endpoint(world.customer, "own")
    for data in ({"external_user_id": PHONE}, {"conversation_id": "A-1", "text": "of another"}, {"external_user_id": 7}):
        world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="order.left", data=data)
    odd = {"chatbot_id": "x", "channel": "whatsapp_cloud", "external_user_id": PHONE[::-1], "media": 7}
    db.rows(
        "insert into job (queue, payload, customer_id) values ('incoming-messages', %s, %s)", [json.dumps(odd), world.customer]
    )
    # Cannot be understood, is not delivered, waits, and failed.
    door.meta(webhook(change(door.number, messages=[{"from": PHONE, "type": "text", "text": {"body": PHRASE}}])))
    world.simulator.faults([{"kind": "webhook", "fault": "status", "status": 500}])
    write(world, f"{PHRASE} again", external_id="wamid.3")
    world.drain()
    write(world, f"{PHRASE} waits", external_id="wamid.4")
    write(world, f"{PHRASE} failed", "+" + PHONE, "whatsapp_qr", external_id="3EB02")
    db.rows("update job set state = 'failed', last_error = 'x', closed_at = now() where id = (select max(id) from job)")
    world.simulator.clear_faults()


def test_what_is_erased_is_nowhere(door: FrontDoor, own_folder: Path) -> None:
    world, mine = door.world, Business(door, door.world.customer)
    write(world, "Of another", OTHER, external_id="wamid.0", media=[{**PICTURE, "source": {"id": "138"}}])
    world.drain()
    live(world, door)
    digits = PHONE, BSUID, LID.partition("@")[0], PHRASE
    assert {"message", "media", "job", "webhook_event", "knowledge_gap", "inbound_reject"} <= found_in_postgres(*digits).keys()
    charged = db.scalar("select count(*) from usage_log")
    person, others = contact_of(), contact_of(OTHER)
    [picture] = db.rows("select storage_key from media where filename is not null")
    assert (own_folder / picture["storage_key"]).exists()

    assert mine("DELETE", f"/contacts/{person}").status_code == 204
    assert found_in_postgres(*digits) == {}
    assert found_in_redis(*digits) == []
    assert found_in_files(own_folder, *digits) == []
    assert not (own_folder / picture["storage_key"]).exists()
    assert db.scalar("select count(*) from usage_log") == charged, "what it cost stays"
    assert mine("DELETE", f"/contacts/{person}").status_code == 404
    [audited] = audit.entries(mine.customer)
    assert (audited["action"], audited["subject_id"], audited["details"]["by"]) == ("contact.erased", person, "API")
    # The other's is untouched, and nothing of the erased person's is on its way.
    assert mine("GET", f"/contacts/{others}").json["identities"][0]["name"] == OTHER  # type: ignore[index]
    assert len(db.rows("select from media where state = 'stored'")) == 1
    world.drain()
    assert found_in_postgres(*digits) == {}
    assert [message["content"] for message in world.messages(role="user")] == ["Of another"]
    assert db.rows("select from dead_letter where message_id is not null") == []
    assert db.scalar("select count(*) from webhook_event where event = 'order.left'") == 2, "those of others"


def test_a_visitor_of_the_widget_is_erased_from_redis(door: FrontDoor) -> None:
    key = db.scalar("select public_key from chatbot where id = %s", [door.world.chatbot])
    session = door.client.post(f"/api/v1/chatbots/{key}/sessions").json
    assert session is not None
    headers = {"Authorization": f"Bearer {session['token']}"}
    assert door.client.post(f"/api/v1/chatbots/{key}/messages", json={"content": PHRASE}, headers=headers).status_code == 202
    door.world.drain()
    [visitor] = conversations()
    assert found_in_redis(visitor["external_user_id"])
    assert erasure.erase(door.world.customer, visitor["contact_id"])
    assert found_in_redis(visitor["external_user_id"]) == []
    assert found_in_postgres(visitor["external_user_id"], PHRASE) == {}


def test_what_providers_deliver_again_brings_nobody_back(door: FrontDoor) -> None:
    world = door.world
    long_ago = str(int(time.time()) - 60)
    first = webhook(change(door.number, messages=[written("wamid.1", PHRASE, **{"from": PHONE}, timestamp=long_ago)]))
    by_qr = waha_message("", PHRASE, id=f"false_{PHONE}@c.us_3EB0A", **{"from": f"{PHONE}@c.us"}, timestamp=int(long_ago))
    never_came = webhook(change(door.number, messages=[written("wamid.2", PHRASE, **{"from": PHONE}, timestamp=long_ago)]))
    assert door.meta(first).status_code == door.waha(by_qr).status_code == 200
    world.drain()
    reply = db.scalar("select external_id from message where role = 'assistant' and channel = 'whatsapp_cloud'")
    contacts.learn(world.chatbot, "whatsapp_cloud", [PHONE, BSUID])
    assert erasure.erase(world.customer, contact_of())

    for _ in range(2):
        assert door.meta(first).status_code == door.meta(never_came).status_code == door.waha(by_qr).status_code == 200
        contacts.learn_for_good(world.chatbot, "whatsapp_cloud", [PHONE, BSUID])
        ownership.assign_as_provider_says(world.chatbot, "whatsapp_cloud", PHONE, "person")
        apply_delivery_status("READ", provider_id=reply, chatbot_id=world.chatbot)
        apply_delivery_status("READ", message_id=1, provider_id="wamid.new", chatbot_id=world.chatbot)
        world.drain()
    assert found_in_postgres(PHONE, BSUID, PHRASE) == {}
    assert db.rows("select from contact union all select from parked_status") == []

    new = webhook(change(door.number, messages=[written("wamid.3", "Hello again", **{"from": PHONE})]))
    assert door.meta(new).status_code == 200
    world.drain()
    [message] = world.messages(role="user")
    assert message["content"] == "Hello again", "who writes anew is a new contact"
    assert world.messages(role="assistant")[0]["status"] == "SENT"
    db.rows("update tombstone set erased_at = erased_at - interval '9 days'")
    assert marks.prune()["tombstones"] > 4
    assert db.scalar("select count(*) from tombstone") == 0


#: What is on its way when a person is erased: the queue of the job, and whom it has called.
ON_THE_WAY = {"ai-processing": "ai", "whatsapp-cloud-send": "graph", "webhook-delivery": "webhook", "media-fetch": "graph_media"}


@pytest.mark.parametrize("queue", ON_THE_WAY)
def test_what_is_on_its_way_reaches_nothing(door: FrontDoor, own_folder: Path, queue: str) -> None:
    world = door.world
    world.endpoint(world.customer)
    write(world, PHRASE, external_id="wamid.1", **({"media": [PICTURE]} if queue == "media-fetch" else {}))
    while not (jobs := world.jobs(queue=queue)):
        world.run(world.jobs(state="waiting")[0]["id"])
    world.simulator.faults([{"kind": ON_THE_WAY[queue], "fault": "hold", "times": 1}])
    worker = threading.Thread(target=world.run, args=[jobs[0]["id"]])
    worker.start()
    until(world.simulator.faults_are_drawn)
    assert erasure.erase(world.customer, contact_of())
    world.simulator.clear_faults()
    worker.join(30)
    assert not worker.is_alive()
    world.drain()
    assert found_in_postgres(PHONE, PHRASE) == {}
    assert db.rows("select from contact union all select from parked_status union all select from job") == []
    assert [path for path in own_folder.rglob("*") if path.is_file()] == []


def test_the_echo_of_a_reply_that_was_on_its_way_brings_nobody_back(door: FrontDoor) -> None:
    world = door.world
    write(world, PHRASE, f"{PHONE}@c.us", "whatsapp_qr", external_id="3EB0A")
    world.drain()
    erasure.erase(world.customer, contact_of())
    echo = {"id": f"true_{PHONE}@c.us_3EB0FF", "fromMe": True, "to": f"{PHONE}@c.us", "timestamp": int(time.time()) + 1}
    body = waha_message("", PHRASE, **echo)
    assert door.waha({**body, "event": "message.any"}).status_code == 200
    world.drain()
    assert found_in_postgres(PHONE, PHRASE) == {}


def test_messages_that_come_while_their_person_is_erased_are_erased_or_refused(world: World) -> None:
    write(world, PHRASE, external_id="wamid.first", sent_at=time.time() - 60)
    world.drain()
    person, stop = contact_of(), threading.Event()

    def deliver(number: int) -> None:
        for count in range(40):
            name = PHONE if count % 2 else f"+{PHONE}"
            write(world, PHRASE, name, external_id=f"wamid.{number}.{count}", sent_at=time.time() - 60)

    def work() -> None:
        while not stop.is_set():
            for job in db.rows("select id, queue from job where state = 'waiting' and not held limit 20"):
                with suppress(AttemptEnded):
                    stage_of_queue(Queue(job["queue"])).run(job["id"])

    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(work) for _ in range(2)]
        deliveries = [pool.submit(deliver, number) for number in range(2)]
        time.sleep(0.2)
        try:
            assert pool.submit(erasure.erase, world.customer, person).result(60)
            for delivery in deliveries:
                delivery.result(60)
        finally:
            stop.set()
        for worker in workers:
            worker.result(60)
    world.drain()
    assert found_in_postgres(PHONE, PHRASE) == {}


def test_what_waits_under_a_name_that_is_not_learnt_yet_is_erased(world: World) -> None:
    write(world, PHRASE, external_id="wamid.first")
    world.drain()
    write(world, PHRASE, LID, external_id="wamid.waits", identities=[f"{PHONE}@c.us"])
    assert (erasure.erase(world.customer, contact_of()) or {})["messages"] == 3
    write(world, PHRASE, LID, external_id="wamid.late", identities=[f"{PHONE}@c.us"], sent_at=time.time() - 60)
    world.drain()
    assert found_in_postgres(PHONE, LID, PHRASE) == {}


def test_a_file_that_another_person_sent_as_well_stays(world: World) -> None:
    for name in (PHONE, OTHER):
        write(world, "[image]", name, external_id=f"wamid.{name}", media=[PICTURE])
    world.drain()
    [file] = db.rows("select customer_id, sha256 from media_file")
    key = key_of(file["customer_id"], file["sha256"])
    erasure.erase(world.customer, contact_of())
    assert storage().read(key)
    erasure.erase(world.customer, contact_of(OTHER))
    with pytest.raises(Exception, match=key):
        storage().read(key)
    assert db.rows("select from media_file") == []


def test_names_are_compared_in_python_as_in_postgresql() -> None:
    for channel, name, _ in [*NAMES, ("telegram", "+4@c.us", ""), ("whatsapp_qr", "4:1@s.whatsapp.net:2@lid", "")]:
        query = "select contact_name_v1(%s, %s) as name, contact_family_v1(%s) as family"
        assert db.row(query, [channel, name, channel]) == {
            "name": marks.name_of(channel, name),
            "family": marks.family_of(channel),
        }


def test_marks_are_of_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    [old] = marks.of_name(1, "whatsapp_cloud", PHONE)
    assert marks.of_name(2, "whatsapp_cloud", PHONE) != [old]
    assert marks.of_name(1, "whatsapp_qr", f"{PHONE}@c.us") == [old]
    monkeypatch.setenv("CREDENTIALS_KEY", f"{'A' * 43}=,{settings().credentials_key}")
    config.reset()
    new, still = marks.of_name(1, "whatsapp_cloud", PHONE)
    assert (still, new != old) == (old, True)


def test_every_row_of_a_person_goes_with_them() -> None:
    """Whatever refers to a contact, a conversation or a message is deleted with it, or forgets it."""
    rules = db.rows(
        "select conrelid::regclass::text as name, confdeltype from pg_constraint where contype = 'f'"
        " and confrelid in ('contact'::regclass, 'conversation'::regclass, 'message'::regclass)"
        " and conname <> 'conversation_contact_id_fkey'"
    )
    assert len(rules) >= 7
    assert {row["confdeltype"] for row in rules} <= {"c", "n"}, rules


def test_tables_that_say_that_they_have_personal_data_are_known_here(root: Path) -> None:
    """Who adds one has erasure.sql delete it, or has a reason, and names it here."""
    marked, table = set(), ""
    for line in (root / "schema.sql").read_text(encoding="utf-8").splitlines():
        table = found[1] if (found := re.match(r"create (?:unlogged )?table (\w+)", line)) else table
        if "-- personal data" in line:
            marked.add(table)
    by_erasure, of_users = {"conversation_note", "kept_answer", "webhook_attempt"}, {"app_user", "user_session"}
    assert marked == by_erasure | of_users


def test_an_export_has_everything(door: FrontDoor) -> None:
    world, mine = door.world, Business(door, door.world.customer)
    live(world, door)
    note = (
        "insert into conversation_note (conversation_id, author, content) select min(id), 'Emma', 'Calls back.' from conversation"
    )
    db.rows(note)
    answer = mine("GET", f"/contacts/{contact_of()}/export")
    assert answer.status_code == 200
    exported = json.loads(answer.text)
    assert {one["name"] for one in exported["identities"]} == {PHONE, LID, BSUID}
    by_cloud, by_qr = exported["conversations"]
    assert [(kept["author"], kept["content"]) for kept in by_cloud["notes"] + by_qr["notes"]][-1] == ("Emma", "Calls back.")
    assert by_cloud["messages"][0]["content"] == f"Where is my {PHRASE}?"
    [with_file] = [message for message in by_cloud["messages"] if message["media"]]
    assert (with_file["media"][0]["text"], with_file["unanswered_question"]) == (PHRASE, f"Is there {PHRASE}?")
    assert by_qr["channel"] == "whatsapp_qr"
    other = Business(door, world.tenant()[0])
    assert other("GET", f"/contacts/{contact_of()}/export").status_code == 404


def begin_export(site: Site, door: FrontDoor) -> requests.Response:
    """The answer to a request for all that is known of somebody who has written a lot; nothing of it is read yet."""
    write(door.world, PHRASE)
    door.world.drain()
    many = """
        insert into message (conversation_id, chatbot_id, channel, role, content, status)
        select id, chatbot_id, channel, 'user', repeat(%s, 100), 'DELIVERED' from conversation, generate_series(1, 20000)"""
    db.rows(many, [PHRASE])
    headers = {"Authorization": f"Bearer {Business(door, door.world.customer).key}"}
    return requests.get(f"{site.url}/api/v1/contacts/{contact_of()}/export", headers=headers, timeout=60, stream=True)


def test_who_is_erased_during_an_export_leaves_no_further(door: FrontDoor) -> None:
    with serving(door.app) as site, begin_export(site, door) as answer:
        pieces = answer.iter_content(10_000)
        begun = next(pieces)
        assert erasure.erase(door.world.customer, contact_of())
        exported = json.loads(begun + b"".join(pieces))
    [conversation] = exported["conversations"]
    assert 0 < len(conversation["messages"]) < 20_000


def test_an_export_that_is_read_slowly_has_nothing_that_came_after_its_key_was_revoked(door: FrontDoor) -> None:
    with serving(door.app) as site, begin_export(site, door) as answer:
        pieces = answer.iter_content(10_000)
        begun = next(pieces)
        db.rows("update api_key set revoked_at = now()")
        db.rows("""
            insert into message (conversation_id, chatbot_id, channel, role, content, status)
            select id, chatbot_id, channel, 'user', 'written later', 'DELIVERED' from conversation""")
        exported = json.loads(begun + b"".join(pieces))
    [conversation] = exported["conversations"]
    assert (len(conversation["messages"]), conversation["messages"][-1]["content"]) == (20_002, PHRASE * 100)


def test_who_only_asks_for_an_exports_head_exports_nothing(door: FrontDoor) -> None:
    live(door.world, door)
    mine, path = Business(door, door.world.customer), f"/contacts/{contact_of()}/export"
    head = mine("HEAD", path)
    assert (head.status_code, head.mimetype, head.data) == (200, "application/json", b"")
    with serving(door.app) as site:
        headers = {"Authorization": f"Bearer {mine.key}"}
        head = requests.head(f"{site.url}/api/v1{path}", headers=headers, timeout=60)
        assert (head.status_code, head.headers.get("Content-Length")) == (200, None), "nobody knows how long it will be"
        whole = requests.head(f"{site.url}/api/v1/contacts", headers=headers, timeout=60)
        assert int(whole.headers["Content-Length"]) > 10
    assert mine("HEAD", "/contacts/4711/export").status_code == 404
    other = Business(door, door.world.tenant()[0])
    assert other("HEAD", path).status_code == 404
    exports = "select count(*) from audit_entry where action = 'contact.exported'"
    assert db.scalar(exports) == 0
    mine("GET", path)
    assert db.scalar(exports) == 1


def test_an_export_has_conversations_that_have_no_contact_yet(door: FrontDoor) -> None:
    world, mine = door.world, Business(door, door.world.customer)
    live(world, door)
    contact = contact_of()
    db.rows("update conversation set contact_id = null where channel = 'whatsapp_qr'")
    exported = json.loads(mine("GET", f"/contacts/{contact}/export").text)
    assert [one["channel"] for one in exported["conversations"]] == ["whatsapp_cloud", "whatsapp_qr"]


def test_dead_letters_go_that_name_a_conversation_which_became_a_part_of_another_one(world: World) -> None:
    for name in (LID, PHONE):
        write(world, PHRASE, name, "whatsapp_qr")
        world.drain()
    [_, merged] = conversations()
    about = {"customer": world.customer, "conversation_id": merged["id"], "queue": "ai-processing", "job_id": 4711}
    failed = {"error_code": "other", "error": "x", "attempts": 1, "outcome_unknown": False, "began_at": fn.now()}
    db.rows(DeadLetter.insert(**about, **failed))
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])
    assert erasure.erase(world.customer, contact_of(PHONE))
    assert db.rows("select from dead_letter") == []
