"""What a reply looks like where it is read: WhatsApp's marks, no marks, safe HTML, and long texts in parts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.channels.formatting import completed, parts, to_html, to_plain, to_whatsapp

#: What a model writes; as WhatsApp shows it, and without marks.
WRITTEN = [
    # marks and their nesting
    ("**b** __b__ *i* _i_ ~~s~~", "*b* *b* _i_ _i_ ~s~", "b b i i ~s~"),
    ("***x*** **_x_** _**x**_", "*_x_* *_x_* *_x_*", "x x x"),
    ("**a _b_ c** *a **b** c* **a **b** c**", "*a _b_ c* _a *b* c_ *a b c*", "a b c a b c a b c"),
    ("**two\nlines** here", "*two*\n*lines* here", "two\nlines here"),
    ("**Note**s and un**believ**able", "Notes and unbelievable", "Notes and unbelievable"),
    ("这是**重点**内容，**注意：**内容", "这是重点内容，*注意：* 内容", "这是重点内容，注意：内容"),
    ("**مرحبا** بك، **שלום** _לך_", "*مرحبا* بك، *שלום* _לך_", "مرحبا بك، שלום לך"),
    ("🎉**Oi**🎉 **5 * 3** (**x**), *“y”*!", "🎉*Oi*🎉 *5 * 3* (*x*), _“y”_!", "🎉Oi🎉 5 * 3 (x), “y”!"),
    # a label whose space is on the wrong side of its marks
    ("**Note: **we ship", "*Note:* we ship", "Note: we ship"),
    ("- **Name: **Ana\n- **City: **Rio", "- *Name:* Ana\n- *City:* Rio", "- Name: Ana\n- City: Rio"),
    # or no space at all, which WhatsApp's marks need
    (
        "**Price:**10 €, **was:**~~12~~",
        "*Price:* 10 €, *was:* ~12~",
        "Price:10 €, was:~12~",
    ),
    ("__Price:__10 €, *so:*5, **Ready?**Yes!", "*Price:* 10 €, _so:_ 5, *Ready?* Yes!", "Price:10 €, so:5, Ready?Yes!"),
    (
        "**重要：**请看, **가격:**10원",
        "*重要：* 请看, *가격:* 10원",
        "重要：请看, 가격:10원",
    ),
    ("**50%**5 and **10 €**each", "50%5 and 10 €each", "50%5 and 10 €each"),
    (
        "Price**10 €**, **Fee**5 €, up to**€7**, from**9 €**each, size__42__",
        "Price *10 €*, *Fee* 5 €, up to *€7*, from *9 €* each, size__42__",
        "Price 10 €, Fee 5 €, up to €7, from 9 €each, size__42__",
    ),
    ("価格**10円**です, السعر**١٠ يورو**", "価格 *10円* です, السعر *١٠ يورو*", "価格 10円です, السعر ١٠ يورو"),
    # what is struck out would say the opposite
    ("now~~25€~~19€, un~~believ~~able", "now ~25€~ 19€, un ~believ~ able", "now~25€~19€, un~believ~able"),
    (
        "~~25 €~~19 €, ~~ c ~~, ~~~d~~~",
        "~25 €~ 19 €, ~~ c ~~, ~~~d~~~",
        "~25 €~19 €, ~~ c ~~, ~~~d~~~",
    ),
    ("Colour: **red** and size: **42**", "Colour: *red* and size: *42*", "Colour: red and size: 42"),
    ("a ** b: **c, **x: y** z", "a ** b: **c, *x: y* z", "a ** b: **c, x: y z"),
    # headings, rules, quotes
    ("# One\ntext\n\n### **Two** _x_\nmore", "*One*\ntext\n\n*Two _x_*\nmore", "One\ntext\n\nTwo x\nmore"),
    ("a\n---\nb\n\n***\n\n**c**", "a\n\nb\n\n*c*", "a\n\nb\n\nc"),
    ("> one **b**\n> two\n\nend", "> one *b*\n> two\n\nend", "> one b\n> two\n\nend"),
    # lists
    ("* a\n* **b**\n    * c\n\nend", "- a\n- *b*\n  - c\n\nend", "- a\n- b\n  - c\n\nend"),
    ("1. a\n1. b\n1. c", "1. a\n2. b\n3. c", "1. a\n2. b\n3. c"),
    ("3. a **b**\n   - c\n4. d", "3. a *b*\n  - c\n4. d", "3. a b\n  - c\n4. d"),
    ("1. a\n\n2. **b**\n\n   more", "1. a\n\n2. *b*\n\n  more", "1. a\n\n2. b\n\n  more"),
    ("1) **a**\n2) b", "1) *a*\n2) b", "1) a\n2) b"),
    # links and pictures
    ("[t](https://x.io/a_b_c?_d_=1)", "t (https://x.io/a_b_c?_d_=1)", "t (https://x.io/a_b_c?_d_=1)"),
    (
        "[**t**](https://x.io), **[t](https://x.io)!**",
        "*t* (https://x.io), *t (https://x.io)!*",
        "t (https://x.io), t (https://x.io)!",
    ),
    (
        "[https://x.io](https://x.io) [x.io](https://www.x.io/)",
        "https://x.io https://www.x.io/",
        "https://x.io https://www.x.io/",
    ),
    ("**https://x.io/a** <https://y.io> <a@b.io>", "https://x.io/a https://y.io a@b.io", "https://x.io/a https://y.io a@b.io"),
    ("[a@b.io](mailto:a@b.io) [+55 (11) 9](tel:+55119)", "a@b.io +55119", "a@b.io +55119"),
    (
        "![Front](https://x.io/a.png) [![Front](https://x.io/a.png)](https://x.io)",
        "Front (https://x.io/a.png) Front (https://x.io)",
        "Front (https://x.io/a.png) Front (https://x.io)",
    ),
    # tables
    (
        "| Size | **Price** |\n|---|:--|\n| S | R$ 5<br>each |\n| M | |",
        "*Size:* S\n*Price:* R$ 5, each\n\n*Size:* M",
        "Size: S\nPrice: R$ 5, each\n\nSize: M",
    ),
    ("|A|B|\n|-|-|\n|1|2|\nBoth **ship** today.", "*A:* 1\n*B:* 2\n\nBoth *ship* today.", "A: 1\nB: 2\n\nBoth ship today."),
    (
        "> |A|B|\n> |-|-|\n> |1|2|\n> More\n> and\nmore",
        "> *A:* 1\n> *B:* 2\n>\n> More\n> and\n> more",
        "> A: 1\n> B: 2\n>\n> More\n> and\n> more",
    ),
    # code
    ("```python\nx = **1**  # _y_\n  z\n```\n**b**", "```\nx = **1**  # _y_\n  z\n```\n*b*", "x = **1**  # _y_\n  z\nb"),
    ("Use `a_b **c**` and ``d`e``, **so**", "Use `a_b **c**` and ```d`e```, *so*", "Use a_b **c** and d`e, so"),
    ("```markdown\n# H\n**b**\n```", "*H*\n*b*", "H\nb"),
    # escapes, the one tag
    (r"5\*3, snake\_case, \*x\* and \[1\] **b**", "5*3, snake_case, *x* and [1] *b*", "5*3, snake_case, *x* and [1] b"),
    ("a<br>b<br/>**c**", "a\nb\n*c*", "a\nb\nc"),
]


@pytest.mark.parametrize(("written", "whatsapp", "plain"), WRITTEN)
def test_what_a_model_writes(written: str, whatsapp: str, plain: str) -> None:
    assert to_whatsapp(written) == whatsapp
    assert to_plain(written) == plain


#: Looks like Markdown, and is none: left to the last space, also beside something that is.
NO_MARKDOWN = [
    "Hello!  We ship within two days.\n\n\n   Bye",
    "2*3*4 = 24, 5 * 4 * 3, 2**3 + 3**2, x**2, (2+1)*3*(4), **(a+b)**2",
    "radius**2 + width**2, (radius**2)**3, size**2 and more",
    "snake_case_name, __init__.py, _private, *args and **kwargs",
    "4* hotel, 5* hotel, R$ 50* (*taxes not included)",
    "https://x.io/_a_/b_c_?f=*g* and http://x.io/~a~~b~~, www.x.io/_a_/ joe_the_plumber@x_y.io",
    "Name: ____ Age:____ ***",
    "@_maria_ and path/_next_/x",
    "R$ 5,00 / $5 / 5 € + frete ~5 km to ~7 km <5 kg >18 & a&amp;b <b>c</b> #1 #sale",
    "+55 (11) 91234-5678\n+ frete\n+ taxas",
    ">18 only\n>>> x",
    "- one\n- two\n  - three\n* four",
    "1. one\n2. two\n10. ten\n1986. A year",
    "Order 123\n-----------\nTotal: 5\n===========",
    "f[0](x) and [note] (see below), [1]: first, [x](javascript:alert(1)), [ ] [x]",
    "a | b | c\n|x|",
    r"C:\_old\.ssh \\server\_x ¯\_(ツ)_/¯ \o/",
    "~~~\nnot code",
    "    indented\n\ttab",
    "שלום _\u200f123 ‏*",
    "First line\r\nSecond_line",
    "*",
    "**",
    "```",
]


@pytest.mark.parametrize("text", NO_MARKDOWN)
def test_what_only_looks_like_markdown_is_left_as_it_was_written(text: str) -> None:
    assert to_whatsapp(text) == to_plain(text) == text
    if "\r" not in text and not text.startswith("```"):
        assert to_whatsapp(f"**b**\n\n{text}") == f"*b*\n\n{text}"


def test_a_person_may_write_whatsapps_own_marks() -> None:
    text = "*Offer* _today_: ~10~ **5**"
    assert to_whatsapp(text, by_person=True) == "*Offer* _today_: ~10~ *5*"
    assert to_whatsapp(text) == "_Offer_ _today_: ~10~ *5*"


#: Marks and words, in any order.
PIECES = [
    *"*_`|<[\n -\\ab1é😀語ب",
    *["**", "~~", "```", "|-|", "---", "![", "](https://x.io/a_b)", "https://x.io/_c_d"],
    "\n\n",
    "  ",
    "# ",
    "- ",
    "> ",
]
MARKDOWN = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def _words(text: str) -> str:
    return "".join(re.findall(r"[^\W_]+", re.sub(r"https://x\.io/(?:a_b|_c_d)", "", text)))


@given(MARKDOWN)
@example("> " * 200 + "a")
@example("[" * 2_000 + "a")
@example("- " * 200 + "**a**")
def test_no_word_is_lost_and_none_is_added(text: str) -> None:
    """Whatever a model writes. What tables repeat is left out, and the languages of code."""
    text = re.sub(r"(?m)```[^`\n]*$", "```", text.replace("|", ""))
    assert _words(to_whatsapp(text)) == _words(to_plain(text)) == _words(text)


@given(st.text(st.characters(exclude_characters="*_`#[|>\\<~-.)"), max_size=200))
def test_a_plain_text_leaves_as_it_is(text: str) -> None:
    assert to_whatsapp(text) == to_plain(text) == text


class _Tags(HTMLParser):
    """Fails on what a page must not be given."""

    ATTRIBUTES = frozenset(["href", "target", "rel", "dir", "start", "class"])
    TAGS = frozenset(re.findall(r"\w+", "p br strong em s ul ol li a code pre blockquote hr table thead tbody tr th td"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag in self.TAGS
        assert set(given) <= self.ATTRIBUTES
        if tag == "a":
            assert re.match(r"(https?://|mailto:|tel:)", given["href"] or "", re.I)
            assert given["rel"] == "noopener noreferrer nofollow"
            assert "a" not in self.open
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


HOSTILE = [
    *"\"'<>`|\n\\",
    *("<script>", "<img/src=x/onerror=alert(1)>", "&lt;", "&#x6a;", "[a", "![", "](javascript:alert(1))", "](https://x.io)"),
    *("](data:text/html,x)", '](https://x.io/"onmouseover="x)', "](JaVaScript&#58;x)", "<javascript:x>", "](//evil.io)"),
    *("](\x01javascript:x)", "https://x.io/'\"><b>", "```", "**", "|-|", "- ", "# "),
]


@given(st.lists(st.sampled_from(HOSTILE), max_size=25).map("".join))
def test_html_has_only_what_is_allowed_whole_or_begun(text: str) -> None:
    for end in range(0, len(text) + 1, 7):
        tags = _Tags()
        tags.feed(to_html(text[:end]))
        tags.close()
        assert not tags.open


LINKED = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("written", "html"),
    [
        (
            "**b** _i_ ~~s~~ `<c>`\nnext",
            '<p dir="auto"><strong>b</strong> <em>i</em> <s>s</s> <code>&lt;c&gt;</code><br>next</p>',
        ),
        ("# H\n- a\n- b", '<p dir="auto" class="heading">H</p><ul><li dir="auto">a</li><li dir="auto">b</li></ul>'),
        ("3. a\n4. b", '<ol start="3"><li dir="auto">a</li><li dir="auto">b</li></ol>'),
        ("[t](https://x.io/?a=1&b)", f'<p dir="auto"><a href="https://x.io/?a=1&amp;b" {LINKED}>t</a></p>'),
        ("[t](javascript:alert(1)) <b>x</b>", '<p dir="auto">[t](javascript:alert(1)) &lt;b&gt;x&lt;/b&gt;</p>'),
        ("[t](/relative)", '<p dir="auto">t</p>'),
        ("```\n<a>\n```", "<pre><code>&lt;a&gt;\n</code></pre>"),
        ("```markdown\n**b**\n```", '<p dir="auto"><strong>b</strong></p>'),
        ("````md\n```md\n**b**\n```\n````", "<pre><code>```md\n**b**\n```\n</code></pre>"),
        ("**Note: **we ship", '<p dir="auto"><strong>Note: </strong>we ship</p>'),
        ("**Price:**10 €", '<p dir="auto"><strong>Price:</strong>10 €</p>'),
        ("~~25 €~~19 €", '<p dir="auto"><s>25 €</s>19 €</p>'),
        ("**重要：**请看", '<p dir="auto"><strong>重要：</strong>请看</p>'),
    ],
)
def test_html(written: str, html: str) -> None:
    assert to_html(written) == html


WRITING = (
    "Hi! The **price:** is *really* ~~25 €~~19 €, __see__ `a_b` or [our **shop**](https://x.io/a) for 5 * 3.\n"
    "- **One:** a_b_c\n* two\n\n***\n\n**Note: **done"
)


def test_a_page_never_sees_a_mark_without_its_end() -> None:
    for end in range(len(WRITING)):
        html = to_html(completed(WRITING[:end]))
        seen = re.sub(r"<code>.*?</code>", "", html).replace("5 * 3", "").replace("5 *", "")
        assert not re.search(r"\*|~|`|\]\(|(?<!\w)_|__", re.sub(r"<[^>]*>", "", seen)), WRITING[:end]
    assert to_html(completed(WRITING)) == to_html(WRITING)


@pytest.mark.parametrize(
    ("begun", "shown"),
    [
        ("a **b", "a **b**"),
        ("a **b*", "a **b**"),
        ("a **b c ", "a **b c**"),
        ("a **b *c", "a **b *c***"),
        ("a **b** c", "a **b** c"),
        ("Price**", "Price"),
        ("**Price**", "**Price**"),
        ("Price**10 €", "Price**10 €**"),
        ("x**2 and", "x**2 and"),
        ("a **b**", "a **b**"),
        ("a *", "a "),
        ("5 * 3", "5 * 3"),
        ("snake_case", "snake_case"),
        ("see [our sh", "see our sh"),
        ("see [our shop](https://x", "see our shop"),
        ("see [1]", "see [1]"),
        ("use `a**b", "use `a**b`"),
        ("```\n**a", "```\n**a"),
        ("**a\nb", "**a\nb"),
    ],
)
def test_what_is_being_written_is_completed(begun: str, shown: str) -> None:
    assert completed(begun) == shown


@given(MARKDOWN)
def test_completing_loses_no_word(text: str) -> None:
    assert _words(re.sub(r"\]\([^()\s]*\Z", "", completed(text))) == _words(re.sub(r"\]\([^()\s]*\Z", "", text))


# ---- parts

TEXT = st.text(st.sampled_from("ab. \n\U0001f600é"), max_size=60).filter(str.strip)


@given(TEXT, st.integers(2, 12))
def test_nothing_but_space_is_lost_between_parts(text: str, limit: int) -> None:
    cut = parts(text, limit)
    assert all(part.strip() and len(part.encode("utf-16-le")) <= 2 * limit for part in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", ["short"]),
        ("One line.\n\nTwo words", ["One line.", "Two words"]),
        ("One line\nand another", ["One line", "and another"]),
        ("It ends. It begins again", ["It ends.", "It begins", "again"]),
        ("word another more", ["word another", "more"]),
        ("x" * 30, ["x" * 14, "x" * 14, "xx"]),
        ("\U0001f600" * 8, ["\U0001f600" * 7, "\U0001f600"]),
        ("一二三四五六七八九。十一二三四五", ["一二三四五六七八九。", "十一二三四五"]),
    ],
)
def test_a_text_is_cut_at_the_best_break(text: str, expected: list[str]) -> None:
    assert parts(text, 14) == expected


CODE = "```\nfor a in b:\n  print(a)\n```"
LINK = "shop (https://shop.example/a-long-way/to/a/page?b=c)"


FAMILY, WALES = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
)


@pytest.mark.parametrize(
    "character",
    [
        FAMILY,
        WALES,
        "e\u0301",
        "\U0001f1e9\U0001f1ea",
        "\U0001f44d\U0001f3fd",
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
        "\u0e01\u0e34\u0e4c",
        "\u0915\u093f",
    ],
    ids=["family", "Wales", "accent", "flag", "colour", "heart", "keycap", "Thai", "Hindi"],
)
@pytest.mark.parametrize("before", ["", "a", "ab"])
@pytest.mark.parametrize("limit", [33, 40, 64])
def test_what_a_reader_takes_for_one_character_is_not_cut(character: str, before: str, limit: int) -> None:
    cut = parts(before + character * 40, limit)
    assert len(cut) > 1
    assert "".join(cut) == before + character * 40
    assert {part.removeprefix(before).replace(character, "") for part in cut} == {""}


def test_one_without_an_end_is_cut_all_the_same() -> None:
    assert all(0 < len(part) <= 40 for part in parts("a" + "\u0301" * 200, 40))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{'word ' * 9}\n{CODE}\nend", [("word " * 9).strip(), f"{CODE}\nend"]),
        (f"{'word ' * 8}{LINK} end", [("word " * 8).strip(), f"{LINK} end"]),
        (f"{'x' * 20}{LINK[6:-1]} end", ["x" * 20, f"{LINK[6:-1]} end"]),
        (
            f"*{'bold ' * 14}_both {'both ' * 3}_end*".replace(" _end", "_ end"),
            [f"*{'bold ' * 10}bold*", "*bold bold bold _both both both both_ end*"],
        ),
        (f"> {'quote ' * 12}", [f"> {('quote ' * 9).strip()}", f"> {'quote ' * 3}"]),
        ("```\n" + "  line of code\n" * 6 + "```", ["```\n" + "  line of code\n" * 3 + "```"] * 2),
    ],
)
def test_a_cut_leaves_links_and_code_whole_and_marks_closed(text: str, expected: list[str]) -> None:
    assert parts(text, 64) == expected


LONG = [
    *("*bold words here* ", "_it al_ ", "~no~ ", "`co de` ", "\n```\na b\n  c\n```\n", "t (https://x.io/a_b/c*d) "),
    *("word ", "end. ", "\n\n", "> quo ted\n", "- item\n", "😀 "),
]


@given(st.lists(st.sampled_from(LONG), min_size=20, max_size=60).map("".join), st.integers(48, 90))
def test_parts_are_whole_messages(text: str, limit: int) -> None:
    cut = parts(text, limit)
    assert cut == parts(text, limit), "a send that is resumed counts on it"
    for part in cut:
        assert len(part.encode("utf-16-le")) <= 2 * limit
        assert part.count("```") % 2 == 0
        assert part.count("https://x.io") == part.count("t (https://x.io/a_b/c*d)")
    assert "".join(re.findall(r"\w+", "".join(cut))) == "".join(re.findall(r"\w+", text))
