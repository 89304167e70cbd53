"""Voice notes as words: by any OpenAI-compatible /audio/transcriptions, each chatbot by its own or by the operator's provider."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import httpx2
import openai

from shared.ai import refusals
from shared.ai.clients import client
from shared.ai.completion import BYTES_PER_TOKEN
from shared.ai.failures import NotAnswered, NotTranscribed, ProviderError, Refusal
from shared.ai.provider import classify_error
from shared.budgets.meter import Most, metered
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import PermanentRefusal
from shared.payloads import is_blank, strip_invalid

#: Bytes of a file that providers take.
MAX_BYTES = 25 * 1024 * 1024
#: Seconds for a whole call: ten minutes of speech take about thirty.
TIMEOUT = 60.0
#: Bytes of a second of speech, at the least; tokens of a second, as gpt-4o-transcribe counts them. For reservations.
BYTES_PER_SECOND, TOKENS_PER_SECOND = 1_500, 10
#: Characters of a transcript that are kept: half an hour of speech.
MAX_TEXT = 30_000
#: How a file is named for what it is, for providers go by the extension. WhatsApp's .oga is Ogg, which they know as .ogg.
_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/opus": ".ogg",
    "application/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "audio/m4a": ".m4a",
    "audio/x-m4a": ".m4a",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/webm": ".webm",
    "video/webm": ".webm",
    "audio/flac": ".flac",
    "audio/x-flac": ".flac",
}
#: What says nothing of a file: its name may.
_UNKNOWN = ("", "application/octet-stream")
_TAKEN = frozenset(_EXTENSIONS.values()) | {".mp4", ".mpeg", ".mpga"}
#: What Whisper hears in silence: the ends of the videos that it learnt from.
_HEARD_IN_SILENCE = re.compile(
    r"(thank(s| you)( so much| very much)? for watching.*|please subscribe.*|you|obrigad[oa] por assistir.*|gracias por ver.*"
    r"|vielen dank f[üu]rs zuschauen.*|(legendas|subtitles|sous-titres|untertitel|subt[ií]tulos|sottotitoli)\b.*\b"
    r"(amara|community|comunidad|comunidade|communauté|zdf|swr|funk)\b.*|\W*)[.!… ]*",
    re.I,
)
_BAD_CHARACTERS = "transcription: the base URL or the API key has characters that do not belong there"


@dataclass(frozen=True)
class Transcriber:
    """Whom a chatbot asks. No base URL: the operator's provider."""

    model: str
    base_url: str | None
    #: Encrypted.
    api_key: str | None
    #: ISO 639-1; None: the model hears it.
    language: str | None
    owner: str


@dataclass(frozen=True)
class Transcript:
    """What was said, "" for silence, and what the provider says that it costs."""

    text: str
    seconds: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def transcribe(asked: Transcriber, audio: bytes, mime: str | None, filename: str | None) -> Transcript:
    """Asks once. Raises NotTranscribed, Unaffordable, or PermanentRefusal: this file, or any by this provider, will never be
    transcribed."""
    if len(audio) > MAX_BYTES:
        raise PermanentRefusal(f"transcription: the file has more than the {MAX_BYTES // 1024 // 1024} MB that providers take")
    body: dict[str, Any] = {"model": asked.model, "response_format": "json"}
    if asked.language:
        body["language"] = asked.language
    name, media_type = named(mime, filename), (mime or "application/octet-stream").partition(";")[0]
    seconds = len(audio) // BYTES_PER_SECOND + 1
    most = Most(seconds * TOKENS_PER_SECOND, seconds * TOKENS_PER_SECOND, seconds)
    with metered("transcription", asked.base_url or settings().openai_base_url, asked.model, most) as call:
        try:
            response = _client(asked).post(
                "/audio/transcriptions",
                body=body,
                files=[("file", (name, audio, media_type))],
                options={"headers": {"Content-Type": "multipart/form-data"}, "timeout": TIMEOUT},
                cast_to=httpx2.Response,
            )
        except openai.APIError as problem:
            raise _failure(classify_error(problem)) from problem
        except (httpx2.InvalidURL, UnicodeEncodeError):
            raise PermanentRefusal(_BAD_CHARACTERS) from None
        heard = _read(response.content)
        # Whoever is paid by the minute says no tokens; for a budget of tokens they are estimated.
        prompt_tokens = heard.prompt_tokens or (heard.seconds or 0) * TOKENS_PER_SECOND
        completion_tokens = heard.completion_tokens or len(heard.text.encode()) // BYTES_PER_TOKEN
        call.paid(prompt_tokens, completion_tokens, seconds=heard.seconds or 0)
    return heard


def named(mime: str | None, filename: str | None) -> str:
    """The name under which a file is sent. Raises PermanentRefusal for a kind that no provider takes."""
    media_type = (mime or "").partition(";")[0].strip().lower()
    extension = _EXTENSIONS.get(media_type, "")
    if media_type in _UNKNOWN:  # AMR that is called voice.ogg is AMR
        extension = PurePath(filename or "").suffix.lower().replace(".oga", ".ogg").replace(".opus", ".ogg")
    if extension not in _TAKEN:
        raise PermanentRefusal(f"transcription: no provider takes {media_type or 'a file of an unknown kind'}; Ogg, MP3, M4A do")
    return f"voice{extension}"


def _client(asked: Transcriber) -> openai.OpenAI:
    conf = settings()
    if asked.base_url is None:
        if not conf.openai_api_key:
            raise PermanentRefusal("transcription: no API key: set OPENAI_API_KEY, or give the chatbot its own provider of it")
        return client(conf.openai_base_url, conf.openai_api_key, True)
    key = decrypt(asked.api_key or "", f"{asked.owner}: transcription")
    return client(asked.base_url, key, conf.webhooks_to_private)


def _failure(problem: NotAnswered) -> Exception:
    """A refusal is final. Whoever is busy is asked again by the stage's delays, for a customer waits."""
    text = str(problem).replace("AI provider", "transcription", 1)
    words = getattr(problem, "words", "")
    if isinstance(problem, Refusal):
        return PermanentRefusal(text, words)
    failure = NotTranscribed(text, words)
    failure.may_be_charged = getattr(problem, "may_be_charged", False)
    return failure


def _read(content: bytes) -> Transcript:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise NotTranscribed("transcription: the answer is not JSON; is the base URL complete, up to /v1?") from None
    if (complaint := refusals.within(answer)) is not None:
        raise _failure(refusals.failure_of(complaint))
    text = answer.get("text") if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise _failure(ProviderError("AI provider: the answer has no text"))
    text = " ".join(strip_invalid(text.replace("\x00", "")).split())[:MAX_TEXT]
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    return Transcript(
        "" if is_blank(text) or _HEARD_IN_SILENCE.fullmatch(text) else text,
        _whole(usage.get("seconds") or answer.get("duration")) or None,
        _whole(usage.get("input_tokens") or usage.get("prompt_tokens")),
        _whole(usage.get("output_tokens") or usage.get("completion_tokens")),
    )


def _whole(number: Any) -> int:
    """A count that a provider says, if it is one."""
    try:
        return max(0, min(math.ceil(float(number)), 2**31 - 1))
    except (TypeError, ValueError, OverflowError):
        return 0
