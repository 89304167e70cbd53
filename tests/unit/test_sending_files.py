"""A file by each channel: the very bytes arrive, as what they are; and what each provider refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scripts.local.simulator import telegram_files
from scripts.local.simulator.client import Simulator
from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, OutboundFile
from shared.channels.outcomes import AccountDown, ProviderFailed, Slowed
from shared.channels.telegram.send_file import send_file as send_by_telegram
from shared.channels.whatsapp_cloud.files import CARRIES as META_CARRIES
from shared.channels.whatsapp_cloud.send_file import send_file as send_by_meta
from shared.channels.whatsapp_qr import evolution
from shared.channels.whatsapp_qr.dialects import DIALECTS, dialect
from shared.channels.whatsapp_qr.ids import own_id
from shared.channels.whatsapp_qr.waha_content import bare_id
from shared.errors import OutcomeUnknown, PermanentRefusal

IMAGE, VOICE, AUDIO, VIDEO, DOCUMENT, STICKER = MediaKind
OPUS = b"OggS\x00\x02" + bytes(22) + b"OpusHead" + bytes(range(256))
VORBIS = b"OggS\x00\x02" + bytes(22) + b"\x01vorbis" + bytes(range(256))
#: What a form or base64 could change: its own boundaries, line ends, every byte.
BYTES = bytes(range(256)) * 50 + b"\r\n--boundary--\r\n\r\n"
TOKEN = "123456789:" + "a" * 35
PNG = OutboundFile(IMAGE, "image/png", 'Grün & "rot".png', BYTES)
PDF = OutboundFile(DOCUMENT, "application/pdf", "Rechnung 7.pdf", BYTES)
NOTE = OutboundFile(VOICE, "audio/ogg; codecs=opus", "note.ogg", OPUS)


@pytest.fixture(autouse=True)
def outside(environment: dict[str, str], simulator: Simulator) -> Iterator[None]:
    """The simulator is the outside world, and serves the other tests too."""
    yield
    simulator.reset()


def by_meta(file: OutboundFile, caption: str = "", to: str = "491") -> str:
    """Through number 777001."""
    return send_by_meta("777001", "token", to, file, "msg_12", caption)


def by_telegram(file: OutboundFile, caption: str = "", topic: int | None = None, chat: str = "42") -> str:
    """Through a bot."""
    return send_by_telegram(TOKEN, chat, file, caption, topic)


def by_gateway(name: str, file: OutboundFile, caption: str = "", session: str = "s1") -> str:
    """Through a QR gateway."""
    return dialect(name).send_file(session, "key", "491@c.us", file, 12, caption)


def sent_file(simulator: Simulator, kind: str) -> dict[str, Any]:
    """The file that a service got."""
    [row] = [row for row in simulator.record(kind) if row["accepted"]]
    assert row["text"] == row["file"]["caption"]
    return dict(row["file"])


def same_bytes(seen: dict[str, Any], content: bytes) -> bool:
    """Whether a service got just these."""
    return (seen["size"], seen["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


# ----------------------------------------------------------------------------------------------------------------- Meta


@pytest.mark.parametrize(
    ("file", "kind", "mime"),
    [
        (PNG, "image", "image/png"),
        (OutboundFile(IMAGE, "image/jpeg", "a.jpg", bytes(5 * MEGABYTE)), "image", "image/jpeg"),
        (OutboundFile(IMAGE, "image/jpeg", "a.jpg", bytes(5 * MEGABYTE + 1)), "document", "text/plain"),
        (OutboundFile(IMAGE, "image/gif", "a.gif", BYTES), "document", "text/plain"),
        (OutboundFile(VIDEO, "video/mp4", "a.mp4", BYTES), "video", "video/mp4"),
        (PDF, "document", "application/pdf"),
        (OutboundFile(DOCUMENT, "text/csv", "a.csv", BYTES), "document", "text/plain"),
        (OutboundFile(AUDIO, "audio/ogg", "a.ogg", VORBIS), "document", "text/plain"),
    ],
)
def test_meta_gets_a_file_with_its_caption(simulator: Simulator, file: OutboundFile, kind: str, mime: str) -> None:
    wamid = by_meta(file, "Here it is")
    assert wamid.startswith("wamid.")
    seen = sent_file(simulator, "graph")
    assert (seen["kind"], seen["mime"], seen["caption"]) == (kind, mime, "Here it is")
    assert seen["name"] == (file.filename if kind == "document" else f"{kind}.{mime.partition('/')[2]}".replace("jpeg", "jpg"))
    assert same_bytes(seen, file.content)
    [row] = simulator.record("graph")
    assert (row["answered_id"], row["callback_data"], row["path"]) == (wamid, "msg_12", "/v25.0/777001/messages")


@pytest.mark.parametrize(
    ("name", "mime", "uploaded_as"),
    [
        ("Preisliste", "application/pdf", "Preisliste.pdf"),
        ("a.bin", "application/msword", "a.bin.doc"),
        ("A.PDF", "application/pdf", "A.PDF"),
        ("a.csv", "text/csv", "a.csv"),
        ("notes", "text/plain", "notes"),
    ],
)
def test_a_document_is_uploaded_under_a_name_of_its_type_and_keeps_its_own(
    simulator: Simulator, name: str, mime: str, uploaded_as: str
) -> None:
    by_meta(OutboundFile(DOCUMENT, mime, name, BYTES))
    [uploaded] = simulator.record("graph_upload")
    assert (uploaded["file"]["name"], sent_file(simulator, "graph")["name"]) == (uploaded_as, name)


@pytest.mark.parametrize(
    ("file", "kind", "is_voice", "mime", "name"),
    [
        (NOTE, "audio", True, "audio/ogg; codecs=opus", "audio.ogg"),
        (OutboundFile(AUDIO, "audio/ogg", "a.opus", OPUS), "audio", False, "audio/ogg; codecs=opus", "audio.ogg"),
        (OutboundFile(VOICE, "audio/mpeg", "recording", BYTES), "audio", False, "audio/mpeg", "audio.mp3"),
        (OutboundFile(STICKER, "image/webp", "a.png", BYTES), "sticker", False, "image/webp", "sticker.webp"),
    ],
)
def test_meta_gets_sounds_and_stickers_without_a_caption_and_under_names_of_their_types(
    simulator: Simulator, file: OutboundFile, kind: str, is_voice: bool, mime: str, name: str
) -> None:
    by_meta(file)
    seen = sent_file(simulator, "graph")
    assert (seen["kind"], seen["caption"], seen["voice"]) == (kind, "", is_voice)
    [uploaded] = simulator.record("graph_upload")
    assert (uploaded["file"]["kind"], seen["name"]) == (mime, name), "Meta goes by both"
    assert same_bytes(seen, file.content)
    with pytest.raises(PermanentRefusal, match="at most 0 characters"):
        by_meta(file, "Listen!")


@pytest.mark.parametrize(
    ("rule", "expected", "reason"),
    [
        ({"fault": "status", "status": 503, "body": "down"}, ProviderFailed, "provider_failed"),
        ({"fault": "reset_after"}, ProviderFailed, "provider_unreachable"),
        ({"fault": "half"}, ProviderFailed, "provider_unreachable"),
        ({"fault": "garbage"}, ProviderFailed, "media_failed"),
        ({"fault": "status", "status": 400, "body": {"error": {"code": 100, "message": "no"}}}, PermanentRefusal, "media_failed"),
        (
            {"fault": "status", "status": 400, "body": {"error": {"code": 131053, "message": "no"}}},
            ProviderFailed,
            "media_failed",
        ),
    ],
)
def test_whatever_becomes_of_an_upload_nothing_has_left(
    simulator: Simulator, rule: dict[str, Any], expected: type[Exception], reason: str
) -> None:
    simulator.faults([{"kind": "graph_upload", **rule}])
    with pytest.raises(expected) as problem:
        by_meta(PNG)
    assert type(problem.value) is expected
    assert problem.value.error_code == reason  # type: ignore[attr-defined]
    assert not simulator.record("graph")


EXPIRED = {"error": {"code": 190, "message": "Error validating access token"}}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [({"fault": "rate_limit", "retry_after": 7}, Slowed), ({"fault": "status", "status": 401, "body": EXPIRED}, AccountDown)],
)
def test_an_upload_says_as_much_of_the_account_as_a_message(
    simulator: Simulator, rule: dict[str, Any], expected: type[Exception]
) -> None:
    simulator.faults([{"kind": "graph_upload", **rule}])
    with pytest.raises(expected) as problem:
        by_meta(PNG)
    assert expected is AccountDown or problem.value.delay == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["reset_after", "timeout"])
def test_a_message_without_an_answer_may_have_left(simulator: Simulator, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared import config

    monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "3")
    config.reset()
    simulator.faults([{"kind": "graph", "fault": fault}])
    with pytest.raises(OutcomeUnknown):
        by_meta(PNG)
    assert [row["accepted"] for row in simulator.record("graph")] == [True]


@pytest.mark.parametrize("mime", sorted({mime for way in META_CARRIES for mime in way.mimes or ()}))
def test_meta_gets_each_type_under_a_name_that_ends_as_its_own(simulator: Simulator, mime: str) -> None:
    [way] = [way for way in META_CARRIES if mime in (way.mimes or ())]
    by_meta(OutboundFile(min(way.kinds or ()), mime, "it", OPUS))
    assert sent_file(simulator, "graph")["name"].rpartition(".")[0] == way.name


def test_meta_knows_nobody_of_that_number(simulator: Simulator) -> None:
    with pytest.raises(PermanentRefusal, match="131026"):
        by_meta(PDF, to="490000404")


# ------------------------------------------------------------------------------------------------------------- Telegram


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (PNG, "photo"),
        (OutboundFile(IMAGE, "image/png", "a.png", bytes(10 * MEGABYTE + 1)), "document"),
        (OutboundFile(IMAGE, "image/png", "a.png", telegram_files.TOO_LONG), "document"),
        (OutboundFile(IMAGE, "image/gif", "a.gif", BYTES), "animation"),
        (OutboundFile(VIDEO, "video/mp4", "a.mp4", BYTES), "video"),
        (OutboundFile(AUDIO, "audio/mpeg", "a.mp3", BYTES), "audio"),
        (NOTE, "voice"),
        (OutboundFile(DOCUMENT, "image/webp", "a.webp", BYTES), "document"),
        (PDF, "document"),
    ],
)
def test_telegram_gets_a_file_with_its_caption(simulator: Simulator, file: OutboundFile, kind: str) -> None:
    sent = by_telegram(file, "Here it is", topic=7)
    seen = sent_file(simulator, "telegram")
    assert (seen["kind"], seen["caption"], seen["name"]) == (kind, "Here it is", file.filename)
    assert same_bytes(seen, file.content)
    row = simulator.record("telegram")[-1]
    assert (row["key"], row["topic"], row["answered_id"]) == ("42", 7, sent)


def test_a_sticker_of_telegrams(simulator: Simulator) -> None:
    by_telegram(OutboundFile(STICKER, "image/webp", "a.webp", BYTES))
    assert sent_file(simulator, "telegram")["kind"] == "sticker"


def test_a_customer_who_takes_no_voice_notes_gets_a_document(simulator: Simulator) -> None:
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: VOICE_MESSAGES_FORBIDDEN"}
    simulator.faults([{"kind": "telegram", "fault": "status", "status": 400, "body": refusal, "times": 1}])
    by_telegram(NOTE, "Listen!")
    seen = sent_file(simulator, "telegram")
    assert (seen["kind"], seen["caption"]) == ("document", "Listen!")


def test_where_a_topic_is_gone_the_chat_gets_the_file(simulator: Simulator) -> None:
    by_telegram(PDF, topic=1404)
    assert [(row["accepted"], row["topic"]) for row in simulator.record("telegram")] == [(False, 1404), (True, None)]


@pytest.mark.parametrize("fault", ["half", "drip", "garbage"])
def test_what_telegram_took_has_left_whatever_comes_of_the_body(simulator: Simulator, fault: str) -> None:
    simulator.faults([{"kind": "telegram", "fault": fault, **({"ms": 10} if fault == "drip" else {})}])
    assert by_telegram(PDF) in ("", *(row["answered_id"] for row in simulator.record("telegram")))


def test_what_telegram_refuses(simulator: Simulator) -> None:
    with pytest.raises(PermanentRefusal, match="403"):
        by_telegram(PDF, chat="420403")
    with pytest.raises(PermanentRefusal, match=r"^Telegram takes files of up to 50 MB$"):
        by_telegram(OutboundFile(DOCUMENT, "application/zip", "a.zip", bytes(50 * MEGABYTE + 1)))
    simulator.faults([{"kind": "telegram", "fault": "reset_after"}])
    with pytest.raises(OutcomeUnknown) as unknown:
        by_telegram(PDF)
    assert unknown.value.__cause__ is None
    assert TOKEN not in str(unknown.value)


# ----------------------------------------------------------------------------------------------------------- QR gateways


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (PNG, "image"),
        (OutboundFile(VIDEO, "video/mp4", "a.mp4", BYTES), "video"),
        (OutboundFile(AUDIO, "audio/mpeg", "a.mp3", BYTES), "document"),
        (OutboundFile(IMAGE, "image/gif", "a.gif", BYTES), "document"),
        (PDF, "document"),
    ],
)
def test_a_gateway_gets_a_file_with_its_caption(simulator: Simulator, name: str, file: OutboundFile, kind: str) -> None:
    caption = 'Here "it" is: \\u0000'
    sent = by_gateway(name, file, caption)
    seen = sent_file(simulator, name)
    assert (seen["kind"], seen["caption"]) == (kind, caption)
    assert same_bytes(seen, file.content)
    if name == "waha":
        assert sent == bare_id(simulator.record(name)[0]["answered_id"])
        assert (seen["name"], seen["mime"]) == (file.filename, file.mime)
    else:
        assert sent == own_id(12), "an echo of it is known for ours"
        assert kind != "document" or (seen["name"], seen["mime"]) == (file.filename, file.mime)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(("file", "is_converted"), [(NOTE, False), (OutboundFile(VOICE, "audio/mpeg", "a.mp3", BYTES), True)])
def test_a_gateway_gets_a_voice_note(simulator: Simulator, name: str, file: OutboundFile, is_converted: bool) -> None:
    by_gateway(name, file)
    seen = sent_file(simulator, name)
    assert (seen["kind"], seen["converted"]) == ("voice", is_converted)
    assert is_converted or seen["mime"] == "audio/ogg; codecs=opus"
    assert same_bytes(seen, file.content)


def test_evolution_is_given_a_name_that_says_the_type(simulator: Simulator) -> None:
    by_gateway("evolution", replace(PDF, filename="Rechnung 7"))
    seen = sent_file(simulator, "evolution")
    assert (seen["name"], seen["mime"]) == ("Rechnung 7.pdf", "application/pdf")


def test_a_gateway_that_refuses_ids_gets_the_file_without_one(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolution, "_refuse_ids", set())
    body = {"response": {"message": ['instance is not allowed to have the additional property "messageId"']}}
    simulator.faults([{"kind": "evolution", "fault": "status", "status": 400, "body": body, "times": 1}])
    assert by_gateway("evolution", PDF) != own_id(12)
    assert same_bytes(sent_file(simulator, "evolution"), PDF.content)


@pytest.mark.parametrize("name", DIALECTS)
def test_what_a_gateway_refuses(simulator: Simulator, name: str) -> None:
    with pytest.raises(AccountDown):
        by_gateway(name, PDF, session="stopped-1")
    with pytest.raises(PermanentRefusal, match=r"^WhatsApp \(QR\) takes files of up to 16 MB$"):
        by_gateway(name, OutboundFile(DOCUMENT, "application/zip", "a.zip", bytes(16 * MEGABYTE + 1)))
    simulator.faults([{"kind": name, "fault": "status", "status": 413, "body": {"message": "too large"}}])
    with pytest.raises(PermanentRefusal, match="413"):
        by_gateway(name, PDF)
    simulator.faults([{"kind": name, "fault": "reset_after"}])
    with pytest.raises(OutcomeUnknown):
        by_gateway(name, PDF)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("fault", ["half", "drip", "garbage"])
def test_what_a_gateway_took_has_left_whatever_comes_of_the_body(simulator: Simulator, name: str, fault: str) -> None:
    simulator.faults([{"kind": name, "fault": fault, **({"ms": 10} if fault == "drip" else {})}])
    assert by_gateway(name, PDF) in ("", *(bare_id(row["answered_id"]) for row in simulator.record(name)))
    assert len(simulator.record(name)) == 1
