"""What the desk can do, the API can: each POST of the desk has its route in the API, or a reason why it has none."""

from __future__ import annotations

import re

from tests.integration.front_door import FrontDoor
from tests.integration.test_api_rules import api_routes

#: The API's routes that do what a route of the desk does.
DOES: dict[str, set[str]] = {
    "create_chatbot": {"POST /chatbots", "POST /knowledge-bases"},
    "save_chatbot": {"PATCH /chatbots/{}"},
    "delete_chatbot": {"DELETE /chatbots/{}"},
    "create_base": {"POST /knowledge-bases"},
    "save_base": {"PATCH /knowledge-bases/{}"},
    "delete_base": {"DELETE /knowledge-bases/{}"},
    "create_item": {"POST /knowledge-bases/{}/items"},
    "save_item": {"PATCH /knowledge-items/{}"},
    "delete_item": {"DELETE /knowledge-items/{}"},
    "answer_gap": {"POST /knowledge-bases/{}/gaps/{}/answer"},
    "dismiss_gap": {"POST /knowledge-bases/{}/gaps/{}/dismiss"},
    "improve": {"POST /knowledge-bases/{}/items"},
    "import_file": {"POST /knowledge-bases/{}/sources"},
    "import_address": {"POST /knowledge-bases/{}/sources"},
    "change_source": {
        *(f"POST /knowledge-sources/{{}}/{verb}" for verb in ("sync", "retry", "stop")),
        "DELETE /knowledge-sources/{}",
    },
    "create_webhook": {"POST /webhook-endpoints"},
    "save_webhook": {"PATCH /webhook-endpoints/{}"},
    "switch_webhook": {"PATCH /webhook-endpoints/{}"},
    "rotate_webhook_secret": {"PATCH /webhook-endpoints/{}"},
    "delete_webhook": {"DELETE /webhook-endpoints/{}"},
    "test_webhook": {"POST /webhook-endpoints/{}/test"},
    "resend_event": {"POST /webhook-events/{}/resend"},
    "recover_webhook": {"GET /webhook-endpoints/{}/recover", "POST /webhook-endpoints/{}/recover"},
    "stop_recovery": {"POST /webhook-endpoints/{}/recoveries/{}/stop"},
    "save_budget": {"PUT /budgets"},
    "remove_budget": {"DELETE /budgets/{}"},
    "save_quick_reply": {"POST /quick-replies"},
    "delete_quick_reply": {"DELETE /quick-replies/{}"},
    "replace_secret": {"PUT /channels/{}/{}/credentials"},
    "retry_account": {"POST /channels/{}/{}/retry"},
    "take": {"PATCH /conversations/{}"},
    "hand_conversation_to": {"PATCH /conversations/{}"},
    "add_note": {"POST /conversations/{}/notes"},
    "reply": {"POST /conversations/{}/messages"},
    "retry": {"POST /conversations/{}/messages/{}/retry"},
    "erase_contact": {"DELETE /contacts/{}"},
    "invite": {"POST /team"},
    "change_access": {"PATCH /team/{}"},
    "new_link": {"POST /team/{}/link"},
    "create_key": {"POST /keys"},
    "revoke_key": {"DELETE /keys/{}"},
    "connect_own": {"POST /channels/{}/{}"},
    "disconnect": {"DELETE /channels/{}/{}"},
    "subscribe_again": {"POST /channels/{}/{}/subscribe"},
}
_PEOPLE = "of a person and their own browser: passwords and profiles are nobody else's"
_OWNERS = "a key must not make an owner: one may at the desk what no key may, such as a key that manages"
_OPERATOR = "of whoever runs the service, for all businesses; keys are of one. scripts/ does it without a browser"
_UNPROVED = "whoever names an account gets its messages; without a proof only an operator does, at the desk or by scripts/connect"
#: Why the API has none.
NOT = {
    **dict.fromkeys(("log_in", "log_out", "ask_for_link", "use_link"), _PEOPLE),
    **dict.fromkeys(("change_profile", "change_password", "end_sessions"), _PEOPLE),
    "change_role": _OWNERS,
    **dict.fromkeys(("invite_operator", "change_operators_access", "new_operators_link", "change_grant"), _OPERATOR),
    **dict.fromkeys(("begin_replay", "stop_replay", "ignore_failures", "try_channel"), _OPERATOR),
    **dict.fromkeys(("set_price", "remove_price", "pause", "resume", "create_customer", "change_customer"), _OPERATOR),
    "name_account": _UNPROVED,
    "begin_test": "a test chat is a visitor of the widget's, and the widget's own API needs no key",
}


def test_each_post_of_the_desk_is_in_the_api_or_has_a_reason(door: FrontDoor) -> None:
    posts = {
        rule.endpoint.removeprefix("desk.")
        for rule in door.app.url_map.iter_rules()
        if rule.endpoint.startswith("desk.") and (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    }
    assert posts == DOES.keys() | NOT.keys()
    assert not DOES.keys() & NOT.keys()
    assert all(NOT.values())
    there = {f"{method} {re.sub('<.*?>', '{}', path.removeprefix('/api/v1'))}" for method, path, _view in api_routes(door.app)}
    assert set().union(*DOES.values()) <= there
