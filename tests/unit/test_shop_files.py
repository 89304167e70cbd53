"""Files and pages as shops have them: old code pages, headers of many languages, exports with HTML, accordions, walls."""

from __future__ import annotations

import codecs
import io
import json
from typing import Any

import openpyxl
import pytest

from shared.knowledge import readers
from shared.knowledge.documents import Raw, Unreadable
from shared.knowledge.encoding import decode


def pairs(name: str, body: bytes | str, **more: Any) -> list[tuple[str, str]]:
    document = readers.read(Raw(name, body.encode() if isinstance(body, str) else body, **more))
    return [(item.title, item.content) for item in document.items]


OF_A_CODE_PAGE = [
    ("cp932", "質問,回答", "営業時間は?", "10時から18時までです。"),
    ("euc_jp", "質問,回答", "営業時間は?", "10時から18時までです。"),
    ("utf-16-le", "質問,回答", "営業時間は?", "10時から18時までです。"),
    ("gb18030", "问题,答案", "什么时候发货?", "两天之内发货，可以退货。"),
    ("big5", "問題,答案", "什麼時候出貨?", "兩天之內出貨，可以退貨。"),
    ("cp949", "질문,답변", "언제 배송되나요?", "이틀 안에, 집으로 배송됩니다."),
    ("cp1251", "Вопрос,Ответ", "Когда доставка?", "За два дня, домой."),
    ("cp1254", "Soru,Cevap", "Kargo ne zaman gelir?", "İki gün içinde, ücretsiz. Şubeden de alabilirsiniz."),
    ("cp1250", "Pytanie,Odpowiedź", "Kiedy wysyłacie?", "W ciągu dwóch dni, część źle zapakowana też."),
    ("cp850", "Frage,Antwort", "Wann öffnen Sie?", "Für Sie täglich, auch für Größe 50."),
    ("cp1252", "Frage,Antwort", "Wann öffnen Sie?", "Für Sie täglich, Mo–Fr „von früh“ bis spät: 5 €."),
    ("cp1252", "Question,Réponse", "L’été ?", "Oui, à partir de 10 h – sauf l’été, où c’est 9 h."),
    ("cp1252", "Spurning,Svar", "Hvenær?", "Á morgun, það er þannig."),
    ("cp1255", "שאלה,תשובה", "מתי אתם שולחים?", "אנחנו שולחים תוך יומיים."),
    ("iso8859_8", "שאלה,תשובה", "מחיר?", "עשרה."),
    ("cp1251", "вопрос,ответ", "когда доставка?", "на второй день."),
    ("cp1253", "Ερώτηση,Απάντηση", "Πότε στέλνετε", "Σε δύο ημέρες."),
    ("mac_roman", "Frage,Antwort", "Wann öffnen Sie?", "Für Sie täglich, „von früh“ bis spät: 5 €."),
    ("mac_roman", "Question,Réponse", "À quel prix ?", "« Dès 4 € », c’est l’été, où ça."),
    ("mac_roman", "Pregunta,Respuesta", "¿Cuándo envían?", "¡En dos días, señor!"),
    ("mac_roman", "Fråga,Svar", "Var är ni?", "Åtta mil från Örebro."),
    ("cp850", "Pregunta,Respuesta", "¿Cuándo envían?", "¡En dos días, señor!"),
    ("cp850", "FRAGE,ANTWORT", "WO?", "IN GRÖSSE UND ÄRMEL."),
    ("iso8859_2", "Pytanie,Odpowiedź", "Kiedy wysyłacie?", "W ciągu dwóch dni, także świetną łódź ze śladem."),
    ("cp1250", "Kérdés,Válasz", "Mikor szállítanak?", "Két napon belül, őszintén, öt űrhajó."),
    ("cp1250", "Pitanje,Odgovor", "Kada šaljete?", "Za dva dana, čaj i žena, đak, ćud."),
    ("cp1250", "Întrebare,Răspuns", "Când livraţi?", "În două zile, şi mâine în ţară."),
    ("cp852", "Pytanie,Odpowiedź", "Kiedy wysyłacie?", "W ciągu dwóch dni, także świetną łódź ze śladem."),
]


@pytest.mark.parametrize(("encoding", "header", "question", "answer"), OF_A_CODE_PAGE)
def test_a_table_of_an_old_code_page(encoding: str, header: str, question: str, answer: str) -> None:
    assert pairs("faq.csv", f"{header}\n{question},{answer}\n".encode(encoding)) == [(question, answer)]


UTF_8 = "Frage;Antwort\nWas kostet Größe M?;5,00 € – für alle 😀\n".encode()


@pytest.mark.parametrize(
    ("odd", "answer"),
    [
        (b"Gr\xfc\xdfe?;Sch\xf6n.", "Schön."),  # a line that another program added
        ("Wann?;Schön und gü".encode()[:-1], "Schön und g"),  # cut within a sign
        ("Wann?;Bald 😀".encode()[:-2], "Bald"),
        ("Wann?;Schö".encode()[:-1] + b".\nWo?;Hier", "Sch."),
        (b"Wann?;B\0ald", "Bald"),
        (b"Wann?;Bald\n" + bytes(1_000), "Bald"),
        (b"Wann?;Bald \x96 morgen", "Bald – morgen"),
    ],
)
def test_a_few_odd_bytes_cost_no_other_word(odd: bytes, answer: str) -> None:
    """One byte that is no UTF-8 made `GrĂ¶Ăźe` of every `Größe` in the file, and one NUL made Chinese of it."""
    for mark in (b"", codecs.BOM_UTF8):
        found = pairs("faq.csv", mark + UTF_8 + odd)
        assert found[0] == ("Was kostet Größe M?", "5,00 € – für alle 😀")
        assert found[1][1] == answer


@pytest.mark.parametrize(("encoding", "text"), [("gb18030", "营业时间,是的"), ("euc_kr", "됩니다"), ("euc_kr", "아니요")])
def test_a_word_of_an_old_code_page_that_looks_like_utf_8_is_read_as_its_server_says(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding), encoding) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
def test_room_that_is_not_filled_behind_more_bytes_a_sign(encoding: str) -> None:
    assert pairs("faq.csv", "Frage;Antwort\nWann?;Um 5".encode(encoding) + bytes(1_000)) == [("Wann?", "Um 5")]


@pytest.mark.parametrize("tail", ["", ";;", ","])
@pytest.mark.parametrize("rows", ['Frage,Antwort\nWas?,"Das, und ""dies"""', 'Frage;Antwort\nWas?;Das, und "dies"'])
def test_a_table_whose_lines_became_cells_is_read_as_it_was(rows: str, tail: str) -> None:
    """Opened in Excel with the wrong delimiter, and saved."""
    lines = (line.replace('"', '""') for line in rows.splitlines())
    assert pairs("faq.csv", "".join(f'"{line}"{tail}\r\n' for line in lines)) == [("Was?", 'Das, und "dies"')]


@pytest.mark.parametrize(
    "column", ['"Question"\n"Do you ship, and where to?"\n', '"Hours and prices"\n"Nine to six, but not on Sundays"\n""\n']
)
def test_one_column_of_texts_in_quotation_marks_stays_one(column: str) -> None:
    with pytest.raises(Unreadable, match="has one column"):
        pairs("faq.csv", column)


@pytest.mark.parametrize(
    "result",
    [
        *("#REF!", "#NAME?", "#N/A", "#NV", "#BEZUG!", "#DIV/0!", "#######"),
        *("#¡REF!", "#¿NOMBRE?", "#N/D", "#N/B", "#BAŞV!", "#ССЫЛКА!", "#Н/Д"),
    ],
)
def test_a_formula_without_a_result_is_no_answer(result: str) -> None:
    document = readers.read(Raw("faq.csv", f"Frage;Antwort\nWann?;{result}\nWo?;#1 in Köln\n#42?;#促销!\n".encode()))
    assert [(item.title, item.content) for item in document.items] == [("Wo?", "#1 in Köln"), ("#42?", "#促销!")]
    assert document.warning == "left out: row 2 has no answer"


SIGN_IN = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Login, please; ok</body></html>"


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        *((f"faq{kind}", SIGN_IN, "is an HTML page, whatever its name says") for kind in (".csv", ".tsv", ".txt", ".md")),
        ("faq.csv", "\ufeff <html>\n<body>a,b</body></html>", "is an HTML page"),
        ("faq.csv", '[{"question": "A?", "answer": "B"}]', "is JSON, whatever its name says; export it as CSV"),
        ("faq.csv", '{\n  "question": "A?", "answer": "B"}', "is JSON"),
    ],
)
def test_a_file_that_is_another_than_its_name_says_so(name: str, body: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        pairs(name, body)


@pytest.mark.parametrize(
    "struck", ["<del>25 €</del>", "<s class=old>25 €</s>", "<span style='color:red; text-decoration: line-through'>25 €</span>"]
)
def test_an_old_price_that_is_struck_out_does_not_look_as_if_it_held(struck: str) -> None:
    body = f"<p>Green tea now costs: {struck} 19 €, and it comes home.</p>"
    page = f"<html><head><title>Tea</title></head><body>{body}</body></html>"
    assert pairs("", page, url="https://shop.example/a", media_type="text/html")[0][1].startswith(
        "Green tea now costs: ~~25 €~~ 19 €"
    )
    if "style" not in struck:
        assert pairs("faq.csv", f"Question;Answer\nPrice?;{struck} 19 €\n") == [("Price?", "~~25 €~~ 19 €")]


def test_pieces_of_what_is_struck_out_are_marked_once() -> None:
    cell = "<del>25</del><del> €</del> 19 €<s></s>"
    assert pairs("faq.csv", f"Question;Answer\nPrice?;{cell}\n") == [("Price?", "~~25 €~~ 19 €")]


def test_a_page_that_its_server_calls_a_text_is_a_page() -> None:
    page = "<html><head><title>Hours</title></head><body><p>We are open from nine to six every day.</p></body></html>"
    found = pairs("", page, url="https://shop.example/a", media_type="text/plain; charset=utf-8")
    assert found == [("Hours", "We are open from nine to six every day.")]


def test_a_page_with_one_odd_byte_is_read_like_any_other() -> None:
    page = "<html><head><meta charset=utf-8><title>Größe</title></head><body><p>Größe und Maße stehen im Schuh.</p>"
    for odd in (b"<p>Sch\xc3</p>", b"<p>\0</p>", b"<p>\xfc</p>"):
        ((title, content),) = pairs("", page.encode() + odd, url="https://shop.example/a", media_type="text/html; charset=utf-8")
        assert title == "Größe"
        assert content.startswith("Größe und Maße stehen im Schuh.")


def test_what_was_encoded_twice_is_read_as_it_was_meant() -> None:
    written = "".join(bytes([byte]).decode("latin-1" if byte in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for byte in UTF_8)
    assert pairs("faq.csv", written) == [("Was kostet Größe M?", "5,00 € – für alle 😀")]
    for mark in ("\ufeff", "ï»¿", "\ufeffï»¿"):  # Excel's, before or after it
        assert pairs("faq.csv", mark + written)[0][0] == "Was kostet Größe M?"
    assert pairs("faq.csv", "Frage;Antwort\nWas ist Ã¶?;Ein ö.") == [("Was ist Ã¶?", "Ein ö.")]


HEADERS = [
    "質問,回答", "问题,答案", "問題,回答", "질문,답변", "Вопрос,Ответ", "Soru,Cevap", "Pytanie,Odpowiedź", "السؤال,الجواب",
    "שאלה,תשובה", "Spørgsmål,Svar", "Fråga,Svar", "Kysymys,Vastaus", "Otázka,Odpověď", "Întrebare,Răspuns", "Kérdés,Válasz",
    "Ερώτηση,Απάντηση", "คำถาม,คำตอบ", "Câu hỏi,Trả lời", "Pertanyaan,Jawaban", "प्रश्न,उत्तर", "Питання,Відповідь",
    "Customer question,Answer text", "Frage (DE),Antwort (DE)", "FAQ Question,FAQ Answer",
    "Question 1,Answer 1", "Prompt,Completion",
    "Kundenfrage,Unsere Antwort", "Frage/Question,Antwort/Answer", "question_en,answer_en",
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_none_of_the_questions(header: str) -> None:
    assert pairs("faq.csv", f"{header}\nWhen?,Soon, or later.\n") == [("When?", "Soon, or later.")]


def test_a_first_row_that_only_has_such_words_is_no_header() -> None:
    rows = [("What is the question?", "The answer."), ("What is the answer?", "The question.")]
    assert pairs("faq.csv", "".join(f"{question};{answer}\n" for question, answer in rows)) == rows


def test_without_headers_a_column_that_asks_is_the_question() -> None:
    rows = "Shipping;When?;Tomorrow.\nShipping;How?;By mail.\nPayment;With what?;By card.\n"
    assert pairs("faq.csv", rows) == [("When?", "Tomorrow."), ("How?", "By mail."), ("With what?", "By card.")]


def test_cells_of_html_are_text() -> None:
    rows = 'question,answer\n1 < 2?,R&D; a > b\nTea &amp; cake?,"<p>In <b>two</b> days.<br>Or:</p><ul><li>a</li></ul>"\n'
    assert pairs("faq.csv", rows) == [("1 < 2?", "R&D; a > b"), ("Tea & cake?", "In two days.\nOr:\n\n- a")]


def test_a_word_is_found_as_it_is_written() -> None:
    assert pairs("x.txt", "\ufee7\ufeb8\ufea4\ufee6 \ufb2a") == [("x", "نشحن ש\u05c1")]
    drawn, written = (
        "Die Lie\u00adfer\u00ad\nzeit \ufb01nden Sie\u200b hier: O\ufb03ce.",
        "Die Lieferzeit finden Sie hier: Office.",
    )
    assert pairs("x.txt", drawn) == [("x", written)]
    assert pairs("x.csv", f'Frage;Antwort\nWann?;"{drawn}"\n') == [("Wann?", written)]
    assert pairs("x.html", f"<html><title>x</title><main><p>{drawn.replace(chr(10), '')}</p></main></html>") == [("x", written)]


@pytest.mark.parametrize(
    ("number_format", "shown"),
    [
        ("#,##0.00 €", "19.90 €"),
        ('#,##0.00\\ [$€-407]', "19.90 €"), ("[$£-809]#,##0.00", "19.90 £"), ('"$"#,##0.00', "19.90 $"),
        ("[$CHF] #,##0", "20 CHF"), ("General", "19.9"), ("0.000", "19.9"),
    ],
)  # fmt: skip
def test_a_price_keeps_its_currency(number_format: str, shown: str) -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["Question", "Answer"])
    book.active.append(["Price?", 19.9])
    book.active["B2"].number_format = number_format
    book.save(file)
    assert pairs("prices.xlsx", file.getvalue()) == [("Price?", shown)]


# ------------------------------------------------------------------------------------------------------------------ pages

ASKED = [("FAQ › When do you ship?", "In two days, by mail."), ("FAQ › And abroad?", "Within ten.")]


def page(body: str, title: str = "FAQ", head: str = "") -> list[tuple[str, str]]:
    html = f"<html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
    return pairs("faq", html, media_type="text/html; charset=utf-8", url="https://shop.example/faq")


@pytest.mark.parametrize(
    "one",
    [
        '<div class="accordion-item"><h2 class="accordion-header"><button class="accordion-button">{q}</button></h2>'
        '<div class="accordion-collapse collapse"><div class="accordion-body">{a}</div></div></div>',
        '<button aria-expanded="false" aria-controls="a{n}">{q}</button>'
        '<div id="a{n}" hidden style="display:none"><p>{a}</p></div>',
        '<div class="faq-item"><div class="faq-question">{q}</div><div class="faq-answer">{a}</div></div>',
        '<div class="toggle"><a class="elementor-toggle-title" href="#">{q}</a><div><p>{a}</p></div></div>',
        "<details><summary><span>{q}</span></summary><p>{a}</p></details>",
    ],
)
def test_a_question_that_opens_at_a_click_is_kept(one: str) -> None:
    asked = enumerate(ASKED)
    questions = "".join(one.format(n=n, q=title.removeprefix("FAQ › "), a=answer) for n, (title, answer) in asked)
    assert page(f"<main><h1>FAQ</h1>{questions}</main>") == ASKED


def told(*questions: tuple[str, str]) -> str:
    entities = [
        {"@type": "Question", "name": q, "acceptedAnswer": {"@type": "Answer", "text": f"<p>{a}</p>"}} for q, a in questions
    ]
    data = {"@context": "https://schema.org", "@graph": [{"@type": "WebPage"}, {"@type": "FAQPage", "mainEntity": entities}]}
    return f'<script type="application/ld+json">{json.dumps(data)}</script>'


def test_what_a_page_tells_search_engines_is_read_too() -> None:
    data = told(*((title.removeprefix("FAQ › "), answer) for title, answer in ASKED))
    assert page('<div id="root"></div>', head=data) == ASKED
    shown = "".join(f"<h3>{title.removeprefix('FAQ › ')}</h3><p>{answer}</p>" for title, answer in ASKED)
    assert page(f"<main><h1>FAQ</h1>{shown}</main>", head=data) == ASKED, "not twice"
    assert page(f"<main><h1>FAQ</h1>{shown}</main>", head='<script type="application/ld+json">{"@type": </script>') == ASKED


def test_an_address_is_whole() -> None:
    written = '<p>Write to <a href="mailto:a@shop.example?subject=x">us</a>.</p>'
    body = f"<h1>Visit</h1><address>Weg 1<br>Berlin</address>{written}"
    assert page(f"<main>{body}</main>", "Visit") == [("Visit", "Weg 1\n\nBerlin\n\nWrite to us (a@shop.example).")]


@pytest.mark.parametrize(
    ("title", "body", "words"),
    [
        ("Page not found", "<main><h1>404</h1><p>The page you are looking for is not here.</p></main>", "no such page"),
        ("Seite nicht gefunden – Shop", "<main><p>Diese Seite gibt es leider nicht mehr.</p></main>", "no such page"),
        ("Just a moment...", "<h1>shop.example</h1><p>Enable JavaScript and cookies to continue.</p>", "a check for browsers"),
        ("Shop", "<noscript><p>You need to enable JavaScript to run this app.</p></noscript>", "by JavaScript"),
        ("Log in", '<h1>Log in</h1><p>E-mail and password, please</p><input type="password">', "a password"),
        ("Before you continue", "<p>We use cookies for the best experience. Accept all or choose.</p>", "asks for cookies"),
    ],
)  # fmt: skip
def test_a_page_that_stands_where_another_should_says_what_it_is(title: str, body: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        page(body, title)


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Model 404 boots", "<p>Boots of the model 404 cost nine euros.</p>"),
        ("Opening hours", '<p>We are open from nine to five.</p><input type="password">'),
        ("Baking", "<p>Our cookies are fresh; we accept cards.</p>"),
        ("Page not found", f"<p>{'A shop that sells books of that title. ' * 20}</p>"),
    ],
)
def test_a_page_that_only_sounds_so_is_read(title: str, body: str) -> None:
    assert page(f"<main><h1>{title}</h1>{body}</main>", title)


@pytest.mark.parametrize("label", ["ISO-8859-1", "latin1", "us-ascii", "windows-1252"])
def test_a_page_in_latin_1_is_one_of_windows(label: str) -> None:
    page = "<html><head><title>Größe</title></head><body><p>Für große Füße „super“ – 9 € das Paar.</p></body></html>"
    media = f"text/html; charset={label}"
    assert pairs("x", page.encode("cp1252"), media_type=media) == [("Größe", "Für große Füße „super“ – 9 € das Paar.")]
