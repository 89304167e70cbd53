"""Why a job failed, in the reader's language. Stages say it in English, for logs and the API as well.

A test holds that each text which a stage, a channel or a provider's call gives to a job is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from flask_babel import gettext

from web.desk.call_words import no_answer_words, tls_words
from web.desk.import_words import import_words
from web.desk.known_texts import marked, patterns_of
from web.desk.schema_words import translated

#: The class of an exception, before its text.
_CLASS = re.compile(r"^(?!WhatsApp)(?:(?:[A-Z][a-z]+){2,}|[A-Z][A-Za-z]*Error|Refusal|Unreadable|Spoilt): ")

#: Before what each of a chatbot's providers said, where several were asked (shared/ai/failover.py).
_EACH_PROVIDER = re.compile(r"(?:\A|; )([\w.-]+(?::\d+)?): (?=AI provider: )")

#: With a name where a value stands; `%(why)s` is another of these texts. What is first here is tried first.
_SAID = (
    marked("%(why)s; a part of it has left"),
    marked("%(why)s; an earlier send may have arrived"),
    marked("%(why)s; still so after %(number)s s"),
    marked("%(why)s; it asks for %(asked)s s, and %(number)s s are left of %(setting)s"),
    marked("%(why)s; %(number)s s are left of %(setting)s"),
    marked("%(why)s, when the file was uploaded"),
    marked("%(why)s; the chatbot's own key was refused"),
    marked("%(why)s; the platform's key (OPENAI_API_KEY) was refused"),
    marked("AI provider: %(why)s"),
    marked("transcription: %(why)s"),
    marked("embeddings: %(why)s"),
    marked("media: %(why)s"),
    marked("outcome unknown: %(why)s"),
    # the AI, speech and vectors
    marked("no answer: %(why)s"),
    marked("no answer"),
    marked("its answer broke off in the middle"),
    marked("its answer broke off (%(what)s)"),
    marked("not a completion, but %(why)s"),
    marked("not a completion (%(what)s)"),
    marked("not JSON"),
    marked("an empty body"),
    marked("an HTML page; is the base URL complete, up to /v1?"),
    marked("it refused the request in %(number)s forms"),
    marked("the answer has no text"),
    marked("the base URL or the API key has characters that do not belong there"),
    marked("%(what)s: max_tokens is too small for this model's thoughts, raise the chatbot's max_tokens"),
    marked("%(what)s: it redirects to %(address)s; make that the base URL"),
    marked("HTTP 200 with the error %(what)s"),
    marked("no API key: set OPENAI_API_KEY, or give the chatbot its own; any text will do where none is needed"),
    marked("no API key: set OPENAI_API_KEY, or give the chatbot its own provider of it"),
    marked("no API key for embeddings: set %(setting)s"),
    marked("%(name)s has one of provider_base_url and provider_api_key; set both, or none"),
    marked("the file has more than the %(number)s MB that providers take"),
    marked("no provider takes a file of an unknown kind; Ogg, MP3, M4A do"),
    marked("no provider takes %(kind)s; Ogg, MP3, M4A do"),
    marked("the month's budget is used up"),
    marked("not a list of vectors (%(what)s)"),
    marked("%(number)s vectors for %(wanted)s texts, or of several lengths"),
    marked("there is no local model %(name)s; the only one is %(known)s"),
    marked("%(name)s needs a processor with %(what)s; choose a provider's model"),
    marked("%(name)s is not installed (%(what)s); install it with %(command)s"),
    marked(
        "the month's budget for models is used up; choose the embedding model again when there is a new month or a higher budget;"
        " until then the search goes by words"
    ),
    marked(
        "this database has no vectors: install PostgreSQL's extension pgvector (0.7 or newer), run scripts/migrate, and choose"
        " the embedding model again; until then the search goes by words"
    ),
    marked("what is left of budget %(number)s is reserved for calls that are under way"),
    marked("rate limit of %(name)s: %(rate)s"),
    # room for calls, and for files
    marked("%(why)s has %(number)s calls without a response"),
    marked("the customer's knowledge search"),
    marked("the source of the customer's files"),
    marked("the customer"),
    marked("the chatbot's provider"),
    marked("the provider"),
    marked("the endpoint"),
    marked("other files are in memory, and this one waits for their end"),
    marked("too little memory is free to read the document, and it waits for more"),
    # calls to somebody outside
    marked("%(host)s cannot be called; a URL must be like https://example.com/hook"),
    marked("%(host)s is not a public address, and no others are called"),
    marked("%(host)s cannot be reached: DNS knows no public address for it"),
    marked("%(host)s cannot be reached: DNS knows no address for it"),
    marked("%(host)s cannot be reached: DNS did not answer"),
    marked("%(host)s cannot be reached: the connection was refused, or there is no route"),
    marked("%(host)s cannot be reached: no connection in time"),
    marked("%(host)s cannot be reached: the TLS handshake failed: %(tls)s"),
    marked("%(host)s cannot be reached: it wants a TLS certificate of ours (%(what)s)"),
    marked("%(host)s cannot be reached: the connection ended before the whole request had left"),
    marked("%(host)s did not answer: its response has no end"),
    marked("%(host)s did not answer in %(number)s s"),
    marked("%(host)s did not answer: %(cause)s"),
    marked("the call to %(host)s was ended from here"),
    marked("a header for %(host)s has characters that HTTP does not allow; does a key end in a line break?"),
    # channels
    marked("an earlier send may have arrived, and AMBIGUOUS_SEND=hold"),
    marked("waiting for a status of the earlier send"),
    marked("the account sends too fast"),
    marked("the account's provider takes nothing for now"),
    marked("the account can send again"),
    marked("the 24-hour window closed before the reply could leave"),
    marked("the message was sent, but this could not be recorded: %(what)s"),
    marked("the chatbot has no active %(what)s; connect one and send again"),
    marked("held for %(number)s hours, because the number could not send (%(what)s)"),
    marked("held for %(number)s hours, because the session could not send (%(what)s)"),
    marked("held for %(number)s hours, because the bot could not send (%(what)s)"),
    marked("WhatsApp QR: the gateway of session %(name)s does not answer"),
    marked("WhatsApp QR: session %(name)s is not connected (no state)"),
    marked("WhatsApp QR: session %(name)s is not connected (%(what)s)"),
    marked("%(what)s, the number is not on WhatsApp (exists: false)"),
    marked("%(what)s, the session is not connected"),
    marked("%(what)s, the session is %(state)s"),
    marked("There is no QR dialect %(name)s; it must be one of %(choices)s."),
    # files
    marked("the file is no longer kept"),
    marked("WhatsApp Cloud: the upload got no media id"),
    marked("%(channel)s takes files of up to %(most)s MB"),
    marked("%(channel)s takes no files of the type %(kind)s"),
    marked("%(channel)s takes at most %(most)s characters of text with such a file"),
    marked("Telegram names no path of the file"),
    marked("Telegram does not have the file ready yet"),
    marked("Telegram gives bots no file of more than 20 MB"),
    marked("the Graph API does not take the number's token (code 190)"),
    marked("the Graph API names no address of the file"),
    marked("the message has no media id"),
    marked("the file's address is none"),
    marked("the gateway's address is not that of a file"),
    marked("the gateway's address is that of another session's file"),
    marked("the file is said to be at %(host)s, which is not called"),
    marked("the file's address %(why)s"),
    marked("%(host)s redirects again and again"),
    marked("%(why)s: the channel's credentials are not taken"),
    marked("%(host)s answered HTTP %(number)s"),
    # connecting an account
    marked("the gateway answers HTTP %(number)s"),
    marked("the gateway sent an answer that cannot be read"),
    marked("%(name)s answers HTTP %(number)s"),
    marked("%(name)s sent an answer that cannot be read"),
    marked("the chatbot has no active %(what)s to fetch files with"),
    marked("the folder of the files refuses: %(what)s"),
    marked("the folder of temporary files (TMPDIR, or /tmp) refuses: %(what)s"),
    marked("the bucket %(name)s cannot be called (%(what)s): %(advice)s"),
    marked("the bucket %(name)s does not answer: %(what)s"),
    marked("the bucket %(name)s refuses: %(what)s"),
    # webhooks
    marked("the endpoint answered HTTP %(number)s, and redirects are not followed"),
    marked("the endpoint answered HTTP %(number)s"),
    marked("the endpoint asks us to slow down (HTTP %(number)s)"),
    # jobs
    marked("poison: its worker vanished %(number)s times while working on it; given up"),
    marked("a worker died with it; waits for a process of its own"),
    marked("deleted by an operator"),
    marked("the pause has ended"),
    marked("bad payload: %(what)s"),
    marked("its conversation was merged into another at this moment, or is gone"),
    marked("its conversation was merged into another at this moment"),
    marked("the message's files are being fetched"),
    marked("there is no user message %(number)s to answer"),
    marked("there is no reply %(number)s to send"),
    marked("there is no reply to deliver: it is gone, or was delivered before"),
    marked("message %(number)s is gone"),
    marked("the message's chatbot does not exist any more"),
    marked("a message of ours is on its way, and this may be its echo"),
)


def job_words(text: str | None) -> str:
    """A job's error without the class that raised it, in the reader's language; what is unknown stays as it is."""
    return _said(_CLASS.sub("", text)) if text else ""


def _said(text: str) -> str:
    if _EACH_PROVIDER.match(text):
        _, *named = _EACH_PROVIDER.split(text)
        return "; ".join(f"{host}: {_said(why)}" for host, why in zip(named[::2], named[1::2], strict=True))
    for pattern, known in patterns_of(_SAID):
        if match := pattern.fullmatch(text):
            return str(gettext(known, **{name: _VALUES.get(name, str)(value) for name, value in match.groupdict().items()}))
    explained = str(gettext(text))  # a reason of a channel, which is a whole text
    if explained != text:
        return explained
    return said if (said := import_words(text)) != text else translated(text)


#: Values that are texts themselves.
_VALUES: Mapping[str, Callable[[str], str]] = {"why": _said, "tls": tls_words, "cause": no_answer_words}
