"""What is mended in a page's markup before its main text is looked for: words that would stick together, or be lost."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urljoin

#: Elements within a line.
_INLINE = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "data", "em", "font", "i", "ins", "kbd",
    "label", "mark", "s", "small", "span", "strong", "sub", "sup", "time", "u", "wbr",
})  # fmt: skip
_MARKS = ("span", "b", "strong", "del", "s", "ins")
_STRUCK = re.compile(r"text-decoration(?:-line)?\s*:[^;]*line-through", re.I)
#: Characters of a line that stands in a div.
_LONGEST = 300
#: What stands around the main part of a page.
_AROUND = ("header", "nav", "footer", "aside", "script", "style", "noscript", "template")
#: Windows that ask for cookies, as the usual programs name them.
_CONSENT = re.compile(
    r"cookie|consent|gdpr|onetrust|usercentrics|cmplz|borlabs|cybot|iubenda|didomi|klaro|truste|qc-cmp|cc-window|ccm-|dsgvo|rgpd",
    re.I,
)
#: Links whose words say nothing without their address.
_HERE = re.compile(
    r"(click |klicken sie |cliquez |haga clic |clicca )?(here|hier|this link|diesem link|ici|aquí|aqui|qui|tutaj|zde|här|link)"
    r"|(als |as )?(pdf|download|herunterladen|formular|form)",
    re.I,
)
#: Pages that say of the shop where it is and when it is open: what their footer says counts.
_CONTACT = re.compile(
    r"/?|/[a-z]{2}(-[a-z]{2})?/?|.*(kontakt|contact|about|ueber-uns|impressum|imprint|oeffnung|hours|visit|anfahrt|filiale|location)[^/]*/?",
    re.I,
)
_SAYS_CONTACT = re.compile(r"\d{1,2}([:.]\d\d)?\s?(uhr|h\b|am\b|pm\b|[-–])|@|\+?\d[\d /()-]{6,}", re.I)


def is_contact(path: str) -> bool:
    """Whether a page is the one at which somebody looks for the shop's address and hours."""
    return bool(_CONTACT.fullmatch(path))


def mend(tree: Any, url: str, path: str) -> None:
    """Mends a page, in place."""
    _without_consent(tree)
    _show_panels(tree)
    _mark_main(tree)
    _show_addresses(tree, url)
    if is_contact(path):
        _keep_footers(tree)
    for element in tree.iter("span"):
        if _STRUCK.search(element.get("style") or ""):
            element.tag = "del"
    for element in tree.iter("div", "span", "li", "td"):
        _apart(element)
    for element in tree.iter("div"):
        if _is_line(element):
            element.tag = "p"


def _named(element: Any) -> str:
    return f"{element.get('id') or ''} {element.get('class') or ''}"


def _without_consent(tree: Any) -> None:
    """A window that asks for cookies goes; a page about cookies stays."""
    for element in tree.xpath("//div | //section | //aside | //dialog | //form"):
        is_window = element.get("role") in ("dialog", "alertdialog") or element.tag == "dialog"
        if not _CONSENT.search(_named(element)) or element.getparent() is None:
            continue
        if (is_window or element.xpath(".//button | .//input")) and not element.xpath(".//main | .//article | .//h1"):
            element.drop_tree()


def _mark_main(tree: Any) -> None:
    """Says what the main part of a page is that does not say so: of such a page trafilatura keeps paragraphs without headings."""
    body = tree.find("body")
    if body is None or tree.xpath("//main | //article | //*[@role='main']"):
        return
    main = body.makeelement("main")
    main.text, body.text = body.text, None
    main.extend([one for one in body if one.tag not in _AROUND or (one.tag == "header" and one.xpath(".//h1 | .//h2 | .//p"))])
    body.insert(next((place for place, one in enumerate(body) if one.tag in ("footer", "script")), len(body)), main)


def _show_panels(tree: Any) -> None:
    """What stands behind tabs is text like the rest, with the tab as its heading."""
    tabs_of = {tab.get("aria-controls"): tab for tab in tree.xpath("//*[@role='tab'][@aria-controls]")}
    names = {panel: " ".join(tab.text_content().split()) for panel, tab in tabs_of.items()}
    for panel in tree.xpath("//*[@role='tabpanel']"):
        for attribute in ("hidden", "style", "class", "aria-hidden"):
            panel.attrib.pop(attribute, None)
        tab = tabs_of.get(panel.get("id"))
        if tab is not None and panel.getprevious() is tab and tab.xpath("descendant-or-self::h3"):
            continue  # an accordion, whose questions are headings already
        if (name := names.get(panel.get("id"))) and not panel.xpath(".//h2 | .//h3"):
            heading = panel.makeelement("h3")
            heading.text, heading.tail, panel.text = name, panel.text, None
            panel.insert(0, heading)
    for tabs in tree.xpath("//*[@role='tablist']"):
        if names and tabs.getparent() is not None and not tabs.xpath(".//*[@role='tabpanel']"):
            tabs.drop_tree()


def _show_addresses(tree: Any, url: str) -> None:
    """Behind links their address, where their words do not say it: of e-mail, of a telephone, of "here"."""
    for link in tree.iter("a"):
        words, address = " ".join(link.text_content().split()), link.get("href") or ""
        kind, _, number = address.partition(":")
        number = unquote(number.partition("?")[0])
        if kind.lower() in ("mailto", "tel") and number and not re.search(r"@|\d{3}", words):
            link.tail = f" ({number}){link.tail or ''}"
        elif _HERE.fullmatch(words) and (there := _absolute(url, address)):
            link.tail = f" ({there}){link.tail or ''}"


def _absolute(url: str, link: str) -> str:
    try:
        there = urljoin(url, link.strip())
    except ValueError:
        return ""
    return there if there.startswith(("https://", "http://")) and not link.startswith("#") else ""


def _keep_footers(tree: Any) -> None:
    """A footer with hours, a telephone or an address becomes a part of the page, without its menus."""
    for footer in tree.xpath("//footer[not(ancestor::article)]"):
        for menu in footer.xpath(".//nav | .//ul | .//ol"):
            words, linked = menu.text_content().split(), " ".join(menu.xpath(".//a//text()")).split()
            if len(linked) > 0.7 * len(words) and not _SAYS_CONTACT.search(menu.text_content()):
                menu.drop_tree()
        if not _SAYS_CONTACT.search(footer.text_content()):
            continue
        for element in footer.iter():
            if isinstance(element.tag, str):
                element.attrib.pop("class", None)
                element.attrib.pop("id", None)
        footer.tag = "section"
        main = tree.xpath("//main | //*[@role='main']")
        if main and footer not in main[0].iterdescendants():
            main[0].append(footer)


def _apart(element: Any) -> None:
    """A space between words that only the page's style keeps apart, as a name and its price."""
    for one, following in pairwise(element):
        if (
            one.tag in _MARKS
            and following.tag in _MARKS
            and not one.tail
            and _are_stuck(one.text_content(), following.text_content())
        ):
            one.tail = " "


def _are_stuck(before: str, after: str) -> bool:
    last, first = before[-1:], after[:1]
    is_other = last.isdigit() != first.isdigit() or (last.islower() and first.isupper())
    return last.isalnum() and first.isalnum() and is_other


def _is_line(element: Any) -> bool:
    """Whether a div is a line of text: in it are no blocks, and more than links."""
    if any(not isinstance(inner.tag, str) or inner.tag not in _INLINE for inner in element.iterdescendants()):
        return False
    words = element.text_content().strip()
    return 0 < len(words) <= _LONGEST and bool(
        element.xpath("./text()[normalize-space()] | ./*[not(self::a)]//text()[not(ancestor::a)]")
    )
