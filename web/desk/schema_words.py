"""What is wrong with a form's values, in the language of who filled it in: the schemas are the API's, and speak English.

Each text here is one that a schema says, with a name where a value stands; a test holds that none is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from flask_babel import format_decimal, gettext

from web.desk.known_texts import marked as _l
from web.desk.known_texts import patterns_of

#: What schemas say, as gettext has it: the texts of marshmallow first.
_SAID = (
    _l("Missing data for required field"),
    _l("Field may not be null"),
    _l("Unknown field"),
    _l("Invalid input type"),
    _l("Invalid value"),
    _l("Not a valid string"),
    _l("Not a valid list"),
    _l("Not a valid boolean"),
    _l("Not a valid integer"),
    _l("Longer than maximum length %(most)s"),
    _l("Length must be between %(least)s and %(most)s"),
    _l("Must be one of: %(choices)s"),
    _l("Must be greater than or equal to %(least)s and less than or equal to %(most)s"),
    _l("must be given"),
    _l("must not be null"),
    _l("must not be empty"),
    _l("must be a text"),
    _l("must be true or false"),
    _l("must be one of %(choices)s"),
    _l("must be FAILED or DELIVERED"),
    _l("must be a time with its zone, like 2026-11-26T17:00:00Z"),
    _l("must be a whole number from %(least)s to %(most)s"),
    _l("must be a number from %(least)s to %(most)s"),
    _l("must have at most %(most)s characters"),
    _l("must have %(least)s to %(most)s characters"),
    _l("must have at most %(most)s characters, percent-encoded ones counted as three"),
    _l("must have at most %(most)s bytes together with the model"),
    _l("must not contain NUL or half of a surrogate pair"),
    _l("must not contain NUL"),
    _l("must be a language's code of two or three letters, such as pt"),
    _l("must be a time, such as 09:00"),
    _l('must be two times, such as ["09:00", "17:30"]'),
    _l("must have %(least)s to %(most)s openings"),
    _l("times of a day must follow each other; what goes on after midnight belongs to the next day"),
    _l("days are %(choices)s"),
    _l("must name at least one day; null: always open"),
    _l('must be an object, such as {"mon": [["09:00", "17:30"]]}'),
    _l("must be a time zone, such as Europe/Berlin"),
    _l("must be a time with its zone, like 2026-11-26T10:14:00Z, or how long ago, like 90m or 2d"),
    _l("must name %(least)s to %(most)s providers"),
    _l("must name at most %(most)s sites"),
    _l("must name each site, without wildcards: https://shop.example, https://www.shop.example; got %(given)s"),
    _l("must be the address of a site, like https://shop.example; got %(given)s"),
    _l("must have a domain"),
    _l("give tokens, money, or both"),
    _l("must be given with at_limit %(choice)s, and only then"),
    _l("must be a count and a time, like 10/1s or 600/1m"),
    _l("must have at most %(most)s steps"),
    _l("must name %(least)s to %(most)s chatbots; null: all"),
    _l("must name at least one channel; null: all"),
    _l("must name at least one event"),
    _l("must be a header's name, like X-Shop"),
    _l("must be printable ASCII, without blanks at its ends"),
    _l("must be at most %(most)s"),
    _l("must name each header once"),
    _l("must not set %(header)s, which is ours to say"),
    _l("is the first provider's; with providers give it there only"),
    _l("there is no such knowledge base; use the id of one of yours"),
    _l("there is no such chatbot; use the id of one of yours"),
    _l("an api_key needs a base_url; the operator's provider has its own key"),
    _l("an api_key needs a base_url; the operator's has its own key"),
    _l("%(address)s needs an api_key"),
    _l("must be UTC or the name of a time zone, such as America/Sao_Paulo"),
    _l("must begin with https:// or http://"),
    _l("must not contain spaces or line breaks; in a path write %20"),
    _l("must not contain control characters, other invisible characters or backslashes"),
    _l("must not contain a user name or password; deliveries are signed"),
    _l("must have a port from 1 to 65535, or none"),
    _l("must name a host, as in https://shop.example/hook"),
    _l("must have an IPv6 address between [ and ], and nothing else there"),
    _l("must have a public address; %(address)s is none"),
    _l("must have an address without a zone (%)"),
    _l("must have a host without percent-encoding"),
    _l("must have a host that DNS can know; its international name is malformed"),
    _l("must have a host that DNS can know: labels of up to 63 letters, digits and hyphens, between dots"),
    _l("must write an IP address as four decimal numbers, as in 192.0.2.1"),
    _l("must be a URL like https://shop.example/hook; its port must be a number from 1 to 65535"),
    _l("must be a URL like https://shop.example/hook; its host is malformed"),
)
#: What was given, as shared/payloads.py names it; anything else is the value itself. Whoever filled in a form knows that it was a
#: text, or nothing; how long it was helps where that is the problem.
_UNTOLD = ("a text", "an object", "nothing", "")
_LENGTH, _COUNT = re.compile(r"a text of (\d+) characters"), re.compile(r"a list of (\d+)")
#: What may stand before a text: the place of the wrong value in a list or an object, as in "number 2, model: ".
_WHERE = r"(?P<place>.*?: )?"
_PLACE = re.compile(r"number (\d+)")
#: A number as Python writes it.
_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?(e[+-]?\d+)?")


def translated_errors(errors: Mapping[str, str]) -> dict[str, str]:
    """For each field of an InvalidPayload what is wrong with it."""
    return {name: translated(text) for name, text in errors.items()}


def translated_fields(errors: Mapping[str, str], labels: Mapping[str, object]) -> str:
    """The same in a line, for a form that shows it above its fields; each is called by its label."""
    return "; ".join(f"{labels.get(name, name)}: {text}" for name, text in translated_errors(errors).items())


def translated(text: str) -> str:
    """One of a schema's texts, maybe with its place before it and what was given after it; one that is unknown stays as it is."""
    said, _, rest = text.partition(" (got ")
    given = rest.removesuffix(")")
    for pattern, known in patterns_of(_SAID, _WHERE):
        if match := pattern.fullmatch(said.rstrip(".")):
            values = match.groupdict()
            place = _PLACE.sub(lambda found: gettext("number %(number)s", number=found[1]), values.pop("place") or "")
            words = place + gettext(known, **{name: _written(value) for name, value in values.items()})
            what = _given(given, "characters" in known or "length" in known)
            return f"{words} ({what})" if what else words
    return text


def _given(given: str, is_about_length: bool) -> str:
    if length := _LENGTH.fullmatch(given):
        return str(gettext("given: %(count)s characters", count=_written(length[1]))) if is_about_length else ""
    count = _COUNT.fullmatch(given)
    return "" if given in _UNTOLD else str(gettext("given: %(what)s", what=_written(count[1]) if count else given))


def _written(value: str) -> str:
    """A number as the language writes it."""
    return str(format_decimal(Decimal(value.replace(",", "")))) if _NUMBER.fullmatch(value) else value
