"""Files, pages and sites become items: by one job for each document, with a reason for each that failed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docx
import psycopg2
import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.db import query
from shared.db.session import watchdog
from shared.errors import Refused
from shared.http.bulkhead import customer_room
from shared.jobs.ledger import leases
from shared.knowledge import reading, sources, uploads, web
from shared.knowledge.sources import File, Page, Sitemap
from shared.models import KnowledgeDocument, KnowledgeItem, KnowledgeUpload
from shared.telemetry import machine
from tests.builders import World
from tests.waiting import until

CSV = "Frage;Antwort\nWann liefern Sie?;In zwei Tagen.\nWie zahle ich?;Per Karte.\nKann ich umtauschen?;Ja, dreißig Tage lang.\n"
#: Of twelve pages two come after retries at best, one redirects to this machine, one has no text, one wants no index.
BROKEN = {"3": 500, "5": "redirect", "7": "script", "8": "noindex"}


@pytest.fixture
def base(world: World, monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> Iterator[int]:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "1")
    config.reset()
    simulator.site(pages=12, broken=BROKEN, changed=[], gone=[])
    yield int(db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]))
    config.reset()


def run(world: World) -> None:
    """Runs all jobs to their end; retries do not wait."""
    for _ in range(30):
        world.drain()
        world.dead_letters()
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
        if not db.rows("select from job where state = 'waiting'"):
            break


def items(base: int) -> dict[str, str]:
    """What came in, beside what the world knows by itself."""
    rows = KnowledgeItem.select().where(KnowledgeItem.knowledge_base == base, KnowledgeItem.document.is_null(False))
    return {row["title"]: row["content"] for row in db.rows(rows)}


def counts(source: int) -> dict[str, Any]:
    progress = sources.progress(source)
    assert progress is not None
    names = ("state", "found", "stored", "added", "changed", "unchanged", "skipped", "failed", "removed")
    return {name: progress[name] for name in names if progress[name]}


def errors(source: int) -> dict[str, str]:
    return {row["location"].rpartition("/")[2]: row["error"] for row in sources.problems_of(source)}


def test_a_file_and_its_next_version(world: World, base: int) -> None:
    source = sources.start_import(base, File("faq.csv", CSV.encode("cp1252")))
    assert counts(source) == {"state": "importing", "found": 1}
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "added": 1}
    before = {row["title"]: row for row in db.rows(KnowledgeItem.select().where(KnowledgeItem.document.is_null(False)))}
    assert {row["language"] for row in before.values()} == {"german"}
    assert before["Kann ich umtauschen?"]["content"] == "Ja, dreißig Tage lang."
    assert not db.rows(KnowledgeUpload.select())

    again = CSV.replace("In zwei Tagen", "Morgen").replace("Wie zahle ich?;Per Karte.\n", "Und neu?;Ja.\n")
    assert sources.start_import(base, File("faq.csv", again.encode())) == source
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "changed": 1}
    after = {row["title"]: row for row in db.rows(KnowledgeItem.select().where(KnowledgeItem.document.is_null(False)))}
    assert set(after) == {"Wann liefern Sie?", "Kann ich umtauschen?", "Und neu?"}
    assert after["Kann ich umtauschen?"] == before["Kann ich umtauschen?"], "not touched"
    difference = sources.progress(source) or {}
    assert (difference["items"], difference["items_added"], difference["items_removed"]) == (3, 2, 2)
    with pytest.raises(Refused, match="import its new version"):
        sources.sync(source)
    sources.delete(source)
    assert not items(base)


def test_what_somebody_has_switched_off_stays_off_in_its_next_version(world: World, base: int) -> None:
    def version(*rows: str) -> dict[str, tuple[bool, bool]]:
        sources.start_import(base, File("faq.csv", "\n".join(["question;answer", *rows]).encode()))
        run(world)
        stored = db.rows(KnowledgeItem.select().where(KnowledgeItem.document.is_null(False)))
        return {row["title"]: (row["is_active"], row["show_link"]) for row in stored}

    assert set(version("Old prices?;5 €", "Open?;Daily", "Where?;In Bonn").values()) == {(True, True)}
    for title, switch in (("Old prices?", KnowledgeItem.is_active), ("Open?", KnowledgeItem.show_link)):
        db.rows(KnowledgeItem.update({switch: False}).where(KnowledgeItem.title == title))
    off, without_link = (False, True), (True, False)
    assert version("Old prices?;6 €", "Open?;Always", "Where?;In Mainz") == {
        "Old prices?": off,
        "Open?": without_link,
        "Where?": (True, True),
    }
    assert version("Shop › Old prices?;6 €", "Open?;Never", "New?;6 €") == {
        "Shop › Old prices?": off,
        "Open?": without_link,
        "New?": (True, True),
    }
    assert version("Other?;6 €", "Open?;Never") == {"Other?": (True, True), "Open?": without_link}


def test_what_a_business_may_not_have_any_more_is_left_out_and_comes_in_later(
    world: World, base: int, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWLEDGE_MAX_IMPORTED_ITEMS", "4")
    config.reset()
    first = sources.start_import(base, File("faq.csv", CSV.encode()))
    second = sources.start_import(base, File("more.csv", CSV.replace("Wann", "Und wann").encode()))
    run(world)
    left_out = "2 of 3 items were left out, for a business may have 4 from imports: delete imports that you no longer need, and"
    assert (len(items(base)), errors(first), errors(second)) == (4, {}, {"more.csv": f"{left_out} read it again"})
    assert counts(second) == {"state": "done", "found": 1, "stored": 1, "added": 1}
    sources.start_import(base, File("faq.csv", CSV.replace("Per Karte", "Bar").encode()))
    run(world)
    assert (len(items(base)), items(base)["Wie zahle ich?"]) == (4, "Bar."), "what it has it may have again"
    page = sources.start_import(base, Page(f"{simulator.url}/site/page-12"))
    run(world)
    assert (sources.progress(page) or {})["items"] == 0
    assert "were left out" in errors(page)["page-12"]
    sources.delete(first)
    sources.sync(page)
    run(world)
    assert (len(items(base)), errors(page)) == (3, {}), "though the page is as it was"


def test_a_site_with_broken_pages_its_retry_and_its_next_state(world: World, base: int, simulator: Simulator) -> None:
    source = sources.start_import(base, Sitemap(f"{simulator.url}"), sync_hours=24)
    run(world)
    assert counts(source) == {"state": "done", "found": 12, "stored": 8, "added": 8, "skipped": 1, "failed": 3}
    problems = errors(source)
    assert problems["page-3"] == "the site answered HTTP 500"
    assert problems["page-5"].startswith("the page redirects to another site, 127.0.0.1:1;")
    assert "drawn by JavaScript" in problems["page-7"]
    assert "noindex" in problems["page-8"]
    stored = items(base)
    assert "Gift cards number 12 takes 12 days" in stored["Gift cards 12"]
    assert "form 12" in stored["Gift cards 12 › Good to know"]
    asked = [row["path"] for row in simulator.record("site")]
    assert asked.count("/site/page-3") == 4
    assert asked.count("/robots.txt") == 1
    assert asked.count("/sitemap.xml") == 1, "it names itself, and is read once"

    ids = {row["title"]: row["id"] for row in db.rows(KnowledgeItem.select())}
    simulator.site(broken={"5": "redirect", "8": "noindex"}, changed=[12], gone=[1])
    assert sources.retry_failed(source) == 3
    run(world)
    assert counts(source) == {"state": "done", "found": 12, "stored": 10, "added": 10, "skipped": 1, "failed": 1}

    assert sources.sync(source)
    assert not sources.sync(source), "it is under way"
    run(world)
    wanted = {"state": "done", "found": 11, "stored": 9, "changed": 1, "unchanged": 8, "skipped": 1, "failed": 1, "removed": 1}
    assert counts(source) == wanted
    assert "takes 1012 days" in items(base)["Gift cards 12"]
    assert not any("number 1 " in content for content in items(base).values())
    now = {row["title"]: row["id"] for row in db.rows(KnowledgeItem.select())}
    assert {title for title in ids if now.get(title) == ids[title]} >= set(ids) - {"Gift cards 12", "Returns 1"} - {
        title for title in ids if title.startswith("Returns 1 ›")
    }


def test_a_page_that_is_gone_takes_its_items_and_one_that_fails_keeps_them(world: World, base: int, simulator: Simulator) -> None:
    gone, failing = (sources.start_import(base, Page(f"{simulator.url}/site/page-{n}#top")) for n in (1, 2))
    run(world)
    assert set(items(base)) == {"Returns 1", "Returns 1 › Good to know", "Payment 2", "Payment 2 › Good to know"}
    simulator.site(gone=[1], broken={"2": 503})
    assert all(map(sources.sync, (gone, failing)))
    run(world)
    assert counts(gone) == {"state": "done", "removed": 1}
    assert counts(failing) == {"state": "done", "found": 1, "failed": 1}
    assert set(items(base)) == {"Payment 2", "Payment 2 › Good to know"}


@pytest.mark.parametrize(
    ("address", "state", "error"),
    [
        ("/nowhere/sitemap.xml", "failed", "/nowhere/sitemap.xml: the page is gone (HTTP 404)"),
        ("/site/sitemap.html", "failed", "/site/sitemap.html: is no sitemap"),
    ],
)
def test_a_sitemap_that_is_none(world: World, base: int, simulator: Simulator, address: str, state: str, error: str) -> None:
    source = sources.start_import(base, Sitemap(simulator.url + address))
    run(world)
    progress = sources.progress(source)
    assert progress is not None
    assert (progress["state"], progress["error"]) == (state, error)
    assert sources.retry_failed(source) == 1


def test_a_private_address_is_refused_by_the_guard(
    world: World, base: int, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    run(world)
    progress = sources.progress(source)
    assert progress is not None
    assert progress["state"] == "failed"
    assert "is not a public address" in progress["error"]
    assert not simulator.record("site")


@pytest.mark.parametrize(
    ("fault", "error", "attempts"),
    [
        ({"fault": "big"}, "the page is larger than 5 MB", 1),
        ({"fault": "drip", "ms": 50}, "did not answer in 1 s", 4),
        ({"fault": "reset_after"}, "did not answer", 4),
        ({"fault": "status", "status": 403}, "the site refuses the page (HTTP 403)", 1),
        ({"fault": "status", "status": 503}, "the site answered HTTP 503", 4),
        ({"fault": "redirect"}, "is no page, but application/json; HTML, PDF", 1),
    ],
    ids=lambda value: value.get("fault") if isinstance(value, dict) else "",
)
def test_a_page_that_does_not_come(
    world: World,
    base: int,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    error: str,
    attempts: int,
) -> None:
    if fault["fault"] == "drip":
        monkeypatch.setattr(web, "TIMEOUT", 1.0)
    simulator.faults([{"kind": "site", "match": "page-1", **fault}])
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    run(world)
    [problem] = sources.problems_of(source)
    assert problem["state"] == "failed"
    assert error in problem["error"]
    assert world.jobs()[-1]["attempts"] == attempts
    assert not items(base)


def test_a_site_that_asks_to_slow_down_is_left_alone_for_a_while(world: World, base: int, simulator: Simulator) -> None:
    sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    simulator.faults([{"kind": "site", "fault": "status", "status": 429, "match": "page-1", "headers": {"Retry-After": "77"}}])
    world.drain()
    [job] = world.jobs(state="delayed")
    assert (job["run_at"] - job["started_at"]).total_seconds() > 60
    assert job["run_at"] < db.scalar("select clock_timestamp() + interval '90 s'")
    assert job["attempts"] == 0
    simulator.clear_faults()
    run(world)
    assert "Returns 1" in items(base)


def test_what_was_stopped_can_be_read_after_all(world: World, base: int, simulator: Simulator) -> None:
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    world.run(world.jobs()[0]["id"])
    assert sources.stop(source)
    assert sources.retry_failed(source) == 1
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "added": 1}


def test_stopped_or_deleted_in_the_middle(world: World, base: int, simulator: Simulator) -> None:
    stopped = sources.start_import(base, Sitemap(simulator.url))
    first = world.jobs()[0]["id"]
    world.run(first)
    for job in [job for job in world.jobs(state="waiting") if not job["held"]]:
        world.run(job["id"])
    assert sources.stop(stopped)
    assert not sources.stop(stopped)
    run(world)
    assert counts(stopped) == {"state": "stopped", "found": 12, "stored": 1, "added": 1}
    assert sources.sync(stopped)
    world.run(world.jobs(state="waiting")[0]["id"])
    sources.delete(stopped)
    run(world)
    assert not items(base)
    assert not db.rows(KnowledgeDocument.select())
    assert {job["state"] for job in world.jobs()} == {"completed"}


def test_deleted_while_it_is_being_read(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.start_import(base, File("faq.csv", CSV.encode()))
    read = reading.read

    def read_and_delete(raw: Any) -> Any:
        document = read(raw)
        sources.delete(source)
        return document

    monkeypatch.setattr(reading, "read", read_and_delete)
    run(world)
    assert not items(base)
    assert {job["state"] for job in world.jobs()} == {"completed"}


def test_the_same_import_twice_at_once(world: World, base: int) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(sources.start_import(base, File("faq.csv", CSV.encode())))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(world.jobs()) == 1
    with pytest.raises(Refused, match=r"Another version of .* is being imported"):
        sources.start_import(base, File("faq.csv", b"a;b\n"))
    run(world)
    assert len(items(base)) == 3


def test_a_worker_that_is_killed_loses_and_doubles_nothing(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.start_import(base, File("faq.csv", CSV.encode()))
    [job] = world.jobs()
    world.claim(job["id"])
    world.vanish()
    leases.clear()
    run_as_other = world.run(job["id"])
    assert run_as_other is None
    run(world)
    assert counts(source)["stored"] == 1
    assert len(items(base)) == 3


def test_what_cannot_be_read_fails_at_once_with_its_reason(world: World, base: int) -> None:
    source = sources.start_import(base, File("faq.pdf", b"no pdf at all"))
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "failed": 1}
    assert errors(source)["faq.pdf"].startswith("is damaged, or no PDF")
    assert world.jobs()[0]["attempts"] == 1
    assert not db.rows(KnowledgeUpload.select(KnowledgeUpload.document)), "reading it again would not help"
    assert sources.retry_failed(source) == 0


def test_a_file_whose_reader_dies_is_tried_again(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_raw: Any) -> Any:
        raise reading.ReaderDied("the process that read it ended")

    with monkeypatch.context() as dying:
        dying.setattr(reading, "read", die)
        source = sources.start_import(base, File("faq.csv", CSV.encode()))
        run(world)
    assert world.jobs()[0]["attempts"] == 4
    assert errors(source) == {"faq.csv": "the process that read it ended"}
    assert sources.retry_failed(source) == 1
    run(world)
    assert len(items(base)) == 3


def test_a_file_waits_for_the_memory_to_read_it_and_may_be_tried_again_after_that(
    world: World, base: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was free at one moment decided, and for good: the file was thrown away."""
    book = ("One sentence. " * 1_400_000).encode()
    with monkeypatch.context() as little:
        little.setattr(machine, "free_memory", lambda: 256 << 20)
        source = sources.start_import(base, File("book.txt", book))
        world.drain()
        [job] = world.jobs()
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        db.rows("update job set created_at = now() - interval '61 minutes'")
        run(world)
    assert errors(source)["book.txt"].startswith("too little memory was free to read it for an hour")
    assert sources.retry_failed(source) == 1
    run(world)
    assert counts(source)["stored"] == 1


def test_a_book_may_take_minutes_to_be_stored_on_a_busy_machine(world: World, base: int) -> None:
    """It was ended after two, three times in each of four attempts, and refused."""
    db.rows(HURRIED.replace("8 s", "5 minutes"))
    db.rows("create trigger hurried after insert on knowledge_item for each statement execute function hurried()")
    db.reset()
    db.use(db.WORKER)
    try:
        sources.start_import(base, File("faq.csv", CSV.encode()))
        run(world)
        assert world.jobs()[0]["attempts"] == 1
        assert len(items(base)) == 3
    finally:
        db.reset()


def test_a_page_is_not_in_memory_while_it_comes_nor_while_it_waits_for_its_reader(
    world: World, base: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of 36 threads were 180 MB."""
    (tmp_path / "book.txt").write_bytes(b"One sentence. " * 300_000)
    with served_folder(tmp_path) as url:
        source = sources.start_import(base, Page(f"{url}/book.txt"))
        [listing] = world.jobs()
        world.run(listing["id"])
        job = world.jobs()[-1]
        tracemalloc.start()
        try:
            with reading.turn("another one"):
                running = threading.Thread(target=world.run, args=(job["id"],))
                running.start()
                until(lambda: reading._reader.turns._waiting)
                now, at_most = tracemalloc.get_traced_memory()
                assert now < 2 * 1024 * 1024
                assert at_most < 3 * 1024 * 1024
        finally:
            tracemalloc.stop()
        running.join()
    assert counts(source)["stored"] == 1


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """The files of a folder, as a site."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_one_customer_never_has_all_threads(world: World, base: int, simulator: Simulator) -> None:
    """Whose sites hang waits for room; the others' pages are read."""
    from workers import knowledge_import  # it boots a worker, which needs the settings

    other, _ = world.tenant()
    others_base = int(db.scalar("select id from knowledge_base where customer_id = %s", [other]))
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    others_source = sources.start_import(others_base, Page(f"{simulator.url}/site/page-2"))
    with ExitStack() as calls:
        for _ in range(knowledge_import.DOCUMENTS):
            calls.enter_context(knowledge_import._bulkhead.slot(customer_room(world.customer), age=0.0))
        world.drain()
        [job] = world.jobs(customer_id=world.customer)
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        assert counts(others_source)["stored"] == 1
    run(world)
    assert counts(source)["stored"] == 1


def test_a_file_that_has_no_room_is_not_fetched_from_the_database(world: World, base: int) -> None:
    """Of 500 files at once each that waits would be 20 MB of memory, again and again."""
    from workers import knowledge_import  # it boots a worker, which needs the settings

    sources.start_import(base, File("faq.csv", CSV.encode()))
    db.rows("delete from knowledge_upload")  # so that who looks for it fails for good
    with ExitStack() as calls:
        for _ in range(knowledge_import.DOCUMENTS):
            calls.enter_context(knowledge_import._bulkhead.slot(customer_room(world.customer), age=0.0))
        world.drain()
    [job] = world.jobs(customer_id=world.customer)
    assert (job["state"], job["attempts"]) == ("delayed", 0)


@pytest.mark.parametrize("packed", [False, True])
def test_large_files_are_in_memory_one_after_the_other_and_small_ones_do_not_wait_for_them(
    world: World, base: int, packed: bool
) -> None:
    """One that waited took 20 MB, one that was stored 200: Linux ended a worker with 512, which does messages as well."""
    from workers import knowledge_import  # it boots a worker, which needs the settings

    long = "We ship within two days. " * 50_000
    name, body = ("book.docx", word_file(long)) if packed else ("book.txt", long.encode())
    large = sources.start_import(base, File(name, body))
    [job] = world.jobs()
    with knowledge_import._large_files.turn("another one"):
        running = threading.Thread(target=world.run, args=(job["id"],))
        running.start()
        until(lambda: knowledge_import._large_files._waiting)
        db.rows("delete from knowledge_upload")  # so that who looks for it fails for good
        small = sources.start_import(base, File("faq.csv", CSV.encode()))
        world.run(world.jobs()[1]["id"])
        assert counts(small)["stored"] == 1
    running.join()
    assert "is not kept any longer" in str(errors(large)[name])


def word_file(text: str) -> bytes:
    file, document = io.BytesIO(), docx.Document()
    document.add_paragraph(text)
    document.save(file)
    return file.getvalue()


def test_what_a_document_is_recognized_by_stays_the_same() -> None:
    from workers import knowledge_import  # it boots a worker, which needs the settings

    several: list[list[dict[str, Any]]] = [
        [],
        [{"title": "Öl", "content": "a"}],
        [{"title": "Öl", "content": "a"}, {"title": "b", "url": None}],
    ]
    for items in several:
        assert knowledge_import._hash_of(items) == hashlib.sha256(json.dumps(items).encode()).hexdigest()


#: Refuses a statement that would have no more time than a worker's others have.
HURRIED = """
create function hurried() returns trigger language plpgsql as $$
begin
    if current_setting('statement_timeout')::interval <= interval '8 s' then
        raise exception 'a statement on many items has only %%', current_setting('statement_timeout');
    end if;
    return null;
end $$
"""


def test_postgresql_may_take_its_time_with_many_items(world: World, base: int) -> None:
    db.rows(HURRIED)
    db.rows("create trigger hurried after insert or delete on knowledge_item for each statement execute function hurried()")
    db.reset()
    db.use(db.WORKER)
    try:
        source = sources.start_import(base, File("faq.csv", CSV.encode()))
        run(world)
        assert world.jobs()[0]["attempts"] == 1
        assert len(items(base)) == 3
        sources.delete(source)
    finally:
        db.reset()
    assert not items(base)


@contextmanager
def memory_within(megabytes: int, *processes: int) -> Iterator[None]:
    """Fails if one of these takes more than so much memory for the block, beyond what it had before (Linux counts that)."""

    def figure(process: int, name: str) -> int:
        return int(re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))[1]) // 1024  # type: ignore[index]

    for process in processes:
        Path(f"/proc/{process}/clear_refs").write_text("5", encoding="utf-8")  # the highest is the present one now
    before = [figure(process, "VmRSS") for process in processes]
    yield
    took = [figure(process, "VmHWM") - had for process, had in zip(processes, before, strict=True)]
    assert max(took) <= megabytes, f"{took} MB"


def test_a_large_file_takes_not_many_times_its_size(base: int, database_url: str) -> None:
    """As a parameter it took eleven times its size in PostgreSQL and here, and three times as a result."""
    body = random.randbytes(20 * 1024 * 1024)
    with db.connection() as database:
        with memory_within(90, database.session.info.backend_pid), memory_within(30, os.getpid()):
            source = sources.start_import(base, File("book.pdf", body))
            assert sources.start_import(base, File("book.pdf", body)) == source  # which is the same
        document = db.scalar("select id from knowledge_document where source_id = %s", [source])
        with memory_within(30, database.session.info.backend_pid), memory_within(50, os.getpid()):
            assert uploads.body_of(document) == body


def test_a_file_that_another_one_replaces_is_not_read_half(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.start_import(base, File("faq.csv", b"1234567890"))
    document = int(db.scalar("select id from knowledge_document where source_id = %s", [source]))
    monkeypatch.setattr(uploads, "PIECE", 4)
    assert uploads.body_of(document) == b"1234567890"
    sources.start_import(base, File("exact.csv", b"12345678"))
    assert uploads.body_of(document + 1) == b"12345678"
    pieces = uploads.queries["piece"].row
    monkeypatch.setattr(uploads.queries["piece"], "row", lambda **one: uploads.keep(document, b"abcdefghij") or pieces(**one))
    assert uploads.body_of(document) is None


def test_files_that_wait_have_a_limit(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_WAITING", 100)
    sources.start_import(base, File("a.csv", b"a;b\n" * 20))
    with pytest.raises(Refused, match=r"Files of 0 MB wait to be read. Import b.csv when some of them are"):
        sources.start_import(base, File("b.csv", b"a;b\n" * 20))


def test_a_web_page_that_was_saved_to_a_file(world: World, base: int) -> None:
    page = "<title>Help</title><link rel=canonical href=/help><h1>Help</h1><p>Write us an e-mail about anything.</p>"
    source = sources.start_import(base, File("help.html", page.encode()))
    run(world)
    assert counts(source)["stored"] == 1
    assert items(base) == {"Help": "Write us an e-mail about anything."}


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("faq.doc", b"x", "save it as .docx"),
        ("../../etc/", b"", "is empty"),
        ("faq", b"x", "extension"),
        ("faq.csv", b"", "is empty"),
        ("faq.csv", b"x" * 20_971_521, "larger than 20 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(base: int, name: str, body: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        sources.start_import(base, File(name, body))


@contextmanager
def _being_stored(world: World, base: int, database_url: str) -> Iterator[int]:
    """Two items are being stored by a thread, which ends with this; yields the server's process that does it."""
    sources.start_import(base, File("faq.csv", CSV.encode()))
    running = threading.Thread(target=run, args=[world], daemon=True)
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute("select from knowledge_base where id = %s for update", [base])
        running.start()
        blocked = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like 'execute store%%'"
        yield until(lambda: db.scalar(blocked))
        other.rollback()
    running.join(60)
    assert not running.is_alive()
    assert counts_of_documents(base) == {"stored": 1}


def counts_of_documents(base: int) -> dict[str, int]:
    states = """select document.state, count(*) from knowledge_document document
        join knowledge_source source on source.id = source_id where knowledge_base_id = %s group by 1"""
    return {row["state"]: row["count"] for row in db.rows(states, [base])}


def test_a_file_may_take_longer_to_store_than_other_statements(
    world: World, base: int, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "LONGEST", 0.5)
    looks: list[None] = []
    monkeypatch.setattr(watchdog, "chores", [*watchdog.chores, lambda: looks.append(None)])
    with _being_stored(world, base, database_url):
        before = len(looks)
        until(lambda: len(looks) > before + 2, "nobody looks for statements that are overdue")


def test_a_file_is_stored_by_another_connection_when_the_first_one_dies(world: World, base: int, database_url: str) -> None:
    """What was read is kept until PostgreSQL has it; the thread never hangs by the connection that it had."""
    with _being_stored(world, base, database_url) as process:
        assert db.scalar("select pg_terminate_backend(%s)", [process])


def test_sources_of_others_are_not_kept_waiting_by_one_who_has_many(world: World, base: int, simulator: Simulator) -> None:
    _customer, chatbot = world.tenant()
    other = db.scalar("select knowledge_base_id from chatbot where id = %s", [chatbot])
    many = """insert into knowledge_source (knowledge_base_id, kind, location, sync_hours, state, next_sync_at)
        select %s, 'url', 'https://shop.example/' || n, 1, 'listed', now() - interval '1 day' from generate_series(1, 250) n"""
    db.rows(many, [base])
    source = sources.start_import(other, Page(f"{simulator.url}/site/page-1"), sync_hours=24)
    run(world)
    db.rows("update knowledge_source set next_sync_at = now() - interval '1 second' where id = %s", [source])
    assert sources.sync_due() == 100
    assert db.scalar("select next_sync_at > now() from knowledge_source where id = %s", [source])


def test_the_clock_starts_what_is_due(world: World, base: int, simulator: Simulator) -> None:
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"), sync_hours=24)
    run(world)
    assert sources.sync_due() == 0
    db.rows("update knowledge_source set next_sync_at = now() - interval '1 minute'")
    assert sources.sync_due() == 1
    assert sources.sync_due() == 0
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "unchanged": 1}
    assert [row["status"] for row in simulator.record("site") if row["path"] == "/site/page-1"][-1] == 304
