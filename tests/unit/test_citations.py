"""A customer sees links and no numbers; other numbers in brackets are the business's own, and stay."""

from __future__ import annotations

import time

import pytest

from shared.ai import citations
from shared.ai.prompt import Item

ITEMS = [
    Item(71, "Shipping", "We ship within two days.", url="https://shop.example/shipping"),
    Item(72, "Phone", "Press [2] for returns.", url="https://shop.example/phone"),
    Item(73, "Shipping abroad", "Five days.", url="https://shop.example/shipping"),
]

#: An answer, what a customer reads, the numbers that it names.
CITED = [
    ("In two days [1].", "In two days.", {1}),
    ("In two days. [1]", "In two days.", {1}),
    ("In two days[1].", "In two days.", {1}),
    ("In two days [1][2].", "In two days.", {1, 2}),
    ("In two days [1], [3].", "In two days.", {1, 3}),
    ("In two days [1, 2].", "In two days.", {1, 2}),
    ("In two days [1;3].", "In two days.", {1, 3}),
    ("In two days [1-3].", "In two days.", {1, 2, 3}),
    ("In two days [^1].", "In two days.", {1}),
    ("In two days [item 1].", "In two days.", {1}),
    ("In two days 【1】.", "In two days.", {1}),
    ("In two days【1†source】.", "In two days.", {1}),
    ("In two days [1](https://made.up/1).", "In two days.", {1}),
    ("In two days (Source 2).", "In two days.", {2}),
    ("In two days (source: 1, 3).", "In two days.", {1, 3}),
    ("In zwei Tagen (Quelle 1).", "In zwei Tagen.", {1}),
    ("In two days [Source: 1].", "In two days.", {1}),
    ("In two days [doc 1].", "In two days.", {1}),
    ("In two days [doc 1, doc 3].", "In two days.", {1, 3}),
    ("In two days [knowledge item 1].", "In two days.", {1}),
    ("In two days (Source: item 1). Bye", "In two days. Bye", {1}),
    ("In two days. *(Sources: knowledge item 1 and item 3)*", "In two days.", {1, 3}),
    ("In two days.\n\n**References**\n- [1]\n- [3]", "In two days.", {1, 3}),
    ("In two days.\n\nQuellen:\n1. [1].\n2. [3].", "In two days.", {1, 3}),
    ("In two days [Item #1].", "In two days.", {1}),
    ("In two days [item number 1].", "In two days.", {1}),
    ("In two days [citation:1].", "In two days.", {1}),
    ("En dos días [Fuente 1].", "En dos días.", {1}),
    ("In two days [1 & 3].", "In two days.", {1, 3}),
    ("In two days [1 and 3].", "In two days.", {1, 3}),
    ("In two days [1†L3-L5].", "In two days.", {1}),
    ("In two days【1:2†source】.", "In two days.", {1}),
    ("二日以内です［1］。", "二日以内です。", {1}),
    ("二日以内です〔1〕。", "二日以内です。", {1}),
    ("In two days [1] and abroad [3] in five.", "In two days and abroad in five.", {1, 3}),
    ("**Two days** [1]\n\nBye!", "**Two days**\n\nBye!", {1}),
    ("Two days.\n[1]", "Two days.", {1}),
    ("Two days.\n[1]\n\nAnything else?", "Two days.\n\nAnything else?", {1}),
    ("- Two days [1]\n- Five abroad [3]", "- Two days\n- Five abroad", {1, 3}),
    ("我们两天内发货[1]。", "我们两天内发货。", {1}),
    ("In 2026 [1]", "In 2026", {1}),
    ("In two days [1][9].", "In two days.", {1}),
    ("In two days [1]Really", "In two days Really", {1}),
    ("In two days ([1]).", "In two days.", {1}),
    ("In two days ([1], [3]). Bye", "In two days. Bye", {1, 3}),
    ("In two days [[1]].", "In two days.", {1}),
    ("In two days **[1]**.", "In two days.", {1}),
    ("In two days *[1]*.", "In two days.", {1}),
    ("In two days _[1, 3]_.", "In two days.", {1, 3}),
    ("In two days [[1]](https://made.up/1).", "In two days.", {1}),
    ("In two days [[1]](https://made.up/1)[[3]](https://made.up/3). Bye", "In two days. Bye", {1, 3}),
    ("In two days [cite: 1, 3].", "In two days.", {1, 3}),
    ("In two days [cite:1].", "In two days.", {1}),
    ("[cite_start]In two days.[cite: 1, 3] [cite_start]Bye.[cite: 2]", "In two days. Bye.", {1, 2, 3}),
    ("So: [cite_start] In two days [cite_end] [cite: 1]. Bye", "So: In two days. Bye", {1}),
    ("In two days ***[1]***.", "In two days.", {1}),
    ("In two days [ 1 ].", "In two days.", {1}),
    ("In two days<sup>[1]</sup>. Bye", "In two days. Bye", {1}),
    ("**Two days.** Bye [1].", "**Two days.** Bye.", {1}),
    ("In two days.\n\nSources: [1], [3]", "In two days.", {1, 3}),
    ("In two days.\n\n**Quellen:** [1][3].\nTschüss!", "In two days.\nTschüss!", {1, 3}),
    ("Sources: [1]\n\nIn two days.", "In two days.", {1}),
    ("In two days.\nSource: [1] and our shop", "In two days.\nSource: and our shop", {1}),
    ("In two days.\nSourdough takes three [3].", "In two days.\nSourdough takes three.", {3}),
    ("In two days (Source: [1]).", "In two days.", {1}),
    ("In two days (Sources: [1], [3]). Bye", "In two days. Bye", {1, 3}),
    ("In two days [Source: [1]].", "In two days.", {1}),
    ("In two days (see [1]).", "In two days.", {1}),
    ("In zwei Tagen (vgl. [1], [3]).", "In zwei Tagen.", {1, 3}),
    ("In two days. *(Source: [1])*", "In two days.", {1}),
    ("In two days. Source: [1]", "In two days.", {1}),
    ("In two days. **Source:** [1]\n\nBye", "In two days.\n\nBye", {1}),
    ("In two days – Source: [1].", "In two days", {1}),
    ("In two days.<sup>1</sup>", "In two days.", {1}),
    ("In two days<sup>1,3</sup>. Bye", "In two days. Bye", {1, 3}),
    ("In two days.<sup>1</sup><sup>3</sup>", "In two days.", {1, 3}),
    ("In two days<cite>1</cite>. Bye", "In two days. Bye", {1}),
    ("In two days.<ref>1</ref> Bye", "In two days. Bye", {1}),
    ("In two days [^1^].", "In two days.", {1}),
    ("In two days ^[1]^.", "In two days.", {1}),
    ("In two days \\[1\\].", "In two days.", {1}),
    ("In two days [1].\n\n[1] Shipping", "In two days.", {1}),
    ("In two days [^1].\n\n[^1]: Shipping", "In two days.", {1}),
    ("In two days [1].\n\nSources:\n[1] Shipping\n[3] Shipping abroad", "In two days.", {1, 3}),
    ("In two days [1].\n\n**Sources**\n- [1]: https://shop.example/shipping", "In two days.", {1}),
    ("[1]) two days, said (he) (", ") two days, said (he) (", {1}),
    ("In two days.\n\n## Quellen:\n1. [1] Shipping – https://shop.example/shipping", "In two days.", {1}),
    ("According to [1], two days.", "According to “Shipping”, two days.", {1}),
    ("According to [1] and [3], two days [2].", "According to “Shipping” and “Shipping abroad”, two days.", {1, 2, 3}),
    ("As stated in source [3], five.", "As stated in source “Shipping abroad”, five.", {3}),
    ("As described in **[1]**, two days.", "As described in “Shipping”, two days.", {1}),
    ("In two days. See [1] for more.", "In two days. See “Shipping” for more.", {1}),
    ("For more information, please refer to [1].", "For more information, please refer to “Shipping”.", {1}),
    ("In two days, as you see [1].", "In two days, as you see.", {1}),
    ("Where do you ship to [1]?", "Where do you ship to?", {1}),
    ("[1] says two days, and [3] says five.", "“Shipping” says two days, and “Shipping abroad” says five.", {1, 3}),
    ("[1] and [3] say so.", "“Shipping” and “Shipping abroad” say so.", {1, 3}),
    ("Yes. [1] Note that shops list it.", "Yes. Note that shops list it.", {1}),
    ("Yes. [1] states it.", "Yes. “Shipping” states it.", {1}),
    ("Laut [1][3] geht es.", "Laut “Shipping”, “Shipping abroad” geht es.", {1, 3}),
    ("Laut Quelle [1] in zwei Tagen.", "Laut Quelle “Shipping” in zwei Tagen.", {1}),
    ("Wie in [1] beschrieben: zwei Tage.", "Wie in “Shipping” beschrieben: zwei Tage.", {1}),
    ("Según [1], en dos días.", "Según “Shipping”, en dos días.", {1}),
    ("En dos días, según [1].", "En dos días, según “Shipping”.", {1}),
    ("D'après [1], deux jours.", "D'après “Shipping”, deux jours.", {1}),
    ("Secondo [1], due giorni.", "Secondo “Shipping”, due giorni.", {1}),
    ("De acordo com [1], dois dias.", "De acordo com “Shipping”, dois dias.", {1}),
    ("[1]'e göre iki gün.", "“Shipping”'e göre iki gün.", {1}),
    ("[1]によると二日です。", "“Shipping”によると二日です。", {1}),
    ("根据[1]，两天。", "根据“Shipping”，两天。", {1}),
]
#: Numbers in brackets that are no citations.
KEPT = [
    "Which item was that [4]?",
    "Year [2026] and [0] and [] and [x].",
    "Use `list[1]` for the second.",
    "```\nfirst = rows[1]\n```\nThat is all.",
    "first = rows[1].name",
    "total = prices[1] = 5",
    "m[1](x)",
    "Call +49 [1] 234.",
    "It costs [3] € or $[2].",
    "[1] Card\n[2] PayPal\n[3] Invoice",
    "- [1] Card\n- [2] PayPal",
    "Press [2] for returns.",
    "Two boxes[1]in one",
    "Your order (item 1) has left (no. 2), see (1).",
    "Open (Source code) or (source 7).",
    "A room of 25 m<sup>2</sup>, or 10<sup>2</sup> of them, and x<sup>2</sup>.",
    "Three feet<sup>2</sup> and 5 km²",
    "Our sources: see the shop (Source: unknown).",
    "Choose:\n[1] Card\n[2] PayPal",
]
UNCHANGED = ["", "In two days.", "[", "In two days [", "a `b", "Two days [1", "【"]


@pytest.mark.parametrize(("text", "readable", "cited"), CITED)
def test_citations_are_read_and_taken_out(text: str, readable: str, cited: set[int]) -> None:
    assert citations.read(text, ITEMS) == (readable, cited)


@pytest.mark.parametrize("text", [*KEPT, *UNCHANGED])
def test_other_numbers_in_brackets_stay(text: str) -> None:
    assert citations.read(text, ITEMS) == (text, frozenset())


def test_a_model_that_repeats_spaces_hangs_nobody() -> None:
    text = " " * 200_000 + "in two days [1]."
    begun = time.process_time()
    assert citations.read(text, ITEMS).cited == {1}
    assert time.process_time() - begun < 10, "quadratic: minutes"


def test_an_answer_of_nothing_but_a_citation_is_not_made_empty() -> None:
    assert citations.read("[1]", ITEMS) == ("[1]", {1})


def test_nothing_was_given_so_nothing_is_cited() -> None:
    assert citations.read("In two days [1].", []) == ("In two days [1].", frozenset())


@pytest.mark.parametrize("text", [*(text for text, *_ in CITED), *KEPT, *UNCHANGED, 'Use {"a": [1]} there [1].'])
def test_what_a_stream_shows_is_never_taken_back(text: str) -> None:
    whole = citations.read(text, ITEMS).text
    shown = [citations.visible(text[:length], ITEMS) for length in range(len(text) + 1)]
    for earlier, later in zip(shown, [*shown[1:], whole], strict=True):
        assert later.startswith(earlier)
        assert whole.startswith(later)


def test_a_stream_shows_words_as_they_come() -> None:
    assert citations.visible("We ship in two days", ITEMS) == "We ship in two days"
    assert citations.visible("We ship in two days [1] and abro", ITEMS) == "We ship in two days and abro"
    assert citations.visible('{"tool": "no_answer"', ITEMS) == ""


def test_a_stream_is_handed_on_in_pieces_without_numbers() -> None:
    shown: list[str] = []
    reader = citations.Reader(shown.append, ITEMS)
    for piece in ["", "Two days [", "1], so", "on.", "", "No, three"]:
        reader(piece)
    assert shown == ["", "Two days", ", so", "on.", "", "No, three"]


def test_sources_are_the_links_of_cited_items_each_once() -> None:
    shipping, phone = (
        {"title": "Shipping", "url": "https://shop.example/shipping"},
        {"title": "Phone", "url": "https://shop.example/phone"},
    )
    assert citations.sources(ITEMS, frozenset({1, 2, 3})) == [shipping, phone]
    assert citations.sources([Item(1, "No link", "x")], frozenset({1})) == []
