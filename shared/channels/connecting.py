"""How a chatbot gets its account on a channel, in place of the one that it had, and loses it: for the command and for the desk.

Whoever names an account gets its messages. So `connect_cloud` and `connect_qr` are for operators; what begins with `own_` asks
the provider first, or makes the session itself, and is for everybody.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import peewee
import psycopg2.errors

from shared import db
from shared.channels import accounts, checks, health
from shared.channels.checks import ProviderRefused
from shared.channels.telegram import connect as telegram
from shared.channels.whatsapp_cloud import connect as cloud
from shared.channels.whatsapp_cloud import template_store
from shared.channels.whatsapp_qr import connect as qr
from shared.channels.whatsapp_qr.dialects import DIALECTS
from shared.db.credentials import encrypt
from shared.errors import InvalidPayload, OutsideFailure, PermanentError
from shared.http import headers
from shared.models import TelegramBot, WhatsappCloudAccount, WhatsappQrSession

#: The tables of accounts, one for each channel that has any.
AccountModel: TypeAlias = WhatsappCloudAccount | WhatsappQrSession | TelegramBot
#: Called within the transaction of a change, with what it is and the account's name: an audit row commits with what it tells of.
Note: TypeAlias = Callable[[str, str], object]
CONNECTED, DISCONNECTED, SECRET_REPLACED = "channel.connected", "channel.disconnected", "channel.secret_replaced"


def _no_note(_action: str, _name: str) -> None:
    """Of whoever keeps no audit."""


class Taken(InvalidPayload):
    """The account is another chatbot's, of this customer or of another one."""

    def __init__(self, field: str) -> None:
        super().__init__("channel", {field: "is another chatbot's; connect another one there first"})


def connect_account(model: type[AccountModel], chatbot_id: int, name: peewee.TextField, values: dict[str, Any]) -> str | None:
    """Gives a chatbot its account, in place of the one that it had; returns the name of that."""
    own = model.chatbot == chatbot_id
    account = model.insert(chatbot=chatbot_id, **values).on_conflict(conflict_target=[model.chatbot], update=values)
    with db.transaction():
        before: str | None = db.scalar(model.select(name).where(own))
        db.rows(account)
        accounts.connected(model._meta.table_name, chatbot_id, values)
    return before


# ------------------------------------------------------------------------------------------------------------------ Meta


def connect_cloud(chatbot_id: int, phone_number_id: str, token: str) -> str | None:
    """A number of Meta's Cloud API. Raises InvalidPayload; returns the number that it replaces."""
    _check_number(phone_number_id, token)
    values = {"phone_number_id": phone_number_id, "access_token": encrypt(token), "active": True, "waba_id": None}
    return _unless_taken(WhatsappCloudAccount, chatbot_id, WhatsappCloudAccount.phone_number_id, values, "phone_number_id")


def own_cloud(chatbot_id: int, phone_number_id: str, token: str, waba_id: str, note: Note) -> None:
    """A number that Graph shows to the token. Raises InvalidPayload, ProviderRefused, and what shared.http raises."""
    _check_number(phone_number_id, token)
    _must(not waba_id or bool(re.fullmatch(r"[0-9]{1,40}", waba_id)), "waba_id", "must be Meta's id, digits only")
    cloud.number_of(phone_number_id, token)
    business = cloud.business_of(phone_number_id, token, waba_id)
    with db.transaction():
        connect_cloud(chatbot_id, phone_number_id, token)
        if business:
            account = WhatsappCloudAccount.select(WhatsappCloudAccount.id).where(WhatsappCloudAccount.chatbot == chatbot_id)
            template_store.learn(db.scalar(account), business)
        note(CONNECTED, phone_number_id)
    if business:
        with suppress(ProviderRefused, OutsideFailure):  # the checks say so
            cloud.subscribe(business, token)


def _check_number(phone_number_id: str, token: str) -> None:
    is_id = bool(re.fullmatch(r"[0-9]{1,40}", phone_number_id))
    _must(is_id, "phone_number_id", "must be Meta's id of the number, digits only")
    _must_be_sendable(token)


# ----------------------------------------------------------------------------------------------------------- QR gateways


def connect_qr(chatbot_id: int, session: str, dialect: str, key: str) -> tuple[str, str | None]:
    """A session of a QR gateway. Raises InvalidPayload; returns the secret of its hook, which is shown once, and the session that
    it replaces."""
    is_name = bool(re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", session))
    _must(is_name, "session", "must have letters, digits, and the characters _ . - only")
    _must(dialect in DIALECTS, "dialect", f"must be one of {', '.join(DIALECTS)}")
    if key:
        _must_be_sendable(key)
    secret = secrets.token_urlsafe(24)
    values = {
        "session_name": session,
        "dialect": dialect,
        "api_key": encrypt(key) if key else None,
        "webhook_secret": encrypt(secret),
        "active": True,
        "state": "unknown",
    }
    return secret, _unless_taken(WhatsappQrSession, chatbot_id, WhatsappQrSession.session_name, values, "session")


def own_qr(chatbot_id: int, dialect: str, site: str, note: Note) -> str:
    """A session that is made at the gateway now, with a name of ours. Raises as `own_cloud`; returns its name.

    The row comes first: whoever dies in between leaves one that the page calls unknown to the gateway, and that is disconnected,
    never a session that nobody knows of.
    """
    name = qr.new_name(chatbot_id)
    with db.transaction():
        secret, _before = connect_qr(chatbot_id, name, dialect, "")
        note(CONNECTED, name)
    try:
        qr.create(dialect, name, site, secret)
    except (ProviderRefused, OutsideFailure):
        with suppress(ProviderRefused, OutsideFailure):  # it may be made all the same: without a phone, its webhooks refused
            qr.leave({"session_name": name, "dialect": dialect, "api_key": None})
        _undo(WhatsappQrSession, WhatsappQrSession.session_name == name, name, note)
        raise
    return name


# -------------------------------------------------------------------------------------------------------------- Telegram


def connect_telegram(chatbot_id: int, token: str, site: str, note: Note = _no_note) -> tuple[telegram.Bot, str | None]:
    """A bot of @BotFather's; returns it, and the id of the one that it replaces. Raises as `own_cloud`.

    `site`: where Telegram reaches this front door by https; "": scripts/server asks for its messages.
    """
    bot, secret = telegram.bot_of(token), secrets.token_urlsafe(24)
    values = {
        "bot_id": bot.bot_id,
        "username": bot.username,
        "token": encrypt(token),
        "webhook_secret": encrypt(secret),
        "polling": not site,
        "active": True,
    }
    with db.transaction():
        before = _unless_taken(TelegramBot, chatbot_id, TelegramBot.bot_id, values, "bot")
        note(CONNECTED, bot.bot_id)
    try:
        if site:
            telegram.be_called(token, telegram.hook_of(site, bot.bot_id), secret)
        else:
            telegram.ask_for_updates(token)
    except (ProviderRefused, OutsideFailure):
        if before is None:  # else it stays in place of the one before, whose messages it would have got
            _undo(TelegramBot, TelegramBot.bot_id == bot.bot_id, bot.bot_id, note)
        raise
    return bot, before


# ------------------------------------------------------------------------------------------------- other tokens, and the end


def replace_token(account: health.ChannelAccount, secret: str, site: str, note: Note = _no_note) -> None:
    """Gives an account a token or key that the provider takes for it; replies that were held leave. Raises as `own_cloud`."""
    _must_be_sendable(secret)
    row = checks.row_of(account)
    if row is None:  # it was disconnected at this moment
        return
    more = checks.of_channel(account.channel.name).check_secret(row, secret, site)
    with db.transaction():
        accounts.replace_secret(account, secret, more)
        health.connected(account)
        note(SECRET_REPLACED, account.name)


def disconnect(account: health.ChannelAccount, note: Note = _no_note) -> bool:
    """The chatbot has no account on this channel any longer; what waits for it fails. Returns whether the provider knows."""
    row = checks.row_of(account)
    if row is None:  # somebody else disconnected it at this moment
        return True
    with db.transaction():
        health.connected(account)  # what is held looks again, and finds no account
        db.rows(f"delete from {account.channel.account_table} where chatbot_id = %s", [account.chatbot_id])
        note(DISCONNECTED, account.name)
    try:
        checks.of_channel(account.channel.name).leave(row)
    except (ProviderRefused, OutsideFailure, PermanentError):
        return False
    return True


def _undo(model: type[AccountModel], is_it: peewee.Expression, name: str, note: Note) -> None:
    """The provider does not take an account that was stored."""
    with db.transaction():
        db.rows(model.delete().where(is_it))
        note(DISCONNECTED, name)


def _must(is_right: bool, field: str, problem: str) -> None:
    if not is_right:
        raise InvalidPayload("channel", {field: problem})


def _must_be_sendable(secret: str) -> None:
    _must(headers.may_hold(secret), "secret", "must be a token or key in printable ASCII, without blanks at its ends")


def _unless_taken(
    model: type[AccountModel], chatbot_id: int, name: peewee.TextField, values: dict[str, Any], field: str
) -> str | None:
    try:
        return connect_account(model, chatbot_id, name, values)
    except peewee.IntegrityError as problem:
        if isinstance(getattr(problem, "orig", None), psycopg2.errors.UniqueViolation):
            raise Taken(field) from None
        raise
