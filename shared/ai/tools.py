"""What a model may do instead of answering. It calls a tool, with a reason from a list; nobody guesses it from the answer's text.

The tools here are built in: each is known by its name. Which of them a prompt offers, and what becomes of a call, is in reply.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: Characters of a search query.
MAX_QUERY = 300


@dataclass(frozen=True)
class Tool:
    """A function that a model may call with one argument."""

    name: str
    description: str
    #: The argument: its name, what it is, and the values that it may have; none: any text.
    argument: str
    meaning: str
    choices: tuple[str, ...] = ()
    #: The value of a call that gives none of the choices.
    default: str = ""

    @cached_property
    def definition(self) -> dict[str, Any]:
        """As OpenAI's API takes it, the same in each prompt."""
        argument: dict[str, Any] = {"type": "string", "description": self.meaning}
        if self.choices:
            argument["enum"] = list(self.choices)
        parameters = {"type": "object", "properties": {self.argument: argument}, "required": [self.argument]}
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": parameters}}

    def value(self, arguments: Mapping[str, Any]) -> str:
        """The argument of a call, whatever the model made of it: one of the choices, or a text of one line."""
        given = arguments.get(self.argument)
        if given is None and len(arguments) == 1:  # there is only one that it may mean
            [given] = arguments.values()
        given = given[0] if isinstance(given, list) and given else given
        if not isinstance(given, str):
            return self.default
        if not self.choices:
            return " ".join(given.split())[:MAX_QUERY] or self.default
        chosen = re.sub(r"\W+", "_", given.casefold()).strip("_")
        return chosen if chosen in self.choices else self.default


HAND_OVER = Tool(
    "hand_over",
    "Hand the conversation over to a person. Only if the customer asks for one, is upset, goes in circles, or needs what you may "
    "not or cannot do.",
    "reason",
    "Why.",
    ("asked_for_human", "frustration", "loop", "no_knowledge", "unsupported", "policy", "other"),
    default="other",
)
NO_ANSWER = Tool(
    "no_answer",
    "Say that you do not know. Whenever the customer asks something that neither the knowledge nor your instructions answer.",
    "reason",
    "Why.",
    ("no_knowledge", "off_topic", "unsupported", "policy"),
    default="no_knowledge",
)
SEARCH = Tool(
    "search_knowledge",
    "Search the knowledge again, before you answer a question that needs it. Not for greetings, thanks or small talk.",
    "query",
    "What is asked, complete without the conversation, in its own words and language.",
)
TOOLS = {tool.name: tool for tool in (HAND_OVER, NO_ANSWER, SEARCH)}


def instruction(definitions: Iterable[Mapping[str, Any]]) -> str:
    """The tools in words, for a provider that takes none: the model's whole answer is the call."""
    lines = []
    for function in (definition["function"] for definition in definitions):
        properties = function.get("parameters", {}).get("properties", {})  # a tool may take none
        arguments = {name: "|".join(argument.get("enum", ())) or "…" for name, argument in properties.items()}
        lines.append(f"{json.dumps({'tool': function['name'], **arguments}, ensure_ascii=False)}: {function['description']}")
    return "Instead of an answer you may write one line of JSON and nothing else:\n" + "\n".join(lines)
