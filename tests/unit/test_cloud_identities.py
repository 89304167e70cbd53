"""Whose a message of Meta's webhook is, and which names of its customer the payload tells."""

from __future__ import annotations

from typing import Any

import pytest

from shared.channels.inbound import IdentityLearnt, IgnoredItem, InboundMessage
from shared.channels.whatsapp_cloud.webhook import parse_body, parse_change

PHONE, BSUID = "4915112345", "DE.1502576394655843"
WITH_NINE, WITHOUT = "5511912345678", "551112345678"


def text(**names: str) -> dict[str, Any]:
    """A message."""
    return {"id": "wamid.1", "type": "text", "timestamp": "1784232425", "text": {"body": "Oi"}} | {
        {"sender": "from", "sender_user_id": "from_user_id", "parent": "from_parent_user_id"}[name]: value
        for name, value in names.items()
    }


def contact(name: str = "Ana", **names: str) -> dict[str, Any]:
    """A contact."""
    return {"profile": {"name": name}, **names}


def card(*phones: dict[str, str], origin: str) -> dict[str, Any]:
    """A contact card of somebody who is known by user id."""
    shared = {"name": {"formatted_name": "Ana"}, "phones": list(phones), "origin": origin}
    return {**text(sender_user_id=BSUID), "type": "contacts", "contacts": [shared]}


#: Messages and contacts of a change, and of each message: its customer's name, other names, profile name.
TOLD: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, tuple[str, ...], str]]]] = {
    "a phone": ([text(sender=PHONE)], [contact(wa_id=PHONE)], [(PHONE, (), "Ana")]),
    "no contact": ([text(sender=PHONE, sender_user_id=BSUID)], [], [(PHONE, (BSUID,), "")]),
    "a user id beside wa_id": ([text(sender=PHONE)], [contact(wa_id=PHONE, user_id=BSUID)], [(PHONE, (BSUID,), "Ana")]),
    "a user id alone": ([text(sender_user_id=BSUID)], [contact(user_id=BSUID)], [(BSUID, (), "Ana")]),
    "a user id, and the contact's phone": ([text(sender_user_id=BSUID)], [contact(wa_id=PHONE, user_id=BSUID)],
        [(BSUID, (PHONE,), "Ana")]),
    "a user id of linked portfolios alone": ([text(parent="DE.ENT.1")], [contact(parent_user_id="DE.ENT.1")],
        [("DE.ENT.1", (), "Ana")]),
    "a user id of linked portfolios, and a contact's phone": ([text(parent="DE.ENT.1")], [contact(wa_id=PHONE)],
        [(PHONE, ("DE.ENT.1",), "Ana")]),
    "a user id, and that of linked portfolios": (
        [text(sender_user_id=BSUID, parent="DE.ENT.1")], [contact(user_id=BSUID, parent_user_id="DE.ENT.1")],
        [(BSUID, ("DE.ENT.1",), "Ana")]),
    "a message that names nobody": ([text()], [contact(wa_id=PHONE, user_id=BSUID)], [(PHONE, (BSUID,), "Ana")]),
    "the ninth digit": ([text(sender=WITH_NINE)], [contact(wa_id=WITHOUT)], [(WITH_NINE, (WITHOUT,), "Ana")]),
    "the ninth digit, the other way": ([text(sender=WITHOUT)], [contact(wa_id=WITH_NINE)], [(WITHOUT, (WITH_NINE,), "Ana")]),
    "another form that nobody knows": ([text(sender="99123")], [contact(wa_id="990123")], [("99123", ("990123",), "Ana")]),
    "the ninth digit among others": (
        [text(sender=WITH_NINE), text(sender=PHONE), text(sender="5215512345678"), text(sender="5491123456789")],
        [contact("Eva", wa_id="525512345678"), contact("Rui", wa_id=PHONE), contact(wa_id=WITHOUT, user_id=BSUID),
         contact("Leo", wa_id="541123456789")],
        [(WITH_NINE, (WITHOUT, BSUID), "Ana"), (PHONE, (), "Rui"), ("5215512345678", ("525512345678",), "Eva"),
         ("5491123456789", ("541123456789",), "Leo")],
    ),
    "a number that was asked for": ([card({"wa_id": PHONE}, origin="contact_request")], [contact(user_id=BSUID)],
        [(BSUID, (PHONE,), "Ana")]),
    "a number that was asked for, without WhatsApp": ([card({"phone": f"+{PHONE}"}, origin="contact_request")],
        [contact(user_id=BSUID)], [(BSUID, (), "Ana")]),
    "somebody else's card": ([card({"wa_id": PHONE}, origin="other")], [contact(user_id=BSUID)], [(BSUID, (), "Ana")]),
    "one contact, and two senders": ([text(sender=PHONE), text(sender="4477")], [contact(wa_id=PHONE)],
        [(PHONE, (), "Ana"), ("4477", (), "")]),
    "two contacts, none of them the sender": ([text(sender="4477")], [contact(wa_id=PHONE), contact(wa_id="4478")],
        [("4477", (), "")]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_a_message_tells_the_names_of_its_customer_and_of_nobody_else(case: str) -> None:
    messages, contacts, expected = TOLD[case]
    items = parse_change({"metadata": {"phone_number_id": "1"}, "messages": messages, "contacts": contacts}).items
    seen = []
    for item in items:
        assert isinstance(item, InboundMessage)
        seen.append((item.external_user_id, item.identities, item.metadata.get("profile_name", "")))
    assert seen == expected


@pytest.mark.parametrize(
    ("update", "learnt"),
    [
        ({"wa_id": PHONE, "user_id": {"previous": "DE.1", "current": "DE.2"}}, ((("DE.1", "DE.2"),), (PHONE, "DE.2"))),
        ({"user_id": {"previous": "DE.1", "current": "DE.2"}, "detail": "…"}, ((("DE.1", "DE.2"),), ("DE.2",))),
        ({"user_id": "DE.2", "previous_user_id": "DE.1", "wa_id": 49}, ((("DE.1", "DE.2"),), ("49", "DE.2"))),
        ({"wa_id": PHONE, "user_id": {"previous": "DE.1", "current": "DE.1"}}, None),
        ({"wa_id": PHONE, "user_id": {"current": "DE.1"}}, None),
        ({}, None),
    ],
)
def test_a_field_of_its_own_tells_a_new_user_id(update: dict[str, Any], learnt: tuple[Any, Any] | None) -> None:
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, "user_id_update": [update]}
    [batch] = parse_body({"entry": [{"id": "7", "changes": [{"field": "user_id_update", "value": value}]}]})
    [item] = batch.items
    assert batch.account_name == "1"
    if learnt is None:
        assert isinstance(item, IgnoredItem)
    else:
        assert isinstance(item, IdentityLearnt)
        assert (item.changes, item.names) == learnt


#: A system message, its names around, and what is learnt: changes and new names; None: nothing.
CHANGED: dict[str, tuple[dict[str, Any], dict[str, str], tuple[Any, Any] | None]] = {
    "a new number": ({"type": "user_changed_number", "wa_id": "4988"}, {"from": "49"}, ((("49", "4988"),), ("4988",))),
    "as it was called before": ({"type": "customer_changed_number", "new_wa_id": "4988", "customer": "49"}, {"from": "49"},
        ((("49", "4988"),), ("4988",))),
    "reported by the new number": ({"type": "user_changed_number", "wa_id": "4988", "customer": "49"}, {"from": "4988"},
        ((("49", "4988"),), ("4988",))),
    "a new number brings a new user id": (
        {"type": "user_changed_number", "wa_id": "4988", "user_id": "DE.2", "previous_user_id": "DE.1"}, {"from": "49"},
        ((("49", "4988"), ("DE.1", "DE.2")), ("4988", "DE.2"))),
    "a new user id": ({"type": "user_changed_user_id", "user_id": "DE.2", "previous_user_id": "DE.1"}, {},
        ((("DE.1", "DE.2"),), ("DE.2",))),
    "a new user id, the old beside the message": ({"type": "user_changed_user_id", "user_id": "DE.2"}, {"from_user_id": "DE.1"},
        ((("DE.1", "DE.2"),), ("DE.2",))),
    "a new user id of linked portfolios": (
        {"type": "user_changed_user_id", "user_id": "DE.2", "previous_user_id": "DE.1", "parent_user_id": "DE.ENT.2",
         "previous_parent_user_id": "DE.ENT.1"}, {},
        ((("DE.1", "DE.2"), ("DE.ENT.1", "DE.ENT.2")), ("DE.2", "DE.ENT.2"))),
    "a profile name that looks like a change": (
        {"type": "user_changed_user_id", "user_id": "DE.2", "body": "User changed from DE.9 to DE.2 changed from DE.1 to DE.2"},
        {}, None),
    "no change": ({"type": "user_changed_number", "wa_id": "49"}, {"from": "49"}, None),
    "a new security code": ({"type": "customer_identity_changed", "wa_id": "49"}, {"from": "48"}, None),
    "nothing": ({}, {"from": "49"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_name_is_learnt(case: str) -> None:
    system, names, learnt = CHANGED[case]
    raw = {"id": "wamid.1", "type": "system", "timestamp": "1784232425", "system": system, **names}
    [item] = parse_change({"metadata": {"phone_number_id": "1"}, "messages": [raw]}).items
    if learnt is None:
        assert isinstance(item, IgnoredItem)
    else:
        assert isinstance(item, IdentityLearnt)
        assert (item.changes, item.names) == learnt
