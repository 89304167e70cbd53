"""Every type of message that Meta reports: what it becomes, and what its siblings do."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.channels.inbound import (
    DeliveryStatus,
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    MalformedItem,
    OwnerChange,
    ReportedError,
    get_time,
)
from shared.channels.kinds import EFFECTS, Author, Kind, MediaKind
from shared.channels.whatsapp_cloud import template_events, webhook
from shared.channels.whatsapp_cloud.messages import READERS, SILENT
from tests.unit.texts import BLANK, SEEN

ANA = "4915112345"


def parsed(*messages: Any, **value: Any) -> list[InboundItem]:
    """The items of a webhook with these messages, or with those of `value`."""
    metadata = {"display_phone_number": "15550001111", "phone_number_id": "900001"}
    change = {"field": "messages", "value": {"metadata": metadata, "messages": list(messages), **value}}
    [batch] = webhook.parse_body({"entry": [{"id": "1", "changes": [change]}]})
    return batch.items


def sent(kind: str, **more: Any) -> dict[str, Any]:
    """A message as Meta reports it."""
    return {"from": ANA, "id": "wamid.1", "timestamp": "1790000000", "type": kind, **more}


def message(kind: str, **more: Any) -> InboundMessage:
    """The one message that a type becomes."""
    [item] = parsed(sent(kind, **more))
    assert isinstance(item, InboundMessage), item
    assert (item.external_user_id, item.external_id, item.sent_at) == (ANA, "wamid.1", 1_790_000_000)
    return item


def interactive(kind: str, **answer: Any) -> dict[str, Any]:
    return sent("interactive", interactive={"type": kind, kind: answer})


def flow(answers: Any, **more: Any) -> dict[str, Any]:
    said = answers if isinstance(answers, str) else json.dumps(answers)
    return interactive("nfm_reply", response_json=said, **{"body": "Sent", "name": "flow", **more})


#: What Meta reports, and the kind and words that it becomes.
READ: list[tuple[str, dict[str, Any], Kind, str]] = [
    ("text", sent("text", text={"body": " Hi\u200d \u05e9\u05dc\u05d5\u05dd "}), Kind.TEXT, "Hi\u200d \u05e9\u05dc\u05d5\u05dd"),
    ("template button", sent("button", button={"payload": "stop", "text": "Parar"}), Kind.CHOICE, "Parar"),
    ("template button without a text", sent("button", button={"payload": "stop"}), Kind.CHOICE, "stop"),
    ("button", interactive("button_reply", id="c1", title="Delivery"), Kind.CHOICE, "Delivery"),
    ("row", interactive("list_reply", id="p1", title="Option 1", description="Blue, 50"), Kind.CHOICE, "Option 1 (Blue, 50)"),
    ("a button yet unknown", interactive("some_reply", id="s1", title="Yes"), Kind.CHOICE, "Yes"),
    ("words yet unknown", interactive("some_reply", body="Here it is"), Kind.TEXT, "Here it is"),
    ("a way to pay that was chosen", interactive("payment_method", payment_method="gpay", reference_id="pm-1"), Kind.FORM,
     "payment_method: gpay\nreference_id: pm-1"),
    ("an address that was given", interactive("address", values={"name": "Ana", "city": "Bonn", "floor": ""}), Kind.FORM,
     "values.name: Ana\nvalues.city: Bonn"),
    ("several that were chosen", interactive("poll_reply", options=["red", "blue"]), Kind.FORM, "options: red, blue"),
    ("live location", sent("live_location", live_location={"latitude": 1.5, "longitude": 2}), Kind.LOCATION, "📍 1.5, 2"),
    ("flow", flow({"name": "Ana", "comment": "please call", "flow_token": "t"}), Kind.FORM, "name: Ana\ncomment: please call"),
    ("address", flow({"values": {"city": "Rio", "no": 7}}, name="address_message"), Kind.FORM, "values.city: Rio\nvalues.no: 7"),
    ("flow that is no object", flow("[1]"), Kind.FORM, "answer: [1]"),
    ("flow that is no JSON", flow("{nothing"), Kind.FORM, "answer: {nothing"),
    ("flow with odd texts", flow('{"a": "x\\u0000\\ud800y", "b": 1e999}'), Kind.FORM, "a: x\ufffd?y\nb: inf"),
    ("flow as an object", interactive("nfm_reply", response_json={"comment": "please call"}), Kind.FORM, "comment: please call"),
    ("row of a list without a type", sent("interactive", interactive={"list_reply": {"id": "p1", "title": "Option 1"}}),
     Kind.CHOICE, "Option 1"),
    ("flow with a file", flow({"photos": [{"id": 79, "mime_type": "image/jpeg", "sha256": "a=", "file_name": "left.jpg"}]}),
     Kind.FORM, "photos: left.jpg"),
    ("flow with null", flow("null"), Kind.FORM, "Sent"),
    ("flow with nothing", flow(""), Kind.FORM, "Sent"),
    ("flow without answers", flow({"flow_token": "t"}), Kind.FORM, "Sent"),
    ("order", sent("order", order={"catalog_id": "c1", "text": "gift-wrap it?", "product_items": [
        {"product_retailer_id": "SKU-7", "quantity": 2, "item_price": 30, "currency": "EUR"}, "odd"]}),
     Kind.ORDER, "gift-wrap it?\n🛒 2 × SKU-7, 30 EUR"),
    ("order without a note", sent("order", order={"product_items": [{"product_retailer_id": "S", "quantity": "3"}]}),
     Kind.ORDER, "🛒 3 × S"),
    ("location", sent("location", location={"latitude": 52.52, "longitude": 13.405, "name": "Shop", "address": "Main St 1"}),
     Kind.LOCATION, "📍 Shop, Main St 1 (52.52, 13.405)"),
    ("coordinates", sent("location", location={"latitude": 0, "longitude": 13.405}), Kind.LOCATION, "📍 0, 13.405"),
    ("contact",
     sent("contacts", contacts=[{"name": {"formatted_name": "Bo Li"}, "phones": [{"phone": "+49 30 1"}, {"wa_id": "49302"}]}]),
     Kind.CONTACT, "👤 Bo Li, +49 30 1, 49302"),
    ("contacts", sent("contacts", contacts=[{"name": {"first_name": "Bo", "last_name": "Li"}}, {"org": {"company": "Acme"}}, {}]),
     Kind.CONTACT, "👤 Bo Li\n👤 Acme"),
    ("contact that is a vCard", sent("contacts", contacts=[{"vcard": "BEGIN:VCARD\nFN:Bo\nTEL:+491\nTEL:+492\nEND:VCARD",
        "phones": []}]), Kind.CONTACT, "👤 Bo, +491, +492"),
    ("contact without a name", sent("contacts", contacts=[{"phones": [{"wa_id": "49301"}]}]), Kind.CONTACT, "👤 49301"),
    ("contact with more", sent("contacts", contacts=[{"name": {"formatted_name": "Cy"}, "urls": [{"url": "https://cy.example"}],
                                                      "addresses": [{"street": "Elm St 5", "city": "Bonn"}]}]),
     Kind.CONTACT, "👤 Cy, Elm St 5, Bonn, https://cy.example"),
    ("caption", sent("image", image={"id": "1", "caption": "quebrou"}), Kind.MEDIA, "quebrou"),
    ("file with a caption", sent("document", document={"id": "1", "caption": "see p. 2"}), Kind.MEDIA, "see p. 2"),
    ("text about a product",
     sent("text", text={"body": "Is it blue?"}, context={"referred_product": {"product_retailer_id": "SKU-7"}}),
     Kind.TEXT, "Is it blue?\n🏷 SKU-7"),
    ("text after an ad", sent("text", text={"body": "Hello!"}, referral={"source_type": "ad", "headline": "Chair 50% off"}),
     Kind.TEXT, "Hello!\n(comes from the ad: Chair 50% off)"),
    ("text after an ad that greeted", sent("text", text={"body": "Yes!"}, referral={
        "source_type": "ad", "headline": "Sofa", "welcome_message": {"text": "Hi, do you want a sofa?"}}),
     Kind.TEXT, "Yes!\n(comes from the ad: Sofa; greeted with: Hi, do you want a sofa?)"),
    ("blanks after an ad", sent("text", text={"body": " "}, referral={"source_type": "ad", "headline": "Sofa"}),
     Kind.TEXT, "(comes from the ad: Sofa)"),
    ("contact with a position",
     sent("contacts", contacts=[{"name": {"formatted_name": "Di"},
                                 "org": {"company": "Acme", "department": "Sales", "title": "Head"}}]),
     Kind.CONTACT, "👤 Di, Acme, Sales, Head"),
    ("a type in capitals", sent("IMAGE", image={"id": "1", "caption": "quebrou"}), Kind.MEDIA, "quebrou"),
    ("a type yet unknown, in capitals", sent("HOLOGRAM", hologram={"caption": "look"}), Kind.TEXT, "look"),
    ("a type yet unknown", sent("hologram", hologram={"caption": "look"}), Kind.TEXT, "look"),
    ("a question of a type yet unknown", sent("poll", poll={"name": "Which size?", "options": [{"name": "S"}]}),
     Kind.TEXT, "Which size?"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "kind", "words"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_what_a_customer_sent_becomes_words(raw: dict[str, Any], kind: Kind, words: str) -> None:
    [item] = parsed(raw)
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.content, "unsupported" in item.metadata) == (kind, words, False)


def test_the_api_gets_it_as_data() -> None:
    [row] = parsed(interactive("list_reply", id="p1", title="One", description="Blue"))
    assert isinstance(row, InboundMessage)
    assert row.data == {"choice": {"id": "p1", "title": "One", "description": "Blue"}}
    [form] = parsed(flow({"date": "2026-12-01", "flow_token": "t1"}))
    assert isinstance(form, InboundMessage)
    assert form.data == {"form": {"name": "flow", "answers": {"date": "2026-12-01", "flow_token": "t1"}}}
    asked = message(
        "text", text={"body": "this one"}, context={"from": "1", "id": "wamid.q"}, referral={"ctwa_clid": "A", "x": {}}
    )
    assert asked.data == {"quoted": {"id": "wamid.q"}, "referral": {"ctwa_clid": "A"}}


@pytest.mark.parametrize("text", SEEN)
def test_a_text_of_which_something_is_seen_stays_as_it_is(text: str) -> None:
    assert message("text", text={"body": text}).content == text


@pytest.mark.parametrize("blank", BLANK)
def test_a_caption_that_nobody_sees_is_none(blank: str) -> None:
    assert message("image", image={"id": "1", "caption": blank}).content == "[image]"


def test_files_of_a_form_are_fetched() -> None:
    left = {"id": 79, "mime_type": "image/jpeg", "sha256": "a=", "file_name": "left.jpg"}
    bill = {"id": "80", "mime_type": "Application/PDF", "file_name": "bill.pdf"}
    [form] = parsed(flow({"photos": [left], "screen": [{"papers": [bill, {"id": "81"}, {"mime_type": "image/png"}]}], "no": 7}))
    assert isinstance(form, InboundMessage)
    assert [(file.kind, file.source, file.filename, file.sha256) for file in form.media] == [
        (MediaKind.IMAGE, {"id": "79"}, "left.jpg", "a="),
        (MediaKind.DOCUMENT, {"id": "80"}, "bill.pdf", None),
    ]
    assert form.kind is Kind.FORM
    [many] = parsed(flow({"photos": [{**left, "id": number} for number in range(30)]}))
    assert isinstance(many, InboundMessage)
    assert len(many.media) == 10


FILES = [
    ("image", {}, MediaKind.IMAGE),
    ("video", {}, MediaKind.VIDEO),
    ("audio", {"voice": True}, MediaKind.VOICE),
    ("audio", {"voice": False}, MediaKind.AUDIO),
    ("audio", {}, MediaKind.AUDIO),
    ("document", {"filename": "nota.pdf"}, MediaKind.DOCUMENT),
    ("sticker", {"animated": True}, MediaKind.STICKER),
]


@pytest.mark.parametrize(("name", "more", "kind"), FILES)
def test_a_file_says_what_it_is_and_where_to_fetch_it(name: str, more: dict[str, Any], kind: MediaKind) -> None:
    file = {"id": "137", "mime_type": "x/y", "sha256": "abc=", "url": "https://lookaside.example/1", "file_size": 9, **more}
    got = message(name, **{name: file})
    [media] = got.media
    assert (got.kind, got.content, got.metadata["unsupported"]) == (Kind.MEDIA, f"[{name}]", name)
    assert (media.kind, media.mime, media.sha256, media.size) == (kind, "x/y", "abc=", 9)
    assert (media.source, media.filename) == ({"id": "137", "url": "https://lookaside.example/1"}, more.get("filename"))


@pytest.mark.parametrize("raw", [case[1] for case in READ], ids=[case[0] for case in READ])
@pytest.mark.parametrize("kind", [None, "", 7])
def test_a_message_that_does_not_say_its_type_is_what_it_has(raw: dict[str, Any], kind: Any) -> None:
    [named], [unnamed] = parsed(raw), parsed({**raw, "type": kind})
    if raw["type"].lower() not in READERS:  # a type yet unknown
        assert isinstance(unnamed, IgnoredItem)
        return
    assert isinstance(named, InboundMessage)
    assert isinstance(unnamed, InboundMessage)
    assert (unnamed.kind, unnamed.content, unnamed.data) == (named.kind, named.content, named.data)


@pytest.mark.parametrize("kind", ["unknown", "", "novelty"])
def test_what_meta_could_not_pass_on_is_a_message_whatever_its_type(kind: str) -> None:
    [item] = parsed(sent(kind, errors=[{"code": 131051, "title": "Unsupported message type"}]))
    assert isinstance(item, InboundMessage)
    assert item.metadata["unsupported"] == (kind or "unknown")


@pytest.mark.parametrize(
    ("kind", "shown"), [("poll_creation", "poll_creation"), ("", "unsupported"), (None, "unsupported"), (7, "7")]
)
def test_what_meta_cannot_pass_on_is_shown_as_what_it_was(kind: Any, shown: str) -> None:
    got = message("unsupported", unsupported={"type": kind}, errors=[{"code": 131060}])
    assert (got.kind, got.content, got.metadata["unsupported"]) == (Kind.MEDIA, f"[{shown}]", shown)


@pytest.mark.parametrize("status", ["captured", "pending", "failed"])
def test_how_a_payment_went_says_nothing_of_the_message_that_asked_for_it(status: str) -> None:
    paid = {"id": "wamid.OUT", "status": status, "type": "payment", "payment": {"reference_id": "order-7"}}
    arrived = {"id": "wamid.OUT", "status": "read", "type": "message"}
    [payment, message] = parsed(messages=[], statuses=[paid, arrived])
    assert (type(payment), type(message)) == (IgnoredItem, DeliveryStatus)


@pytest.mark.parametrize("name", ["messages", "statuses", "errors", "contacts"])
def test_a_list_that_is_null_is_none(name: str) -> None:
    text = sent("text", text={"body": "Hi"})
    items = parsed(**{"messages": [] if name == "messages" else [text], "statuses": [], "errors": [], name: None})
    assert [type(item) for item in items] == ([] if name == "messages" else [InboundMessage])


def test_ids_may_be_numbers() -> None:
    raw = sent("text", text={"body": "Hi"}) | {"from": int(ANA)}
    value = {"metadata": {"phone_number_id": 900001}, "contacts": [{"wa_id": int(ANA), "user_id": "DE.7"}], "messages": [raw]}
    body = {"entry": [{"id": 77, "changes": [{"field": "messages", "value": value}]}]}
    [batch] = webhook.parse_body(body)
    [item] = batch.items
    assert isinstance(item, InboundMessage)
    assert (batch.account_name, item.external_user_id, item.identities) == ("900001", ANA, ("DE.7",))
    assert webhook.businesses_in(body) == {"900001": "77"}
    rejected = {"field": "message_template_status_update", "value": {"event": "REJECTED", "message_template_id": 1}}
    [template] = template_events.updates_in({"entry": [{"id": 77, "changes": [rejected]}]})
    assert (template.waba_id, template.provider_id) == ("77", "1")


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        (name, inside)
        for name in ("image", "audio", "location", "contacts", "order", "text", "interactive", "button", "unsupported")
        for inside in (None, "odd", 7, [], {}, [None], {"x": 1})
        if name != "text" or inside not in ("odd", 7)  # the words themselves
    ],
)
def test_what_somebody_sent_and_nobody_can_read_is_still_a_message(name: str, inside: Any) -> None:
    got = message(name, **{name: inside})
    assert (got.content, got.metadata["unsupported"], got.media) == (f"[{name}]", name, ())


SILENCE: list[dict[str, Any]] = [
    *(sent(name) for name in sorted(SILENT)),
    *(sent("unsupported", unsupported={"type": name}) for name in sorted(SILENT)),
    *(sent("unsupported", unsupported={"type": name}) for name in ("edit", "reaction", "revoke")),
    *(sent("unsupported", unsupported={"type": name}) for name in ("pinned_message", "poll_edit", "event_edit")),
    interactive("call_permission_reply", response="accept", title="You allowed calls"),
    sent("text", text={"body": "hello all"}, group_id="Y2FwaV9ncm91cA"),
    sent("image", image={"id": "1", "caption": "hello"}, group_id="g"),
    sent("text", text={"body": "hello all"}, recipient_type="group"),
    sent("reaction", reaction={"emoji": "👍"}),
    sent("reaction"),
    sent("novelty"),
    sent("novelty", novelty={"state": "on"}),
    sent("text", text={"body": " \n "}),
    *(sent("text", text={"body": blank}) for blank in BLANK),
    sent("text", text={"body": " "}, context={"from": "1", "id": "wamid.0"}),
    sent("text", text={"body": ""}, referral={"source_type": "ad", "source_id": "1202"}),
    sent("novel_pin", novel_pin={"id": "wamid.0", "type": "pin"}),
    sent("edit", edit={"original_message_id": "wamid.0", "message": {"type": "image", "image": {"id": "1"}}}),
    {"from": ANA, "id": "wamid.1"},
]


@pytest.mark.parametrize("raw", SILENCE, ids=lambda raw: f"{raw.get('type')}")
def test_what_nobody_wrote_is_nothing(raw: dict[str, Any]) -> None:
    [item] = parsed(raw)
    assert type(item) is IgnoredItem


def test_what_is_about_an_earlier_message_names_it() -> None:
    [revoke] = parsed(sent("revoke", revoke={"original_message_id": "wamid.0"}))
    assert isinstance(revoke, InboundRevoke)
    assert (revoke.original_id, revoke.external_user_id) == ("wamid.0", ANA)
    [liked, unliked] = parsed(
        sent("reaction", reaction={"message_id": "wamid.0", "emoji": "👍"}), sent("reaction", reaction={"message_id": "wamid.0"})
    )
    assert isinstance(liked, InboundReaction)
    assert isinstance(unliked, InboundReaction)
    assert (liked.message_id, liked.emoji, unliked.emoji) == ("wamid.0", "👍", "")
    for kind in ("edit", "revoke"):
        [odd] = parsed(sent(kind))
        assert isinstance(odd, MalformedItem)


@pytest.mark.parametrize(("raw", "kind", "words"), [case[1:] for case in READ], ids=[case[0] for case in READ])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_edit_says_what_the_message_says_now(raw: dict[str, Any], kind: Kind, words: str, depth: int) -> None:
    now = {name: value for name, value in raw.items() if name not in ("from", "id", "timestamp")}
    for _ in range(depth):
        now = {"type": "edit", "edit": {"original_message_id": "wamid.0", "message": now}}
    [edit] = parsed({**sent("edit"), **now})
    assert isinstance(edit, InboundEdit)
    assert edit.message is not None
    assert (edit.original_id, edit.content, edit.sent_at) == ("wamid.0", words, 1_790_000_000)
    assert (edit.message.external_id, edit.message.kind, edit.message.content) == ("wamid.1", kind, words)


def test_messages_of_one_delivery_come_in_the_order_of_their_times() -> None:
    times = [5, 3, None, "4", 3]
    raws = [sent("text", text={"body": str(number)}, id=f"w{number}", timestamp=time) for number, time in enumerate(times)]
    for order in itertools.permutations(raws):
        texts = [item.content for item in parsed(*order) if isinstance(item, InboundMessage)]
        place = order.index(raws[2])
        before = order[place - 1]["text"]["body"] if place else None
        assert texts.index("2") == (texts.index(before) + 1 if before else 0), "what says no time stays behind its neighbour"
        texts.remove("2")
        assert [texts[0], texts[1]] == (["1", "4"] if order.index(raws[1]) < order.index(raws[4]) else ["4", "1"])
        assert texts[2:] == ["3", "0"]


def test_so_do_the_entries_of_a_delivery() -> None:
    def entry(time: int) -> dict[str, Any]:
        raw = sent("text", text={"body": str(time)}, timestamp=time)
        return {"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "1"}, "messages": [raw]}}]}

    batches = webhook.parse_body({"entry": [entry(30), entry(10), entry(20)]})
    assert [item.raw["timestamp"] for batch in batches for item in batch.items] == [10, 20, 30]


def test_errors_of_metas_own_are_items() -> None:
    [error] = parsed(errors=[{"code": 130429, "title": "Rate limit hit"}])
    assert isinstance(error, ReportedError)
    assert (error.code, error.words) == ("130429", "Rate limit hit")
    for code, logged in (("130429", "130429"), ("to Ana: my address is", ""), ({"text": "hi"}, ""), (None, "")):
        [odd] = parsed(errors=[{"code": code}])
        assert isinstance(odd, ReportedError)
        assert odd.code == logged


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1790000000", 1.79e9), (1790000000, 1.79e9), (1790000000.5, 1_790_000_000.5), (1790000000123, 1_790_000_000.123),
        ("1", 1), ("1790000000123456", 1_790_000_000.123456), (1790000000123456789, 1_790_000_000.123456789),
        ({"low": 1790000000, "high": 0}, 1.79e9), ({"low": "1790000000", "high": "0", "unsigned": True}, 1.79e9),
        ("2026-09-21T14:13:20Z", 1.79e9), ("2026-09-21T16:13:20.500+02:00", 1_790_000_000.5), ("2026-09-21T14:13:20", 1.79e9),
        ({"low": 1}, None), ("2026-99-99", None), (1e40, None),
        (0, None), (-5, None), ("", None), ("soon", None), (True, None), (None, None), ([], None), ("nan", None), ("inf", None),
        (10**400, None),
    ],
)  # fmt: skip
def test_a_time_is_in_seconds_or_none(value: Any, seconds: float | None) -> None:
    assert get_time(value) == seconds


def test_each_kind_has_an_effect() -> None:
    assert EFFECTS.keys() == set(Kind)


_ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "body", "message", "caption"]), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from([*READERS, *SILENT, "edit", "revoke", "reaction", "x"]), _ANY, st.dictionaries(
    st.sampled_from(["context", "referral", "timestamp", "errors", "group_id"]), _ANY, max_size=2))  # fmt: skip
def test_whatever_stands_in_a_message_it_is_one_item_and_no_fault_of_the_parser(
    kind: str, inside: Any, more: dict[str, Any]
) -> None:
    [item] = parsed({**sent(kind, **{kind: inside}), **more})
    assert not (isinstance(item, MalformedItem) and "parser failed" in item.reason)
    if isinstance(item, InboundMessage):
        assert item.content.strip()


def of_field(field: str, **value: Any) -> list[InboundItem]:
    """The items of a change of one of Meta's other fields."""
    change = {"field": field, "value": {"metadata": {"phone_number_id": "900001"}, **value}}
    [batch] = webhook.parse_body({"entry": [{"id": "1", "changes": [change]}]})
    return batch.items


def echo(kind: str, **more: Any) -> InboundItem:
    raw = {"from": "15550001111", "to": ANA, "id": "wamid.E", "timestamp": "1790000000", "type": kind, **more}
    [item] = of_field("smb_message_echoes", message_echoes=[raw])
    return item


def test_what_a_colleague_changes_on_the_phone_is_their_own_message() -> None:
    edited = echo("edit", edit={"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "12 €"}}})
    assert isinstance(edited, InboundEdit)
    assert (edited.original_id, edited.content, edited.author) == ("wamid.0", "12 €", Author.COLLEAGUE)
    deleted = echo("revoke", revoke={"original_message_id": "wamid.0"})
    assert isinstance(deleted, InboundRevoke)
    assert (deleted.original_id, deleted.author) == ("wamid.0", Author.COLLEAGUE)
    assert type(echo("reaction", reaction={"message_id": "wamid.0", "emoji": "👍"})) is IgnoredItem


BUTTONS = {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "Blue"}}]}
PLACES = [{"type": "header", "parameters": []}, {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"text": "7"}]}]
#: What a business sends, and what a person reads of it.
BUSINESS: list[tuple[str, Any, str]] = [
    ("interactive", {"type": "button", "body": {"text": "Which colour?"}, "action": BUTTONS}, "Which colour?"),
    (
        "interactive",
        {"type": "cta_url", "header": {"type": "text", "text": "Chairs"}, "body": {"text": "See"}, "action": {"name": "cta_url"}},
        "Chairs\nSee",
    ),
    (
        "interactive",
        {"type": "list", "header": {"type": "image", "image": {}}, "body": {"text": "Pick"}, "action": {"a": 1}},
        "Pick",
    ),
    ("template", {"name": "order_ready", "language": {"code": "en"}, "components": PLACES}, "order_ready: Ana, 7"),
    ("template", {"name": "hello_world", "language": {"code": "en"}}, "hello_world"),
    ("text", {"body": "We ship today."}, "We ship today."),
]


@pytest.mark.parametrize(("kind", "inside", "words"), BUSINESS)
@pytest.mark.parametrize("recipient", [{"to": ANA}, {"recipient": "DE.77"}, {"to": ANA, "to_user_id": "DE.77"}])
@pytest.mark.parametrize("is_nested", [True, False])
def test_what_another_responder_answered_is_kept_as_its_words(
    kind: str, inside: Any, words: str, recipient: dict[str, str], is_nested: bool
) -> None:
    body = {"messaging_product": "whatsapp", "type": kind, kind: inside, **recipient}
    asked = sent("text", text={"body": "When do you ship?"})
    copies = {"messages": [asked], "message_echoes": [{"id": "wamid.E", "timestamp": "1790000000", "message": body}]}
    items = of_field("standby", **({"standby": copies} if is_nested else copies))
    owners, messages = items[::2], items[1::2]
    assert all(isinstance(item, OwnerChange) and item.owner == "person" for item in owners)
    assert [(item.content, item.author, item.may_answer) for item in messages if isinstance(item, InboundMessage)] == [
        ("When do you ship?", Author.CUSTOMER, False),
        (words, Author.COLLEAGUE, False),
    ]
    names = [(item.external_user_id, *item.identities) for item in messages if isinstance(item, InboundMessage)]
    assert names[1] == tuple(recipient.values())


@pytest.mark.parametrize("is_nested", [True, False])
def test_a_correction_that_another_responder_answers_is_not_answered_here(is_nested: bool) -> None:
    new = {"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "size 42"}}}
    copies = {"messages": [sent("edit", edit=new)]}
    [owner, edit] = of_field("standby", **({"standby": copies} if is_nested else copies))
    assert isinstance(owner, OwnerChange)
    assert isinstance(edit, InboundEdit)
    assert edit.message is not None
    assert (owner.owner, edit.content, edit.message.may_answer) == ("person", "size 42", False)


@pytest.mark.parametrize(("kind", "inside", "words"), BUSINESS)
def test_an_echo_says_what_the_business_sent(kind: str, inside: Any, words: str) -> None:
    item = echo(kind, **{kind: inside})
    assert isinstance(item, InboundMessage)
    assert (item.content, item.author) == (words, Author.COLLEAGUE)
