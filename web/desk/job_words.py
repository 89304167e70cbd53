"""Why a job failed, in the reader's language. Stages say it in English, for logs and the API as well.

A test holds that each text which a stage, a channel or a provider's call gives to a job is known here.
"""

from __future__ import annotations

import re

from flask_babel import gettext

from web.desk.import_words import import_words
from web.desk.known_texts import marked as _l
from web.desk.known_texts import patterns_of
from web.desk.schema_words import translated

#: The class of an exception, before its text.
_CLASS = re.compile(
    r"^(?:[A-Z][a-z]+)*(?:Error|Failed|Failure|Refusal|Refused|Unreadable|Exception|Timeout|Down|Unknown|NoAnswer|Gone|Died): "
)

#: Before what each of a chatbot's providers said, where several were asked (shared/ai/failover.py).
_EACH_PROVIDER = re.compile(r"(?:\A|; )([\w.-]+(?::\d+)?): (?=AI provider: )")

#: With a name where a value stands; `%(why)s` is another of these texts. What is first here is tried first.
_SAID = (
    _l("%(why)s; a part of it has left"),
    _l("%(why)s; an earlier send may have arrived"),
    _l("%(why)s; still so after %(number)s s"),
    _l("%(why)s; it asks for %(asked)s s, and %(number)s s are left of %(setting)s"),
    _l("%(why)s; %(number)s s are left of %(setting)s"),
    _l("%(why)s, when the file was uploaded"),
    _l("%(why)s; the chatbot's own key was refused"),
    _l("%(why)s; the platform's key (OPENAI_API_KEY) was refused"),
    _l("AI provider: %(why)s"),
    _l("transcription: %(why)s"),
    _l("embeddings: %(why)s"),
    _l("media: %(why)s"),
    _l("outcome unknown: %(why)s"),
    # the AI, speech and vectors
    _l("no answer: %(why)s"),
    _l("no answer"),
    _l("its answer broke off in the middle"),
    _l("its answer broke off (%(what)s)"),
    _l("not a completion, but %(why)s"),
    _l("not a completion (%(what)s)"),
    _l("not JSON"),
    _l("an empty body"),
    _l("an HTML page; is the base URL complete, up to /v1?"),
    _l("it refused the request in %(number)s forms"),
    _l("the answer has no text"),
    _l("the base URL or the API key has characters that do not belong there"),
    _l("%(what)s: max_tokens is too small for this model's thoughts, raise the chatbot's max_tokens"),
    _l("%(what)s: it redirects to %(address)s; make that the base URL"),
    _l("HTTP 200 with the error %(what)s"),
    _l("no API key: set OPENAI_API_KEY, or give the chatbot its own; any text will do where none is needed"),
    _l("no API key: set OPENAI_API_KEY, or give the chatbot its own provider of it"),
    _l("no API key for embeddings: set %(setting)s"),
    _l("%(name)s has one of provider_base_url and provider_api_key; set both, or none"),
    _l("the file has more than the %(number)s MB that providers take"),
    _l("no provider takes a file of an unknown kind; Ogg, MP3, M4A do"),
    _l("no provider takes %(kind)s; Ogg, MP3, M4A do"),
    _l("the month's budget is used up"),
    _l("not a list of vectors (%(what)s)"),
    _l("%(number)s vectors for %(wanted)s texts, or of several lengths"),
    _l("there is no local model %(name)s; the only one is %(known)s"),
    _l("%(name)s needs a processor with %(what)s; choose a provider's model"),
    _l("%(name)s is not installed (%(what)s); install it with %(command)s"),
    _l(
        "the month's budget for models is used up; choose the embedding model again when there is a new month or a higher budget;"
        " until then the search goes by words"
    ),
    _l(
        "this database has no vectors: install PostgreSQL's extension pgvector (0.7 or newer), run scripts/migrate, and choose"
        " the embedding model again; until then the search goes by words"
    ),
    _l("what is left of budget %(number)s is reserved for calls that are under way"),
    _l("rate limit of %(name)s: %(rate)s"),
    # room for calls, and for files
    _l("%(why)s has %(number)s calls without a response"),
    _l("the customer's knowledge search"),
    _l("the source of the customer's files"),
    _l("the customer"),
    _l("the chatbot's provider"),
    _l("the provider"),
    _l("the endpoint"),
    _l("other files are in memory, and this one waits for their end"),
    _l("too little memory is free to read the document, and it waits for more"),
    # calls to somebody outside
    _l("%(host)s cannot be called; a URL must be like https://example.com/hook"),
    _l("%(host)s is not a public address, and no others are called"),
    _l("%(host)s cannot be reached: DNS knows no public address for it"),
    _l("%(host)s cannot be reached: DNS knows no address for it"),
    _l("%(host)s cannot be reached: DNS did not answer"),
    _l("%(host)s cannot be reached: the connection was refused, or there is no route"),
    _l("%(host)s cannot be reached: no connection in time"),
    _l("%(host)s cannot be reached: the TLS handshake failed: %(what)s"),
    _l("%(host)s cannot be reached: it wants a TLS certificate of ours (%(what)s)"),
    _l("%(host)s cannot be reached: the connection ended before the whole request had left"),
    _l("%(host)s did not answer: its response has no end"),
    _l("%(host)s did not answer in %(number)s s"),
    _l("%(host)s did not answer: %(what)s"),
    _l("the call to %(host)s was ended from here"),
    _l("a header for %(host)s has characters that HTTP does not allow; does a key end in a line break?"),
    # channels
    _l("an earlier send may have arrived, and AMBIGUOUS_SEND=hold"),
    _l("waiting for a status of the earlier send"),
    _l("the account sends too fast"),
    _l("the account can send again"),
    _l("the 24-hour window closed before the reply could leave"),
    _l("the message was sent, but this could not be recorded: %(what)s"),
    _l("the chatbot has no active %(what)s; connect one and send again"),
    _l("held for %(number)s hours, because the number could not send (%(what)s)"),
    _l("held for %(number)s hours, because the session could not send (%(what)s)"),
    _l("held for %(number)s hours, because the bot could not send (%(what)s)"),
    _l("WhatsApp QR: the gateway of session %(name)s does not answer"),
    _l("WhatsApp QR: session %(name)s is not connected (no state)"),
    _l("WhatsApp QR: session %(name)s is not connected (%(what)s)"),
    _l("%(what)s, the number is not on WhatsApp (exists: false)"),
    _l("%(what)s, the session is not connected"),
    _l("%(what)s, the session is %(state)s"),
    _l("There is no QR dialect %(name)s; it must be one of %(choices)s."),
    # files
    _l("the file is no longer kept"),
    _l("WhatsApp Cloud: the upload got no media id"),
    _l("%(channel)s takes files of up to %(most)s MB"),
    _l("%(channel)s takes no files of the type %(kind)s"),
    _l("%(channel)s takes at most %(most)s characters of text with such a file"),
    _l("Telegram names no path of the file"),
    _l("Telegram does not have the file ready yet"),
    _l("Telegram gives bots no file of more than 20 MB"),
    _l("the Graph API does not take the number's token (code 190)"),
    _l("the Graph API names no address of the file"),
    _l("the message has no media id"),
    _l("the file's address is none"),
    _l("the gateway's address is not that of a file"),
    _l("the gateway's address is that of another session's file"),
    _l("the file is said to be at %(host)s, which is not called"),
    _l("the file's address %(why)s"),
    _l("%(host)s redirects again and again"),
    _l("%(why)s: the channel's credentials are not taken"),
    _l("%(host)s answered HTTP %(number)s"),
    _l("the chatbot has no active %(what)s to fetch files with"),
    _l("the folder of the files refuses: %(what)s"),
    _l("the bucket %(name)s cannot be called (%(what)s): %(advice)s"),
    _l("the bucket %(name)s does not answer: %(what)s"),
    _l("the bucket %(name)s refuses: %(what)s"),
    # webhooks
    _l("the endpoint answered HTTP %(number)s, and redirects are not followed"),
    _l("the endpoint answered HTTP %(number)s"),
    _l("the endpoint asks us to slow down (HTTP %(number)s)"),
    # jobs
    _l("poison: its worker vanished %(number)s times while working on it; given up"),
    _l("a worker died with it; waits for a process of its own"),
    _l("deleted by an operator"),
    _l("the pause has ended"),
    _l("bad payload: %(what)s"),
    _l("its conversation was merged into another at this moment, or is gone"),
    _l("its conversation was merged into another at this moment"),
    _l("the message's files are being fetched"),
    _l("there is no user message %(number)s to answer"),
    _l("there is no reply %(number)s to send"),
    _l("there is no reply to deliver: it is gone, or was delivered before"),
    _l("message %(number)s is gone"),
    _l("the message's chatbot does not exist any more"),
    _l("a message of ours is on its way, and this may be its echo"),
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
            return str(
                gettext(known, **{name: _said(value) if name == "why" else value for name, value in match.groupdict().items()})
            )
    explained = str(gettext(text))  # a reason of a channel, which is a whole text
    if explained != text:
        return explained
    return said if (said := import_words(text)) != text else translated(text)
