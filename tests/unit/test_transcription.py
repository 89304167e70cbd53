"""Voice notes as words: what is sent, what comes back, and how it fails."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared.ai import transcription
from shared.ai.transcription import NotTranscribed, Transcriber, Transcript, named, transcribe
from shared.errors import PermanentRefusal

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


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("", ""),
        ("  ", ""),
        ("...", ""),
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
