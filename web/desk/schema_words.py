"""What is wrong with a form's values, in the language of who filled it in: the schemas are the API's, and speak English.

Each text here is one that a schema says, with a name where a value stands; a test holds that none is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from flask_babel import format_decimal, gettext

from shared.payloads import in_plain_words
from web.desk.known_texts import marked, patterns_of

#: What schemas say, as gettext has it.
_SAID = (
    marked("Invalid value"),
    marked("is unknown here; known: %(choices)s"),
    marked("must be an object"),
    marked("must be a list"),
    marked("must be a number"),
    marked("must be a smaller number"),
    marked("must be a whole number"),
    marked("must be an id, a whole number above 0"),
    marked("Longer than maximum length %(most)s"),
    marked("Length must be between %(least)s and %(most)s"),
    marked("Must be one of: %(choices)s"),
    marked("Must be greater than or equal to %(least)s and less than or equal to %(most)s"),
    marked("must be given"),
    marked("must not be null"),
    marked("must not be empty"),
    marked("must be a text"),
    marked("must be true or false"),
    marked("must be one of %(choices)s"),
    marked("must be FAILED or DELIVERED"),
    marked("must be a time with its zone, like 2026-11-26T17:00:00Z"),
    marked("must be a whole number from %(least)s to %(most)s"),
    marked("must be a number from %(least)s to %(most)s"),
    marked("must have at most %(most)s characters"),
    marked("must have %(least)s to %(most)s characters"),
    marked("must have at most %(most)s characters, percent-encoded ones counted as three"),
    marked("must have at most %(most)s bytes together with the model"),
    marked("must not contain NUL or half of a surrogate pair"),
    marked("must not contain NUL"),
    marked("must be a language's code of two or three letters, such as pt"),
    marked("must be a time, such as 09:00"),
    marked('must be two times, such as ["09:00", "17:30"]'),
    marked("must have %(least)s to %(most)s openings"),
    marked("times of a day must follow each other; what goes on after midnight belongs to the next day"),
    marked("days are %(choices)s"),
    marked("must name at least one day; null: always open"),
    marked('must be an object, such as {"mon": [["09:00", "17:30"]]}'),
    marked("must be a time zone, such as Europe/Berlin"),
    marked("must be a time with its zone, like 2026-11-26T10:14:00Z, or how long ago, like 90m or 2d"),
    marked("must not be before since"),
    marked("must not be in the future"),
    marked("must name %(least)s to %(most)s providers"),
    marked("must name at most %(most)s sites"),
    marked("must name each site, without wildcards: https://shop.example, https://www.shop.example; got %(given)s"),
    marked("must be the address of a site, like https://shop.example; got %(given)s"),
    marked("must have a domain"),
    marked("give tokens, money, or both"),
    marked("must be given with at_limit %(choice)s, and only then"),
    marked("must be a count and a time, like 10/1s or 600/1m"),
    marked("must have at most %(most)s steps"),
    marked("must name %(least)s to %(most)s chatbots; null: all"),
    marked("must name at least one channel; null: all"),
    marked("must name at least one event"),
    marked("must be a header's name, like X-Shop"),
    marked("must be printable ASCII, without blanks at its ends"),
    marked("must be at most %(most)s"),
    marked("must name each header once"),
    marked("must not set %(header)s, which is ours to say"),
    marked("is the first provider's; with providers give it there only"),
    marked("there is no such knowledge base; use the id of one of yours"),
    marked("there is no such chatbot; use the id of one of yours"),
    marked("there is no chatbot %(given)s; use the ids of yours"),
    marked("an api_key needs a base_url; the operator's provider has its own key"),
    marked("an api_key needs a base_url; the operator's has its own key"),
    marked("%(address)s needs an api_key"),
    marked("must be UTC or the name of a time zone, such as America/Sao_Paulo"),
    marked("must begin with https:// or http://"),
    marked("must not contain spaces or line breaks; in a path write %20"),
    marked("must not contain control characters, other invisible characters or backslashes"),
    marked("must not contain a user name or password; deliveries are signed"),
    marked("must have a port from 1 to 65535, or none"),
    marked("must name a host, as in https://shop.example/hook"),
    marked("must have an IPv6 address between [ and ], and nothing else there"),
    marked("must have a public address; %(address)s is none"),
    marked("must have an address without a zone (%)"),
    marked("must have a host without percent-encoding"),
    marked("must have a host that DNS can know; its international name is malformed"),
    marked("must have a host that DNS can know: labels of up to 63 letters, digits and hyphens, between dots"),
    marked("must write an IP address as four decimal numbers, as in 192.0.2.1"),
    marked("must be a URL like https://shop.example/hook; its port must be a number from 1 to 65535"),
    marked("must be a URL like https://shop.example/hook; its host is malformed"),
)
#: What was given, as shared/payloads.py names it; anything else is the value itself. Whoever filled in a form knows that it was a
#: text, or nothing; how long it was helps where that is the problem.
_UNTOLD = ("a text", "an object", "nothing", "", "''")
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
        if match := pattern.fullmatch(in_plain_words(said)):
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
