"""The prompt's messages in the order of roles that every model takes: a system message, then user and assistant in turns."""

from __future__ import annotations

from collections.abc import Iterable

from shared.ai import thoughts
from shared.ai.prompt import Message

#: Stands for what was said before the oldest turn, where that is ours: chat templates want the user to begin.
EARLIER = "[…]"


def arranged(messages: Iterable[Message], *, has_system_role: bool = True) -> list[Message]:
    """Neighbours of one role joined, the user first and last, no thoughts of earlier replies.

    `has_system_role` False: what the system message says is the beginning of the first user message.
    """
    system: list[str] = []
    turns: list[Message] = []
    for message in messages:
        role, text = message["role"], message["content"]
        if role == "system":
            system.append(text)
            continue
        text = thoughts.without(text) if role == "assistant" else text
        if not text:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n\n{text}"
        else:
            turns.append({"role": role, "content": text})
        if pictures := message.get("pictures"):
            turns[-1]["pictures"] = (*turns[-1].get("pictures", ()), *pictures)
    if turns and turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": EARLIER})
    instructions = "\n\n".join(text for text in system if text)
    if not instructions:
        return turns
    if has_system_role or not turns:
        return [{"role": "system", "content": instructions}, *turns]
    return [{**turns[0], "content": f"{instructions}\n\n{turns[0]['content']}"}, *turns[1:]]
