"""Pictures in a prompt: who sees them, who is told in words, and what is remembered of a refusal."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared.ai import attachments, profiles, provider
from shared.ai.prompt import Turn

PNG = b"\x89PNG\r\n\x1a\n" + len(b"name\x00a red kettle").to_bytes(4, "big") + b"tEXtname\x00a red kettle" + b"CRC!"
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

pytestmark = pytest.mark.usefixtures("environment")


def ask(simulator: Simulator) -> str:
    asked = provider.Provider(f"{simulator.url}/v1", "sk", "m", 0.3, 500)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "[image]", "pictures": (URL,)},
        {"role": "user", "content": "What is this?"},
    ]
    return provider.complete(asked, messages).text


def test_a_model_that_sees_is_shown_the_picture(simulator: Simulator) -> None:
    assert ask(simulator) == "I see a red kettle."


def test_one_that_does_not_is_told_in_words_and_that_is_remembered(simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "provider", "provider": "without_eyes"}])
    for requests in (2, 3):
        assert "I see" not in ask(simulator)
        assert len(simulator.record("ai")) == requests
    assert profiles.of(f"{simulator.url}/v1", "m") == {"pictures": None}


@pytest.mark.parametrize(
    ("status", "words", "is_remembered"),
    [
        (404, "No endpoints found that support image input", True),
        (400, "gpt-3.5-turbo is not a multimodal model", True),
        (422, "messages.1.content: Input should be a valid string", True),
        (500, "image input is not supported - hint: you may need to provide the mmproj", True),
        (400, "Failed to load image: vision is not enabled", True),
        (400, "image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes", False),
        (400, "You uploaded an unsupported image; could not process image", False),
    ],
)
def test_what_is_wrong_with_one_picture_says_nothing_of_the_model(
    simulator: Simulator, status: int, words: str, is_remembered: bool
) -> None:
    body = {"error": {"message": words, "type": "invalid_request_error"}}
    simulator.faults([{"kind": "ai", "fault": "status", "status": status, "body": body, "match": "image_url"}])
    assert "I see" not in ask(simulator)
    assert ("pictures" in profiles.of(f"{simulator.url}/v1", "m")) is is_remembered


def file(**more: Any) -> dict[str, Any]:
    return {"text": None, "filename": None, "mime": "image/png", "size": 100, "storage_key": "k", **more}


def test_the_newest_pictures_go_along_and_documents_are_read() -> None:
    history = [Turn("user", f"[image] {number}", float(number), None, [file(storage_key=str(number))]) for number in range(9)]
    history.append(Turn("user", "See", 9.0, None, [file(text="Tea: 5", filename="prices.pdf", mime="application/pdf")]))
    told = attachments.attached(history, lambda key: key.encode())
    assert [len(turn.pictures) for turn in told] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert told[8].pictures == ("data:image/png;base64,OA==",)
    assert told[9].text == "See\n\n<document name='prices.pdf'>\nTea: 5\n</document>"
    assert not any(turn.pictures for turn in attachments.attached(history, None)), "its models cannot see"
    assert (attachments.bytes_of(history), attachments.bytes_of(history[:1])) == (400, 100)
    colleagues = [Turn("assistant", "[image]", 1.0, "a colleague", [file()])]
    assert attachments.attached(colleagues, {"k": PNG}.get)[0].pictures == (), "providers take pictures of users only"


@pytest.mark.parametrize("more", [{"size": 5_000_000}, {"mime": "image/heic"}, {"storage_key": None}, {"storage_key": "gone"}])
def test_what_cannot_be_shown_is_not(more: dict[str, Any]) -> None:
    [turn] = attachments.attached([Turn("user", "[image]", 1.0, None, [file(**more)])], {"k": PNG}.get)
    assert turn.pictures == ()
