"""Answers that a model writes in HTML, and those that only speak of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ai import completion, written_html
from shared.ai.written_html import as_markdown, begun_as_markdown

LIST = """<p>Our teas:</p>
<ul>
  <li><b>Assam</b>: 5 €</li>
  <li>Darjeeling<br>from India</li>
</ul>
<p>See <a href="https://tea.example/a?b=1&amp;c=2" target="_blank">the shop</a>.</p>"""
WRITTEN = [
    (
        "<p>Guten Tag <b>Anna</b>,</p><p>we ship in\n<strong>two days</strong>.</p>",
        "Guten Tag **Anna**,\n\nwe ship in **two days**.",
    ),
    (LIST, "Our teas:\n\n- **Assam**: 5 €\n- Darjeeling\nfrom India\n\nSee [the shop](https://tea.example/a?b=1&c=2)."),
    ("In <b>two days</b>.<br><br>Or <i>soon</i>, <s>late</s>.", "In **two days**.\n\nOr *soon*, ~~late~~."),
    ("<b>Price: </b>10&nbsp;€ &lt; 12 €", "**Price:** 10 € < 12 €"),
    ("<ol><li>One<ul><li>a</li><li>b</li></ul></li><li><p>Two</p></li></ol>Done", "1. One\n   - a\n   - b\n2. Two\n\nDone"),
    (
        "<h2>Prices</h2><div>Tea: 5 €</div><div>Coffee: <u>4 €</u></div><hr/><p>Bye</p>",
        "## Prices\n\nTea: 5 €\nCoffee: 4 €\n\n---\n\nBye",
    ),
    ("Our **hours**:\n\n<ul><li>Mo: 9</li></ul>\n\nBye", "Our **hours**:\n\n- Mo: 9\n\nBye"),
    ('<P STYLE="color:red">Red <SPAN class="x">words</SPAN></P>', "Red words"),
    ("Write to <a href='mailto:a@b.example'>a@b.example</a>", "Write to a@b.example"),
    ('<a href="javascript:alert(1)">the shop</a> [1]', "the shop [1]"),
    ('<a href="https://x.example/(a)">[a]</a>', "[a] (https://x.example/%28a%29)"),
    ("<p>See https://x.example/?a=1&copy=2 or</p>", "See https://x.example/?a=1&copy=2 or"),
    ('<a href="https://x.example/?a=1&lt=2&amp;b=3">a</a>', "[a](https://x.example/?a=1&lt=2&b=3)"),
    ('<a href="https://x.example/a b">a</a>', "[a](https://x.example/a%20b)"),
    ('<a href="tel:+49 30 123">a</a>, <a href="x.example/shop">b</a>', "[a](tel:+4930123), [b](x.example/shop)"),
    ("|a|b|\n|-|-|\n|<b>S</b><br>small|5|\nA<br><b>x</b>", "|a|b|\n|-|-|\n|**S**<br>small|5|\nA\n**x**"),
    ("<b>One <br><br> two</b>", "**One**\n\n**two**"),
    ('<ol start="3"><li>One</li><li>Two</li></ol>', "3. One\n4. Two"),
    ("<p>We have:\n- tea\n- coffee\n\nBye,\nAnna</p>", "We have:\n- tea\n- coffee\n\nBye, Anna"),
    (
        "<p>Sizes:</p><table><thead><tr><th>Size</th><th>Price</th></tr></thead><tbody>\n<tr><td>S|M</td><td><b>5</b> €<br>or"
        ' less</td></tr><tr><td colspan="2">No L</td></tr></tbody></table>Bye',
        "Sizes:\n\n| Size | Price |\n|---|---|\n| S\\|M | **5** €<br>or less |\n| No L |  |\n\nBye",
    ),
    ("<table><tr><td><b>Size</b><td><b>Price</b><tr><td>S<td>5 €</table>", "| **Size** | **Price** |\n|---|---|\n| S | 5 € |"),
    ("<table><tr><td>Mo:</td><td>9-18</td></tr><tr><td>Di</td><td>9-12</td></tr></table>", "Mo: 9-18\nDi: 9-12"),
    ("<p>Run:</p><pre><code class='x'>a &lt; b\n  c</code></pre>", "Run:\n\n```\na < b\n  c\n```"),
    (
        "Press <code>Ctrl</code> on <font color='red'>any</font> <mark>key</mark>: 5 m<sup>2</sup>",
        "Press `Ctrl` on any key: 5 m²",
    ),
    ("30<sup>o</sup>C, 10<sup>-6</sup>, x<sup>n</sup>, 1<sup>st</sup>", "30°C, 10⁻⁶, xⁿ, 1st"),
    ('<p>Here:</p><img src="https://x.example/a.png" alt="Our map"/>', "Here:\n\n![Our map](https://x.example/a.png)"),
    ('Here: <img src="https://x.example/a.png">', "Here: ![](https://x.example/a.png)"),
    ('<p>Hi <img src="smile.png" alt=":)"> you</p>', "Hi :) you"),
    ("<ul><li>One<li>Two<ul><li>a</ul></ul><dl><dt>Tea<dd>5 €</dl>", "- One\n- Two\n   - a\n\nTea\n5 €"),
    ("<!DOCTYPE html>\n<html><head><title>x</title></head><body><center>Hi</center></body></html>", "Hi"),
    ("<article><blockquote>Hi</blockquote><details><summary>More</summary>Tea</details></article>", "Hi\n\nMore\n\nTea"),
]


@pytest.mark.parametrize(("written", "markdown"), WRITTEN)
def test_an_answer_in_html_is_kept_as_markdown(written: str, markdown: str) -> None:
    answer = {"choices": [{"message": {"content": written}, "finish_reason": "stop"}]}
    assert completion.parse(answer, "m", [{"role": "user", "content": "?"}]).text == markdown


@pytest.mark.parametrize(
    "text",
    [
        "Use <b> for bold text.", "Write <b>text</b> in HTML.", "The tags <b>x1</b> and <i>x2</i> do that.",
        "`<b>x1</b>` is bold.", "```\n<p>Hello</p>\n```", "<b>…</b> makes it bold, <b></b> does not.",
        "<b>Hi<b>", "</p>Hello<p>", "a <b and c>d</b>",
        "5 < 6, <b>so</b> it is", "I <3 <b>tea</b>", "<script>alert(1)</script>", '<iframe src="https://x.example"></iframe>',
        "<table><tr><td>a</td></tr></table>", "See [t](https://x.example) <b>there</b>", "<li>One</li>", "<b><p>x1</p></b>",
        "<!-- a --><b>x1</b>", "We ship <5 kg and >18 kg", "List<String> a, Map<K, V> b",
        '<img src="a.png"> is a picture', "<td>a</td>", "<table><tr>a<td>b</td><td>c</td></tr></table>", "<pre><b>x1</b></pre>",
        "<table><tr><td><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>", "<tr><td>a</td><td>b</td></tr>",
    ],
)  # fmt: skip
def test_what_only_speaks_of_html_stays(text: str) -> None:
    assert as_markdown(text) is None


def test_a_page_sees_no_tags_of_an_answer_that_is_being_written() -> None:
    text = "<p>Our <b>teas</b>:</p><ul><li>Assam</li></ul>"
    seen = list(dict.fromkeys(begun_as_markdown(text[:end]) for end in range(len("<p>"), len(text) + 1)))
    assert seen[:3] == ["", "O", "Ou"]
    assert seen[-1] == as_markdown(text) == "Our **teas**:\n\n- Assam"
    assert not [step for step in seen if "<" in step]


def test_an_answer_that_was_cut_off_shows_no_tags() -> None:
    written = "<p>We have <b>two</b> teas.</p><ul><li>Assam is <b>stro"
    answer = {"choices": [{"message": {"content": written}, "finish_reason": "length"}]}
    assert completion.parse(answer, "m", [{"role": "user", "content": "?"}]).text == "We have **two** teas."


def test_a_draft_loses_no_words_behind_a_sign_that_begins_no_tag() -> None:
    text = "<b>Small</b> parcels < 5 kg"
    assert begun_as_markdown(text) == text


TABLE = ["<table>", "<tr>", "<td>", "<th>", "</td>", "</tr>", "</table>", "<tbody>", "<pre>", "</pre>", "<code>", "</code>"]


@given(
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<b>", "</b>", "<ul>", "<li>", "</li>", "</ul>", "<br>", " ", "a", "\n", "<", "&lt;", *TABLE]
        )
    )
)
def test_any_text_is_read(pieces: list[str]) -> None:
    text = "".join(pieces)
    begun_as_markdown(text)
    assert "<b>" not in (as_markdown(text) or "")


@pytest.mark.parametrize(
    "piece",
    [
        "<b>", "<p>a</p>", "<b ", "<", "</b>", "<ul><li>", "<a href=", " \n", "<p></p>", "<br>", "<b> ", "<b>x \n", "<tr><td>",
        "<img ", "<html>", "<pre>",
    ],
)  # fmt: skip
def test_no_text_keeps_anybody_waiting(piece: str) -> None:
    for length in (written_html.MAX_LENGTH - 10, 131_072):
        text = piece * (length // len(piece)) + "</"
        as_markdown(text)
        begun_as_markdown(text)
