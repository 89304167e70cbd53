"""Days of the week, as tables of opening hours, of a timetable or of a week's menu name them."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DAYS = _words(
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun"
    " mondays tuesdays wednesdays thursdays fridays saturdays sundays daily holidays weekend"
    " montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so"
    " täglich feiertag feiertage wochenende"
    " lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim"
    " lunes martes miércoles jueves viernes sábado sábados domingo domingos mié jue vie sáb dom"
    " lunedì martedì mercoledì giovedì venerdì sabato domenica gio"
    " maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ma wo vr za zo"
    " segunda terça quarta quinta sexta seg ter qua qui sex feira"
    " poniedziałek wtorek środa czwartek piątek sobota niedziela"
)
#: What stands between two days, in these languages.
_BETWEEN = _words("to and till until through bis und sowie sonn au à et al a y e ed tot en do i")
_WORD = re.compile(r"[^\W\d_]+")


def is_of_days(cell: str) -> bool:
    """Whether a cell says a day of the week, or several: "Mon-Fri"."""
    words = set(_WORD.findall(cell.lower()))
    return bool(words & _DAYS) and words <= _DAYS | _BETWEEN
