"""A large document is stored for a minute: nobody waits for that, and what was stopped or replaced meanwhile does not count."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared import db
from shared.knowledge import reading, sources, uploads
from shared.knowledge.documents import Unreadable
from shared.knowledge.sources import File
from shared.models import Chatbot, KnowledgeDocument, KnowledgeItem, KnowledgeSource
from shared.teaching import knowledge
from tests.builders import World
from tests.integration.desk_pages import Visitor, person, version
from tests.integration.test_ledger_races import another_session, until_waiting
from web.app import create_app

CSV = "Frage;Antwort\nWann liefern Sie?;In zwei Tagen.\nWie zahle ich?;Per Karte.\nKann ich umtauschen?;Ja, dreißig Tage lang.\n"
#: The statement that stores hangs at its second item, for as long as somebody has this lock.
HELD = """
create function held() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(4711);
    return null;
end $$;
create trigger knowledge_item_held after insert on knowledge_item for each row when (new.document_id is not null)
    execute function held()
"""
#: What those who want something may wait for PostgreSQL, in the old code in vain.
PATIENCE = 10.0


@pytest.fixture
def base(world: World) -> int:
    return int(db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]))


def titles() -> list[str]:
    rows = db.rows(KnowledgeItem.select(KnowledgeItem.title).where(KnowledgeItem.document.is_null(False)))
    return sorted(row["title"] for row in rows)


def states() -> list[str]:
    return [row["state"] for row in db.rows(KnowledgeDocument.select(KnowledgeDocument.state))]


@contextmanager
def being_stored(world: World, base: int) -> Iterator[int]:
    """A file that is being stored, until the block has ended; yields its source."""
    db.rows(HELD)
    source = sources.start_import(base, File("faq.csv", CSV.encode()))
    storing = threading.Thread(target=world.drain, daemon=True)
    with another_session() as session:
        session.execute("select pg_advisory_lock(4711)")
        storing.start()
        until_waiting(1)
        with db.patient(PATIENCE):
            yield source
    storing.join(60)
    assert not storing.is_alive()


def stop(_base: int, source: int) -> None:
    assert sources.stop(source)


def delete(_base: int, source: int) -> None:
    sources.delete(source)


def delete_base(base: int, _source: int) -> None:
    db.rows(Chatbot.update(knowledge_base=None))
    customer = db.scalar("select customer_id from knowledge_base where id = %s", [base])
    assert knowledge.delete_base(customer, base) == "Facts"


@pytest.mark.parametrize(("end", "left"), [(stop, ["stopped"]), (delete, []), (delete_base, [])])
def test_who_ends_an_import_does_not_wait_until_it_is_stored(
    world: World, base: int, caplog: pytest.LogCaptureFixture, end: Callable[[int, int], None], left: list[str]
) -> None:
    with being_stored(world, base) as source:
        end(base, source)
    assert (titles(), states()) == ([], left)
    assert [(job["state"], job["attempts"]) for job in world.jobs()] == [("completed", 1)]
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_another_source_of_the_same_base_is_stored_on(world: World, base: int) -> None:
    other = sources.start_import(base, File("other.csv", CSV.encode()))
    assert sources.stop(other)
    with being_stored(world, base):
        assert sources.retry_failed(other) == 0, "its file is not kept"
        since = "select query_start from pg_stat_activity where wait_event = 'advisory'"
        began = db.scalar(since)
        sources.delete(other)
        assert db.scalar(since) == began
    assert len(titles()) == 3


def test_who_changes_something_else_of_the_base_does_not_wait(world: World, base: int) -> None:
    """The language of the items is new, as each one's is for which the base is new."""
    browser, page = Visitor(create_app(), person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge/{base}"
    spanish = {"title": "¿Cuándo?", "content": "Mañana por la mañana.", "language": "spanish", "is_active": "1"}
    with being_stored(world, base) as source:
        assert sources.start_import(base, File("faq.csv", CSV.encode())) == source, "it goes on"
        assert browser.post(f"{page}/items/new", **spanish).status_code == 303
        renamed = {"name": "Terms", "language": "english", "version": version(browser.get(page).text)}
        assert browser.post(f"{page}/settings", **renamed).status_code == 303
        sources.start_import(base, File("other.csv", CSV.encode()))
        assert not titles(), "nothing is seen before all is stored"
    assert db.scalar("select languages from knowledge_base where id = %s", [base]) == ["english", "spanish", "german"]


def test_an_items_language_is_its_bases_once_and_in_the_order_in_which_they_came(world: World, base: int) -> None:
    new = "insert into knowledge_item (knowledge_base_id, title, content, language, is_active) values "
    db.rows(
        new + "(%(b)s, 'a', 'a', 'german', true), (%(b)s, 'b', 'b', 'danish', true), (%(b)s, 'c', 'c', 'dutch', false)",
        {"b": base},
    )
    db.rows(new + "(%(b)s, 'd', 'd', 'german', true)", {"b": base})
    languages = "select languages from knowledge_base where id = %s"
    assert db.scalar(languages, [base]) == ["english", "german", "danish"]
    db.rows("update knowledge_item set is_active = true")
    assert db.scalar(languages, [base]) == ["english", "german", "danish", "dutch"]


def replaced_while(world: World, monkeypatch: pytest.MonkeyPatch, base: int, read: Callable[[Any], Any]) -> None:
    """A file is being read by `read` when its owner stops it, and gives the right one; then all jobs run."""
    source = sources.start_import(base, File("faq.csv", CSV.replace("zwei", "fünf").encode()))
    usual = reading.read

    def read_and_replace(raw: Any) -> Any:
        monkeypatch.setattr(reading, "read", usual)
        assert sources.stop(source)
        sources.start_import(base, File("faq.csv", CSV.replace("Karte", "Scheck").encode()))
        return read(raw)

    monkeypatch.setattr(reading, "read", read_and_replace)
    for _ in range(3):
        world.drain()
        world.dead_letters()
    contents = [row["content"] for row in db.rows(KnowledgeItem.select(KnowledgeItem.content).order_by(KnowledgeItem.id))]
    assert contents[2:] == ["In zwei Tagen.", "Per Scheck.", "Ja, dreißig Tage lang."]
    assert states() == ["stored"]


def test_a_file_that_is_replaced_while_it_is_read_does_not_count(
    world: World, base: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_while(world, monkeypatch, base, reading.read)


def test_a_file_that_is_replaced_while_it_cannot_be_read_does_not_count(
    world: World, base: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_raw: Any) -> Any:
        raise Unreadable("is damaged")

    replaced_while(world, monkeypatch, base, refuse)


def test_what_is_stopped_before_it_is_read_is_no_failure(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, body_of = sources.start_import(base, File("faq.csv", CSV.encode())), uploads.body_of
    monkeypatch.setattr(uploads, "body_of", lambda document: sources.stop(source) and body_of(document))
    world.drain()
    assert [job["state"] for job in world.jobs()] == ["completed"]
    assert db.scalar(KnowledgeSource.select(KnowledgeSource.state)) == "stopped"
