"""Days of the week, as tables of opening hours, of a timetable or of a week's menu name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DAYS = _words(
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun"
    " mondays tuesdays wednesdays thursdays fridays saturdays sundays daily holidays weekend"
    " montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so"
    " täglich feiertag feiertage wochenende"
    " lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim"
    " lunes martes miércoles jueves viernes sábado sábados domingo domingos mié mie jue vie sáb dom"
    " lunedì martedì mercoledì giovedì venerdì sabato domenica gio sab"
    " maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ma wo vr za zo"
    " segunda terça quarta quinta sexta seg ter qua qui sex feira"
    " poniedziałek wtorek środa czwartek piątek sobota niedziela"
)
#: Short names of them, in their order; some are short for people, too: Sam, Di, Mo.
_WEEKS = [
    {short: number for number, day in enumerate(week.split()) for short in day.split("/")}
    for week in (
        "mon tue/tues wed thu/thur/thurs fri sat sun",
        "mo di mi do fr sa so",
        "lun mar mer jeu ven sam dim",
        "lun mar mié/mie jue vie sáb/sab dom",
        "lun mar mer gio ven sab dom",
        "ma di wo do vr za zo",
        "seg ter qua qui sex sáb/sab dom",
    )
]
#: Days that a table leaves out between two rows, at most.
_MOST_LEFT_OUT = 3
#: Hours, or what is said where there are none: nobody has them beside people called Mo and Di only.
_HOURS = re.compile(
    r"(?<![\d+./-])\d{1,2}([:.]\d\d)?\s?(h|am|pm|uhr)?\s?([-–—]|to|bis|à|a)\s?\d{1,2}([:.]\d\d)?(?![\d./-])"
    r"|\b\d{1,2}(:\d\d|\s?(uhr|am|pm)\b)|\b(closed|geschlossen|ruhetag|fermé|cerrado|chiuso|gesloten|fechado)\b",
    re.I,
)
#: What stands between two days, in these languages.
_BETWEEN = _words("to and till until through bis und sowie sonn au à et al a y e ed tot en do i")
_WORD = re.compile(r"[^\W\d_]+")


def is_of_days(cell: str) -> bool:
    """Whether a cell says a day of the week, or several: "Mon-Fri"."""
    words = set(_WORD.findall(cell.lower()))
    return bool(words & _DAYS) and words <= _DAYS | _BETWEEN


def is_week(cells: Sequence[str], beside: Iterable[str], *, may_be_people: bool = False) -> bool:
    """Whether a column has days. Short names are, with hours beside them or in the order of a week, in one language.

    `may_be_people`: that order alone does not tell.
    """
    if not cells or not all(map(is_of_days, cells)):
        return False
    rows = [[word for word in _WORD.findall(cell.lower()) if word in _DAYS] for cell in cells]
    if any(all(word not in week for week in _WEEKS) for words in rows for word in words) or any(map(_HOURS.search, beside)):
        return True
    weeks = [] if may_be_people else [week for week in _WEEKS if all(word in week for words in rows for word in words)]
    return any(_goes_on([[week[word] for word in words] for words in rows]) for week in weeks)


def _goes_on(rows: list[list[int]]) -> bool:
    """Whether each row's days follow those above it, and no week ends and begins again."""
    steps = [((following[0] - days[0]) % 7, (following[0] - days[-1]) % 7) for days, following in pairwise(rows)]
    return all(min(step) <= _MOST_LEFT_OUT for step in steps) and sum(from_first for from_first, _ in steps) < 7
