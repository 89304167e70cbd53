"""Templates with their parameters: what Meta is sent, what a person reads, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from shared.channels.whatsapp_cloud.templates import TemplateRefused, compose

BODY = {"type": "BODY", "text": "Hi {{1}}, order {{2}} has left."}
NAMED = {"type": "BODY", "text": "Hi {{first_name}}, order {{ number }} has left, {{first_name}}."}
PLAIN = {"type": "BODY", "text": "We have moved."}


def header(kind: str, text: str = "") -> dict[str, Any]:
    return {"type": "HEADER", "format": kind, **({"text": text} if text else {})}


def buttons(*those: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": [{"text": "Go", **one} for one in those]}


URL = {"type": "URL", "url": "https://shop.example/o/{{1}}"}
PLACE = {"latitude": -22.9, "longitude": -43, "name": "Café", "address": "Rua 1"}


def texts(*those: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in those]


#: A template's components and the parameters of the API, Meta's components, and the words.
COMPOSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]], str]] = {
    "nothing to fill": ([PLAIN, {"type": "FOOTER", "text": "Shop"}], {}, [], "We have moved.\n\nShop"),
    "by position": (
        [BODY],
        {"body": ["Ana", "7"]},
        [{"type": "body", "parameters": texts("Ana", "7")}],
        "Hi Ana, order 7 has left.",
    ),
    "by name, used twice": (
        [NAMED],
        {"body": {"number": "7", "first_name": "Ana"}},
        [
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "parameter_name": "first_name", "text": "Ana"},
                    {"type": "text", "parameter_name": "number", "text": "7"},
                ],
            }
        ],
        "Hi Ana, order 7 has left, Ana.",
    ),
    "a header of text": (
        [header("TEXT", "Order {{1}}"), PLAIN],
        {"header": ["7"]},
        [{"type": "header", "parameters": texts("7")}],
        "Order 7\n\nWe have moved.",
    ),
    "a document by link": (
        [header("DOCUMENT"), PLAIN],
        {"header": {"link": "https://Shop.example/a%20b.pdf", "filename": "bill.pdf"}},
        [
            {
                "type": "header",
                "parameters": [
                    {"type": "document", "document": {"link": "https://shop.example/a%20b.pdf", "filename": "bill.pdf"}}
                ],
            }
        ],
        "[bill.pdf]\n\nWe have moved.",
    ),
    "a picture that Meta has": (
        [header("IMAGE"), PLAIN],
        {"header": {"id": "138"}},
        [{"type": "header", "parameters": [{"type": "image", "image": {"id": "138"}}]}],
        "[image]\n\nWe have moved.",
    ),
    "a place": (
        [header("LOCATION"), PLAIN],
        {"header": PLACE},
        [{"type": "header", "parameters": [{"type": "location", "location": PLACE}]}],
        "📍 Café\n\nWe have moved.",
    ),
    "buttons": (
        [
            PLAIN,
            buttons(
                URL,
                {"type": "QUICK_REPLY"},
                {"type": "QUICK_REPLY"},
                {"type": "PHONE_NUMBER", "phone_number": "+55"},
                {"type": "COPY_CODE"},
                {"type": "FLOW"},
            ),
        ],
        {"buttons": {"0": "860198", "1": "stop", "4": "SUMMER"}},
        [
            {"type": "button", "sub_type": "url", "index": "0", "parameters": texts("860198")},
            {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "stop"}]},
            {
                "type": "button",
                "sub_type": "copy_code",
                "index": "4",
                "parameters": [{"type": "coupon_code", "coupon_code": "SUMMER"}],
            },
            {
                "type": "button",
                "sub_type": "flow",
                "index": "5",
                "parameters": [{"type": "action", "action": {"flow_token": "unused"}}],
            },
        ],
        "We have moved.",
    ),
    "a link that stays the same": (
        [PLAIN, buttons({"type": "URL", "url": "https://shop.example"})],
        {},
        [],
        "We have moved.",
    ),
}


@pytest.mark.parametrize("case", COMPOSED)
def test_parameters_are_in_their_places(case: str) -> None:
    components, given, wire, words = COMPOSED[case]
    composed = compose(components, given)
    assert (composed.components, composed.text) == (wire, words)


#: A template's components, the parameters, where it is wrong, and a piece of what is said.
REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str, str]] = {
    "too few": ([BODY], {"body": ["Ana"]}, "body", "must be a list of 2 texts, for {{1}}, {{2}}, and has 1"),
    "too many": ([BODY], {"body": ["a", "b", "c"]}, "body", "and has 3"),
    "none": ([BODY], {}, "body", "must be a list of 2 texts"),
    "names for numbers": ([BODY], {"body": {"1": "a", "2": "b"}}, "body", "names are for templates that have them"),
    "numbers for names": ([NAMED], {"body": ["a", "b"]}, "body", "a list is for templates whose parameters have numbers"),
    "a name is missing": ([NAMED], {"body": {"number": "7"}}, "body", "first_name is missing"),
    "an unknown name": ([NAMED], {"body": {"number": "7", "first_name": "A", "age": "1"}}, "body", "and has age"),
    "not a text": ([BODY], {"body": ["Ana", 7]}, "body", "number 2: must be a text"),
    "blank": ([BODY], {"body": [" ", "7"]}, "body", "number 1: must be a text that is not empty"),
    "a line break": ([BODY], {"body": ["a\nb", "7"]}, "body", "line breaks"),
    "five spaces": ([BODY], {"body": ["a     b", "7"]}, "body", "more than four spaces"),
    "NUL": ([BODY], {"body": ["a\x00", "7"]}, "body", "NUL"),
    "too long together": ([BODY], {"body": ["a" * 600, "b" * 600]}, "body", "at most 1024 are allowed"),
    "a header too long": ([header("TEXT", "Order {{1}}"), PLAIN], {"header": ["7" * 60]}, "header", "at most 60 are allowed"),
    "for a part that takes none": ([PLAIN], {"body": ["x"]}, "body", "takes no parameters"),
    "for a part that is not there": ([PLAIN], {"header": ["x"]}, "header", "the template has no header"),
    "no picture": ([header("IMAGE"), PLAIN], {}, "header", 'must be the image: {"link": "https://…"}'),
    "id and link": (
        [header("IMAGE"), PLAIN],
        {"header": {"id": "1", "link": "https://a.example"}},
        "header",
        "must be the image",
    ),
    "a name of a picture": ([header("VIDEO"), PLAIN], {"header": {"id": "1", "filename": "a"}}, "header", "must be the video"),
    "a link to us": ([header("IMAGE"), PLAIN], {"header": {"link": "http://127.0.0.1/a"}}, "header", "link: "),
    "no place": ([header("LOCATION"), PLAIN], {"header": {**PLACE, "latitude": 91}}, "header", "latitude must be a number"),
    "a link's parameter": ([PLAIN, buttons(URL)], {}, "buttons", "button 0 ('Go'): must be given"),
    "a space in a link": ([PLAIN, buttons(URL)], {"buttons": {"0": "a b"}}, "buttons", "must not have a space"),
    "a button that is not there": ([PLAIN, buttons(URL)], {"buttons": {"1": "x"}}, "buttons", "numbers from 0 to 0"),
    "buttons as a list": ([PLAIN, buttons(URL)], {"buttons": ["x"]}, "buttons", "must be an object"),
    "a button that takes none": ([PLAIN, buttons({"type": "PHONE_NUMBER"})], {"buttons": {"0": "x"}}, "buttons", "no parameter"),
    "a long payload": ([PLAIN, buttons({"type": "QUICK_REPLY"})], {"buttons": {"0": "x" * 513}}, "buttons", "at most 512"),
    "a catalogue": ([PLAIN, buttons({"type": "CATALOG"})], {}, "buttons", "of the type catalog"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(case: str) -> None:
    components, given, where, words = REFUSED[case]
    with pytest.raises(TemplateRefused) as refused:
        compose(components, given)
    assert list(refused.value.errors) == [f"parameters.{where}"]
    assert words in refused.value.errors[f"parameters.{where}"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(TemplateRefused) as refused:
        compose([header("TEXT", "Order {{1}}"), BODY, {"type": "CAROUSEL", "cards": []}], {"buttons": {"0": "x"}})
    assert set(refused.value.errors) == {"parameters.header", "parameters.body", "parameters.buttons", "name"}
    assert refused.value.errors["name"].endswith("carousel")
