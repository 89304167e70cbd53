"""Telegram: a bot that BotFather made. Updates come by webhook, or are asked for where nobody can call us (scripts/local).

    api.py       one call of the Bot API; the token is a part of its address, and is named nowhere
    errors.py    what its errors mean
    updates.py   what an update reports
    contents.py  what a message is made of; rich.py reads the documents among them
    accounts.py  whose a bot is, and whether a webhook is Telegram's
    send.py      a text, with buttons
    files.py     what it carries of files, and send_file.py sends one
    typing.py    that the bot is typing
    media.py     a file by its id
    connect.py   what Telegram is told when a bot is connected

What belongs here: whatever is true of Telegram only. What does not: the bookkeeping of a send (shared/channels/sending.py).
It may import what shared/channels may. Used by workers/telegram.py, web/hooks/telegram.py and scripts.
"""
