"""What a page tells search engines (schema.org) of its shop and its products, and does not show as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from shared.knowledge.faq import text_of_html

#: What the facts are called, in the language of the page: where, when, how to reach, for how much, on which day.
_WORDS = {
    "en": ("Address", "Opening hours", "Telephone", "E-mail", "Price", "Date"),
    "de": ("Adresse", "Öffnungszeiten", "Telefon", "E-Mail", "Preis", "Termin"),
    "fr": ("Adresse", "Horaires d'ouverture", "Téléphone", "E-mail", "Prix", "Date"),
    "es": ("Dirección", "Horario", "Teléfono", "Correo electrónico", "Precio", "Fecha"),
    "it": ("Indirizzo", "Orari di apertura", "Telefono", "E-mail", "Prezzo", "Data"),
    "nl": ("Adres", "Openingstijden", "Telefoon", "E-mail", "Prijs", "Datum"),
    "pt": ("Endereço", "Horário de funcionamento", "Telefone", "E-mail", "Preço", "Data"),
}
#: Days as schema.org names them, and as the page's readers do.
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = {
    "en": "Mon Tue Wed Thu Fri Sat Sun",
    "de": "Mo Di Mi Do Fr Sa So",
    "fr": "lun mar mer jeu ven sam dim",
    "es": "lun mar mié jue vie sáb dom",
    "it": "lun mar mer gio ven sab dom",
    "nl": "ma di wo do vr za zo",
    "pt": "seg ter qua qui sex sáb dom",
}
#: Days in a line of hours that has no other words: "So", "Di" and "We are open" are words of people's languages.
_CODE = re.compile(r"\b(?:Mo|Tu|We|Th|Fr|Sa|Su)\b")
_CODED = re.compile(r"(?:(?:Mo|Tu|We|Th|Fr|Sa|Su)\b|\b(?:am|pm|h|Uhr)\b|[\W\d])*", re.I)
_HOLIDAYS = {
    "en": "public holidays", "de": "Feiertage", "fr": "jours fériés", "es": "festivos", "it": "festivi", "nl": "feestdagen",
    "pt": "feriados",
}  # fmt: skip
#: What is said of a day on which a shop does not open: schema.org opens and closes it at the same time.
_CLOSED = {
    "en": "closed", "de": "geschlossen", "fr": "fermé", "es": "cerrado", "it": "chiuso", "nl": "gesloten", "pt": "fechado",
}  # fmt: skip
#: Products of a page whose prices are told: a list of more is no product's page.
_MOST = 20
_ADDRESS = ("streetAddress", "postalCode", "addressLocality", "addressRegion")


def facts_of(objects: Sequence[Mapping[str, Any]], language: str, shown: str, of_shop: bool) -> Iterator[str]:
    """Sections with what the page does not show: prices of its products and, if asked for, hours and address of its shop."""
    language = language.lower()[:2]
    words = _WORDS.get(language, _WORDS["en"])
    told: set[str] = set()
    prices, dates = list[str](), list[str]()
    for one in objects:
        if of_shop and (section := _shop(one, words, language, shown)) and section not in told:
            told.add(section)
            yield section
        if line := _product(one, shown):
            prices.append(line)
        if line := _event(one, shown):
            dates.append(line)
    for word, lines in ((words[4], prices), (words[5], dates)):
        if lines:
            yield f"### {word}\n\n" + "\n".join(dict.fromkeys(lines[:_MOST]))


def _event(one: Mapping[str, Any], shown: str) -> str:
    """An event's name, and when it is, unless the page shows that as it stands there."""
    name, times = text_of_html(one.get("name")), [one.get("startDate"), one.get("endDate")]
    is_off = re.search("Cancelled|Postponed", str(one.get("eventStatus")))
    if "Event" not in str(one.get("@type")) or not name or is_off:
        return ""
    told = [_time(time) for time in times if isinstance(time, str) and re.match(r"\d{4}-\d\d-\d\d", time)]
    return f"{name}: {' – '.join(dict.fromkeys(told))}" if told and told[0] not in shown else ""


def _time(time: str) -> str:
    """A day, and when on it: midnight says that it is the whole day, and a time of UTC is not what clocks show."""
    return time[:10] if time.endswith("Z") else time[:16].replace("T", " ").removesuffix(" 00:00")


def _product(one: Mapping[str, Any], shown: str) -> str:
    """The name and the price of a product or of whatever else is offered, unless the page shows them."""
    name, offers = text_of_html(one.get("name")), one.get("offers")
    if not name or "AggregateOffer" in str(one.get("@type")):
        return ""
    found = [price for offer in (offers if isinstance(offers, list) else [offers]) if (price := _price(offer))]
    missing = [price for price in dict.fromkeys(found) if not _is_shown(price, shown)]
    return f"{name}: {', '.join(missing[:5])}" if missing else ""


def _price(offer: Any) -> str:
    if not isinstance(offer, Mapping):
        return ""
    inner = offer.get("priceSpecification")
    all_specified = inner if isinstance(inner, list) else [inner]
    specified = [one for one in all_specified if isinstance(one, Mapping) and _is_of_one(one)]
    if specified and not any(offer.get(key) for key in ("price", "lowPrice")):
        return _price({"priceCurrency": offer.get("priceCurrency"), **specified[0], "priceSpecification": None})
    currency = text_of_html(offer.get("priceCurrency"))
    prices = [_number(offer.get(key)) for key in ("price", "lowPrice", "highPrice")]
    prices = prices if any(prices) else [_number(offer.get(key)) for key in ("minPrice", "maxPrice")]
    return " – ".join(dict.fromkeys(filter(None, prices))) + f" {currency}" if any(prices) else ""


def _is_of_one(specification: Mapping[str, Any]) -> bool:
    """Whether a price is of the thing itself, and not per kilogram or for its delivery."""
    return not (specification.get("referenceQuantity") or re.search("Delivery|Payment", str(specification.get("@type"))))


def _number(value: Any) -> str:
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    return text if re.fullmatch(r"\d[\d.,]{0,12}", text) and float(re.sub(r"[^\d]", "", text)) else ""


def _is_shown(price: str, shown: str) -> bool:
    whole, _, cents = price.split(" ")[0].replace(",", ".").partition(".")
    return bool(re.search(rf"(?<!\d){whole}([.,]{cents.ljust(2, '0')[:2]}|(?![\d.,]))", shown))


def _shop(one: Mapping[str, Any], words: tuple[str, ...], language: str, shown: str) -> str:
    """Where a shop is, when it is open and how it is reached, as far as the page does not show it."""
    where, when = _address(one.get("address")), _hours(one, language)
    if "Person" in str(one.get("@type")) or not (where or when):
        return ""
    facts = zip(words, (where, when, text_of_html(one.get("telephone")), text_of_html(one.get("email"))), strict=False)
    lines = [f"{word}: {fact}" for word, fact in facts if fact and fact not in shown]
    name = text_of_html(one.get("name"))
    return (
        f"### {', '.join(line.partition(':')[0] for line in lines)}\n\n" + "\n".join([*([name] if name else []), *lines])
        if lines
        else ""
    )


def _address(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, Mapping):
        return text_of_html(value)
    street, code, city, region = (text_of_html(value.get(key)) for key in _ADDRESS)
    return ", ".join(filter(None, (street, f"{code} {city}".strip(), region)))


def _hours(one: Mapping[str, Any], language: str) -> str:
    given = [one.get(key) for key in ("openingHoursSpecification", "specialOpeningHoursSpecification")]
    all_spans = chain.from_iterable(spans if isinstance(spans, list) else [spans] for spans in given)
    spans = [_span(span, language) for span in all_spans if isinstance(span, Mapping)]
    plain = one.get("openingHours")
    texts = plain if isinstance(plain, list) else [plain]
    return "; ".join(filter(None, spans)) or "; ".join(_translated(text, language) for text in texts if isinstance(text, str))


def _translated(hours: str, language: str) -> str:
    return _CODE.sub(lambda code: _day(code[0], language), hours) if _CODED.fullmatch(hours) else hours


def _span(span: Mapping[str, Any], language: str) -> str:
    days = span.get("dayOfWeek")
    names = [_day(day, language) for day in (days if isinstance(days, list) else [days]) if isinstance(day, str)]
    opens, closes = (str(span.get(key) or "")[:5] for key in ("opens", "closes"))
    if not (opens and closes):
        return ""
    dates = [date[:10] for key in ("validFrom", "validThrough") if isinstance(date := span.get(key), str)]
    when = f"({' – '.join(dict.fromkeys(dates))})" if dates else ""  # of a season or a holiday, and not for ever
    hours = _CLOSED.get(language, _CLOSED["en"]) if opens == closes else f"{opens}–{closes}"
    return " ".join(filter(None, (", ".join(names), when, hours)))


def _day(day: str, language: str) -> str:
    name = day.rpartition("/")[2]
    if name == "PublicHolidays":
        return _HOLIDAYS.get(language, _HOLIDAYS["en"])
    number = next((place for place, known in enumerate(_DAYS) if name.lower() in (known, known[:2])), None)
    return name if number is None else _SHORT.get(language, _SHORT["en"]).split()[number]
