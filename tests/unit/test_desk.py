"""The desk's texts and files: German for every text, and vendored files that are what they say."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po

from shared.channels.outcomes import EXPLANATIONS
from shared.errors import Refused
from shared.models import limits
from shared.people.users import checked_address
from shared.teaching import chatbots, knowledge
from shared.webhooks import schemas
from shared.webhooks.events import EVENT_TYPES
from web.desk import audit_words
from web.desk.audit_log import ACTIONS
from web.desk.inbox import initial
from web.desk.language import languages, script_words, translations
from web.desk.operate import words
from web.desk.profile import browser_name
from web.desk.setting_words import SETTINGS
from web.ops import tokens
from web.widget.page import SCRIPTS

_METHODS = [
    ("web/desk/**.py", "python"),
    ("shared/people/**.py", "python"),
    ("shared/webhooks/events.py", "python"),
    ("shared/operations/bulk_actions.py", "python"),
    # What the desk and the API do alike.
    *((f"web/{name}.py", "python") for name in ("connecting", "connection_words", "invitations", "trying_out")),
    # What a browser may be told outside the desk: the start page, and errors.
    *((f"web/{name}.py", "python") for name in ("start_page", "error_words", "problems", "hardening", "json_bodies")),
    ("web/widget/access.py", "python"),
    *((f"web/ops/{name}.py", "python") for name in ("dashboard", "metrics")),
    ("web/templates/start.html", "jinja2.ext:babel_extract"),
    ("web/templates/event_types.html", "jinja2.ext:babel_extract"),
    ("web/templates/problem.html", "jinja2.ext:babel_extract"),
    ("web/templates/widget.html", "jinja2.ext:babel_extract"),
    ("web/static/widget.js", "javascript"),
    ("web/static/widget/*.js", "javascript"),
    ("web/templates/desk/**.html", "jinja2.ext:babel_extract"),
]
_KEYWORDS = {
    "_": None,
    "_l": None,
    "marked": None,
    "gettext": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
    "_n": (1, 2),
    "Refused": None,
    "EventType": (2,),
    **dict.fromkeys(("BadRequest", "Unauthorized", "Forbidden", "NotFound", "ServiceUnavailable")),
}


def event_members(event: str) -> list[dict[str, Any]]:
    return list(schemas.schema(event)["properties"]["data"]["properties"].values())


def texts(root: Path) -> set[str]:
    """Every text of the desk: the singular of those with a plural."""
    options = {"web/templates/desk/**.html": {"trimmed": "true", "silent": "false"}}
    found = extract_from_dir(root, _METHODS, options, _KEYWORDS, directory_filter=lambda path: ".venv" not in path)
    # Why a message failed, and how many of a kind there may be, is said by the API as well, in English.
    said = {*EXPLANATIONS.values(), *(limit.text for limit in vars(limits).values() if isinstance(limit, limits.Limit))}
    said |= {member["description"] for event in EVENT_TYPES for member in event_members(event) if "description" in member}
    said |= {text.format(setting) for text in (tokens.DISABLED, tokens.WRONG) for setting in tokens.SETTINGS}
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found} | said


def test_every_text_has_its_german_and_no_german_is_left_over(root: Path) -> None:
    written = {
        (message.id if isinstance(message.id, str) else message.id[0]): path.name
        for path in sorted((root / "web/translations/de").glob("*.po"))
        for message in read_po(BytesIO(path.read_bytes()), locale="de")
        if message.id and message.string
    }
    used = texts(root)
    assert len(used) > 40
    without_german, left_over = used - written.keys(), written.keys() - used
    assert not without_german, f"add the German to a file of web/translations/de: {sorted(without_german)}"
    assert not left_over, f"German of texts that are no longer used: {sorted(left_over)}"


@pytest.mark.parametrize("script", ["widget.js", *SCRIPTS])
def test_each_text_of_a_script_is_told_to_its_page_in_german(root: Path, script: str) -> None:
    german = script_words("de", script)
    written = extract_from_file("javascript", root / "web/static" / script, {"_": None})
    assert german.keys() == {text for _, text, _, _ in written}
    for english, text in german.items():
        assert text != english, english
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english)), english
    assert script_words("en", script) == {}


def test_each_text_has_one_german(root: Path) -> None:
    """Of two files the first one's would be shown on all pages."""
    paths = sorted((root / "web/translations/de").glob("*.po"))
    ids = [str(message.id) for path in paths for message in read_po(BytesIO(path.read_bytes()), locale="de") if message.id]
    assert sorted(ids) == sorted(set(ids))


def test_placeholders_are_the_same_in_german(root: Path) -> None:
    for path in (root / "web/translations/de").glob("*.po"):
        for message in read_po(BytesIO(path.read_bytes()), locale="de"):
            assert not list(message.check()), f"{path.name}: {message.id}"


def test_each_action_of_the_audit_has_words(root: Path) -> None:
    sources = [
        path.read_text(encoding="utf-8") for folder in ("web", "shared", "scripts") for path in (root / folder).rglob("*.py")
    ]
    recorded = {action for source in sources for action in re.findall(r'(?:audited|record)\(\s*"(\w+\.\w+)"', source)}
    assert len(recorded) > 20
    assert recorded <= ACTIONS.keys()


def _details_in(source: str) -> set[str]:
    """What calls that record something say as well, by name; of what is not written there nothing is known."""
    named = {"action", "subject", "subject_id", "user", "customer_id"}
    found: set[str] = set()
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if function in ("audited", "_audited", "went_on"):
            found |= {keyword.arg for keyword in call.keywords if keyword.arg}
        elif function == "record":
            dicts = (argument for argument in call.args if isinstance(argument, ast.Dict))
            found |= {key.value for one in dicts for key in one.keys if isinstance(key, ast.Constant)} - named
    return found


def test_each_subject_and_each_detail_of_the_audit_has_a_name(root: Path) -> None:
    sources = [
        path.read_text(encoding="utf-8") for folder in ("web", "shared", "scripts") for path in (root / folder).rglob("*.py")
    ]
    subjects = {kind for source in sources for kind in re.findall(r'audited\(\s*"\w+\.\w+",\s*"([\w ]+)"', source)}
    details = set().union(*(_details_in(source) for source in sources))
    assert len(subjects) > 10
    assert len(details) > 10
    assert subjects <= audit_words.NOUNS.keys()
    assert details - {"name"} <= audit_words.LABELS.keys()


def test_each_setting_that_the_api_can_change_has_a_name() -> None:
    schemas = (chatbots.ChatbotChangesSchema, knowledge.BaseChangesSchema, knowledge.ItemChangesSchema)
    assert {name for schema in schemas for name in schema().fields} == SETTINGS.keys()


def test_each_state_that_a_search_can_hit_has_words(root: Path) -> None:
    schema = (root / "schema.sql").read_text(encoding="utf-8")
    [states] = re.findall(r"create table job \(.*?check \(state in \(([^)]*)\)", schema, re.DOTALL)
    assert set(re.findall(r"\w+", states)) == words.JOB_STATES.keys()
    assert {status for found in re.findall(r"check \(status in \(([^)]*)\)", schema) for status in re.findall(r"\w+", found)} <= (
        words.STATUSES.keys()
    )


def test_languages_are_read_from_files() -> None:
    assert languages()["de"] == "Deutsch"
    assert translations("de").gettext("Log in") == "Anmelden"


@pytest.mark.parametrize("folder", ["web/static/vendor", "tests/vendor", "tests/vendor_node"])
def test_vendored_files_are_those_of_their_packages(root: Path, folder: str) -> None:
    listed = json.loads((root / folder / "vendor.json").read_text(encoding="utf-8"))
    assert {path.name for path in (root / folder).iterdir()} == {"vendor.json", *listed}
    for name, source in listed.items():
        assert hashlib.sha256((root / folder / name).read_bytes()).hexdigest() == source["sha256"], name
        assert {"package", "version", "file", "license"} <= source.keys()


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox, Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0", "Edge, Windows"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("curl/8.5", ""),
    ],
)
def test_browsers_have_the_names_that_people_know(agent: str, name: str) -> None:
    assert browser_name(agent) == name


@pytest.mark.parametrize(
    ("name", "sign"),
    [("emma", "E"), ("+4917", "4"), ("<b>Bob", "B"), ("\u202eevil", "E"), ("🎉", "🎉"), ("", ""), ("••••• (5 characters)", "•")],
)
def test_a_face_shows_a_letter_where_a_name_has_one(name: str, sign: str) -> None:
    assert initial(name) == sign


@pytest.mark.parametrize("address", ["ina,otto@shop.example", "ina@[.example", "<ina@shop.example>", 'i"na@shop.example'])
def test_an_address_that_an_email_cannot_have_is_refused(address: str) -> None:
    with pytest.raises(Refused):
        checked_address(address)
    assert checked_address(" Ina.O'Neill+desk@Shop.example ") == "ina.o'neill+desk@shop.example"


def test_each_section_of_the_styles_is_closed(root: Path) -> None:
    """Many hands add to the end of the file: a brace that a merge lost would undo everything behind it."""
    sections = re.split(r"^(?=/\* ----)", (root / "web/static/desk.css").read_text(encoding="utf-8"), flags=re.M)
    assert len(sections) > 10
    for section in sections:
        assert section.count("{") == section.count("}"), section.splitlines()[0]
