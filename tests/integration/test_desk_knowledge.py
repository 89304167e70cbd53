"""Knowledge at the desk: written, searched, imported with what went wrong, and questions answered once for everybody."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from flask import Flask

from shared import db
from shared.models import AuditEntry, KnowledgeGap, KnowledgeItem, KnowledgeSource
from tests.builders import World
from tests.integration.desk_pages import Visitor, knowledge_of, person, version
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_what_an_owner_writes_is_found_and_not_written_over(app: Flask, world: World) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge"
    unknown = browser.post(page, name="Terms", language="x" * 99)
    assert unknown.status_code == 422
    assert "The language must" in unknown.text
    base = browser.post(page, name="Terms", language="english").location
    assert "Nothing in here yet" in browser.get(base).text
    form = {"title": "Do you ship to Austria?", "content": "Yes <b>within</b> three days.", "is_active": "1"}
    wrong = browser.post(f"{base}/items/new", **{**form, "url": "javascript:alert(1)"})
    assert wrong.status_code == 422
    assert "Yes &lt;b&gt;within" in wrong.text
    assert browser.post(f"{base}/items/new", **form).status_code == 303
    assert "Do you ship to Austria?" in browser.get(f"{base}?q=shipping+austria").text
    item_id = db.scalar(KnowledgeItem.select(KnowledgeItem.id).where(KnowledgeItem.title == form["title"]))
    seen = version(browser.get(f"{base}/items/{item_id}").text)
    assert browser.post(f"{base}/items/{item_id}", **{**form, "content": "Two days.", "version": seen}).status_code == 303
    lost = browser.post(f"{base}/items/{item_id}", **{**form, "content": "Five days.", "version": seen})
    assert lost.status_code == 409
    assert "Five days." in lost.text
    assert db.scalar(KnowledgeItem.select(KnowledgeItem.content).where(KnowledgeItem.id == item_id)) == "Two days."
    own = knowledge_of(world)
    assert browser.get(f"{base}/items/{own['item']}").status_code == 404, "an item of another base"
    assert browser.post(f"{page}/{own['base']}/delete").status_code == 303
    assert browser.get(f"{page}/{own['base']}").status_code == 200, "a chatbot answers from it"
    assert browser.post(f"{base}/items/{item_id}/delete").status_code == 303
    assert browser.post(f"{base}/delete").status_code == 303
    assert browser.get(base).status_code == 404


def test_a_file_is_imported_and_what_failed_is_told(app: Flask, world: World) -> None:
    own = knowledge_of(world)
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge/{own['base']}/sources"
    assert "1 could not be read" in browser.get(page).text
    assert "answered 404" in browser.get(f"{page}/{own['source']}").text
    refused = browser.post(f"{page}/file").text
    assert "Choose a file" in refused
    assert 'aria-describedby="file-hint file-problem" aria-invalid=true' in refused
    assert browser.post(f"{page}/file", file=(BytesIO(b"x"), "virus.exe")).status_code == 422
    csv = b"question,answer\nDo you gift-wrap?,Yes we wrap gifts for two euros.\n"
    assert browser.post(f"{page}/file", file=(BytesIO(csv), "faq.csv")).status_code == 303
    world.drain()
    assert "faq.csv" in browser.get(page).text
    assert "Do you gift-wrap?" in browser.get(page.replace("/sources", "?q=gift+wrap")).text
    assert "<dt>Pages, the last time</dt>" in browser.get(f"{page}/{own['source']}").text, "not items, which stand above"
    assert browser.post(f"{page}/address", url="ftp://shop.example").status_code == 422
    faq = db.scalar(KnowledgeSource.select(KnowledgeSource.id).where(KnowledgeSource.location == "faq.csv"))
    shown = browser.get(f"{page}/{faq}").text
    assert "The 1 item that came from it goes, too" in shown
    assert "<dt>The file, the last time</dt><dd>was new</dd>" in shown, "it is one: its items are counted above"
    assert browser.post(f"{page}/file", file=(BytesIO(csv + b"And ribbons?,Yes.\n"), "faq.csv")).status_code == 303
    world.drain()
    shown = browser.get(f"{page}/{faq}").text
    assert "<dt>The file, the last time</dt><dd>had changed</dd>" in shown
    assert browser.post(f"{page}/{faq}/delete").status_code == 303
    assert not db.rows(KnowledgeItem.select().where(KnowledgeItem.title == "Do you gift-wrap?"))
    assert browser.post(f"{page}/{faq}/sync").status_code == 404


def test_an_import_of_which_nothing_could_be_read_is_not_done(app: Flask, world: World) -> None:
    own = knowledge_of(world)
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge/{own['base']}/sources"
    states = {}
    for name, body in (("broken.pdf", b"%PDF-1.4 broken"), ("faq.csv", b"question,answer\nDo you ship?,Yes.\n")):
        assert browser.post(f"{page}/file", file=(BytesIO(body), name)).status_code == 303
        world.drain()
        world.dead_letters()
        source = db.scalar(KnowledgeSource.select(KnowledgeSource.id).where(KnowledgeSource.location == name))
        shown = browser.get(f"{page}/{source}").text
        states[name] = (">done<" in shown, "1 could not be read" in shown)
    assert states == {"broken.pdf": (False, True), "faq.csv": (True, False)}
    failures = Visitor(app, person("operator", None)).get("/desk/operate/failures").text
    assert "Repeated by the businesses themselves" in failures
    assert "/operate/replays/new" not in failures, "a replay would send nothing"


@pytest.mark.parametrize(("state", "badge", "words"), [("stored", "warn", "quiet-text"), ("failed", "bad", "problem")])
def test_a_file_that_was_read_but_for_some_rows_looks_read(app: Flask, world: World, state: str, badge: str, words: str) -> None:
    own = knowledge_of(world)
    db.rows("update knowledge_document set state = %s, error = 'left out: row 3 has no answer'", [state])
    page = Visitor(app, person("owner", world.customer)).get(
        f"/desk/c/{world.customer}/knowledge/{own['base']}/sources/{own['source']}"
    )
    assert f'<span class="{words}">left out: row 3 has no answer</span>' in page.text
    row = page.text.partition("left out: row 3")[2]
    assert f'<span class="badge {badge}">' in row.partition("</tr>")[0], row


def test_a_question_is_answered_once_for_all_who_asked(app: Flask, world: World) -> None:
    own = knowledge_of(world)
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge/{own['base']}/gaps"
    shown = browser.get(page).text
    assert "asked 2 times" in shown
    assert re.findall(r'Open questions\s*<span class="badge warn">(\d+)</span>', shown) == ["1"], "it is one to answer"
    assert "1 open question<" in browser.get(f"/desk/c/{world.customer}/knowledge").text
    assert "Austria &lt;b&gt;now&lt;/b&gt;" in shown
    gap = int(db.scalar(KnowledgeGap.select(KnowledgeGap.id)))
    assert browser.post(f"{page}/{gap}/answer", content=" ").status_code == 422
    assert browser.post(f"{page}/{gap}/answer", content="Yes, we do.").status_code == 303
    assert "No open questions" in browser.get(page).text
    assert browser.post(f"{page}/{gap}/dismiss").status_code == 404
    operator = Visitor(app, person("operator", None))
    db.rows(KnowledgeGap.update(closed_at=None))
    assert "Austria" not in operator.get(page).text, "customers' words are masked"
    assert "Austria" not in str(db.rows(AuditEntry.select()))


def test_sources_come_in_pages(app: Flask, world: World) -> None:
    base = knowledge_of(world)["base"]
    for number in range(120):
        location, state = f"https://shop.example/{number}", "listing" if number == 119 else "stopped"
        db.rows(KnowledgeSource.insert(knowledge_base=base, kind="url", location=location, state=state))
    browser, path = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge/{base}/sources"
    shown = []
    while path:
        page = browser.get(path).text
        shown.append(len(re.findall(r'href="[^"]+/sources/\d+"', page)))
        refreshed, more = re.search(r'hx-get="([^"]+)"', page), re.search(r'<a class="button" href="([^"]+)" rel="next"', page)
        assert refreshed is None or refreshed[1] == path, "it fetches what it shows"
        path = more[1] if more else ""
    assert shown == [50, 50, 21]


def test_a_base_that_many_chatbots_use_names_a_few_of_them(world: World) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    db.rows("update chatbot set name = 'Nora' where id = %s", [world.chatbot])
    own = "insert into chatbot (customer_id, name, knowledge_base_id, fallback_message) select %s, name, %s, '-'"
    owner, page = Visitor(create_app(), person("owner", world.customer)), f"/desk/c/{world.customer}/knowledge"
    assert "Used by <bdi>Nora</bdi></p>" in owner.get(page).text
    db.rows(f"{own} from (values ('شركة الشاي'), ('<b>Otto</b>')) as one (name)", [world.customer, base])
    first = "<bdi>Nora</bdi>, <bdi>شركة الشاي</bdi>, <bdi>&lt;b&gt;Otto&lt;/b&gt;</bdi>"
    assert f"Used by {first}</p>" in owner.get(page).text
    db.rows(f"{own} from (select 'Bot ' || n as name from generate_series(1, 57) n) as many", [world.customer, base])
    assert f"Used by {first} and 57 more</p>" in owner.get(page).text


def test_who_answers_a_question_after_a_colleague_keeps_what_was_written(app: Flask, world: World) -> None:
    """It was a page that says "There is no such page", and the answer was gone."""
    ids = knowledge_of(world)
    gaps = f"/desk/c/{world.customer}/knowledge/{ids['base']}/gaps"
    gap = db.scalar("select max(id) from knowledge_gap")
    bernd, emma = (Visitor(app, person("owner", world.customer, name)) for name in ("Bernd", "Emma"))
    assert bernd.post(f"{gaps}/{gap}/dismiss").status_code == 303
    second = emma.post(f"{gaps}/{gap}/answer", content="Yes, for 9 euros.", url="https://shop.example/at")
    assert second.status_code == 409
    assert "This question is not open any more" in second.text
    for kept in ("Do you ship to Austria &lt;b&gt;now&lt;/b&gt;?", "Yes, for 9 euros.", "https://shop.example/at"):
        assert kept in second.text
    assert f'action="{gaps.replace("gaps", "items/new")}"' in second.text, "saved from here it is an item of its own"
    assert db.scalar("select count(*) from knowledge_item where starts_with(content, 'Yes, for 9')") == 0
