"""What is no text, in words: what a person and the model read of a location, an order, a pressed button, on any channel.

A message's `data` has the thing itself, as the API shows it. Its members, all optional, as are theirs:

    choice    {id, title, description}                          a button, a row of a list
    form      {name, answers: {question: answer}}               a flow that was filled in
    order     {note, catalog_id, id, items: [{id, name, quantity, price, currency}], total, currency}
    product   {id, catalog_id, title, description, price, currency, url}     the product that a question is about
    location  {latitude, longitude, name, address, url, live}
    contacts  [{name, organization, phones: [text], emails: [text], addresses: [text], urls: [text]}]
    poll      {question, options: [text]}                       a poll that the customer made
    vote      {question, options: [text]}                       what the customer chose in a poll
    event     {name, description, start, place, answer}     an invitation; or what the customer answers to one
    referral  {source_type, source_id, source_url, headline, body, greeting, ctwa_clid}  the ad, post or link that somebody
                                                                comes from; `greeting`: what the ad said first in the chat
    quoted    {id, text, role}     the message that is replied to, as the channel shows it; once saved, as we have it, if we do
    album     id                                                the same in all pictures of an album
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: Answers of a form that are its own book-keeping, and no customer's words.
_NO_ANSWERS = frozenset({"flow_token", "wa_flow_response_params"})
#: Characters of a quoted message that are kept.
MAX_QUOTE = 1_000
#: Levels of a form's answers that are written with their names; what is deeper is written as it is.
_FORM_DEPTH = 4


def in_words(data: Mapping[str, Any], text: str = "") -> str:
    """The customer's own text, then what else the message is made of, a line or more for each; "" if there are no words."""
    descriptions = (describe(data[member]) for member, describe in _DESCRIBERS.items() if data.get(member))
    return "\n".join(part for part in map(str.strip, (text, *descriptions)) if part)


def quoted(message_id: str, text: str) -> dict[str, str]:
    """The member `quoted`: the message that is replied to, and what it says, for we may not have it; {} if neither is known."""
    return {name: value for name, value in (("id", message_id), ("text", text[:MAX_QUOTE])) if value}


def ids(data: Mapping[str, Any]) -> dict[str, str]:
    """The ids among it, which a message's metadata has as well."""
    named = {
        "choice_id": _member(data, "choice", "id"),
        "product_id": _member(data, "product", "id"),
        "catalog_id": _member(data, "order", "catalog_id"),
        "quoted_id": _member(data, "quoted", "id"),
        "referral_id": _member(data, "referral", "source_id"),
        "ctwa_clid": _member(data, "referral", "ctwa_clid"),
    }
    return {name: value[:255] for name, value in named.items() if value}


def _choice(choice: Mapping[str, Any]) -> str:
    title, description = _text(choice, "title"), _text(choice, "description")
    if not title:
        return description or _text(choice, "id")
    return f"{title} ({description})" if description else title


def _form(form: Mapping[str, Any]) -> str:
    answers = form.get("answers")
    return "\n".join(_answers(answers, "", _FORM_DEPTH)) if isinstance(answers, Mapping) else ""


def _answers(answers: Mapping[str, Any], above: str, levels: int) -> Iterable[str]:
    for name, answer in answers.items():
        if name in _NO_ANSWERS or answer in (None, "", [], {}):
            continue
        if isinstance(answer, Mapping) and levels:
            yield from _answers(answer, f"{above}{name}.", levels - 1)
        else:
            yield f"{above}{name}: {_plain(answer)}".strip()


def _order(order: Mapping[str, Any]) -> str:
    lines = [f"🛒 {_plain(item.get('quantity') or 1)} × {_priced(item, 'name', 'id')}" for item in _objects(order.get("items"))]
    total = f"= {_text(order, 'total')} {_text(order, 'currency')}".rstrip() if _text(order, "total") else ""
    return "\n".join(filter(None, [_text(order, "note"), *lines, total]))


def _product(product: Mapping[str, Any]) -> str:
    named = _priced(product, "title", "id")
    return "🏷 " + ", ".join(filter(None, [named, _text(product, "description"), _text(product, "url")]))


def _priced(thing: Mapping[str, Any], *names: str) -> str:
    """Its name and its id in brackets, its price."""
    name, *more = [text for text in dict.fromkeys(_text(thing, name) for name in names) if text] or ["?"]
    price = " ".join(filter(None, [_text(thing, "price"), _text(thing, "currency")])) if _text(thing, "price") else ""
    return name + "".join(f" ({one})" for one in more) + (f", {price}" if price else "")


def _location(location: Mapping[str, Any]) -> str:
    place = ", ".join(filter(None, [_text(location, "name"), _text(location, "address")]))
    latitude, longitude = _text(location, "latitude"), _text(location, "longitude")
    coordinates = f"{latitude}, {longitude}" if latitude and longitude else ""
    where = f"{place} ({coordinates})" if place and coordinates else place or coordinates
    text = " ".join(filter(None, [where, _text(location, "url")]))
    return f"📍 {text}" if text else ""


def _contacts(contacts: Any) -> str:
    lines = []
    for contact in _objects(contacts):
        parts = [_text(contact, "name"), _text(contact, "organization")]
        parts += [_plain(one) for name in ("phones", "emails", "addresses", "urls") for one in contact.get(name) or () if one]
        if any(parts):
            lines.append("👤 " + ", ".join(filter(None, parts)))
    return "\n".join(lines)


def _poll(poll: Mapping[str, Any]) -> str:
    lines = [_text(poll, "question"), *(f"- {_plain(one)}" for one in poll.get("options") or ())]
    return "📊 " + "\n".join(filter(None, lines)) if any(lines) else ""


def _vote(vote: Mapping[str, Any]) -> str:
    chosen = ", ".join(_plain(one) for one in vote.get("options") or ())
    question = _text(vote, "question")
    return f"📊 {question}: {chosen or '—'}" if question else f"📊 {chosen}" if chosen else ""


def _event(event: Mapping[str, Any]) -> str:
    parts = [_text(event, name) for name in ("name", "start", "place", "description", "answer")]
    return "📅 " + ", ".join(filter(None, parts)) if any(parts) else ""


def _referral(referral: Mapping[str, Any]) -> str:
    headline = ": ".join(filter(None, [_text(referral, "headline"), _text(referral, "body")]))
    text = " ".join(filter(None, [headline, _text(referral, "source_url")]))
    if _text(referral, "source_type") == "link":  # its id is what the business wrote into it
        text = text or _text(referral, "source_id")
    said = f"greeted with: {greeting}" if (greeting := _text(referral, "greeting")) else ""
    text = "; ".join(filter(None, [text, said]))
    return f"(comes from the {_text(referral, 'source_type') or 'ad'}: {text})" if text else ""


_DESCRIBERS: dict[str, Callable[[Any], str]] = {
    "choice": _choice,
    "form": _form,
    "order": _order,
    "product": _product,
    "location": _location,
    "contacts": _contacts,
    "poll": _poll,
    "vote": _vote,
    "event": _event,
    "referral": _referral,
}


def _plain(value: Any) -> str:
    """A value as a person writes it: 30, not 30.0; yes, not True."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, Mapping):
        if "mime_type" in value:  # a file that was given with a form
            return _text(value, "file_name") or _text(value, "mime_type")
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    return str(value).strip()


def _text(thing: Mapping[str, Any], name: str) -> str:
    value = thing.get(name)
    return "" if value is None or isinstance(value, list | Mapping) else _plain(value)


def _member(data: Mapping[str, Any], name: str, member: str) -> str:
    thing = data.get(name)
    return _text(thing, member) if isinstance(thing, Mapping) else ""


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
