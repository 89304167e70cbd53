"""Pages that stand where the wanted one should: what a site sends with status 200 instead of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.knowledge.documents import Unreadable

#: Characters of a page that says no more than that. One that has more is a page, whatever it says.
SHORT = 600
_GONE = re.compile(
    r"(?:^|[|:–-]\s*)(?:error )?404(?: error| not found|\s*$|\s*[|:–-])|page (was )?not found|page (doesn.t|does not) exist"
    r"|(seite|page) (wurde )?nicht gefunden|page introuvable|página no encontrada|pagina non trovata|página não encontrada"
    r"|pagina niet gevonden|страница не найдена|nie znaleziono strony|ページが見つかりません|页面不存在|找不到(该)?页面",
    re.I,
)
_CHECK = re.compile(
    r"^just a moment|attention required|checking your browser|verify(ing)? (that )?you are (a )?human|are you (a )?(human|robot)"
    r"|^access denied|ddos protection|^security check|unusual traffic|captcha",
    re.I,
)
_CLOSED = re.compile(
    r"(under|down for|scheduled|site) maintenance|maintenance mode|wartungs(arbeiten|modus)|maintenance en cours|en mantenimiento"
    r"|in manutenzione|em manutenção|be (right )?back soon|(sind|bin) gleich zurück|under construction|(ist|seite) im aufbau"
    r"|^(coming|opening) soon",
    re.I,
)
_FOR_SALE = re.compile(r"domain.{0,40}(for sale|zum verkauf|is parked)|parked domain|\.[a-z]{2,10} is for sale", re.I)
_JAVASCRIPT = re.compile(
    r"(enable|requires?|aktivier\w*|activer|habilit\w+) .{0,20}javascript|javascript .{0,30}(enabled|aktivier)", re.I
)
_LOGIN = re.compile(r"\b(log|sign)[ -]?in\b|anmelde|einloggen|connexion|iniciar sesi|accedi|inloggen|enter using password", re.I)
_CONSENT = re.compile(r"cookie|before you continue|privacy|datenschutz|consent|zustimmung|bevor sie", re.I)


def check(titles: Sequence[str], text: str, asks_for_password: bool) -> None:
    """Raises Unreadable for a page that is none. `titles`: its title and its heading."""
    if len(text) > SHORT:
        return
    if any(_GONE.search(title) for title in titles):
        raise Unreadable("says that there is no such page, though the site answers as if there were; remove its address")
    if any(_CHECK.search(title) for title in titles):
        raise Unreadable(
            "is a check for browsers, and no page; let Switchboard through at the site's protection, or import a file"
        )
    if any(_FOR_SALE.search(title) for title in titles):
        raise Unreadable("is for sale, and no page of a shop; remove its address")
    if len(text) < SHORT / 2 and _JAVASCRIPT.search(text):
        raise Unreadable("has no text; if that is in a picture or drawn by JavaScript, write it to a file and import that")
    if asks_for_password and any(_LOGIN.search(one) for one in (*titles, text)):
        raise Unreadable("asks for a password; import a file with what stands behind it")
    if len(text) < SHORT / 2 and "cookie" in text.lower() and any(_CONSENT.search(title) for title in titles):
        raise Unreadable("asks for cookies and shows nothing else; import a file with what stands behind that")
    if len(text) < SHORT / 2 and any(_CLOSED.search(title) for title in titles):
        raise Unreadable("says that the site is closed for now; read it again when it is open")
