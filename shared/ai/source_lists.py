"""Lists of sources that models write below an answer, what they call them, and sentences that need a source's name.

citations.py takes out what names given items.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.ai.prompt import Item

#: Labels of a line that has nothing but marks: "Sources: [1], [3]".
LABELS = (
    *("source", "sources", "source(s)", "quelle", "quellen", "fuente", "fuentes", "fonte", "fontes", "fonti"),
    *("reference", "references", "citations", "источник", "источники", "出典", "来源"),
)
#: Characters of a line with a label; of a longer one the pattern is not tried.
LONGEST_LABEL = 40
NAMES = "|".join(map(re.escape, LABELS))
LABEL = re.compile(rf"[\s#*_>•-]*(?:{NAMES})[\s*_]*[:：]?[\s*_]*\Z", re.I)
#: A line of a list of sources: [1] Shipping; 2. [2]: Prices; [^1]: https://…
_ENTRY = re.compile(r"\s*(?:[-*•]\s+|\d{1,2}[.)]\s+)?\**\[\^?(?P<number>\d{1,2})\]\**\s?[:：.–-]?\s*(?P<words>\S.{0,300})")
#: The same without words: - [1]
_BARE_ENTRY = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+\**\[\^?(?P<number>\d{1,2})\]\**\.?(?P<words>)\s*")
_ENTRY_BEGUN = re.compile(
    r"\s*(?:[-*•]\s*|\d{1,2}[.)]?\s*)?\**(?:\[\^?(?P<number>\d{0,2})(?:\]\**\s?[:：.–-]?\s*(?P<words>.{0,300}))?)?"
)

_ARTICLE = r"(?:(?:the|our|de[rmn]|die|das|la|el|le|il|lo|o|a) )?"
_NOUN = (
    rf"{_ARTICLE}(?:sources?|items?|documents?|docs?|articles?|entry|section|page"
    r"|quellen?|dokument|artikel|eintrag|fuente|fonte|documento|artículo|источник\w*)"
)
_BEGIN = r"(?:\A|[\n.!?…:;,(>*•–—-] ?[*_]{0,2}|[.!?…,;:–—-] {1,2})"
#: What a number in brackets is the object of: "according to [1]", "as stated in source [2]". Some only where a sentence begins,
#: or behind a comma, for they are other words as well.
OBJECT = re.compile(
    r"(?:(?<!\w)(?:according to|in accordance with|based on|as per|refer(?:red|ring|s)? to|mehr dazu (?:in|unter)"
    r"|(?:stated|described|mentioned|explained|noted|listed|shown|outlined|specified|indicated|detailed|given|found|provided"
    r"|covered|documented|written|details|information|info|instructions|more) (?:in|by|under|at)"
    r"|laut|gemä(?:ß|ss)|basierend auf|wie (?:in|unter)|steht (?:in|unter)|(?:finden sie|findest du|findet ihr) (?:in|unter)"
    r"|siehe(?: auch)?|según|de acuerdo con|conforme a|véase|consult[ae]|consultez|consultare"
    r"|(?:indicad|descrit|mencionad|especificad|detallad)[oa]s? e[nm]|(?:indiqué|décrit|mentionné|précisé|détaillé)e?s? dans"
    r"|selon|d[’']après|conformément à|(?:indicat|descritt|riportat|specificat)[oaie] in|in base a|stando a|vedi(?: anche)?"
    r"|de acordo com|conforme|consoante|veja|volgens|op basis van|zie(?: ook)?|(?:vermeld|beschreven) (?:in|op)"
    r"|согласно|указано в|сказано в|смотрите|см\.|według|zgodnie z|zob\.) "
    rf"|{_BEGIN}(?:(?:please |for (?:more|further) (?:information|details),? )?(?:see(?: also)?|check|read)|per|from|in|under"
    r"|unter|aus|secondo|segundo|voir(?: aussi)?|ver|dans|en|em|nel|na|no) "
    r"|(?:根据|根據|依据|参见|请参阅|請參閱))"
    rf"(?:{_NOUN} )?\Z",
    re.I,
)
#: What a number in brackets is the subject of: "[1] says that …", "[1] and [2] say".
SUBJECT = re.compile(
    r"(?:(?: ?(?:[,;&、和]|and|und|y|et|e|en|и) ?)?\[\d{1,2}\])*(?:"
    r" (?:also )?(?:says?|states?|mentions?|explains?|describes?|confirms?|notes?|shows?|indicates?|specif(?:y|ies)|contains?"
    r"|lists?|provides?|covers?|recommends?|suggests?|outlines?|besag(?:t|en)|sag(?:t|en)|erklär(?:t|en)|beschreib(?:t|en)"
    r"|nenn(?:t|en)|zufolge|dice|indica|explica|menciona|dit|indique|précise|explique|mentionne|spiega|riporta|diz|zegt|vermeldt"
    r"|говорит)\b|[’']?y?[ea] göre\b|によると|によれば|에 따르면)"
)
SUBJECT_PLACE = re.compile(rf"(?:{_BEGIN}|\b(?:and|but|while|und|aber|y|pero|et|mais|ma|mas|e) )\Z", re.I)
AND = re.compile(r" ?(?:[,;&、和]|and|or|und|oder|y|o|et|ou|e|en|и)? ?", re.I)
#: Characters before a number that say whether a sentence needs it, and behind it: " and [2] recommend".
BEFORE, BEHIND = 60, 32


def without(text: str, items: Sequence[Item]) -> tuple[str, set[int]]:
    """The text without a list of its sources at the end ("[1] Shipping", "[^1]: https://…"), and their numbers."""
    lines, cited = text.rstrip().split("\n"), set[int]()
    while len(lines) > 1 and (found := _BARE_ENTRY.fullmatch(lines[-1]) or _ENTRY.fullmatch(lines[-1])):
        number, words = int(found["number"]), _bare(found["words"])
        if not 1 <= number <= len(items) or (found["words"] and not _names(words, items[number - 1])):
            break
        cited.add(number)
        lines.pop()
        while len(lines) > 1 and not lines[-1].strip():
            lines.pop()
    if not cited:
        return text, cited
    if len(lines) > 1 and LABEL.match(lines[-1].strip("#* ")[: LONGEST_LABEL + 1]):
        lines.pop()
    return "\n".join(lines).rstrip(), cited


def without_begun(text: str, items: Sequence[Item]) -> str:
    """The beginning of an answer without a last line that may become a line of such a list."""
    before, newline, line = text.rpartition("\n")
    found = _ENTRY_BEGUN.fullmatch(line) if newline else None
    if found is None:
        return _without_bare_entries(text)
    words = _bare(found["words"] or "")
    number = int(found["number"] or 0)
    names = [f"{item.title} {item.url or ''}".casefold() for item in items[number - 1 : number]] if number else [""]
    urls = [(item.url or "").casefold() for item in items[number - 1 : number]] if number else []
    may_be = not words or any(_loose(name).startswith(_loose(words)) for name in (*names, *urls) if name)
    return _without_bare_entries(before if may_be else text)


def _without_bare_entries(text: str) -> str:
    """The same without whole lines of such a list that have no words."""
    while True:
        before, newline, line = text.rstrip().rpartition("\n")
        if not newline or not _BARE_ENTRY.fullmatch(line):
            return text
        text = before


def _bare(words: str) -> str:
    """Words without what may stand around a title, in lower case."""
    return words.strip("*_\"“”„'.()[] ").casefold()


def _loose(words: str) -> str:
    """Words without what may stand between a title and its address."""
    return re.sub(r"[\s:–—()\[\]<>-]+", "", words)


def _names(words: str, item: Item) -> bool:
    """Whether words are an item's title, its address, or both."""
    title, url = item.title.strip().casefold(), (item.url or "").casefold()
    rest = words.removeprefix(title).strip(" :–—-()[]<>") if title else words
    return bool(words) and (not rest or (bool(url) and rest.rstrip("/") == url.rstrip("/")))
