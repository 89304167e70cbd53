"""Why a job failed is German on a German desk: whatever stages, channels and calls say of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from flask import Flask
from flask_babel import gettext

from shared.ai import failures, local_model
from shared.channels.outcomes import EXPLANATIONS
from shared.http.failures import FAILURES
from shared.jobs import operator
from tests.unit.test_import_words import texts_of
from web.desk import call_words, language
from web.desk.job_words import job_words

#: Exceptions by which a job hears what is wrong, and what makes one of a channel's.
_SAYS = {
    *("PermanentError", "PermanentRefusal", "Snooze", "OutsideFailure", "OutcomeUnknown", "WaitsForService", "RateLimited"),
    *(
        "ProviderError",
        "NoAnswer",
        "Refusal",
        "AccountDown",
        "ProviderFailed",
        "StorageDown",
        "EndpointRefused",
        "NotTranscribed",
        "NoRoomInMemory",
    ),
    *("error_of", "later"),
}
#: What such calls are given by name.
_CONSTANTS = {"NO_BUDGET", "NO_PGVECTOR", "_BAD_CHARACTERS"}
#: Values that are texts themselves.
_COMPOSED = {"INSTALL": (local_model.INSTALL,)}
#: Modules whose texts are for who connects an account, or for a log: no job has them.
_OTHERS = ("shared/channels/*/connect.py", "shared/channels/*/typing.py")
#: Whose calls are counted (shared/http/bulkhead.py).
_ROOMS = (
    *("the customer", "the customer's knowledge search", "the source of the customer's files"),
    *("the chatbot's provider", "the provider", "the endpoint"),
)
#: What is no argument of such a call.
_KNOWN = (
    *EXPLANATIONS.values(),
    *(text.format(host="shop.example", problem="certificate has expired") for _, _, _, text in FAILURES),
    operator.REASON,
    f"AI provider: HTTP 400: {failures.TOO_FEW_TOKENS}",
    *(f"{room} has 8 calls without a response" for room in _ROOMS),
    *_ROOMS,
)


def said(root: Path) -> set[str]:
    others = {path for pattern in _OTHERS for path in root.glob(pattern)}
    found: set[str] = set()
    for path in {*(root / "shared").rglob("*.py"), *(root / "workers").glob("*.py")} - others:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _SAYS:
                found.update(text for argument in node.args for text in texts_of(argument, _COMPOSED))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _CONSTANTS:
                found.update(texts_of(node.value, _COMPOSED))
    return {text for text in found if re.search(r"[a-z]{2} [a-z]{2}", text)}


@pytest.mark.usefixtures("german")
def test_each_reason_of_a_job_has_its_german(root: Path) -> None:
    texts = said(root)
    assert len(texts) > 60
    assert [text for text in sorted({*texts, *_KNOWN}) if job_words(text) == text] == []


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ProviderError: AI provider: HTTP 503", "KI-Anbieter: HTTP 503"),
        (
            "NoAnswer: AI provider: no answer: api.example did not answer in 30 s",
            "KI-Anbieter: keine Antwort: api.example hat in 30 s",
        ),
        (
            "Refusal: AI provider: HTTP 401; the platform's key (OPENAI_API_KEY) was refused",
            "KI-Anbieter: HTTP 401; der Schlüssel der Plattform (OPENAI_API_KEY)",
        ),
        (
            "KeyRefused: AI provider: HTTP 401 invalid_api_key; the chatbot's own key was refused",
            "KI-Anbieter: HTTP 401 invalid_api_key; der eigene Schlüssel des Chatbots",
        ),
        (
            "ProviderError: a.example: AI provider: HTTP 401; the chatbot's own key was refused; b:80: AI provider: no answer",
            "a.example: KI-Anbieter: HTTP 401; der eigene Schlüssel des Chatbots wurde abgelehnt; b:80: KI-Anbieter: keine",
        ),
        ("the account sends too fast; still so after 604800 s", "das Konto sendet zu schnell; nach 604800 s noch immer"),
        ("ConnectFailed: shop.example cannot be reached: DNS knows no address for it", "shop.example ist nicht erreichbar: DNS"),
        ("ConnectFailed: shop.example cannot be reached: DNS did not answer", "shop.example ist nicht erreichbar: DNS"),
        ("media: the file's address must begin with https:// or http://", "Datei: die Adresse der Datei muss mit"),
        ("PageGone: the page is gone (HTTP 404)", "die Seite gibt es nicht mehr (HTTP 404)"),
        ("Telegram: HTTP 403", "Telegram: HTTP 403"),
        ("Your credit card was refused.", "Your credit card was refused."),
    ],
)
def test_a_job_s_error_in_german(text: str, shown: str) -> None:
    assert job_words(text).startswith(shown)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("ProviderError: AI provider: HTTP 503", "AI provider: HTTP 503"),
        ("Telegram: HTTP 403", "Telegram: HTTP 403"),
        ("The customer has not written for 24 hours.", "The customer has not written for 24 hours."),
        (None, ""),
    ],
)
def test_an_error_is_shown_without_its_class(error: str | None, shown: str) -> None:
    app = Flask("desk")
    language.install(app)
    with app.test_request_context():
        assert job_words(error) == shown


def exceptions_of_jobs(root: Path) -> set[str]:
    """The names of ours that a job's error may begin with."""
    bases = {"OutsideFailure"}
    kinds = [
        node
        for path in [*(root / "shared").rglob("*.py"), *(root / "workers").glob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    while more := {kind.name for kind in kinds if {ast.unparse(base).split(".")[-1] for base in kind.bases} & bases} - bases:
        bases |= more
    return bases


def test_no_class_of_ours_is_shown_to_who_reads_an_error(root: Path) -> None:
    kinds = exceptions_of_jobs(root)
    assert {"EndpointMoved", "EndpointBusy", "Refusal", "ConnectFailed"} < kinds
    app = Flask("desk")
    language.install(app)
    with app.test_request_context():
        assert [kind for kind in sorted(kinds) if job_words(f"{kind}: it is gone") != "it is gone"] == []
        assert job_words("OSError: it is gone") == "it is gone"
        assert job_words("WhatsApp: it is gone") == "WhatsApp: it is gone"


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the TLS handshake failed: certificate has expired", "das Zertifikat ist abgelaufen"),
        ("the TLS handshake failed: self-signed certificate in certificate chain", "das Zertifikat hat keine vertrauenswürdige"),
        ("the TLS handshake failed: unable to get local issuer certificate", "das Zertifikat lässt sich nicht prüfen"),
        ("the TLS handshake failed: Hostname mismatch, not valid for 'x'.", "das Zertifikat gilt für einen anderen"),
        ("the TLS handshake failed: WRONG_VERSION_NUMBER", "dort spricht es kein TLS"),
        ("the TLS handshake failed: A_NEW_WORD", "A_NEW_WORD"),
    ],
)
def test_a_code_of_openssl_is_said_in_words(text: str, shown: str) -> None:
    before, said = job_words(f"ConnectFailed: shop.example cannot be reached: {text}").split("gescheitert: ")
    assert before == "shop.example ist nicht erreichbar: Der TLS-Handshake ist "
    assert said.startswith(shown)


@pytest.mark.usefixtures("german")
def test_a_class_of_python_is_said_in_words() -> None:
    said = job_words("OutcomeUnknown: shop.example did not answer: ProtocolError")
    assert said == "shop.example hat nicht geantwortet: es beendete die Verbindung"
    words = {*call_words._TLS.values(), *call_words._NO_ANSWER.values()}
    assert {word for word in words if gettext(word) == word} == set()
