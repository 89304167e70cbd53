"""Why a call to somebody outside got no answer, in plain words: what OpenSSL and Python have codes and class names for.

The code itself is in the API's `error` and in the log, for who looks it up.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext

from web.desk.known_texts import marked

#: How the word of OpenSSL begins -> what it means. The first that fits counts.
_TLS: Mapping[str, str] = {
    "certificate has expired": marked("its certificate has expired"),
    "certificate is not yet valid": marked("its certificate is not valid yet"),
    "certificate revoked": marked("its certificate was revoked"),
    "self-signed certificate": marked("nobody that is trusted has signed its certificate (it is self-signed)"),
    "self signed certificate": marked("nobody that is trusted has signed its certificate (it is self-signed)"),
    "unable to ": marked("its certificate cannot be checked: the server does not send the intermediate certificate"),
    "Hostname mismatch": marked("its certificate is for another name"),
    "IP address mismatch": marked("its certificate is for another name"),
    "WRONG_VERSION_NUMBER": marked("it does not speak TLS there; is the port right, or is it http:// ?"),
    "HTTP_REQUEST": marked("it does not speak TLS there; is the port right, or is it http:// ?"),
    "PACKET_LENGTH_TOO_LONG": marked("it does not speak TLS there; is the port right, or is it http:// ?"),
    "RECORD_LAYER_FAILURE": marked("it does not speak TLS there; is the port right, or is it http:// ?"),
    "UNSUPPORTED_PROTOCOL": marked("it speaks only versions of TLS that are no longer safe"),
    "TLSV1_ALERT_PROTOCOL_VERSION": marked("it speaks only versions of TLS that are no longer safe"),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": marked("it refused the connection; does it have a certificate for this name?"),
    "TLSV1_UNRECOGNIZED_NAME": marked("it refused the connection; does it have a certificate for this name?"),
    "TLSV1_ALERT_INTERNAL_ERROR": marked("it refused the connection; does it have a certificate for this name?"),
    "UNEXPECTED_EOF_WHILE_READING": marked("it ended the connection"),
    "SSLEOFError": marked("it ended the connection"),
    "SSLZeroReturnError": marked("it ended the connection"),
    "ConnectionResetError": marked("it ended the connection"),
    "BrokenPipeError": marked("it ended the connection"),
    "TimeoutError": marked("it did not answer in time"),
}

#: The class of what http.client, urllib3 or a socket raised while the answer was awaited.
_NO_ANSWER: Mapping[str, str] = {
    "ReadTimeoutError": marked("it did not answer in time"),
    "TimeoutError": marked("it did not answer in time"),
    "ConnectionResetError": marked("it ended the connection"),
    "ConnectionAbortedError": marked("it ended the connection"),
    "BrokenPipeError": marked("it ended the connection"),
    "RemoteDisconnected": marked("it ended the connection"),
    "ProtocolError": marked("it ended the connection"),
    "SSLEOFError": marked("it ended the connection"),
    "IncompleteRead": marked("its answer is not HTTP, or breaks off"),
    "InvalidChunkLength": marked("its answer is not HTTP, or breaks off"),
    "BadStatusLine": marked("its answer is not HTTP, or breaks off"),
    "LineTooLong": marked("its answer is not HTTP, or breaks off"),
    "InvalidHeader": marked("its answer is not HTTP, or breaks off"),
    "DecodeError": marked("its answer is not HTTP, or breaks off"),
}


def tls_words(word: str) -> str:
    """What was wrong in a TLS handshake; a word that is not known stays."""
    return next((str(gettext(meaning)) for begin, meaning in _TLS.items() if word.startswith(begin)), word)


def no_answer_words(kind: str) -> str:
    """Why no whole answer came; a class that is not known stays."""
    return str(gettext(_NO_ANSWER[kind])) if kind in _NO_ANSWER else kind
