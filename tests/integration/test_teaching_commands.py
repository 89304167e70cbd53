"""The commands that teach a chatbot: scripts/connect business and chatbot, scripts/knowledge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.commands import connect, knowledge
from shared import db
from shared.db.credentials import decrypt
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_commands import run


def test_a_business_with_its_site_embeds_at_the_first_try(
    door: FrontDoor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example/")
    assert run(connect, "business", "My shop", "--site", "HTTPS://Shop.Example/cart?x", "--site", "münchen-tee.de") == 0
    printed = capsys.readouterr().out
    key = re.search(r"public key (pk_\w+)", printed)[1]  # type: ignore[index]
    assert f"Its chat is https://chat.example/widget/{key}\n" in printed
    assert f'<script src="https://chat.example/widget.js" data-chatbot="{key}" async></script>' in printed
    page = door.client.get(f"/widget/{key}")
    assert "frame-ancestors 'self' https://shop.example https://xn--mnchen-tee-9db.de" in page.headers["Content-Security-Policy"]
    visit = {"Origin": "https://shop.example", "Content-Type": "application/json"}
    assert door.client.post(f"/api/v1/chatbots/{key}/sessions", headers=visit).status_code == 201
    base = db.row("select b.* from knowledge_base b join chatbot c on c.knowledge_base_id = b.id where c.public_key = %s", [key])
    assert base is not None
    assert base["name"] == "My shop"


def test_a_business_without_a_site_is_told_how_to_name_one(door: FrontDoor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(connect, "business", "My shop") == 0
    chatbot = db.scalar("select max(id) from chatbot")
    assert f"scripts/connect chatbot {chatbot} --site shop.example" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        run(connect, "business", "My shop", "--site", "nonsense")
    assert "must be the address of a site, like https://shop.example; got 'nonsense'" in capsys.readouterr().err
    assert db.scalar("select max(id) from chatbot") == chatbot


def test_a_chatbot_is_changed_and_another_one_made(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Du bist Emma von My shop.\n", encoding="utf-8")
    options = ["--prompt", str(prompt), "--model", "gpt-5", "--temperature", "1", "--max-tokens", "80", "--debounce", "2.5"]
    options += ["--fallback", "Gleich!", "--unsupported", "Bitte Text.", "--site", "shop.example", "--name", "Emma"]
    assert run(connect, "chatbot", str(world.chatbot), *options) == 0
    row = db.row("select * from chatbot where id = %s", [world.chatbot]) or {}
    assert (row["system_prompt"], row["model"], row["max_tokens"]) == ("Du bist Emma von My shop.", "gpt-5", 80)
    assert (row["fallback_message"], row["debounce_seconds"]) == ("Gleich!", 2.5)
    assert row["allowed_origins"] == ["https://shop.example"]
    assert "debounce_seconds: 2.5" in capsys.readouterr().out
    assert run(connect, "chatbot", "--customer", str(world.customer), "--name", "Otto") == 0
    other = db.row("select * from chatbot order by id desc limit 1") or {}
    assert (other["name"], other["customer_id"]) == ("Otto", world.customer)
    assert other["knowledge_base_id"] not in (None, row["knowledge_base_id"]), "an empty one of its own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["999", "--name", "x"], "there is no chatbot 999; use the id that scripts/connect business printed"),
        (["--customer", "999"], "there is no customer 999; use the id that scripts/connect business printed"),
        (["BOT", "--temperature", "3"], "temperature: must be a number from 0 to 2"),
        (["BOT", "--debounce", "-1"], "debounce_seconds: must be a number from 0 to 300"),
        (["BOT", "--max-tokens", "40000"], "max_tokens: must be a whole number from 1 to 32,000"),
        (["BOT", "--name", " "], "name: must not be empty"),
        (["BOT", "--base", "999"], "knowledge_base_id: there is no such knowledge base"),
        (["BOT", "--base", "FOREIGN"], "knowledge_base_id: there is no such knowledge base"),
    ],
)
def test_a_wrong_setting_of_a_chatbot_is_named(
    world: World, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.tenant()[1]])
    before = db.rows("select * from chatbot order by id")
    replaced = [option.replace("BOT", str(world.chatbot)).replace("FOREIGN", str(foreign)) for option in options]
    assert run(connect, "chatbot", *replaced) == 1
    assert said in capsys.readouterr().err
    assert db.rows("select * from chatbot order by id") == before


def test_knowledge_is_added_found_switched_and_removed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    about = ("Versand nach Österreich", "--url", "https://Shop.Example/v")
    assert run(knowledge, "add", *about, typed="Ja, wir versenden dorthin.\n") == 0
    added = capsys.readouterr().out
    assert "(german)" in added
    item = re.search(r"item (\d+)", added)[1]  # type: ignore[index]
    assert run(knowledge, "search", "Versenden Sie nach Österreich?") == 0
    assert capsys.readouterr().out.splitlines()[2].split()[0] == item, "the best"
    assert run(knowledge, "show", item) == 0
    assert "url: https://shop.example/v" in capsys.readouterr().out
    assert run(knowledge, "list") == 0
    assert capsys.readouterr().out.splitlines()[2].split()[0] == item
    assert run(knowledge, "bases") == 0
    assert re.search(rf"Facts +english +3 +{world.customer} +{world.chatbot}$", capsys.readouterr().out, re.M)
    for verb, is_found in (("off", False), ("on", True), ("remove", False)):
        assert run(knowledge, verb, item) == 0
        capsys.readouterr()
        assert run(knowledge, "search", "Versand?") == 0
        assert ("Versand nach" in capsys.readouterr().out) is is_found, verb
    assert db.scalar("select count(*) from knowledge_item where id = %s", [int(item)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "x", "--chatbot", "999"], "there is no chatbot 999"),
        (["search", " "], "a question must not be empty"),
        (["list", "--base", "999"], "there is no knowledge base 999"),
        (["show", "999"], "there is no item 999"),
        (["remove", "ITEM", "999"], "there is no item 999"),
        (["add", "Shipping", "--text", " "], "content: must not be empty"),
        (["add", "x" * 501, "--text", "y"], "title: must have at most 500 characters"),
        (["add", "Shipping", "--text", "y", "--url", "nonsense"], "url: must begin with https:// or http://"),
    ],
)
def test_what_knowledge_refuses_changes_nothing(
    world: World, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    item = db.scalar("select min(id) from knowledge_item")
    before = db.rows("select * from knowledge_item order by id")
    assert run(knowledge, *(argument.replace("ITEM", str(item)) for argument in arguments)) == 1
    assert said in capsys.readouterr().err
    assert db.rows("select * from knowledge_item order by id") == before


def test_among_several_chatbots_one_has_to_be_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, other = world.tenant()
    assert run(knowledge, "list") == 1
    assert "there are several chatbots: say which with --chatbot" in capsys.readouterr().err
    assert run(knowledge, "list", "--chatbot", str(other)) == 0
    db.rows("update chatbot set knowledge_base_id = null where id = %s", [other])
    assert run(knowledge, "list", "--chatbot", str(other)) == 1
    assert f"scripts/connect chatbot {other} --new-base gives it an empty one" in capsys.readouterr().err
    assert run(connect, "chatbot", str(other), "--new-base") == 0
    assert run(knowledge, "list", "--chatbot", str(other)) == 0


def test_a_chatbot_gets_its_providers_and_their_keys_from_standard_input(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--provider", "https://api.mistral.example/v1=small", "--provider", "platform=gpt-5"]
    assert run(connect, "chatbot", str(world.chatbot), *named, typed="mk-secret\n") == 0
    printed = capsys.readouterr().out
    assert "providers: https://api.mistral.example/v1=small, platform=gpt-5" in printed
    assert "mk-secret" not in printed
    stored = db.scalar("select provider_api_key from chatbot where id = %s", [world.chatbot])
    assert decrypt(stored, "x") == "mk-secret"
    assert run(connect, "chatbot", str(world.chatbot), "--provider", "https://other.example/v1=x", typed="\n") == 1
    assert "https://other.example/v1 needs an api_key" in capsys.readouterr().err


def test_a_chatbot_gets_ears_and_eyes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--transcription", "https://api.groq.example/v1=whisper-large-v3", "--speech", "pt", "--sees"]
    assert run(connect, "chatbot", str(world.chatbot), *named, typed="gsk-secret\n") == 0
    printed = capsys.readouterr().out
    assert "transcription: https://api.groq.example/v1=whisper-large-v3" in printed
    assert "can_see: True" in printed
    assert "gsk-secret" not in printed
    stored = db.row("select transcription_api_key as key, transcription_language as speech from chatbot") or {}
    assert (decrypt(stored["key"], "x"), stored["speech"]) == ("gsk-secret", "pt")
    assert run(connect, "chatbot", str(world.chatbot), "--transcription", "none", "--no-sees") == 0
    assert db.row("select transcription_model as model, can_see from chatbot") == {"model": None, "can_see": False}
    assert run(connect, "chatbot", str(world.chatbot), "--speech", "pt") == 1
    assert "give both" in capsys.readouterr().err


def test_open_questions_are_answered_and_dismissed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for number, question in enumerate(["Do you sell bicycles?", "Can I rent a boat?"]):
        world.say(question, user=f"v-{number}")
        world.drain()
    assert run(knowledge, "gaps") == 0
    boats, bicycles = (line.split() for line in capsys.readouterr().out.splitlines()[2:])
    assert bicycles[1:2] + bicycles[-5:] == ["1", "no_knowledge", "Do", "you", "sell", "bicycles?"]
    assert run(knowledge, "answer", bicycles[0], typed="Yes, for children.\n") == 0
    assert capsys.readouterr().out.endswith("(english): Do you sell bicycles?\n")
    assert run(knowledge, "search", "bicycles") == 0
    assert "Yes, for children." in capsys.readouterr().out
    assert run(knowledge, "answer", boats[0], "") == 1
    assert "content: must not be empty" in capsys.readouterr().err
    assert run(knowledge, "dismiss", boats[0]) == 0
    assert run(knowledge, "dismiss", boats[0]) == 1
    assert f"there is no open question {boats[0]}; scripts/knowledge gaps lists them" in capsys.readouterr().err
    assert run(knowledge, "gaps") == 0
    assert "No question is open" in capsys.readouterr().out
