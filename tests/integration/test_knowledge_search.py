"""Which items of knowledge are found: through the claim of a real question, or by the search itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any
from unicodedata import normalize

import psycopg2
import pytest

from scripts.commands import migrate as command
from shared import db
from shared.models import Chatbot, KnowledgeBase, KnowledgeItem
from tests.builders import World

#: title, content. None of them has a word of another one's title.
SHOP = [
    ("Opening hours", "We are open from nine to six, on Saturday until four."),
    ("Parking", "There is a car park behind the building; the first hour is free."),
    ("Payment by invoice", "Companies may pay within fourteen days."),
    ("Watering a monstera", "Once a week, a little less in winter."),
    ("Repotting a monstera", "Every second spring, in a pot two centimetres wider."),
    ("Watering an orchid", "Dip it for ten minutes, then let it drain."),
    ("Café", "Breakfast is served until noon."),
]


@pytest.fixture
def base(world: World) -> int:
    return int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == world.chatbot)))


@pytest.fixture
def shop(world: World, base: int) -> int:
    for title, content in SHOP:
        world.know(base, title, content)
    return base


def found(base: int, question: str, before: str | None = None) -> list[str]:
    """Titles, best first."""
    items = db.scalar("select knowledge_search_v8(%s, %s, %s, 100)", [base, question, before])
    return [item["title"] for item in items or []]


def asked(world: World, said: Sequence[str]) -> dict[str, Any]:
    """What the claim loads for the last of several messages that get one reply; the others before it have theirs."""
    for text in said[:-1]:
        world.say(text)
        world.drain()
    world.say(said[-1])
    world.run(world.jobs(queue="incoming-messages", state="waiting")[-1]["id"])
    loaded = world.claim(world.jobs(queue="ai-processing")[-1]["id"]).loaded
    assert loaded is not None
    return loaded


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("When do you open?", "Opening hours"),
        ("can i pay by INVOICE", "Payment by invoice"),
        ("is there a cafe", "Café"),  # accents that people leave out
        ("where is the pakring", "Parking"),  # letters swapped
        ("invioce please", "Payment by invoice"),
        ("montsera watring", "Watering a monstera"),
        ("xarking?", "Parking"),  # the first letter wrong
        ("repoting", "Repotting a monstera"),  # one left out
        ("cafee?", "Café"),  # one too many, behind the first four
    ],
)
def test_the_right_item_is_first(shop: int, question: str, title: str) -> None:
    assert found(shop, question)[0] == title


@pytest.mark.parametrize(
    "question",
    [
        "What was the original name of Jesus in Egyptian mythology?",
        "Wie wird das Wetter am Wochenende in Hamburg?",
        "asdfgh qwertz",
        "and the of",
        "…?!",
        "",
    ],
)
def test_a_question_about_something_else_finds_nothing(shop: int, question: str) -> None:
    assert found(shop, question) == []


def test_a_word_that_all_items_have_is_not_off_topic(world: World, base: int) -> None:
    for number in range(60):
        world.know(base, f"Roast {number}", f"Coffee from farm {number}.")
    assert len(found(base, "coffee?")) == 5


def test_a_follow_up_is_about_what_was_asked_before(world: World, shop: int) -> None:
    loaded = asked(world, ["How do I water my monstera?", "And repotting?"])
    assert (loaded["question"], loaded["before"]) == ("And repotting?", "How do I water my monstera?")
    assert loaded["items"][0]["title"] == "Repotting a monstera"
    assert found(shop, "in winter?", "How do I water my monstera?")[0] == "Watering a monstera"
    assert found(shop, "Where can I park?", "How do I water my monstera?")[0] == "Parking"  # a change of topic


def test_messages_that_get_one_reply_are_one_question(world: World, shop: int) -> None:
    db.rows(Chatbot.update(debounce_seconds=300).where(Chatbot.id == world.chatbot))
    for text in ("hi, about my monstera", "how often must I repot it?", "thanks"):
        world.say(text)
    for job in world.jobs(queue="incoming-messages"):
        world.run(job["id"])
    db.rows("update job set state = 'waiting', run_at = null where queue = 'ai-processing' and closed_at is null")
    loaded = world.claim(world.jobs(queue="ai-processing")[-1]["id"]).loaded
    assert loaded is not None
    assert loaded["question"] == "hi, about my monstera\nhow often must I repot it?\nthanks"
    assert loaded["before"] is None
    assert loaded["items"][0]["title"] == "Repotting a monstera"


def test_the_end_of_a_long_question_counts(shop: int) -> None:
    assert found(shop, "Good morning to you all. " * 100 + "Can I pay by invoice?")[0] == "Payment by invoice"


def test_without_a_base_nothing_is_searched(world: World) -> None:
    db.rows(Chatbot.update(knowledge_base=None).where(Chatbot.id == world.chatbot))
    loaded = asked(world, ["When do you ship?"])
    assert (loaded["has_knowledge"], loaded["items"], loaded["question"]) == (False, None, None)


def test_what_an_item_is_found_with(world: World, base: int) -> None:
    item = world.know(base, "Gift cards", "Ten to a hundred euros.", url="https://shop.example/gifts")
    hidden = world.know(base, "Gift wrapping", "Free.", url="https://shop.example/wrapping", show_link=False)
    first, second = db.scalar("select knowledge_search_v8(%s, 'gift cards, wrapping', '', 7)", [base])
    assert {first["id"], second["id"]} == {item, hidden}
    assert first["score"] >= second["score"] > 0
    assert {one["url"] for one in (first, second)} == {"https://shop.example/gifts", None}
    assert {one["content"] for one in (first, second)} == {"Ten to ", "Free."}


def test_words_follow_their_item(world: World, base: int) -> None:
    item = world.know(base, "Parking", "Behind the building.")
    change = KnowledgeItem.update
    assert found(base, "parking") == ["Parking"]
    db.rows(change(is_active=False).where(KnowledgeItem.id == item))
    assert found(base, "parking") == []
    db.rows(change(is_active=True, title="Bicycles").where(KnowledgeItem.id == item))
    assert (found(base, "parking"), found(base, "bicycle")) == ([], ["Bicycles"])
    db.rows(KnowledgeItem.delete().where(KnowledgeItem.id == item))
    assert found(base, "bicycle") == []
    db.rows(Chatbot.update(knowledge_base=None).where(Chatbot.id == world.chatbot))
    db.rows(KnowledgeBase.delete().where(KnowledgeBase.id == base))
    assert db.scalar("select count(*) from knowledge_word where knowledge_base_id = %s", [base]) == 0


def test_a_tenant_finds_only_its_own(world: World, shop: int) -> None:
    other, _ = world.tenant()
    [theirs] = db.rows(KnowledgeBase.select().where(KnowledgeBase.customer == other))
    assert found(theirs["id"], "parking") == []
    assert found(theirs["id"], "xarking") == []


@pytest.mark.parametrize(
    ("language", "title", "question"),
    [
        ("german", "Öffnungszeiten an Feiertagen", "offnungszeit feiertag?"),
        ("german", "Rückgabe und Umtausch", "Kann ich das zurückgeben oder umtauschen? Rückgaben"),
        ("portuguese", "Devolução de mercadorias", "devolucao"),
        ("russian", "Доставка и оплата", "когда доставят? доставку оплатить"),
        ("arabic", "سياسة الإرجاع", "الإرجاع"),
        ("greek", "Τρόποι πληρωμής", "πληρωμή"),
        ("simple", "配送需要多长时间", "配送时间多长"),
        ("simple", "返品方法について", "返品したい"),
        ("simple", "วิธีการคืนสินค้า", "คืนสินค้า"),
        ("simple", "환불 규정", "환불"),
        ("simple", "배송", "배송은 얼마나 걸리나요?"),  # Korean words end in particles
        ("arabic", "خلال 30 يوما", "٣٠"),  # digits of another script
        ("simple", "५० रुपये", "50"),
    ],
)
def test_a_base_may_have_items_of_any_language(world: World, shop: int, language: str, title: str, question: str) -> None:
    world.know(shop, title, "…", language=language)
    assert found(shop, question)[:1] == [title]
    assert found(shop, "parking")[:1] == ["Parking"]


#: A language, an item in it that is like small talk, and small talk.
SMALL_TALK = {
    "arabic": ("كيف أتواصل معكم؟ اتصل بنا، يسعدنا أن نساعدك.", "مرحبا|شكرا جزيلا على مساعدتك!|تمام 👍|مع السلامة"),
    "danish": ("Hvordan kontakter jeg jer? Ring, vi hjælper gerne.", "hej|Mange tak for hjælpen!|ok 👍|farvel"),
    "dutch": ("Hoe bereik ik u? Bel ons, wij helpen u graag.", "hallo|Hartelijk dank voor uw hulp!|prima 👍|doei"),
    "english": ("How do I reach you? Call us, we are happy to help.", "hi|thanks|ok 👍|bye|How are you?"),
    "finnish": ("Miten tavoitan teidät? Soita, autamme mielellämme.", "hei|Kiitos paljon avusta!|selvä 👍|näkemiin"),
    "french": ("Comment vous joindre ? Appelez-nous, nous aidons volontiers.", "bonjour|Merci beaucoup !|d'accord 👍|au revoir"),
    "german": (
        "Wie erreiche ich Sie? Rufen Sie an, wir helfen gern.",
        "hallo|Vielen Dank für Ihre Hilfe!|ok 👍|Wie geht es Ihnen?",
    ),
    "greek": ("Πώς επικοινωνώ μαζί σας; Καλέστε μας.", "γεια|Ευχαριστώ πολύ για τη βοήθεια!|εντάξει 👍|αντίο"),
    "hungarian": (
        "Hogyan érem el önöket? Hívjon minket, szívesen segítünk.",
        "szia|Nagyon köszönöm a segítséget!|rendben 👍|viszlát",
    ),
    "italian": (
        "Come posso contattarvi? Chiamateci, vi aiutiamo volentieri.",
        "ciao|Grazie mille!|va bene 👍|arrivederci|Come sta?",
    ),
    "norwegian": ("Hvordan når jeg dere? Ring, vi hjelper gjerne.", "hei|Tusen takk for hjelpen!|greit 👍|ha det"),
    "portuguese": ("Como entro em contato? Ligue, ajudamos com prazer.", "olá|Muito obrigada pela ajuda!|tá bom 👍|Tudo bem?"),
    "romanian": ("Cum vă contactez? Sunați-ne, vă ajutăm cu plăcere.", "salut|Mulțumesc mult pentru ajutor!|bine 👍|la revedere"),
    "russian": ("Как с вами связаться? Позвоните, мы поможем.", "привет|Большое спасибо за помощь!|хорошо 👍|Как дела?"),
    "simple": (
        "Jak się skontaktować? Zadzwoń, chętnie pomożemy.",
        "cześć|Bardzo dziękuję za pomoc!|你好|ありがとうございます|감사합니다|cảm ơn",
    ),
    "spanish": (
        "¿Cómo puedo contactarles? Llámenos, le ayudamos con gusto.",
        "hola|¡Muchas gracias por su ayuda!|vale 👍|¿Cómo está?",
    ),
    "swedish": ("Hur når jag er? Ring, vi hjälper gärna till.", "hej|Tack så mycket för hjälpen!|okej 👍|Hur mår du?"),
    "turkish": ("Size nasıl ulaşırım? Bizi arayın.", "merhaba|Yardımınız için çok teşekkür ederim!|tamam 👍|hoşça kalın"),
}


@pytest.mark.parametrize(("language", "text", "said"), [(language, *texts) for language, texts in SMALL_TALK.items()])
def test_small_talk_to_a_base_of_one_item_finds_nothing(world: World, language: str, text: str, said: str) -> None:
    lonely = int(db.scalar(KnowledgeBase.insert(customer=world.customer, name="One").returning(KnowledgeBase.id)))
    world.know(lonely, text.split("?")[0], text, language=language)
    assert {words: titles for words in said.split("|") if (titles := found(lonely, words))} == {}


@pytest.mark.parametrize("greeting", ["Hi", "Hello there!", "THANK YOU", "안녕하세요", "감사합니다", "สวัสดีครับ", "👋", "🙂🙂"])
def test_a_greeting_finds_nothing(world: World, shop: int, greeting: str) -> None:
    world.know(shop, "환불", "30일 이내에 환불 가능합니다", language="simple")
    assert found(shop, greeting) == []


#: As it is written in the item, and as customers write it.
JOINED = {
    "Desk lamp AB-1017": ["AB-1017", "ab1017", "AB 1017", "is the ab1017 in stock?"],
    "Router AX3000": ["AX3000", "AX-3000", "AX 3000"],
    "Wi-Fi": ["wifi", "wi-fi?"],
    "E-mail": ["email", "what are your emails"],
    "Dog food, 5 kg": ["5kg", "dog food 5 kg"],
    "Phone 15": ["phone15"],
    "Article RT_AX58U_B": ["rtax58ub", "rt_ax58u"],
}


@pytest.mark.parametrize(("title", "question"), [(title, question) for title, asked in JOINED.items() for question in asked])
def test_what_is_joined_is_found_as_it_is_written_apart(world: World, shop: int, title: str, question: str) -> None:
    for other in JOINED:
        world.know(shop, other, "…")
    for number in range(20):
        world.know(shop, f"Desk lamp AB-{2000 + number}", "…")
    assert found(shop, question)[:1] == [title]


def test_who_asks_for_an_article_in_two_parts_asks_for_no_more_than_these(world: World, shop: int) -> None:
    """That no item has them as one word says nothing."""
    world.know(shop, "Lamp 1017", "A lamp of the line AB. It is made of brass, and for desks.")
    asked_apart, asked_joined = (
        db.scalar("select max(relevance) from knowledge_candidates_v6(%s, %s, null, 5)", [shop, question])
        for question in ("brass AB 1017", "brass AB-1017")
    )
    assert asked_apart == asked_joined > 0


@pytest.mark.parametrize(
    "text",
    [
        "When do you open, on Saturday and on Sunday?",
        "Größe 42, größer als Größe 41: café, Straße",
        "何時に開きますか wifi",
        "배송은 얼마나 걸리나요?",
        "word" * 20 + " " + "word" * 20 + "s",  # as far as words are kept, they are one
        "AX-3000 and AX 3000, 5 kg, wi-fi, a_b_c",
        "shop.example/a-b?c=1&d=2, me@shop.example",
        "1-2 3 4",
        "?! 👍",
        "",
    ],
)
def test_a_question_is_read_as_items_are(world: World, text: str) -> None:
    for asked_function, function in (
        ("knowledge_asked_words", "knowledge_words"),
        ("knowledge_asked_compounds", "knowledge_compounds"),
    ):
        words = "select coalesce(array_agg(word order by word), '{}') from"
        read_as_question = db.scalar(f"{words} {asked_function}(%s) word", [text])
        assert read_as_question == db.scalar(f"{words} {function}(%s)", [text])


@pytest.mark.parametrize(
    ("written", "asked_for"),
    [
        ("οδός", "ΟΔΟΣ"),  # a sigma at the end, and accents that capitals lack
        ("Παράδοση", "παραδοση"),
        ("IŞIK", "ışık"),
        ("İstanbul", "istanbul"),
        ("Straße", "STRASSE"),
        ("STRAẞE", "straße"),
        ("j̇ūra", "JŪRA"),  # the dot that Lithuanian keeps below an accent
        ("ёлка", "елка"),
        ("за́мок", "замок"),  # an accent that only shows how it is spoken
        ("Київ", "КИЇВ"),
        ("м’ята", "мʼята"),
        ("Đà Nẵng", "da nang"),
        (normalize("NFD", "Nẵng"), "nẵng"),
        ("მთა", "ᲛᲗᲐ"),
        ("ᏣᎳᎩ", "ꮳꮃꭹ"),
        ("ＬＡＭＰ", "lamp"),
        ("مُحَمَّد", "محمد"),
        ("محـــمد", "محمد"),
        ("کتاب", "كتاب"),  # a Persian kaf and an Arabic one
        ("שָׁלוֹם", "שלום"),
        ("लड़का", "लडका"),
        ("चाँद", "चांद"),
        ("Ver\u00adsand", "versand"),
    ],
)
def test_a_word_is_found_however_its_letters_are_written(world: World, base: int, written: str, asked_for: str) -> None:
    world.know(base, written, "-")
    world.know(base, asked_for, "-")
    for question in (written, asked_for):
        assert sorted(found(base, question)) == sorted([written, asked_for])
        assert found(base, question.upper())


def test_each_letter_is_read_alike_in_upper_and_lower_case(world: World) -> None:
    """Of the scripts in which people write; but for the iota below letters of ancient Greek, which is a letter in capitals."""
    blocks = range(0x80, 0x1C80), range(0x1C90, 0x2000), range(0xAB70, 0xABC0), range(0xFF21, 0xFF5B)
    letters = [chr(code) for block in blocks for code in block]
    pairs = [(letter, other) for letter in letters for other in {letter.lower(), letter.upper(), letter.title()} - {letter}]
    different = db.rows(
        "select letter, other from unnest(%s::text[], %s::text[]) pair (letter, other)"
        " where knowledge_fold('a' || letter || 'a') <> knowledge_fold('a' || other || 'a')",
        [[letter for letter, _ in pairs], [other for _, other in pairs]],
    )
    assert len(pairs) > 1800
    assert [row for row in different if "\N{COMBINING GREEK YPOGEGRAMMENI}" not in normalize("NFD", row["letter"])] == []


@pytest.mark.parametrize(
    ("one", "another"), [("мой", "мои"), ("Київ", "Киів"), ("がく", "かく"), ("क", "ख"), ("배송", "배손"), ("ভাল", "ভল")]
)
def test_letters_that_only_look_like_marked_ones_stay_apart(world: World, one: str, another: str) -> None:
    assert db.scalar("select knowledge_fold(%s) <> knowledge_fold(%s)", [one, another])


def test_a_base_that_lost_its_items_finds_nothing(world: World, base: int) -> None:
    assert found(base, "lamp") == []
    world.know(base, "Lamp", "Made of brass.")
    assert found(base, "lamp") == ["Lamp"]
    db.rows("delete from knowledge_item where knowledge_base_id = %s", [base])
    assert found(base, "lamp") == []


def test_a_long_text_among_others_is_not_in_every_answer(world: World, shop: int) -> None:
    world.know(shop, "Handbook", " ".join(f"{title}. {content}" for title, content in SHOP) * 40)
    assert [found(shop, question)[0] for question in ("opening hours", "parking", "invoice")] == [
        "Opening hours",
        "Parking",
        "Payment by invoice",
    ]


def respelt(base: int, text: str) -> str:
    return str(db.scalar("select knowledge_respelt_v1(%s, %s)", [base, text]))


@pytest.mark.parametrize(
    ("written", "spelt"),
    [
        ("Wher is the parkng, please?", "Wher is the parking, please?"),
        ("«PARKNIG»  at the buildng!?\n", "«parking»  at the building!?\n"),
        ("parkxing", "parking"),
        ("Where is the parking?", "Where is the parking?"),
        ("Is there barking?", "Is there barking?"),
        ("Do you sell dinosaurs?", "Do you sell dinosaurs?"),
        ("prkng", "prkng"),
        ("👍 ", "👍 "),
        ("", ""),
    ],
    ids=[
        "in its place",
        "as it stands",
        "one letter more",
        "all known",
        "a common word",
        "like no other",
        "two slips",
        "no words",
        "empty",
    ],
)
def test_words_that_a_base_lacks_are_spelt_as_it_has_them(world: World, base: int, written: str, spelt: str) -> None:
    world.know(base, "Parking", "Behind the building.")
    assert respelt(base, written) == spelt


def test_of_two_words_that_are_as_near_the_usual_one_is_meant(world: World, base: int) -> None:
    world.know(base, "Monstera", "A plant.")
    for about in ("Water", "Light"):
        world.know(base, f"{about} for monsters", "Not much.")
    assert respelt(base, "monstern") == "monsters"
    assert respelt(base + 1, "monstern") == "monstern", "a base without items"


def blocks_read(base: int, question: str, search: str = "knowledge_search_v8(%s, %s, null, 100)") -> int:
    """What a search reads of tables and indexes: its work, without a clock."""
    plan = db.scalar(f"explain (analyze, buffers, format json) select {search}", [base, question])[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize("search", ["knowledge_search_v8(%s, %s, null, 100)", "knowledge_respelt_v1(%s, %s)"])
def test_hostile_questions_are_no_more_work_than_a_long_honest_one(shop: int, search: str) -> None:
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{'x' * (n % 20)}" for n in range(2_000)]
    honest = " ".join(words[:150])
    blocks_read(shop, honest, search)  # the catalogue, which is read once
    most = blocks_read(shop, honest, search) * 1.25
    for question in (" ".join(words), "a" * 100_000, "%' or 1=1; -- \\ :* & | !", "配" * 5_000, "parking " * 5_000):
        assert blocks_read(shop, question, search) <= most


def test_a_long_question_to_a_base_of_the_same_words_is_no_more_work_than_a_short_one(shop: int) -> None:
    """Whoever teaches it so would keep others' questions waiting, in the statement that claims both."""
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(150)]
    same_words = """insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
        select %s, '=' || word, 1000000 + item, 1 from unnest(%s::text[]) word, generate_series(1, 1500) item"""
    db.rows(same_words, [shop, words])
    short = " ".join(words[:30])
    blocks_read(shop, short)
    assert blocks_read(shop, " ".join(words)) < 4 * blocks_read(shop, short)


def test_items_of_the_last_release_get_their_words(empty_database_url: str) -> None:
    """As before the migration: items without words. Its second file makes them, and a changed item keeps its own."""
    fill = next(path for path in command.migrations() if "fill_knowledge_words" in path.name)
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(command.SCHEMA.read_text(encoding="utf-8"))
        cursor.execute("insert into customer (name) values ('Shop')")
        cursor.execute("insert into knowledge_base (customer_id, name, language) values (1, 'Facts', 'german')")
        add = "insert into knowledge_item (knowledge_base_id, title, content) values (1, %s, 'Text')"
        cursor.execute(add, ["Öffnungszeiten"])
        cursor.execute("delete from knowledge_word; update knowledge_base set languages = '{}'")
        cursor.execute(add, ["Versandkosten"])
        cursor.execute("create temporary table before as select * from knowledge_word")
        cursor.execute(fill.read_text(encoding="utf-8"))
        cursor.execute(
            "select count(*) from knowledge_word left join before using (knowledge_item_id, word) where before.weight is null"
        )
        assert cursor.fetchone() == (len({"", "offnungszeit", "=offnungszeiten", "^offn", "text", "=text"}),)
        cursor.execute("select knowledge_search_v8(1, 'offnungszeiten', null, 10) -> 0 ->> 'title'")
        assert cursor.fetchone() == ("Öffnungszeiten",)


def test_items_that_are_read_otherwise_now_get_their_words_anew(empty_database_url: str) -> None:
    """As after the last release: words that its reading made. What it read as today is left alone."""
    last_step = next(path for path in command.migrations() if path.name == "0420_compounds.pre.sql").read_text(encoding="utf-8")
    last_step = last_step[last_step.index("do $$") :]
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(command.SCHEMA.read_text(encoding="utf-8"))
        cursor.execute("insert into customer (name) values ('Shop')")
        cursor.execute("insert into knowledge_base (customer_id, name, language) values (1, 'Facts', 'english')")
        add = "insert into knowledge_item (knowledge_base_id, title, content) values (1, %s, 'Text')"
        for title in ("Wi-Fi", "배송은", "Parking", "Switched off-line"):
            cursor.execute(add, [title])
        cursor.execute("update knowledge_item set is_active = false where title like 'Switched%'")
        cursor.execute("create temporary table right_words as select * from knowledge_word")
        cursor.execute("delete from knowledge_word where word like '%wifi' or word like '%배송%'")
        cursor.execute("update knowledge_word set weight = 7 where word = 'park'")
        cursor.execute(last_step)
        cursor.execute(
            "select now.word, was.word from knowledge_word now full join right_words was using (knowledge_item_id, word, weight)"
            " where now.word is null or was.word is null"
        )
        assert sorted(cursor.fetchall(), key=str) == sorted([("park", None), (None, "park")], key=str)


def test_items_whose_letters_are_read_otherwise_now_get_their_words_anew(empty_database_url: str) -> None:
    """As after the last release: words of its reading. What it read as today is left alone; what was added meanwhile is not."""
    steps = [path for path in command.migrations() if "letters_read_alike" in path.name]
    step, step_of_meanwhile = (path.read_text(encoding="utf-8") for path in steps)
    last_reading = step[step.index("create function knowledge_fold_before") : step.index("-- A text as the search reads it")]
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(command.SCHEMA.read_text(encoding="utf-8"))
        cursor.execute("create table schema_migration (name text, applied_at timestamptz default now())")
        cursor.execute("insert into schema_migration values (%s)", [steps[0].name])
        cursor.execute(last_reading.replace("create function knowledge_fold_before", "create or replace function knowledge_fold"))
        cursor.execute("insert into customer (name) values ('Shop')")
        cursor.execute("insert into knowledge_base (customer_id, name, language) values (1, 'Facts', 'simple')")
        add = "insert into knowledge_item (knowledge_base_id, title, content) values (1, %s, '-')"
        for title in ("οδός", "Größe", "Parking", "ёлка"):
            cursor.execute(add, [title])
        cursor.execute("update knowledge_item set is_active = false where title = 'ёлка'")
        cursor.execute("update knowledge_word set word = '=as it was' where word in ('=grosse', '=parking')")
        cursor.execute(step)
        assert _whole_words(cursor) == ["=as it was", "=as it was", "=οδοσ"]

        cursor.execute("update knowledge_word set word = '=οδός' where word = '=οδοσ'")
        cursor.execute(step_of_meanwhile)
        assert _whole_words(cursor) == ["=as it was", "=grosse", "=οδοσ"]

        cursor.execute("update schema_migration set applied_at = now() + interval '2 hours'")
        cursor.execute("update knowledge_word set word = '=as it was' where word = '=grosse'")
        cursor.execute(step_of_meanwhile)
        assert _whole_words(cursor) == ["=as it was", "=as it was", "=οδοσ"]


def _whole_words(cursor: Any) -> list[str]:
    cursor.execute("select word from knowledge_word where word like '=%' order by word")
    return [word for (word,) in cursor.fetchall()]
