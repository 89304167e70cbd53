"""What each channel carries of files: the way that a file goes, and what is refused in words."""

from __future__ import annotations

import pytest

from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, OutboundFile, chosen_way, most_bytes, way_for, ways_of
from shared.channels.registry import CHANNELS, UnknownChannel
from shared.errors import PermanentRefusal
from shared.media.kinds import mime_of

IMAGE, VOICE, AUDIO, VIDEO, DOCUMENT, STICKER = MediaKind


@pytest.mark.parametrize("name", CHANNELS)
def test_each_channel_says_what_it_carries(name: str) -> None:
    assert ways_of(name)
    assert way_for(name, DOCUMENT, "application/pdf", 9_000_000)
    assert way_for(name, IMAGE, "image/jpeg", 9_000_000)


def test_an_unknown_channel_carries_nothing() -> None:
    with pytest.raises(UnknownChannel):
        ways_of("pigeon")


@pytest.mark.parametrize(
    ("channel", "kind", "mime", "size", "way", "caption"),
    [
        ("whatsapp_cloud", IMAGE, "image/jpeg", 5 * MEGABYTE, "image", 1_024),
        ("whatsapp_cloud", IMAGE, "image/jpeg", 5 * MEGABYTE + 1, "document", 1_024),
        ("whatsapp_cloud", IMAGE, "image/gif", 1, "document", 1_024),
        ("whatsapp_cloud", IMAGE, "image/heic", 1, "document", 1_024),
        ("whatsapp_cloud", DOCUMENT, "image/jpeg", 1, "document", 1_024),  # chosen so, by who sends it
        ("whatsapp_cloud", VOICE, "audio/ogg; codecs=opus", 1, "audio", 0),
        ("whatsapp_cloud", AUDIO, "audio/wav", 1, "document", 1_024),
        ("whatsapp_cloud", VIDEO, "VIDEO/MP4", 16 * MEGABYTE, "video", 1_024),
        ("whatsapp_cloud", VIDEO, "video/mp4", 16 * MEGABYTE + 1, "document", 1_024),
        ("whatsapp_cloud", STICKER, "image/webp", 1, "sticker", 0),
        ("whatsapp_cloud", DOCUMENT, "application/zip", 100 * MEGABYTE, "document", 1_024),
        ("whatsapp_cloud", DOCUMENT, "application/zip", 100 * MEGABYTE + 1, None, 0),
        ("telegram", IMAGE, "image/png", 10 * MEGABYTE, "sendPhoto", 1_024),
        ("telegram", IMAGE, "image/png", 10 * MEGABYTE + 1, "sendDocument", 1_024),
        ("telegram", IMAGE, "image/gif", 1, "sendAnimation", 1_024),
        ("telegram", VOICE, "audio/ogg", 1, "sendVoice", 1_024),
        ("telegram", VOICE, "audio/webm", 1, "sendDocument", 1_024),
        ("telegram", AUDIO, "audio/mpeg", 1, "sendAudio", 1_024),
        ("telegram", VIDEO, "video/mp4", 50 * MEGABYTE, "sendVideo", 1_024),
        ("telegram", VIDEO, "video/webm", 50 * MEGABYTE, "sendDocument", 1_024),
        ("telegram", STICKER, "image/webp", 1, "sendSticker", 0),
        ("telegram", DOCUMENT, "text/csv", 50 * MEGABYTE + 1, None, 0),
        ("whatsapp_qr", IMAGE, "image/webp", 1, "document", 1_024),
        ("whatsapp_qr", VOICE, "audio/ogg", 1, "voice", 0),
        ("whatsapp_qr", AUDIO, "audio/mpeg", 1, "document", 1_024),
        ("whatsapp_qr", DOCUMENT, "application/pdf", 16 * MEGABYTE + 1, None, 0),
        ("widget", AUDIO, "audio/webm", 1, "file", 16_000),
        ("widget", VIDEO, "video/mp4", 1, None, 0),
    ],
)
def test_the_way_of_a_file(channel: str, kind: MediaKind, mime: str, size: int, way: str | None, caption: int) -> None:
    found = way_for(channel, kind, mime, size)
    assert (found.name, found.max_caption) == (way, caption) if found else way is None


def test_what_a_channel_does_not_take_is_refused_in_words() -> None:
    large = OutboundFile(DOCUMENT, "application/pdf", "a.pdf", bytes(16 * MEGABYTE + 1))
    with pytest.raises(PermanentRefusal, match=r"^WhatsApp \(QR\) takes files of up to 16 MB$") as refusal:
        chosen_way("whatsapp_qr", large, "")
    assert refusal.value.error_code == "media_failed"
    with pytest.raises(PermanentRefusal, match=r"^Website takes no files of the type video/mp4$"):
        chosen_way("widget", OutboundFile(VIDEO, "video/mp4", "a.mp4", b"x"), "")
    assert (most_bytes("telegram", IMAGE, "image/png"), most_bytes("widget", VIDEO, "video/mp4")) == (50 * MEGABYTE, 0)


def test_a_caption_is_counted_as_providers_do() -> None:
    way = way_for("telegram", IMAGE, "image/png", 1)
    assert way
    assert way.has_room_for("🙂" * 512)
    assert not way.has_room_for("🙂" * 512 + "!")


def test_a_text_that_does_not_fit_is_refused_and_not_lost() -> None:
    with pytest.raises(PermanentRefusal, match=r"^WhatsApp takes at most 0 characters of text with such a file$"):
        chosen_way("whatsapp_cloud", OutboundFile(VOICE, "audio/ogg", "a.ogg", b"x"), "Listen!")


@pytest.mark.parametrize(("channel", "has_parts"), [("whatsapp_qr", False), ("whatsapp_cloud", True), ("telegram", True)])
def test_how_much_text_a_file_may_have(channel: str, has_parts: bool) -> None:
    way = way_for(channel, IMAGE, "image/png", 1)
    assert way
    assert way.takes_text("🙂" * 512)
    assert way.takes_text("🙂" * 512 + "!") is has_parts


def test_the_bytes_of_a_file_are_in_no_log() -> None:
    assert "secret" not in repr(OutboundFile(DOCUMENT, mime_of(b"secret", None), "a.txt", b"secret"))
