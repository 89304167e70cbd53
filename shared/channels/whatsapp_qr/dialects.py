"""The dialects of QR gateways: what each of their modules offers, and which there are."""

from __future__ import annotations

from typing import Any, Protocol

from shared.channels.inbound import Headers, InboundItem, SessionState
from shared.channels.outbound_file import OutboundFile
from shared.channels.whatsapp_qr import evolution, waha
from shared.errors import PermanentError


class Dialect(Protocol):
    """What a dialect's module must offer."""

    def verify(self, headers: Headers, body: bytes | memoryview, secret: str, /) -> bool:
        """Whether a webhook shows or is signed with the secret; False if there is none."""

    def named_session(self, body: dict[str, Any], /) -> str:
        """The session that a webhook says it is of; "" if it does not say."""

    def parse(self, body: dict[str, Any], /) -> list[InboundItem]:
        """What a webhook reports, in order; at least one item. Raises nothing."""

    def expected_ids(self, message_id: int, /) -> list[str]:
        """The ids that the gateway may give our message, known before it is sent; none if it makes its own."""

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int, /) -> str:
        """Sends a text; returns the gateway's id. Raises what `outcomes.error_of` gives, and what shared.http raises."""

    def send_file(
        self, session: str, api_key: str, chat_id: str, file: OutboundFile, message_id: int, caption: str = "", /
    ) -> str:
        """Sends a file; returns the gateway's id. Raises as send_text."""

    def mark_read(self, session: str, api_key: str, chat_id: str, message_id: str, /) -> None:
        """Marks a customer's message as read. Raises what shared.http raises, OutsideFailure for an answer that is not 2xx."""

    def show_typing(self, session: str, api_key: str, chat_id: str, /) -> None:
        """Shows a customer that somebody types. Raises as mark_read."""

    def hide_typing(self, session: str, api_key: str, chat_id: str, /) -> None:
        """Ends that, where the gateway does not by itself. Raises as mark_read."""

    def session_state(self, session: str, api_key: str, /) -> SessionState:
        """Asks for a session's state. Raises what shared.http raises."""

    def create_session(self, session: str, api_key: str, hook: str, secret: str, /) -> None:
        """Makes and starts a session that tells this hook, with this secret. Raises ProviderRefused, and as session_state."""

    def delete_session(self, session: str, api_key: str, /) -> None:
        """Logs its phone out and deletes it. Raises ProviderRefused, and as session_state."""

    def qr_code(self, session: str, api_key: str, /) -> str:
        """What the phone has to read, as a picture's data: address; "" while there is none. Raises as session_state."""


#: As whatsapp_qr_session.dialect names them.
DIALECTS: dict[str, Dialect] = {"waha": waha, "evolution": evolution}


def dialect(name: str) -> Dialect:
    """The dialect of this name. Raises PermanentError for one that this version does not know."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise PermanentError(f"There is no QR dialect {name!r}; it must be one of {', '.join(DIALECTS)}.") from None
