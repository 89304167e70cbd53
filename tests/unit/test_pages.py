"""Pages as shops have them: prices, hours, tabs, windows about cookies, footers, and what is told to search engines alone."""

from __future__ import annotations

import gzip
import json
from io import BytesIO
from typing import Any

import pytest

from shared.http import Response
from shared.knowledge import readers, web
from shared.knowledge.documents import Raw, Unreadable
from shared.knowledge.sitemap_file import read_sitemap

TEXT = "Wir versenden innerhalb von zwei Werktagen mit der Post und freuen uns auf Ihre Bestellung in unserem Laden."


def items_of(body: str, path: str = "x", head: str = "") -> list[tuple[str, str]]:
    page = f'<html lang="de"><head><title>Laden</title>{head}</head><body>{body}</body></html>'
    document = readers.read(Raw("x", page.encode(), "text/html; charset=utf-8", f"https://shop.example/{path}"))
    return [(item.title, item.content) for item in document.items]


def ld(*objects: dict[str, Any]) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(one)}</script>' for one in objects)


def test_a_name_and_its_price_are_two_words() -> None:
    rows = "".join(
        f"<div><span>{name}</span><span>{price}</span></div>" for name, price in (("Schnitt", "39 €"), ("Färben", "60 €"))
    )
    hours = "<ul><li><span>Sa</span><span>10–14 Uhr</span></li></ul><p>Ein <span>i</span><span>phone</span> und <b>H</b>allo.</p>"
    assert items_of(f"<main><h1>Preise</h1>{rows}{hours}</main>") == [
        ("Laden › Preise", "Schnitt 39 €\n\nFärben 60 €\n\n- Sa 10–14 Uhr\n\nEin iphone und **H**allo.")
    ]


def test_the_price_of_a_product_is_kept() -> None:
    shown = f"<main><h1>Kanne</h1><div class=price><span>29,90 €</span></div><p>{TEXT}</p></main>"
    assert items_of(shown) == [("Laden › Kanne", f"29,90 €\n\n{TEXT}")]
    product = {"@type": "Product", "name": "Kanne", "offers": [{"price": "29.90", "priceCurrency": "EUR"}, {"price": 0}]}
    assert items_of(f"<main><h1>Kanne</h1><p>{TEXT}</p></main>", head=ld(product))[1:] == [
        ("Laden › Kanne › Preis", "Kanne: 29.90 EUR")
    ]
    assert items_of(shown, head=ld(product)) == [("Laden › Kanne", f"29,90 €\n\n{TEXT}")], "it is shown"


@pytest.mark.parametrize("kind", ["Service", "Course", "MenuItem", ["Event", "Thing"]])
def test_the_price_of_whatever_is_offered_is_kept(kind: Any) -> None:
    price = {"price": 9.5, "priceCurrency": "EUR"}
    for offer in (price, {"priceSpecification": price}, {"priceSpecification": [price]}):
        offered = {"@type": kind, "name": "Teekurs", "offers": offer}
        assert items_of(f"<main><p>{TEXT}</p></main>", head=ld(offered))[1:] == [("Laden › Preis", "Teekurs: 9.5 EUR")]


def test_a_price_per_kilogram_and_of_the_delivery_are_none_of_the_thing() -> None:
    kilogram = {"price": 50, "referenceQuantity": {"value": 1, "unitCode": "KGM"}}
    delivery = {"@type": "DeliveryChargeSpecification", "price": 4.9}
    for prices, told in (([kilogram, delivery, {"price": 5}], ["Tee: 5 EUR"]), (delivery, [])):
        offer = {"priceCurrency": "EUR", "priceSpecification": prices}
        items = items_of(f"<main><p>{TEXT}</p></main>", head=ld({"@type": "Product", "name": "Tee", "offers": offer}))
        assert [content for _, content in items[1:]] == told


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"startDate": "2026-12-24T18:00:00Z"}, ["Fest: 2026-12-24"]),
        ({"startDate": "2026-12-24T00:00:00", "endDate": "2026-12-26T00:00:00"}, ["Fest: 2026-12-24 – 2026-12-26"]),
        ({"startDate": "2026-12-24", "eventStatus": "https://schema.org/EventCancelled"}, []),
    ],
)
def test_no_time_of_an_event_that_is_not_so(event: dict[str, Any], told: list[str]) -> None:
    items = items_of(f"<main><p>{TEXT}</p></main>", head=ld({"@type": "Event", "name": "Fest", **event}))
    assert [content for _, content in items[1:]] == told


def test_the_day_of_an_event_that_only_search_engines_are_told() -> None:
    event = {"@type": "MusicEvent", "name": "Konzert", "startDate": "2026-12-24T19:00+01:00", "endDate": "2026-12-24T22:00"}
    [_, told] = items_of(f"<main><p>{TEXT}</p></main>", head=ld(event, {"@type": "Event", "startDate": None}))
    assert told == ("Laden › Termin", "Konzert: 2026-12-24 19:00 – 2026-12-24 22:00")
    [shown] = items_of(f"<main><p>{TEXT} Am 2026-12-24 19:00.</p></main>", head=ld(event))
    assert "Termin" not in shown[0]


def test_an_answer_that_its_program_has_escaped_is_text() -> None:
    for text, told in (
        ("&lt;p&gt;Yes, &lt;b&gt;daily&lt;/b&gt;.&lt;/p&gt;", "Yes, daily."),
        ("&lt;b&gt; or &lt;i&gt;", "<b> or <i>"),
    ):
        answer = {"@type": "Answer", "text": text}
        page = {"@type": "FAQPage", "mainEntity": [{"@type": "Question", "name": "Do you &amp; ship?", "acceptedAnswer": answer}]}
        assert items_of(f"<main><p>{TEXT}</p></main>", head=ld(page))[1:] == [("Laden › Do you & ship?", told)]


SHOP = {
    "@type": "Store", "name": "Teeladen", "telephone": "+49 341 1234",
    "address": {"streetAddress": "Hauptstr. 1", "postalCode": "04109", "addressLocality": "Leipzig"},
    "openingHoursSpecification": [
        {"dayOfWeek": ["Monday", "https://schema.org/Tuesday"], "opens": "09:00:00", "closes": "18:00"}, {"dayOfWeek": 7}, None],
}  # fmt: skip


@pytest.mark.parametrize("path", ["", "de/", "kontakt", "pages/contact-us"])
def test_hours_and_address_that_only_search_engines_are_told(path: str) -> None:
    (_, (title, content)) = items_of(f"<main><p>{TEXT}</p></main>", path, ld({"@graph": [SHOP]}, SHOP))
    assert title == "Laden › Adresse, Öffnungszeiten, Telefon"
    assert content == ("Teeladen\nAdresse: Hauptstr. 1, 04109 Leipzig\nÖffnungszeiten: Mo, Di 09:00–18:00\nTelefon: +49 341 1234")


def test_hours_of_a_holiday_do_not_hold_for_ever_and_no_time_is_closed() -> None:
    never, day = {"opens": "00:00", "closes": "00:00:00"}, {"validFrom": "2026-12-24", "validThrough": "2026-12-24T23:59"}
    hours = [{"dayOfWeek": "Monday", "opens": "09:00", "closes": "18:00"}, {"dayOfWeek": "Sunday", **never}]
    season = {"validFrom": "2026-12-25", "validThrough": "2026-12-26", **never}
    shop = {**SHOP, "openingHoursSpecification": [*hours, season]}
    shop["specialOpeningHoursSpecification"] = {"opens": "09:00", "closes": "12:00", **day}
    (_, (_, content)) = items_of(f"<main><p>{TEXT}</p></main>", "kontakt", ld(shop))
    expected = "Mo 09:00–18:00; So geschlossen; (2026-12-25 – 2026-12-26) geschlossen; (2026-12-24) 09:00–12:00"
    assert f"Öffnungszeiten: {expected}" in content
    del shop["openingHoursSpecification"], shop["specialOpeningHoursSpecification"]
    (_, (_, content)) = items_of(f"<main><p>{TEXT}</p></main>", "kontakt", ld({**shop, "openingHours": "Mo-Th 9-18, Su 9-12"}))
    assert "Öffnungszeiten: Mo-Do 9-18, So 9-12" in content
    for hours in ("Sa, So: zu", "We open Mo to Fr"):
        (_, (_, content)) = items_of(f"<main><p>{TEXT}</p></main>", "kontakt", ld({**shop, "openingHours": hours}))
        assert f"Öffnungszeiten: {hours}" in content
    holidays = {"dayOfWeek": "https://schema.org/PublicHolidays", **never}
    (_, (_, content)) = items_of(f"<main><p>{TEXT}</p></main>", "kontakt", ld({**shop, "openingHoursSpecification": holidays}))
    assert "Öffnungszeiten: Feiertage geschlossen" in content


FOOTER = """<footer class="site-footer"><h3>Öffnungszeiten</h3><p>Mo–Fr 9–18 Uhr</p>
<ul><li><a href="/agb">AGB</a></li></ul></footer>"""


def test_hours_in_the_footer_are_told_once_for_the_site() -> None:
    body = f"<main><h1>Willkommen</h1><p>{TEXT}</p></main>{FOOTER}"
    assert items_of(body, "")[1:] == [("Laden › Willkommen › Öffnungszeiten", "Mo–Fr 9–18 Uhr")]
    assert items_of(body, "versand", ld(SHOP)) == [("Laden › Willkommen", TEXT)]


@pytest.mark.parametrize(
    "names", ['id="CybotCookiebotDialog" role="dialog"', 'class="cookie-banner"', 'id="onetrust-consent-sdk"']
)
def test_a_window_about_cookies_does_not_stand_for_the_page(names: str) -> None:
    window = f"<h2>Wir verwenden Cookies</h2><p>{TEXT.replace('Post', 'Statistik') * 3}</p><button>Ja</button>"
    assert items_of(f"<div {names}>{window}</div><div class=content><p>Versand kostet 4,90 €.</p></div>") == [
        ("Laden", "Versand kostet 4,90 €.")
    ]


def test_a_page_about_cookies_stays() -> None:
    body = f'<div class="page-cookies"><main><h1>Cookies</h1><p>{TEXT * 4}</p><button>Ändern</button></main></div>'
    assert items_of(body) == [("Laden › Cookies", TEXT * 4)]


def test_what_stands_behind_tabs() -> None:
    body = f"""<main><h1>Kanne</h1><ul role=tablist><li role=tab aria-controls=t1>Beschreibung</li>
<li role=tab aria-controls=t2>Versand</li></ul><div id=t1 role=tabpanel><p>{TEXT}</p></div>
<div id=t2 role=tabpanel style="display:none" hidden><p>In zwei Tagen.</p></div></main>"""
    assert items_of(body) == [("Laden › Kanne › Beschreibung", TEXT), ("Laden › Kanne › Versand", "In zwei Tagen.")]


def test_a_link_says_where_it_leads_if_its_words_do_not() -> None:
    links = '<a href="/retoure">hier</a>, siehe <a href="/agb">AGB</a>, <a href="#oben">hier</a>'
    assert items_of(f"<p>{TEXT}</p><p>Melden Sie sich {links}.</p>")[0][1].endswith(
        "hier (https://shop.example/retoure), siehe AGB, hier."
    )


@pytest.mark.parametrize(
    ("title", "text", "words"),
    [
        ("Wartungsarbeiten", "Wir sind gleich zurück.", "closed for now"),
        ("Coming soon", "Stay tuned.", "closed for now"),
        ("shop.example is for sale", "Buy this domain.", "for sale"),
        ("Opening soon", "Enter using password <form><input type=password></form>", "asks for a password"),
    ],
)
def test_what_stands_where_a_shop_should(title: str, text: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        readers.read(
            Raw("x", f"<title>{title}</title><h1>{title}</h1><p>{text}</p>".encode(), "text/html", "https://shop.example/")
        )
    assert items_of(f"<main><h1>Fahrräder: Wartung</h1><p>{TEXT}</p></main>") == [("Laden › Fahrräder: Wartung", TEXT)]


REFRESH = [
    ('<meta http-equiv="refresh" content="0; url=/de/start">', "/de/start"),
    ("<META CONTENT='3;URL=\"https://shop.example/a?b=1&amp;c=2\"' HTTP-EQUIV=refresh>", "https://shop.example/a?b=1&c=2"),
    ('<meta http-equiv="refresh" content="0;/größe">', "/größe"),
    ('<meta http-equiv="refresh" content="30">', ""),
    ('<meta http-equiv="refresh" content="300; url=/news">', ""),
    ('<meta http-equiv="refresh" content="0; url=https://shop.example/x">', ""),  # itself
    ('<noscript><meta http-equiv="refresh" content="0; url=/nojs"></noscript>', ""),
    ('<meta name="description" content="0; url=/x: how to refresh a page">', ""),
]


@pytest.mark.parametrize(("head", "target"), REFRESH)
def test_a_page_that_sends_its_visitors_on(head: str, target: str) -> None:
    page = BytesIO(f"<html><head>{head}</head>".encode())
    assert web._refreshed("https://shop.example/x", Response(200, b"", {}), page) == target


URL = "<url><loc>https://a.example/{}</loc></url>"
UNDECLARED = "<image:image><image:loc>https://a.example/x.jpg</image:loc></image:image>"


@pytest.mark.parametrize(
    ("body", "pages"),
    [
        (f"<b>Warning</b>: in x.php<br />\n<?xml version='1.0'?><urlset>{URL.format('x')}</urlset>".encode(), ["x"]),
        (f"<urlset>{URL.format('?a=1&b=2&amp;c=3')}</urlset>".encode(), ["?a=1&b=2&c=3"]),
        (f'<?xml version="1.0" encoding="utf-16"?><urlset>{URL.format("größe")}</urlset>'.encode("utf-16"), ["größe"]),
        (
            gzip.compress(f"<urlset>{URL.format('x')}".encode()) + gzip.compress(f"{URL.format('y')}</urlset>".encode()),
            ["x", "y"],
        ),
        (f"<urlset>{URL.format('x').replace('</url>', f'{UNDECLARED}</url>')}</urlset>".encode(), ["x"]),
        (f"<sm:urlset>{URL.format('x').replace('<', '<sm:').replace('sm:/', '/sm:')}</sm:urlset>".encode(), ["x"]),
    ],
)
def test_a_sitemap_as_programs_write_it(body: bytes, pages: list[str]) -> None:
    document = read_sitemap(Raw("sitemap", body))
    assert [item.title.removeprefix("https://a.example/") for item in document.items] == pages
    assert document.warning is None


def test_a_sitemap_that_breaks_off_says_so_and_its_last_address_is_none() -> None:
    document = read_sitemap(Raw("sitemap", f"<urlset>{URL.format('x')}<url><loc>https://a.exa".encode()))
    assert [item.title for item in document.items] == ["https://a.example/x"]
    assert document.warning == "breaks off"


SECTIONS = [
    "<h1>Salon</h1><section><h2>{0}</h2><p>{1}</p></section><section><h2>{2}</h2><p>{3}</p></section>",
    "<details><summary>{0}</summary><p>{1}</p></details><details><summary>{2}</summary><p>{3}</p></details>",
    "<div class=item><h3>{0}</h3><div>{1}</div></div><div class=item><h3>{2}</h3><div>{3}</div></div>",
]
FACTS = ("Who pays for returns?", "You do, unless the goods were damaged.", "Where are you?", "At the market in Leipzig.")


@pytest.mark.parametrize("body", SECTIONS)
def test_a_page_that_marks_no_main_part_keeps_its_headings(body: str) -> None:
    menu, end = "<header><nav><a href=/>Start</a></nav></header>", "<footer><p>© 2026 Salon GmbH</p></footer>"
    page = f"<html><head><title>Help</title></head><body>{menu}{body.format(*FACTS)}{end}</body></html>"
    items = readers.read(Raw("faq", page.encode(), "text/html", "https://salon.example/faq")).items
    assert [(item.title.rpartition(" › ")[2], item.content) for item in items] == [FACTS[:2], FACTS[2:]]


def test_a_heading_in_the_header_of_a_page_without_a_main_part_is_read() -> None:
    body = "<header><h1>Salon</h1><p>Call 0341 1234</p></header><section><h2>Costs</h2><p>6 euros.</p></section>"
    page = f"<html><body>{body}</body></html>"
    items = readers.read(Raw("faq", page.encode(), "text/html", "https://salon.example/faq")).items
    assert [item.content for item in items] == ["Call 0341 1234", "6 euros."]


def test_an_accordion_of_tabs_has_each_question_once() -> None:
    title = "<div role=tab aria-controls=c{0}><a class=elementor-accordion-title>{1}</a></div>"
    tab = f"<div>{title}<div id=c{{0}} role=tabpanel><p>{{2}}</p></div></div>"
    body = "<main>" + tab.format(1, *FACTS[:2]) + tab.format(2, *FACTS[2:]) + "</main>"
    page = f"<html><head><title>Help</title></head><body>{body}</body></html>"
    items = readers.read(Raw("faq", page.encode(), "text/html", "https://salon.example/faq")).items
    assert [(item.title.rpartition(" › ")[2], item.content) for item in items] == [FACTS[:2], FACTS[2:]]
