"""What the steps of a connection are called, and what to do about each problem, in the words of whoever owns the shop."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

STEPS: Mapping[str, LazyString] = {
    "token": _l("The token is accepted"),
    "number": _l("The number is yours"),
    "webhook": _l("Messages are sent to this server"),
    "fields": _l("The server is told all it needs"),
    "subscription": _l("Your WhatsApp account sends its messages"),
    "updates": _l("Messages come to this server"),
    "gateway": _l("The gateway knows the session"),
    "phone": _l("A phone is linked"),
}

#: `problem` of a step, or of a connection that was refused: what is wrong and what to do.
PROBLEMS: Mapping[str, LazyString] = {
    "no_answer": _l("The provider did not answer, or not with what it was asked for. Try again in a minute."),
    "unreadable": _l(
        "The stored token cannot be read any more: the server's CREDENTIALS_KEY has changed. Enter the token once more under "
        "“New token or key”, or have whoever runs the server put the key from before back."
    ),
    "token_refused": _l(
        "The provider does not accept this token: it has ended, was withdrawn, or a part of it is missing. Make a new one."
    ),
    "token_malformed": _l("This is no token. BotFather's look like 123456789:AAE… Copy all of it."),
    "token_without_permission": _l(
        "The token may not send messages. Make one with the permissions whatsapp_business_messaging and "
        "whatsapp_business_management."
    ),
    "token_ends": _l(
        "The token ends soon, and then nothing is sent. Make one of a system user that never ends, and enter it here."
    ),
    "number_refused": _l(
        "Meta shows this number to nobody with this token. Take the phone number ID (not the phone number) and the token "
        "from the same app."
    ),
    "business_refused": _l(
        "The token does not reach this WhatsApp Business Account. Check its ID, and that the token's system user has the account."
    ),
    "business_unknown": _l(
        "It is not known in which WhatsApp Business Account the number is. Disconnect it and enter the account's ID as "
        "well, so that its messages are sent here."
    ),
    "server_not_ready": _l(
        "The server lacks WHATSAPP_APP_SECRET or WHATSAPP_VERIFY_TOKEN, so it refuses what Meta sends. Only whoever runs the "
        "server can set them."
    ),
    "other_app": _l(
        "The token is of another Meta app than the server's: what that app sends would be refused. Use a token of the "
        "server's app; whoever runs the server knows which one it is."
    ),
    "webhook_missing": _l("No address is entered yet. Enter the one shown on this page at the provider."),
    "webhook_elsewhere": _l("Messages go to another address. Enter the one shown on this page at the provider instead."),
    "updates_elsewhere": _l(
        "Messages go elsewhere: another program uses this bot. Enter its token here again, then they come here."
    ),
    "webhook_fails": _l("The provider could not deliver the last messages to this server."),
    "messages_missing": _l(
        "The field “messages” is not subscribed, so nothing arrives. Subscribe in Meta's app under WhatsApp, Configuration."
    ),
    "fields_missing": _l(
        "These fields are not subscribed. Without them the bot may talk over your colleagues. Subscribe to them as well."
    ),
    "not_subscribed": _l("The app does not get the account's messages yet. Press “Connect to Meta again”."),
    "address_refused": _l("The provider does not accept this server's address. It has to be reached by https from the internet."),
    "other_bot": _l("This token is of another bot. Disconnect this one first, then connect the other one."),
    "key_refused": _l("The gateway does not accept the server's key. Only whoever runs the server can change it."),
    "gateway_refused": _l("The gateway did not make a session. Perhaps it is of the other kind: choose that one."),
    "session_unknown": _l("The gateway does not know this session any longer. Disconnect it here and connect it again."),
    "phone_missing": _l(
        "Open WhatsApp on the phone, choose Linked devices, Link a device, and point the camera at the code. It changes "
        "every 20 seconds."
    ),
    "taken": _l(
        "This account is connected to another chatbot already. If it is one of yours, disconnect it there first; if you "
        "know nothing of it, ask whoever runs this server."
    ),
    "has_one": _l("This chatbot has an account here by now: somebody else, or a second click, was faster. Look under Channels."),
    "no_address": _l(
        "The server does not know under which address it is reached, so the gateway cannot send it anything. Whoever "
        "runs the server has to set PUBLIC_URL."
    ),
    "phone_number_id": _l("Write Meta's ID of the number: digits only, and not the phone number."),
    "waba_id": _l("Write Meta's ID of the account: digits only, or nothing."),
    "secret": _l("Write the token as you got it, all of it: letters without accents, digits and signs."),
    "session": _l("A session's name has letters, digits, and the characters _ . - only."),
    "dialect": _l("Choose the kind of gateway."),
}
