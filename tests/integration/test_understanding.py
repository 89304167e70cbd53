"""Voice notes become words, documents are read. What says nothing is answered politely, and nothing is paid for twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import transcription
from shared.ai.failures import NotTranscribed
from shared.ai.understanding import understand
from shared.db.credentials import encrypt
from shared.http.bulkhead import MAX_SLOTS, NoRoom, customer_room
from shared.media import in_memory
from shared.media.in_memory import NoRoomInMemory
from shared.models import Chatbot, Media
from tests.builders import World

OGG = b"OggS\x00\x02" + b"\x00" * 4_000
VOICE = "audio/ogg; codecs=opus"
POLITE = "Sorry, I can only read text. Could you write it to me?"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "file"
    place.write_bytes(OGG + b"says:When do you ship?")
    return place


def arrived(world: World, kind: str, mime: str | None, **more: Any) -> dict[str, Any]:
    """A message with a file that is stored; its AI job waits, as media-fetch leaves it."""
    message = world.service.accept_message(
        {
            "chatbot_id": world.chatbot,
            "channel": "whatsapp_cloud",
            "external_user_id": "49123",
            "content": f"[{kind}]",
            "external_id": f"wamid.{len(world.messages())}",
            "metadata": {"unsupported": kind},
            "kind": "media",
        }
    ).message_id
    [job] = world.jobs(message_id=message, queue="incoming-messages")
    assert world.run(job["id"]) is None
    stored = {"state": "stored", "storage_key": "1/ab/abc", "sha256": "a" * 64, "size": 9, **more}
    file = Media.insert(customer=world.customer, message=message, position=0, kind=kind, mime=mime, source={}, **stored)
    return {"id": db.scalar(file.returning(Media.id)), "message": message}


def come_in(world: World, file: dict[str, Any]) -> None:
    """A message with a file that is still to be fetched."""
    kind = file["kind"]
    sent = {"content": f"[{kind}]", "metadata": {"unsupported": kind}, "kind": "media", "media": [file], "external_id": "wamid.1"}
    world.service.accept_message({"chatbot_id": world.chatbot, "channel": "whatsapp_cloud", "external_user_id": "49123", **sent})


def hears(world: World, **more: Any) -> None:
    db.rows(Chatbot.update(transcription_model="whisper-1", **more).where(Chatbot.id == world.chatbot))


def row(media: dict[str, Any]) -> dict[str, Any]:
    [found] = db.rows(Media.select().where(Media.id == media["id"]))
    return found


def reply(world: World) -> str:
    world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")  # a picture may be the first of an album
    world.drain()
    return str(world.messages(role="assistant")[-1]["content"])


def usage(world: World) -> list[tuple[str, int]]:
    return [(one["kind"], one["quantity"]) for one in db.rows("select * from usage_log where kind = 'transcription'")]


def test_a_voice_note_is_answered_as_if_it_had_been_typed_and_paid_for_once(
    world: World, simulator: Simulator, path: Path
) -> None:
    hears(world)
    note = arrived(world, "voice", VOICE)
    for _ in range(3):  # a job that runs again
        understand(note, path)
    [message] = world.messages(role="user")
    assert message["content"] == row(note)["text"] == "When do you ship?"
    assert message["metadata"] == {"attachment": "voice", "transcription": {"model": "whisper-1", "seconds": 2}}
    again = arrived(world, "voice", VOICE)  # the same file, forwarded
    understand(again, path)
    assert row(again)["text"] == "When do you ship?"
    assert len(simulator.record("transcription")) == 1
    assert usage(world) == [("transcription", 1)]
    assert "within two days" in reply(world)


def test_without_a_transcriber_a_voice_note_is_answered_politely(world: World, simulator: Simulator, path: Path) -> None:
    understand(arrived(world, "voice", VOICE), path)
    assert reply(world) == POLITE
    assert simulator.record("transcription") == []


def test_a_voice_note_that_says_nothing_is_answered_politely_and_was_paid_for(
    world: World, simulator: Simulator, path: Path
) -> None:
    hears(world)
    simulator.faults([{"kind": "transcription", "fault": "status", "status": 200, "body": {"text": " "}}])
    note = arrived(world, "voice", VOICE)
    understand(note, path)
    understand(note, path)
    assert (row(note)["text"], row(note)["error"]) == ("", "nobody says anything in it")
    assert usage(world) == [("transcription", 1)]
    assert reply(world) == POLITE


def test_a_voice_note_that_no_provider_takes_is_answered_politely_and_not_paid_for(
    world: World, simulator: Simulator, path: Path
) -> None:
    hears(world)
    note = arrived(world, "voice", "audio/amr", filename="voice.ogg")
    understand(note, path)
    assert (row(note)["text"], row(note)["error"][:40]) == ("", "transcription: no provider takes audio/a")
    assert reply(world) == POLITE
    assert (simulator.record("transcription"), usage(world)) == ([], [])


def test_a_person_comes_where_the_chatbot_says_so(world: World, path: Path) -> None:
    hears(world, unsupported_hands_over=True, handover_message="A colleague comes.")
    understand(arrived(world, "voice", "audio/amr"), path)
    assert reply(world) == f"{POLITE}\n\nA colleague comes."
    assert db.scalar("select handover_reason from conversation") == "unsupported"
    understand(arrived(world, "voice", "audio/amr"), path)
    world.drain()
    assert len(world.messages(role="assistant")) == 1, "the bot is silent from then on"


def test_a_transcriber_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    world: World, simulator: Simulator, path: Path
) -> None:
    hears(world)
    note = arrived(world, "voice", VOICE)
    simulator.faults([{"kind": "transcription", "fault": "rate_limit", "times": 1}])
    with pytest.raises(NotTranscribed):
        understand(note, path)
    assert (row(note)["text"], row(note)["error"][:23]) == (None, "transcription: HTTP 429")
    understand(note, path)
    assert (row(note)["text"], row(note)["error"]) == ("When do you ship?", None)
    refused = arrived(world, "voice", VOICE, sha256="b" * 64)
    body = {"error": {"message": "Invalid file format."}}
    simulator.faults([{"kind": "transcription", "fault": "status", "status": 400, "body": body}])
    for _ in range(2):
        understand(refused, path)
    assert row(refused)["text"] == ""
    assert "Invalid file format." in row(refused)["error"]
    assert len(simulator.record("transcription")) == 3


def test_a_chatbots_own_transcriber_gets_its_own_key_and_no_other(world: World, simulator: Simulator, path: Path) -> None:
    hears(world, transcription_base_url=f"{simulator.url}/own/v1", transcription_api_key=encrypt("sk-own"))
    understand(arrived(world, "voice", VOICE), path)
    [sent] = simulator.record("transcription")
    assert sent["path"] == "/own/v1/audio/transcriptions"


def test_a_document_is_read_by_whoever_answers(world: World, simulator: Simulator, tmp_path: Path) -> None:
    page = tmp_path / "prices.txt"
    page.write_text("Green tea costs 5 euros.\n" * 3_000, encoding="utf-8")
    document = arrived(world, "document", "text/plain", filename="prices.txt")
    understand(document, page)
    assert row(document)["text"].startswith("Green tea costs 5 euros.")
    assert len(row(document)["text"]) <= 20_000
    claimed = world.claim(world.jobs(queue="ai-processing")[-1]["id"]).loaded
    assert claimed is not None
    [turn] = claimed["history"]
    assert (turn[1], turn[4][0]["text"][:9], claimed["unreadable"]) == ("[document]", "Green tea", False)


@pytest.mark.parametrize(("name", "mime"), [("x.zip", "application/zip"), ("x.pdf", "application/pdf"), ("x.doc", None)])
def test_a_document_that_cannot_be_read_is_answered_politely(world: World, path: Path, name: str, mime: str) -> None:
    document = arrived(world, "document", mime, filename=name)
    understand(document, path)
    assert row(document)["text"] == ""
    assert row(document)["error"]
    assert reply(world) == POLITE


def test_a_transcript_never_takes_longer_than_its_time(
    monkeypatch: pytest.MonkeyPatch, world: World, simulator: Simulator, path: Path
) -> None:
    monkeypatch.setattr(transcription, "TIMEOUT", 2.0)
    hears(world)
    simulator.faults([{"kind": "transcription", "fault": "drip", "times": 1}])
    note = arrived(world, "voice", VOICE)
    with pytest.raises(NotTranscribed):
        understand(note, path)
    monkeypatch.setattr(transcription, "TIMEOUT", 60.0)
    understand(note, path)
    assert row(note)["text"] == "When do you ship?"


def test_a_voice_note_that_comes_in_is_fetched_heard_and_answered(world: World, simulator: Simulator) -> None:
    hears(world)
    simulator.faults([{"kind": "transcription", "fault": "status", "status": 503, "times": 1}])
    come_in(world, {"kind": "voice", "mime": VOICE, "source": {"id": "note-1.oga"}})
    world.drain()
    [job] = world.jobs(queue="media-fetch")
    assert (job["state"], job["last_error"]) == ("delayed", "NotTranscribed: transcription: HTTP 503")
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job["id"]])
    assert "within two days" in reply(world)
    assert [one["text"] for one in simulator.record("transcription") if one["accepted"]] == ["When do you ship?"]
    assert len(simulator.record("graph_media")) == 2, "a file that is stored is not fetched again"


def test_what_the_gateway_has_heard_itself_is_not_paid_for_again(world: World, simulator: Simulator) -> None:
    hears(world)
    heard = {"kind": "voice", "mime": VOICE, "source": {"id": "note-1.oga"}, "text": "When do you ship?"}
    sent = {"content": "When do you ship?", "metadata": {"attachment": "audio"}, "kind": "media", "media": [heard]}
    user = {"chatbot_id": world.chatbot, "channel": "whatsapp_cloud", "external_user_id": "49123", "external_id": "wamid.1"}
    world.service.accept_message(user | sent)
    assert "within two days" in reply(world)
    assert not simulator.record("transcription")
    [kept] = db.rows("select state, text from media")
    assert kept == {"state": "stored", "text": "When do you ship?"}


#: Hears a voice note, and is killed before anything follows from it.
KILLED = """
import os, signal, sys
from pathlib import Path
from shared.ai import understanding
understanding.metrics.increment = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
understanding.understand({"id": int(sys.argv[1])}, Path(sys.argv[2]))
"""


def test_a_worker_that_is_killed_behind_the_transcript_has_paid_for_it_once(
    world: World, simulator: Simulator, root: Path, path: Path
) -> None:
    hears(world)
    note = arrived(world, "voice", VOICE)
    command = [sys.executable, "-c", KILLED, str(note["id"]), str(path)]
    assert subprocess.run(command, cwd=root, timeout=120, check=False).returncode == -signal.SIGKILL
    understand(note, path)
    assert len(simulator.record("transcription")) == 1
    assert usage(world) == [("transcription", 1)]
    assert "within two days" in reply(world)


def test_a_transcriber_that_hangs_keeps_its_own_business_waiting_and_not_for_long(world: World, simulator: Simulator) -> None:
    from workers import media_fetch  # which needs settings

    hears(world)
    come_in(world, {"kind": "voice", "mime": VOICE, "source": {"id": "note-1.oga"}})
    with ExitStack() as calls:
        with suppress(NoRoom):
            for _ in range(MAX_SLOTS + 1):
                calls.enter_context(media_fetch._bulkhead.slot(customer_room(world.customer), age=0.0))
        world.drain()
        [job] = world.jobs(queue="media-fetch")
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        later = "update job set state = 'waiting', run_at = null, created_at = now() - interval '10 minutes' where id = %s"
        db.rows(later, [job["id"]])
        assert reply(world) == POLITE
    assert simulator.record("transcription") == []


def test_large_voice_notes_are_heard_one_after_the_other_and_other_businesses_do_not_wait(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in memory several times over while a transcriber takes its minute, and one visitor may send a hundred."""
    monkeypatch.setattr(in_memory, "MOST_OF_ONE", 100)
    hears(world)
    come_in(world, {"kind": "voice", "mime": VOICE, "source": {"id": "note-1.oga"}})
    with in_memory.hold(world.customer, 100, 0.0):
        world.drain()
        [job] = world.jobs(queue="media-fetch")
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        with in_memory.hold("another one", 100, 0.0):
            pass
    assert reply(world) != POLITE
    assert len(simulator.record("transcription")) == 1


def test_large_pictures_are_shown_one_after_the_other(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "MOST_OF_ONE", 40)
    db.rows(Chatbot.update(can_see=True))
    come_in(world, {"kind": "image", "mime": "image/png", "source": {"id": "red-kettle.png"}})
    with in_memory.hold(world.customer, 40, 0.0):
        world.drain()
        [job] = world.jobs(queue="ai-processing")
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        assert simulator.record("ai") == []
    assert "I see red-kettle.png." in reply(world)


def test_who_waits_for_room_for_a_picture_takes_nobodys_turn(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMIT_AI_PROCESSING", "1/1h")
    config.reset()
    db.rows(Chatbot.update(can_see=True))
    come_in(world, {"kind": "image", "mime": "image/png", "source": {"id": "red-kettle.png"}})
    world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")  # a picture may be the first of an album
    with in_memory.hold(world.customer, in_memory.MOST_OF_ONE, 0.0):
        world.drain()
        assert [world.jobs(queue=queue)[0]["state"] for queue in ("media-fetch", "ai-processing")] == ["completed", "delayed"]
    assert "I see red-kettle.png." in reply(world), "the one turn that there is was left for it"


def test_an_old_picture_does_not_wait_half_its_age_for_room() -> None:
    with in_memory.hold(1, in_memory.MOST, 0.0), pytest.raises(NoRoomInMemory) as full, in_memory.hold(1, 1, 3600.0):
        pass
    assert full.value.delay == in_memory.LONGEST_WAIT


def test_a_file_that_is_larger_than_all_room_goes_alone() -> None:
    with in_memory.hold(1, in_memory.MOST + 1, 0.0):
        for customer in (1, 2):
            with pytest.raises(NoRoomInMemory), in_memory.hold(customer, in_memory.LARGE, 0.0):
                pass
        with pytest.raises(NoRoomInMemory), in_memory.hold(1, 1, 0.0):
            pass
        with in_memory.hold(2, in_memory.LARGE - 1, 0.0), in_memory.hold(1, 0, 0.0):
            pass
    with in_memory.hold(2, in_memory.MOST_OF_ONE, 0.0), in_memory.hold(1, in_memory.MOST_OF_ONE, 0.0):
        pass


@pytest.mark.parametrize(
    ("can_see", "provider", "answer"),
    [
        (True, None, "I see red-kettle.png."),
        (True, "without_eyes", "a colleague will get back to you"),
        (False, None, POLITE),
    ],
)
def test_a_picture_is_shown_to_models_that_see(
    world: World, simulator: Simulator, can_see: bool, provider: str | None, answer: str
) -> None:
    db.rows(Chatbot.update(can_see=can_see))
    if provider:
        simulator.faults([{"kind": "ai", "fault": "provider", "provider": provider}])
    come_in(world, {"kind": "image", "mime": "image/png", "source": {"id": "red-kettle.png"}})
    assert answer in reply(world)
