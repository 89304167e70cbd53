"""media-fetch: what a message came with is there before it is answered, and what cannot be had never costs its answer."""

from __future__ import annotations

from typing import Any

import pytest

from shared import db
from shared.models import Media
from tests.builders import World

PICTURE = {"kind": "image", "mime": "image/jpeg", "source": {"id": "137"}}


def send(world: World, *media: dict[str, Any], **more: Any) -> int:
    """A message with media, saved; its media-fetch job waits."""
    message = world.service.accept_message(
        {
            "chatbot_id": world.chatbot,
            "channel": "whatsapp_cloud",
            "external_user_id": "5511912345678",
            "content": "[image]",
            "external_id": f"wamid.{len(world.messages())}",
            "media": [*media],
            **more,
        }
    ).message_id
    [job] = world.jobs(message_id=message, queue="incoming-messages")
    assert world.run(job["id"]) is None
    return message


def media_of(message: int) -> list[dict[str, Any]]:
    """Its rows."""
    return db.rows(Media.select().where(Media.message == message).order_by(Media.position))


def test_a_message_with_media_goes_to_the_ai_by_way_of_media_fetch(world: World) -> None:
    message = send(world, PICTURE, {**PICTURE, "filename": "b.jpg"})
    rows = media_of(message)
    assert [(row["position"], row["filename"], row["state"]) for row in rows] == [(0, None, "waiting"), (1, "b.jpg", "waiting")]
    assert [job["queue"] for job in world.jobs(message_id=message, state="waiting")] == ["media-fetch"]
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert [job["queue"] for job in world.jobs(message_id=message, state="waiting")] == ["ai-processing"]


def test_a_plain_text_goes_straight_to_the_ai(world: World) -> None:
    world.say("Hello")
    world.run(world.jobs()[0]["id"])
    assert [job["queue"] for job in world.jobs()] == ["incoming-messages", "ai-processing"]


@pytest.mark.parametrize("newer_is_begun", [False, True])
def test_with_a_debounce_a_text_that_came_meanwhile_is_answered_together_with_the_picture(
    world: World, newer_is_begun: bool
) -> None:
    db.rows("update chatbot set debounce_seconds = 60 where id = %s", [world.chatbot])
    send(world, PICTURE)
    text = world.say("Is it broken?", channel="whatsapp_cloud", user="5511912345678", external_id="wamid.text")
    world.run(world.jobs(message_id=text)[0]["id"])
    if newer_is_begun:
        db.rows("update job set state = 'waiting', run_at = null where queue = 'ai-processing'")
        world.claim(world.jobs(queue="ai-processing")[0]["id"])
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert len(world.jobs(queue="ai-processing")) == (2 if newer_is_begun else 1)
    assert text in [job["message_id"] for job in world.jobs(queue="ai-processing")]


def test_a_message_that_was_deleted_needs_no_media(world: World) -> None:
    message = send(world, PICTURE)
    db.rows("delete from message where id = %s", [message])
    [job] = world.jobs(queue="media-fetch")
    assert world.run(job["id"]) is None
    assert world.jobs(queue="media-fetch", state="completed")
    assert not world.jobs(queue="ai-processing")


def test_the_dead_letter_answers_a_message_whose_media_never_came(world: World) -> None:
    message = send(world, PICTURE)
    [job] = world.jobs(queue="media-fetch")
    db.rows("update job set state = 'failed', last_error = 'media: HTTP 503' where id = %s", [job["id"]])
    assert world.dead_letter(job["id"])
    assert [(row["state"], row["error"]) for row in media_of(message)] == [("failed", "media: HTTP 503")]
    assert [job["message_id"] for job in world.jobs(queue="ai-processing")] == [message]
