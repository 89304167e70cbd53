"""Tables as shops have them: of questions, products and prices, with broken quotation marks, drafts and hidden rows."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import time
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font

from shared.knowledge import readers, tables
from shared.knowledge.documents import Document, Raw


def read(name: str, body: bytes | str) -> Document:
    return readers.read(Raw(name, body.encode() if isinstance(body, str) else body))


def pairs(document: Document) -> list[tuple[str, str]]:
    return [(item.title, item.content) for item in document.items]


def xlsx(fill: Callable[[Any], None]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    fill(book.active)
    book.save(file)
    return file.getvalue()


REST = [(f"Q{number}?", f"A{number}.") for number in range(200)]
REST_LINES = "".join(f"{question},{answer}\n" for question, answer in REST)


@pytest.mark.parametrize("rest", [REST_LINES, REST_LINES + 'Last?,"It is quoted."\n'])
def test_a_quotation_mark_that_is_not_closed_costs_no_other_row(rest: str) -> None:
    document = read("faq.csv", f'question,answer\nTwo?,"Lines,\nor more."\nOpen?,"In two days.\n{rest}')
    assert pairs(document)[:2] == [("Two?", "Lines,\nor more."), ("Open?", "In two days.")]
    assert pairs(document)[2:202] == REST
    assert document.warning == "a quotation mark is not closed in row 3"


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ('"The 24" monitor, in black."', 'The 24" monitor, in black.'),
        ('"Say \\"hi\\", please."', 'Say "hi", please.'),
        ('"Say ""hi"", please." ', 'Say "hi", please.'),
    ],
)
def test_quotation_marks_within_a_cell(row: str, answer: str) -> None:
    document = read("faq.csv", f'question,answer\nWhich?,{row}\nOdd?,The 24" one\nWhere?,"Here, or there."\n')
    assert pairs(document) == [("Which?", answer), ("Odd?", 'The 24" one'), ("Where?", "Here, or there.")]
    assert document.warning is None


def test_a_line_full_of_open_quotation_marks_is_cut_at_its_delimiters() -> None:
    document = read("faq.csv", 'question,answer\nWhen?,Soon.\n"a"b,' + ',"x' * tables.MAX_LINE)
    assert pairs(document)[0] == ("When?", "Soon.")
    assert (document.warning or "").startswith("a quotation mark is not closed in row 3")


def test_a_header_below_many_other_rows_and_again_above_each_section() -> None:
    above = "FAQ;;\nStand 2026;;\nAutor: Max;;\nVersion;3;\nIntern;;\nBitte lesen;;\n"
    text = f"{above}Nr;Frage;Antwort\n1;Wann?;Morgen\nNr;Frage;Antwort\n2;Wo?;Hier\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier")]


def test_a_question_goes_before_a_topic() -> None:
    text = "Thema;Frage;Text;Antwort\nVersand;Wann?;x;Morgen\n;Wo?;y;Hier\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier")]


def test_two_languages_side_by_side() -> None:
    text = "Frage (DE);Antwort (DE);Question (EN);Answer (EN)\nWann?;Morgen;When?;Tomorrow\nWo?;Hier;;\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier"), ("When?", "Tomorrow")]


THINGS = [
    ("SKU,Name,Preis,Beschreibung\nA1,Kanne,29.90,Aus Ton.\n", "Kanne", "SKU: A1\nPreis: 29.90\nBeschreibung: Aus Ton."),
    ("Produkt;Preis\nKanne;29,90 €\n", "Kanne", "Preis: 29,90 €"),
    ("Größe;Brust (cm);Taille (cm)\nS;88;72\nM;96;80\n", "S", "Brust (cm): 88\nTaille (cm): 72"),
    (";Mo;Di;Mi\nLaden Mitte;9-18;9-18;zu\n", "Laden Mitte", "Mo: 9-18\nDi: 9-18\nMi: zu"),
    ("Titel;Beschreibung;Verkaufspreis\nKanne;Aus Ton.;29,90\n", "Kanne", "Beschreibung: Aus Ton.\nVerkaufspreis: 29,90"),
    ("Preisliste;;\nStand Mai;;\nNr.;Leistung;Dauer\n1;Schnitt;30 min\n", "Schnitt", "Nr.: 1\nDauer: 30 min"),
]


@pytest.mark.parametrize(("text", "title", "content"), THINGS)
def test_of_a_table_of_other_things_all_columns_count(text: str, title: str, content: str) -> None:
    assert pairs(read("list.csv", text))[0] == (title, content)


def test_an_export_of_a_shop() -> None:
    text = (
        "Handle,Title,Body (HTML),Published,Option1 Value,Variant Price,Cost per item,Image Src,Status\n"
        'teapot,Tea pot,"<p>Of <b>clay</b>.</p>",TRUE,L,29.90,7.10,https://cdn.example/a.jpg?v=1,active\n'
        "teapot,,,,S,19.90,5.00,,\n"
        "cup,Cup,Old,TRUE,,9.90,2.00,,archived\n"
    )
    document = read("products.csv", text)
    assert pairs(document) == [
        ("Tea pot", "Handle: teapot\nBody (HTML): Of clay.\n\nOption1 Value: L\nVariant Price: 29.90"),
        ("Tea pot", "Handle: teapot\nOption1 Value: S\nVariant Price: 19.90"),
    ]
    assert document.warning == "left out: row 4 is marked as not public"


@pytest.mark.parametrize("header", ["Status", "status", "Published", "Veröffentlicht"])
@pytest.mark.parametrize("mark", ["draft", "FALSE", "Entwurf", "nein"])
def test_what_is_not_public_yet_is_no_answer(header: str, mark: str) -> None:
    document = read("faq.csv", f"question,answer,{header}\nWhen?,Soon.,yes\nHow?,By mail.,{mark}\n")
    assert pairs(document) == [("When?", "Soon.")]
    assert document.warning == "left out: row 3 is marked as not public"


def test_what_excel_hides_is_not_told() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Answer", "Question", "Answer"], ["secret", "A?", "one"], ["secret", "B?", "two"], ["x", "C?", "three"]):
            sheet.append(row)
        sheet.column_dimensions["A"].hidden = True
        sheet.row_dimensions[3].hidden = True

    document = read("faq.xlsx", xlsx(fill))
    assert pairs(document) == [("A?", "one"), ("C?", "three")]
    assert document.warning == "left out: row 3 is hidden"


def test_what_excel_strikes_out_does_not_look_as_if_it_held() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Tea", "Old price", "Price"], ["Green", 25, 19]):
            sheet.append(row)
        sheet["B2"].font = Font(strike=True)

    assert pairs(read("teas.xlsx", xlsx(fill))) == [("Green", "Old price: ~~25~~\nPrice: 19")]


def test_cells_of_excel_are_as_it_shows_them() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Laden", "PLZ", "ab", "Fehler", "Summe"], ["Mitte", 1067, time(9, 30), "#REF!", "=1+1"]):
            sheet.append(row)
        sheet["B2"].number_format = "00000"
        sheet["D2"].data_type = "e"

    document = read("shops.xlsx", xlsx(fill))
    assert pairs(document) == [("Mitte", "PLZ: 01067\nab: 09:30\nSumme: =1+1")]
    assert document.warning == "formulas without their results (open it in Excel and save it): row 2"


WOOCOMMERCE = (
    'ID,Type,SKU,Name,Published,"Is featured?","Visibility in catalog",Description,"Tax class","In stock?","Regular price"\n'
    "44,simple,T1,Earl Grey,1,0,visible,With <b>bergamot</b>.,,1,5.90\n"
    "45,simple,T2,Secret,0,0,visible,x,,1,1.00\n46,simple,T3,Draft,-1,0,visible,x,,1,1.00\n47,simple,T4,Parts,1,0,hidden,x,,1,1.00\n"
)


def test_an_export_whose_headers_ask() -> None:
    document = read("wc-product-export.csv", WOOCOMMERCE)
    content = "ID: 44\nType: simple\nSKU: T1\nDescription: With bergamot.\nIn stock?: 1\nRegular price: 5.90"
    assert pairs(document) == [("Earl Grey", content)]
    assert (document.warning or "").count("marked as not public") == 3


def test_sizes_of_a_draft_are_not_those_of_the_product_above() -> None:
    text = "Title,Option1 Value,Variant Price,Status\nWool hat,M,25,active\n,L,27,\nOld hat,M,9,draft\n,L,10,\nCap,M,5,active\n"
    document = read("products.csv", text)
    hat = [("Wool hat", f"Option1 Value: {size}\nVariant Price: {price}") for size, price in (("M", 25), ("L", 27))]
    assert pairs(document) == [*hat, ("Cap", "Option1 Value: M\nVariant Price: 5")]
    assert document.warning == "left out: row 4 is marked as not public, row 5 is marked as not public"


def test_a_size_that_is_hidden_hides_no_other() -> None:
    text = "name,size,price,visible\nMug,S,19,TRUE\n,M,21,FALSE\n,L,23,TRUE\n"
    assert [content for _, content in pairs(read("wix.csv", text))] == ["size: S\nprice: 19", "size: L\nprice: 23"]


def test_sizes_below_the_name_of_a_product_are_its_own() -> None:
    text = "Title,Size,Price\nMug,,\n,S,5\n,M,6\nCap,,\n,L,9\n"
    assert [(title, content[-1]) for title, content in pairs(read("x.csv", text))] == [("Mug", "5"), ("Mug", "6"), ("Cap", "9")]


def test_a_product_of_which_nothing_is_known_is_no_heading() -> None:
    document = read("menu.csv", "Name;Size;Price\nBeer;0.3;3\nCola;;\nWine;0.2;5\n")
    assert [title for title, _ in pairs(document)] == ["Beer", "Wine"]
    assert document.warning == "left out: row 3 has no answer"


def test_a_label_is_no_day() -> None:
    text = "ID,Tag,Name,Price\n1,bestseller,Mug,5\n2,new,Cap,9\n"
    assert [title for title, _ in pairs(read("x.csv", text))] == ["Mug", "Cap"]


def test_for_whom_a_course_is_is_told() -> None:
    document = read("x.csv", "Course,Audience,Price\nYoga,Seniors,10\nBanking,Private,3\n")
    assert [content for _, content in pairs(document)] == ["Audience: Seniors\nPrice: 10", "Audience: Private\nPrice: 3"]


@pytest.mark.parametrize("header", ["Visibility", "Audience"])
@pytest.mark.parametrize("mark", ["private", "Internal", "intern"])
def test_an_article_for_the_staff_alone_is_no_answer(header: str, mark: str) -> None:
    document = read("articles.csv", f"Title,Content,{header}\nRefunds,In 5 days.,public\nEscalation,Ask Bob.,{mark}\n")
    assert pairs(document) == [("Refunds", "In 5 days.")]


def test_an_article_is_more_than_its_description() -> None:
    long, cut = "We refund " + "within five days and " * 9, "We refund within five days and within"
    text = f'id,title,description,body,url\n1,Refunds,How long it takes,<p>In 5 days.</p>,\n2,Returns,{cut},"{long}",\n'
    assert pairs(read("articles.csv", text)) == [("Refunds", "How long it takes\nIn 5 days."), ("Returns", long.strip())]


HOURS = [
    ("Branch,Opens,Closes\nNorth,9:00,18:00\nSouth,closed,\n", "North", "Opens: 9:00\nCloses: 18:00"),
    ("Wer;früh;spät\nAnna;9-12 Uhr;14-18 Uhr\nBen;zu;14-18 Uhr\n", "Anna", "früh: 9-12 Uhr\nspät: 14-18 Uhr"),
    ("Meal,Gluten,Nuts\nPizza,yes,no\nSalad,no,yes\n", "Pizza", "Gluten: yes\nNuts: no"),
    ("Mitte,zu,\nNord,11:30,22:00\nOst,11:30,22:00\n", "Nord", "11:30\n22:00"),
    ("Soup,of the day,5.90\nSalad,with tuna,8.50\n", "Soup", "of the day\n5.90"),
    ("Topic,Info,Where\nYoga,on Mondays,blue\nPilates,on Fridays,red\n", "Yoga", "Info: on Mondays\nWhere: blue"),
    ("Nord,9,19\nOst,9,19\n", "Nord", "9\n19"),
    ("name,price,cost\nMug,19,7\n", "Mug", "price: 19"),
    ("Treatment,Room,Cost\nPeeling,blue,7\nMassage,red,8\n", "Peeling", "Room: blue\nCost: 7"),
    ("Token,Item Name,Price\nabc,Latte,3.90\n", "Latte", "Token: abc\nPrice: 3.90"),
    ("SKU,Ware,Preis\nab-c,Kanne,3.90\n", "Kanne", "SKU: ab-c\nPreis: 3.90"),
]


@pytest.mark.parametrize(("text", "title", "content"), HOURS)
def test_no_column_of_hours_and_lists_is_lost(text: str, title: str, content: str) -> None:
    assert (title, content) in pairs(read("list.csv", text))


def test_a_question_without_headers_has_the_answer_behind_it_alone() -> None:
    text = "Do you ship?,Yes.,ask Bob\nCash?,No.,since May\n"
    assert pairs(read("faq.csv", text)) == [("Do you ship?", "Yes."), ("Cash?", "No.")]


def test_a_menu_says_under_what_a_dish_stands() -> None:
    text = "Gericht;Zutaten;Preis\nVORSPEISEN;;\nSuppe;;5,90\nSalat;grün;6\nHauptgerichte:;;\nSchnitzel;;18\nalle mit Brot;;\n"
    document = read("menu.csv", text)
    assert [title for title, _ in pairs(document)] == ["VORSPEISEN › Suppe", "VORSPEISEN › Salat", "Hauptgerichte › Schnitzel"]
    assert document.warning == "left out: row 7 has no answer"


def test_a_thing_without_a_price_is_no_heading() -> None:
    document = read("menu.csv", "Gericht;Preis\nCola;\nBier;3,50\nWEINE;\nRot;4,50\n")
    assert [title for title, _ in pairs(document)] == ["Bier", "WEINE › Rot"]
    assert document.warning == "left out: row 2 has no answer"


def test_cells_that_excel_shows_merged_hold_for_all_their_rows() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Category", "Product", "Price"], ["Coffee", "Espresso", 2], [None, "Latte", 3], ["Tea", "Green", 4]):
            sheet.append(row)
        sheet.merge_cells("A2:A3")
        sheet.merge_cells("C4:C9")

    document = read("menu.xlsx", xlsx(fill))
    assert pairs(document)[1:] == [("Latte", "Category: Coffee\nPrice: 3"), ("Green", "Category: Tea\nPrice: 4")]
    assert document.warning is None


WEEKS = [
    ("Tag;von;bis\nMontag;09:00;18:00\nSonntag;geschlossen;\n", "Montag: von 09:00, bis 18:00\nSonntag: von geschlossen"),
    ("Tag;ab\nMo–Fr;9-18\n;19-21\nSonn- und Feiertage;zu\n", "Mo–Fr: ab 9-18\nMo–Fr: ab 19-21\nSonn- und Feiertage: ab zu"),
    ("Montag,9:00,18:00\nDi,9:00,18:00\nMi,9:00,18:00\n", "Montag: 9:00, 18:00\nDi: 9:00, 18:00\nMi: 9:00, 18:00"),
    ("Montag,Ruhetag,\nDienstag,11:30,22:00\n", "Montag: Ruhetag\nDienstag: 11:30, 22:00"),
    ("Monday to Friday,9-18\nSat,10-14\n", "Monday to Friday: 9-18\nSat: 10-14"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "content"), WEEKS)
def test_opening_hours_are_one_answer(text: str, content: str) -> None:
    assert pairs(read("opening_hours.csv", text)) == [("opening hours", content)]


def test_hours_are_words_and_no_html() -> None:
    document = read("hours.csv", "Tag,Zeit\nMo,9&ndash;18<br>19-21\nDi,<b>zu</b>\nMi,\n")
    assert pairs(document) == [("hours", "Mo: Zeit 9–18 19-21\nDi: Zeit zu")]
    assert document.warning == "left out: row 4 has no answer"


def test_hours_below_what_they_are_of() -> None:
    assert pairs(read("x.csv", "Sprechzeiten;\nMo;9-12\nDi;9-12\n")) == [("Sprechzeiten", "Mo: 9-12\nDi: 9-12")]


def test_questions_about_days_stay_questions() -> None:
    assert pairs(read("x.csv", "Frage;Antwort\nMontag;Ruhetag\nDienstag;9-12\n"))[0] == ("Montag", "Ruhetag")


def test_things_stand_under_the_name_of_their_sheet() -> None:
    def fill(sheet: Any) -> None:
        sheet.title = "Damen"
        for name, price in (("Damen", 39), ("Herren", 25), ("Tabelle3", 9)):
            target = sheet if name == "Damen" else sheet.parent.create_sheet(name)
            for row in (["Leistung", "Preis"], ["Schnitt", price]):
                target.append(row)
        hours = sheet.parent.create_sheet("Öffnungszeiten")
        for row in (["Tag", "von", "bis"], ["Mo", time(9, 0), time(18, 0)], ["Di", time(9, 0), time(18, 0)]):
            hours.append(row)
        faq = sheet.parent.create_sheet("FAQ")
        for row in (["Frage", "Antwort"], ["Bar?", "Ja"]):
            faq.append(row)

    hours = "Mo: von 09:00, bis 18:00\nDi: von 09:00, bis 18:00"
    assert pairs(read("salon.xlsx", xlsx(fill))) == [
        ("Damen › Schnitt", "Preis: 39"), ("Herren › Schnitt", "Preis: 25"), ("Schnitt", "Preis: 9"),
        ("Öffnungszeiten", hours), ("Bar?", "Ja"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Gift card;price on request\nHaircut;25 €\nBeard;15 €\n",
        "Gutschein;Preis nach Wahl;Anna\nSchnitt;25 €;Ben\nBart;15 €;Ben\n",
        "Schnitt;Preis: 25 €\nFarbe;Preis: 60 €\nBart;Preis: 15 €\n",
    ],
)
def test_what_says_a_price_is_no_header(text: str) -> None:
    rows = [line.split(";") for line in text.splitlines()]
    assert pairs(read("x.csv", text)) == [(first, "\n".join(others)) for first, *others in rows]


@pytest.mark.parametrize(
    "header",
    [
        *("Price on Monday", "Price per night (€)", "Price up to 50 €", "Price 2026", "Price on request", "Price TBA"),
        *("Price (negotiable)", "Preis nach Wahl", "Preis (Maße auf Anfrage)"),
    ],
)
def test_what_a_price_is_for_is_a_header(header: str) -> None:
    assert pairs(read("x.csv", f"Room;{header}\nSingle;50\nDouble;80\n"))[0] == ("Single", f"{header}: 50")


@pytest.mark.parametrize("header", ["Product;Price", "Ticket;Price"])
def test_a_price_above_cells_that_say_it_again_is_a_header(header: str) -> None:
    [(_, first), (_, second)] = pairs(read("x.csv", f"{header}\nA;Price on request\nB;Preis: 5 €\n"))
    assert first.endswith(": Price on request")
    assert second.endswith(": Preis: 5 €")


@pytest.mark.parametrize(
    "header",
    [
        *("Buying price", "Cost price", "COGS", "Profit", "Markup %", "Selbstkosten", "Rohertrag (€)", "Gewinnspanne"),
        *("Prix d'achat", "Precio de compra", "Prezzo d'acquisto", "Inkoopprijs", "Cost", "Unit cost (€)", "Kosten", "Coste"),
    ],
)
def test_what_a_shop_pays_and_earns_is_its_own_business(header: str) -> None:
    text = f"Product;{header};Price\nMug;3,10;1.299,00 €\nCup;2.50;5\n"
    assert pairs(read("x.csv", text)) == [("Mug", "Price: 1.299,00 €"), ("Cup", "Price: 5")]


@pytest.mark.parametrize("text", ["Cut;A;25 €", "Cut;10 € a month;25 €", "Cut;25;25"])
def test_a_cost_that_is_no_less_than_the_price_is_the_customers(text: str) -> None:
    [(_, content)] = pairs(read("x.csv", f"Treatment;Price;Cost\n{text}\n"))
    assert content.endswith(f"Cost: {text.rpartition(';')[2]}")


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("Kosten", "0"), ("Costs", "per month 9"), ("Gewinn", "1000 €"), ("Profit share", "5 %"), ("Markup language", "XML"),
        ("Margins", "2 cm"), ("Internet", "WLAN"), ("International guests", "yes"), ("Internal storage", "64 GB"),
        ("Interner Speicher", "64 GB"), ("Minimum purchase", "5 €"), ("Einkaufswert ab", "50 €"), ("Einkaufszentrum", "Arkaden"),
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_shops_own_business_is_the_customers(header: str, cell: str) -> None:
    assert pairs(read("x.csv", f"Name;{header};Price\nA;{cell};50\n")) == [("A", f"{header}: {cell}\nPrice: 50")]


@pytest.mark.parametrize("header", ["Internal note", "internal_note", "Interne Notiz", "Internvermerk", "Gewinn %", "Purchases"])
def test_what_is_a_shops_own_business_stays_its_own(header: str) -> None:
    assert pairs(read("x.csv", f"Name;{header};Price\nA;60;50\n")) == [("A", "Price: 50")]


def test_what_programs_note_beside_a_product_is_nobodys_business() -> None:
    shopify = (
        "Title,Variant Grams,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Weight Unit,SEO Title,"
        "Google Shopping / Gender\nMug,350,12,deny,9.90,g,Mug!,unisex\n"
    )
    assert pairs(read("x.csv", shopify)) == [("Mug", "Variant Price: 9.90")]
    woocommerce = "SKU,Name,Visibility in catalog,Regular price,Parent,Position\nT1,Tea,visible,5,id:7,2\n"
    assert pairs(read("x.csv", woocommerce)) == [("Tea", "SKU: T1\nRegular price: 5")]
    assert pairs(read("x.csv", "Name,Position,Phone\nAna,Chef,1\n")) == [("Ana", "Position: Chef\nPhone: 1")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Sam,Hairdresser,Mon-Fri\nDi,Colourist,Tue-Sat\nMo,Trainee,Mon\n", ["Sam", "Di", "Mo"]),
        ("Name,Role,Phone\nMo,Trainee,123\nDi,Colourist,456\n", ["Mo", "Di"]),
        ("Di,030 12\nMo,030 34\n", ["Di", "Mo"]),
        ("Mitarbeiter;Aufgabe;Tage\nMo;Schnitt;Di-Fr\nDi;Farbe;Mo-Mi\n", ["Mo", "Di"]),
    ],
)
def test_people_whose_names_are_short_for_days(text: str, names: list[str]) -> None:
    assert [title for title, _ in pairs(read("staff.csv", text))] == names


@pytest.mark.parametrize(
    "days", ["Fr Sa Mo", "Mon-Thu Fri Sat-Sun", "Mo+Di+Do+Fr Mi", "Di Di Do Do", "lun mié vie", "Name;Montag Di"]
)
def test_days_of_a_week_are_days(days: str) -> None:
    header, _, days = days.rpartition(";")
    rows = [f"{day},Suppe\n" for day in days.split()]
    document = read("hours.csv", "".join([f"{header},Zeit\n" if header else "", *rows]))
    assert [title for title, _ in pairs(document)] == ["hours"]


@pytest.mark.parametrize(
    ("header", "days", "hours"),
    [
        ("", "Mon Wed Fri Tue Thu", "9-5"), ("", "Mo So", "9 bis 18"), ("", "Mo-Fr Sa Mo-Fr Sa", "10–17 Uhr"),
        ("", "Do Mo-Mi+Fr Sa", "9:00"), ("Name,Zeit", "Mo Di", "9 Uhr"), ("", "Di Mi Di Mi", "geschlossen"),
        ("Day,Class", "Mon Wed Mon", "Yoga 18:00"), ("Nome,Orario", "lun sab", "9 a 14"),
    ],
)  # fmt: skip
def test_days_with_hours_beside_them_are_days_in_whatever_order(header: str, days: str, hours: str) -> None:
    document = read("hours.csv", "\n".join([header, *(f"{day},{hours}" for day in days.split())]))
    assert [title for title, _ in pairs(document)] == ["hours"]
