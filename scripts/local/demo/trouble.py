"""A number's token is expired while customers ask: their replies wait for a new one, one of them for longer than its 24 hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from peewee import fn

from scripts.local.demo.checks import Check
from scripts.local.demo.http_client import HttpClient
from scripts.local.demo.play import wait_for
from scripts.local.demo.script import Dialogue, Scenario
from shared import db
from shared.channels.outcomes import Reason
from shared.channels.whatsapp_cloud import template_sync
from shared.models import Chatbot, Conversation, Message, WebhookEvent
from web.api import keys

#: What the business sends in place of a text, once it may not send any.
TEMPLATE = {"name": "come_back", "language": "en_US", "parameters": {"body": {"first_name": "Kim"}}}
#: Calls of Meta that may find out that the token is still expired.
MOST_CALLS = 3


class Trouble:
    """Of the shop whose customers have to wait. It is ended through the API, as the shop's developer would."""

    def __init__(self, scenario: Scenario, client: HttpClient) -> None:
        self._client, self._dialogues = client, [one for one in scenario.dialogues if one.has_to_wait]
        self._chatbot = scenario.tenants[self._dialogues[0].tenant].chatbot_id
        self._customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == self._chatbot))
        self._key = keys.create(self._customer, "the demo")
        self._waited: list[str] = []

    def end(self) -> None:
        """Waits until everybody has to wait and one for too long, brings a new token, and sends that one a template."""
        late = self._dialogues[-1]
        questions = [turn for one in self._dialogues for turn in one.turns]
        wait_for(lambda: all(turn.message_ids for turn in questions), "not everybody has asked")
        replies = Message.select(Message.status).where(Message.reply_to << [turn.message_ids[0] for turn in questions])
        wait_for(lambda: len(db.rows(replies)) == len(questions), "not every reply is written")
        is_over = Conversation.select().where(Conversation.external_user_id == late.user, Conversation.window_ends_at < fn.now())
        wait_for(lambda: db.row(is_over), "the 24 hours are not over")
        self._waited = [row["status"] for row in db.rows(replies)]
        credentials = f"channels/whatsapp_cloud/{self._chatbot}/credentials"
        self._client.call_api(self._key, "PUT", credentials, {"secret": "new-token"})
        asked = Message.select().where(Message.reply_to == late.turns[0].message_ids[0], Message.status == "FAILED")
        wait_for(lambda: db.row(asked), "the reply that is too late was not given up")
        self._send_template(late)

    def _send_template(self, dialogue: Dialogue) -> None:
        template_sync.sync_due()  # as maintenance does it once a minute, for which nobody waits here
        conversation = db.scalar(Conversation.select(Conversation.id).where(Conversation.external_user_id == dialogue.user))
        self._client.call_api(self._key, "POST", f"conversations/{conversation}/messages", {"template": TEMPLATE})

    def checks(self, record: list[dict[str, Any]]) -> Iterator[Check]:
        """What must be true of it in the end."""
        calls = [row for row in record if row["kind"] == "graph"]
        to_held, to_late = (
            [row["text"] for row in calls if row["accepted"] and row["key"] == one.user] for one in self._dialogues
        )
        contents = Message.select(Message.content).order_by(Message.reply_to)
        questions = [turn.message_ids[0] for turn in self._dialogues[0].turns]
        replies = [row["content"] for row in db.rows(contents.where(Message.reply_to << questions))]
        waited = self._waited.count("PENDING")
        promise = "replies wait while a token is expired; with a new one they leave, once and in order"
        yield Check(promise, waited >= len(replies) and to_held == replies, f"{waited} waited, {len(to_held)} left")
        refused = sum(1 for row in calls if row["status"] == 401)
        yield Check(f"the expired token is tried {MOST_CALLS} times at most", 0 < refused <= MOST_CALLS, f"{refused} calls")
        events = WebhookEvent.select(WebhookEvent.event).where(WebhookEvent.customer == self._customer)
        events_by_name = Counter(row["event"] for row in db.rows(events))
        down, up = events_by_name["channel.down"], events_by_name["channel.up"]
        yield Check("the shop is told once that its number is down, and once that it is up", down == up == 1, f"{down} and {up}")
        reply = db.row(Message.select(Message.metadata).where(Message.reply_to == self._dialogues[1].turns[0].message_ids[0]))
        code = (reply or {"metadata": {}})["metadata"].get("error_code")
        is_right = code == Reason.WINDOW_CLOSED and to_late == ["come_back, Kim"]
        promise = "after 24 hours a text is not sent: window_closed; a template is"
        yield Check(promise, is_right, f"{code}; {'; '.join(to_late) or 'nothing'}")
