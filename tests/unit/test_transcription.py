"""Voice notes as words: what is sent, what comes back, and how it fails."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared.ai import transcription
from shared.ai.failures import NotTranscribed
from shared.ai.transcription import Transcriber, Transcript, named, transcribe
from shared.errors import PermanentRefusal
from shared.media.kinds import mime_of

OGG = b"OggS\x00\x02" + b"\x00" * 8_000

pytestmark = pytest.mark.usefixtures("environment")


def ask(audio: bytes = OGG + "says:Vocês entregam hoje?".encode(), **more: Any) -> Transcript:
    asked = Transcriber(model="whisper-1", base_url=None, api_key=None, language=more.pop("language", None), owner="chatbot 1")
    return transcribe(asked, audio, more.pop("mime", "audio/ogg; codecs=opus"), more.pop("filename", "voice.oga"))


def test_a_voice_note_of_whatsapp_is_heard(simulator: Simulator) -> None:
    assert ask(language="pt") == Transcript("Vocês entregam hoje?", seconds=3)
    [sent] = simulator.record("transcription")
    assert (sent["path"], sent["key"]) == ("/v1/audio/transcriptions", "voice.ogg whisper-1 pt")


@pytest.mark.parametrize(
    ("mime", "filename", "name"),
    [
        ("audio/ogg; codecs=opus", "a.oga", "voice.ogg"),
        ("audio/ogg", None, "voice.ogg"),
        ("AUDIO/MPEG", None, "voice.mp3"),
        ("audio/mp4", None, "voice.m4a"),
        ("application/octet-stream", "x.OGA", "voice.ogg"),
        (None, "x.wav", "voice.wav"),
        ("audio/amr", None, None),
        (None, None, None),
        ("audio/aac", "x.exe", None),
    ],
)
def test_a_file_is_named_for_what_it_is(mime: str | None, filename: str | None, name: str | None) -> None:
    if name is not None:
        assert named(mime, filename) == name
        return
    with pytest.raises(PermanentRefusal, match="no provider takes"):
        named(mime, filename)


def mp4(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + bytes(8)


#: A file's first bytes, what its sender calls it, its name, and the name under which it is transcribed; None: nobody takes it.
KINDS = [
    (OGG, "AUDIO/OGG; CODECS=OPUS", None, "voice.ogg"),
    (OGG, "audio/opus", "PTT-20260101.opus", "voice.ogg"),
    (OGG, None, "voice.oga", "voice.ogg"),
    (OGG, "audio/mpeg", "song.mp3", "voice.ogg"),
    (mp4(b"isom"), "audio/mp4", None, "voice.m4a"),
    (mp4(b"mp42"), "Audio/MP4; codecs=mp4a.40.2", None, "voice.m4a"),
    (mp4(b"M4A "), "audio/x-m4a", "New Recording.m4a", "voice.m4a"),
    (mp4(b"mp42"), None, None, "voice.mp4"),
    (b"ID3\x04", "audio/mpeg", None, "voice.mp3"),
    (b"\xff\xfb\x90", "audio/mp3", None, "voice.mp3"),
    (b"\xff\xfa\x90", "audio/mpeg", None, "voice.mp3"),
    (b"RIFF\x00\x00\x00\x00WAVE", "audio/x-wav", None, "voice.wav"),
    (b"fLaC", "audio/flac", None, "voice.flac"),
    (b"\x1a\x45\xdf\xa3", "AUDIO/WEBM;codecs=opus", None, "voice.webm"),
    (b"\x00\x01", "audio/mpeg", "song.mp3", "voice.mp3"),
    (b"#!AMR\n<", "audio/amr", None, None),
    (b"#!AMR-WB\n", "audio/amr-wb", "note.amr", None),
    (b"#!AMR\n<", "audio/ogg; codecs=opus", "voice.ogg", None),
    (b"\xff\xf1\x50", "audio/aac", "voice.mp3", None),
    (mp4(b"3gp4"), "audio/3gpp", "voice.mp4", None),
    (b"\x00\x01", "audio/x-ms-wma", "song.wma", None),
    (b"\x00\x01", "audio/ogg", None, None),
]


@pytest.mark.parametrize(("head", "said", "filename", "name"), KINDS)
def test_what_a_file_is_decides_and_not_what_it_is_called(
    simulator: Simulator, head: bytes, said: str | None, filename: str | None, name: str | None
) -> None:
    audio, mime = head + b"\x00" * 8_000, mime_of(head, said)
    with pytest.raises(PermanentRefusal, match="no provider takes") if name is None else nullcontext():
        ask(audio, mime=mime, filename=filename)
    assert [sent["key"] for sent in simulator.record("transcription")] == ([f"{name} whisper-1"] if name else []), "not bought"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("", ""),
        ("  ", ""),
        ("...", ""),
        ("\u3164\u2060", ""),
        ("Thanks for watching!", ""),
        ("Legendas pela comunidade Amara.org", ""),
        ("Untertitel der Amara.org-Community", ""),
        ("Obrigado!", "Obrigado!"),
        ("Thank you.", "Thank you."),
        ("  two\n lines ", "two lines"),
        ("x" * 40_000, "x" * 30_000),
    ],
)
def test_what_is_heard_in_silence_is_silence(simulator: Simulator, said: str, text: str) -> None:
    simulator.faults([{"kind": "transcription", "fault": "status", "status": 200, "body": {"text": said}}])
    assert ask().text == text


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"fault": "rate_limit"}, NotTranscribed),
        ({"fault": "status", "status": 503}, NotTranscribed),
        ({"fault": "timeout", "ms": 5_000}, NotTranscribed),
        ({"fault": "reset_after"}, NotTranscribed),
        ({"fault": "garbage"}, NotTranscribed),
        ({"fault": "status", "status": 200, "body": {"words": []}}, NotTranscribed),
        ({"fault": "quota"}, PermanentRefusal),
        ({"fault": "bad_key"}, PermanentRefusal),
        ({"fault": "status", "status": 400, "body": {"error": {"message": "Invalid file format."}}}, PermanentRefusal),
        ({"fault": "status", "status": 413, "body": {"error": {"message": "Maximum content size limit"}}}, PermanentRefusal),
    ],
)
def test_what_may_pass_is_asked_again_and_nothing_else(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], error: type[Exception]
) -> None:
    monkeypatch.setattr(transcription, "TIMEOUT", 1.0)
    simulator.faults([{"kind": "transcription", **fault}])
    with pytest.raises(error, match=r"^transcription: ") as caught:
        ask()
    assert type(caught.value) is error
    assert "says:" not in str(caught.value)


def test_what_is_too_large_for_every_provider_is_not_sent(simulator: Simulator) -> None:
    with pytest.raises(PermanentRefusal, match="more than the 25 MB"):
        ask(b"\x00" * (transcription.MAX_BYTES + 1))
    assert simulator.record("transcription") == []
