"""Web processes on machines whose clocks differ: what one has signed, the others take."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_clocks import clock_off
from tests.integration.test_widget_files import say, send
from tests.integration.widget_page import Page, key_of
from web.app import create_app
from web.widget import files

AHEAD = pytest.mark.parametrize("ahead", [2, 3600], ids=["two seconds", "an hour"])


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


@AHEAD
def test_who_logs_in_at_one_machine_is_logged_in_at_the_others(app: Flask, world: World, ahead: int) -> None:
    with clock_off(ahead):
        browser = Visitor(app, person("agent", world.customer))
        assert browser.get("/desk/profile").status_code == 200
    assert browser.get("/desk/profile").status_code == 200


@AHEAD
def test_a_file_that_one_machine_took_is_known_to_the_others(door: FrontDoor, ahead: int) -> None:
    page = Page(door.client, key_of(door.world.chatbot))
    with clock_off(ahead):
        name = send(page).json["file"]
    assert say(page, [name]).status_code < 300


def test_a_file_whose_message_comes_too_late_is_not_known_any_more(door: FrontDoor) -> None:
    page = Page(door.client, key_of(door.world.chatbot))
    name = send(page).json["file"]
    with clock_off(files.LIFE + 60):
        assert say(page, [name]).status_code == 422
