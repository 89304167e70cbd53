"""The kinds of message objects of WhatsApp Web: what one of each says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.channels import nested_json
from shared.channels.inbound import Media, get_objects, get_text, integer, is_true
from shared.channels.kinds import Kind, MediaKind
from shared.channels.whatsapp_qr.content import Content, choice, contacts, event, form, location, order, poll, product, vote
from shared.channels.whatsapp_qr.unwrap import field, first_text, text

#: Where kinds that have no reader of their own keep words.
_WORDS = ("text", "contentText", "caption", "body", "hydratedContentText", "title", "description", "name", "note")


def _text(part: Any) -> Content | None:
    words = get_text(part) if isinstance(part, str) else first_text(part, "text", "matchedText", "canonicalUrl", "title")
    return Content(words) if words else None


def _file(kind: MediaKind, label: str) -> Callable[[Any], Content]:
    def read_file(part: Any) -> Content:
        # PTT ("push to talk") is what a voice note is called.
        exact = MediaKind.VOICE if kind is MediaKind.AUDIO and is_true(field(part, "ptt")) else kind
        file = Media(
            kind=exact,
            source={},  # the dialect's
            mime=text(part, "mimetype") or None,
            filename=first_text(part, "fileName", "title") or None,
            size=integer(field(part, "fileLength")),
        )
        return Content(text(part, "caption"), Kind.MEDIA, label, media=(file,))

    return read_file


def _button(part: Any) -> Content | None:
    # whatsmeow keeps the words one level deeper.
    words = text(part, "selectedDisplayText") or text(part, "response", "selectedDisplayText")
    return choice(words, first_text(part, "selectedButtonId", "selectedId"))


def _list_row(part: Any) -> Content | None:
    return choice(text(part, "title"), text(part, "singleSelectReply", "selectedRowId"), text(part, "description"))


#: Answers to questions of WhatsApp itself: may the business call?
_PERMISSIONS = frozenset({"call_permission_request", "voice_call_permission_request"})


def answer_of_flow(part: Any) -> Content | None:
    """A pressed button or a filled form; the native flow holds its JSON as a text."""
    flow = field(part, "nativeFlowResponseMessage") or field(part, "interactiveResponseMessage", "nativeFlowResponseMessage")
    flow, words = flow if isinstance(flow, dict) else {}, text(part, "body", "text")
    if text(flow, "name") in _PERMISSIONS:
        return None
    answers = _json_object(text(flow, "paramsJson"))
    answers = _json_object(text(answers, "response_json")) or answers
    chosen = first_text(answers, "id", "selectedId", "selectedRowId")
    title = words or first_text(answers, "display_text", "title")
    if chosen or not set(answers) - {"flow_token"}:
        return choice(title, chosen, text(answers, "description"))
    return form(words, text(flow, "name"), answers)


def _json_object(words: str) -> dict[str, Any]:
    value = nested_json.read(words)
    return value if isinstance(value, dict) else {}


def _place(part: Any) -> Content:
    return location(
        field(part, "degreesLatitude"),
        field(part, "degreesLongitude"),
        first_text(part, "comment", "caption"),
        name=text(part, "name"),
        address=text(part, "address"),
        url=text(part, "url"),
    )


def _contact(part: Any) -> Content:
    return contacts([(text(part, "displayName"), text(part, "vcard"))])


def _contact_list(part: Any) -> Content:
    return contacts([(text(card, "displayName"), text(card, "vcard")) for card in get_objects(field(part, "contacts"))])


def as_order(part: Any) -> Content:
    """An order, whose members are called the same in the page."""
    total = integer(field(part, "totalAmount1000"))
    return order(
        text(part, "message"),
        text(part, "orderId"),
        text(part, "orderTitle"),
        integer(field(part, "itemCount")),
        total=total and total / 1000,
        currency=text(part, "totalCurrencyCode"),
    )


def as_product(item: Any, question: str) -> Content:
    """A product and what is asked about it; the same."""
    price = integer(field(item, "priceAmount1000"))
    return product(
        question,
        id=first_text(item, "retailerId", "productId"),
        title=text(item, "title"),
        description=text(item, "description"),
        price=price and price / 1000,
        currency=text(item, "currencyCode"),
        url=text(item, "url"),
    )


def _product(part: Any) -> Content:
    return as_product(field(part, "product"), text(part, "body"))


def _poll(part: Any) -> Content:
    options = [first_text(option, "optionName", "name") for option in get_objects(field(part, "options"))]
    return poll(text(part, "name"), [option for option in options if option])


def _vote(part: Any) -> Content | None:
    """A vote that the gateway has decrypted; others are secrets between phones."""
    votes = field(part, "vote", "selectedOptions")
    names = (
        [vote if isinstance(vote, str) else first_text(vote, "optionName", "name") for vote in votes]
        if isinstance(votes, list)
        else []
    )
    return vote("", names, text(part, "pollCreationMessageKey", "id")) if all(names) and names else None


def _event(part: Any) -> Content:
    place = first_text(field(part, "location"), "name", "address")
    name = text(part, "name") + (" (canceled)" if field(part, "isCanceled") is True else "")
    return event(name, text(part, "description"), place, integer(field(part, "startTime")))


#: The forms of a template, one of which its message is.
_TEMPLATES = ("hydratedTemplate", "hydratedFourRowTemplate", "interactiveMessageTemplate", "fourRowTemplate")


def _template(part: Any) -> Content:
    """What other businesses' programs send: a text with buttons. whatsmeow keeps it one level deeper."""
    forms = (field(holder, name) for holder in (part, field(part, "Format")) for name in _TEMPLATES)
    return unknown("templateMessage", next((form for form in forms if isinstance(form, dict)), part))


def _rich_response(part: Any) -> Content:
    """What Meta's AI wrote, and somebody forwards."""
    words = [said for one in get_objects(field(part, "submessages")) if (said := text(one, "messageText"))]
    return Content("\n".join(words)) if words else unknown("richResponseMessage", part)


def _with_buttons(part: Any) -> Content:
    """A text with buttons, cards with one each, or a key to pay to (Pix), which somebody sends without a word."""
    inside = next((one for one in (part, field(part, "interactiveMessage")) if field(one, "nativeFlowMessage")), part)
    cards = field(part, "carouselMessage", "cards") or field(part, "interactiveMessage", "carouselMessage", "cards")
    said = [text(card, *path) for card in (part, *get_objects(cards)) for path in (("header", "title"), ("body", "text"))]
    buttons = get_objects(field(inside, "nativeFlowMessage", "buttons"))
    words = "\n".join(filter(None, (*said, *(key for button in buttons for key in _keys_to_pay_to(button)))))
    return Content(words) if words else unknown("interactiveMessage", part)


def _keys_to_pay_to(button: Any) -> list[str]:
    settings = get_objects(_json_object(text(button, "buttonParamsJson")).get("payment_settings"))
    codes = [field(one, "pix_static_code") for one in settings]
    return [f"Pix: {key}, {text(code, 'merchant_name')}".rstrip(", ") for code in codes if (key := text(code, "key"))]


def _menu(part: Any) -> Content:
    """A list to choose from: its title, and what it is about."""
    words = "\n".join(filter(None, (text(part, "title"), text(part, "description"))))
    return Content(words) if words else unknown("listMessage", part)


#: Wrappers of files. WhatsApp gives what is to be seen once to the phone only, and an empty one to everybody else.
OF_FILES = ("viewonce", "documentwithcaption", "lottiesticker")


def unknown(name: str, part: Any) -> Content:
    """A kind that is new to us; without words it is kept for people, for it may be anything but a file."""
    words = next((found for word in _WORDS if (found := text(part, word) or text(part, word, "text"))), "")
    kind, label = Kind.MEDIA if name.lower().startswith(OF_FILES) else Kind.SYSTEM, name.partition("Message")[0][:40]
    return Content(words) if words else Content(kind=kind, label=label)


READERS: dict[str, Callable[[Any], Content | None]] = {
    "conversation": _text,
    "extendedtextmessage": _text,
    "imagemessage": _file(MediaKind.IMAGE, "image"),
    "stickerpackmessage": lambda _: Content(kind=Kind.MEDIA, label="sticker"),
    "stickermessage": _file(MediaKind.STICKER, "sticker"),
    "audiomessage": _file(MediaKind.AUDIO, "audio"),
    "videomessage": _file(MediaKind.VIDEO, "video"),
    "ptvmessage": _file(MediaKind.VIDEO, "video"),
    "documentmessage": _file(MediaKind.DOCUMENT, "document"),
    "buttonsresponsemessage": _button,
    "templatebuttonreplymessage": _button,
    "listresponsemessage": _list_row,
    "interactiveresponsemessage": answer_of_flow,
    "locationmessage": _place,
    "livelocationmessage": _place,
    "contactmessage": _contact,
    "contactsarraymessage": _contact_list,
    "ordermessage": as_order,
    "productmessage": _product,
    **{f"pollcreationmessage{version}": _poll for version in ("", "v2", "v3", "v4", "v5", "v6")},
    "pollupdatemessage": _vote,
    "eventmessage": _event,
    "templatemessage": _template,
    "listmessage": _menu,
    "interactivemessage": _with_buttons,
    "richresponsemessage": _rich_response,
    "highlystructuredmessage": lambda part: _template(field(part, "hydratedHsm")),
}
