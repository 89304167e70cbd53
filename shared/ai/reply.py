"""What becomes of a question: the model's answer, or the chatbot's own words where the model says that there is none.

The model is asked once. Where the search found nothing and the model says that the question needs it, it is searched again in the
model's words, and the model is asked a second time: so small talk costs one call, and only a question whose words found nothing
costs two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from shared.ai import citations, tools
from shared.ai.completion import Completion
from shared.ai.context import Context
from shared.ai.failover import Answer
from shared.ai.prompt import Item
from shared.ai.tools import Tool
from shared.budgets.meter import Unaffordable
from shared.channels.handoffs import Reason, of_model
from shared.channels.registry import channel

#: Asks the model with these items and tools.
Ask = Callable[[Sequence[Item], Sequence[Tool]], Answer]
#: The items that fit a query.
Search = Callable[[str], Sequence[Item]]
#: Why a question is kept if the model says nothing of it: its words and the model's found nothing.
NOTHING_FOUND = "nothing_found"


class Gap(NamedTuple):
    """A question that the business should know of, for it had no good answer (knowledge_gap in schema.sql)."""

    question: str
    reason: str


@dataclass(frozen=True)
class Reply:
    """What the customer reads, and what else follows."""

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    #: Why the conversation is handed over to a person; None: it is not.
    handover: Reason | None = None
    gap: Gap | None = None


def compose(context: Context, items: Sequence[Item], ask: Ask, search: Search) -> Reply:
    """The reply to the question of a claim (workers/ai.sql). Raises what `ask` raises."""
    question, query = str(context.get("question") or context["history"][-1][1]), ""
    answers = [ask(items, offered_tools(context, has_found=bool(items), may_search=True))]
    called = _called(answers[0].completion)
    if called is not None and called[0] is tools.SEARCH:
        question = query = called[1] or question
        items = search(query)
        answers.append(ask(items, offered_tools(context, has_found=bool(items), may_search=False)))
        called = _called(answers[1].completion)
    reply = (
        _answered(context, answers[-1].completion, items) if called is None else _in_own_words(context, items, question, *called)
    )
    if query and not items and reply.gap is None:
        reply = replace(reply, gap=Gap(question, NOTHING_FOUND))
    return replace(reply, metadata={**_about(answers[-1]), **({"query": query} if query else {}), **reply.metadata})


def offered_tools(context: Context, *, has_found: bool, may_search: bool) -> tuple[Tool, ...]:
    """The tools of a prompt. Who found nothing may search once in other words; then it says that it does not know."""
    offered = [tools.HAND_OVER] if context["handover_message"] else []
    if context["has_knowledge"]:
        offered.append(tools.SEARCH if may_search and not has_found else tools.NO_ANSWER)
    return tuple(offered)


def own_words(context: Context) -> Reply | None:
    """What the chatbot says without asking a model: that people come when it is open again, that it cannot see a picture."""
    if context["closed_hands_over"] and context["handover_message"]:
        return Reply(context["handover_message"], metadata={"finish_reason": Reason.OUT_OF_HOURS}, handover=Reason.OUT_OF_HOURS)
    return _unreadable(context) if context["unreadable"] else None


def _unreadable(context: Context) -> Reply:
    """The polite answer to what cannot be read, seen or heard; a person comes, if the chatbot says so."""
    text, metadata = context["unsupported_message"], {"finish_reason": "unsupported"}
    if not context["unsupported_hands_over"]:
        return Reply(text, metadata=metadata)
    return Reply(_joined(text, context["handover_message"]), metadata=metadata, handover=Reason.UNSUPPORTED)


def unaffordable(context: Context, refused: Unaffordable) -> Reply:
    """What a customer gets where the month's budget is used up: the budget's own text, or a person."""
    metadata = {"finish_reason": "budget", "budget": refused.budget}
    if refused.at_limit == "text" and refused.text:
        return Reply(refused.text, metadata=metadata)
    return Reply(context["handover_message"] or context["fallback_message"], metadata=metadata, handover=Reason.BUDGET)


def _about(answer: Answer) -> dict[str, Any]:
    completion = answer.completion
    about = {"model": completion.model, "request_id": completion.request_id, "finish_reason": completion.finish_reason}
    estimated = {"is_usage_estimated": True} if completion.is_estimated else {}
    return {"provider": answer.origin(), **about, **estimated}


def _called(completion: Completion) -> tuple[Tool, str] | None:
    """The tool that the model calls, and its checked argument."""
    call = completion.tool
    tool = tools.TOOLS.get(call.name) if call else None
    return (tool, tool.value(call.arguments)) if call and tool else None


def _answered(context: Context, completion: Completion, items: Sequence[Item]) -> Reply:
    """The model's answer, with the links of what it is taken from."""
    text, cited = citations.read(completion.text, items)
    links = citations.sources(items, cited) if context["cite_sources"] else []
    on = channel(context["channel"])
    if links and not on.shows_sources:
        text = _with_links(text, links, on.max_content)
    return Reply(text, metadata={"knowledge": _used(items, cited), **({"sources": links} if links else {})})


def _in_own_words(context: Context, items: Sequence[Item], question: str, tool: Tool, reason: str) -> Reply:
    """What the business has written for this case: that a person comes, or that the bot does not know."""
    metadata = {"knowledge": _used(items), "tool": {"name": tool.name, "reason": reason}}
    if tool is tools.HAND_OVER:
        assert context["handover_message"] is not None, "it is offered only where there is one"
        gap = Gap(question, reason) if reason == "no_knowledge" else None
        return Reply(context["handover_message"], metadata=metadata, handover=of_model(reason), gap=gap)
    text, handover = context["no_answer_message"], None
    if (misses_left := context["misses_left"]) is not None and misses_left <= 1:
        text, handover = _joined(text, context["handover_message"]), Reason.MISSES
    return Reply(text, metadata=metadata, handover=handover, gap=Gap(question, reason))


def _joined(*texts: str | None) -> str:
    return "\n\n".join(filter(None, texts))


def _used(items: Sequence[Item], cited: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    """Why this answer: the items that the model was given, and which of them it names."""
    return [
        {"id": item.id, "score": round(item.score, 3), "cited": number in cited} for number, item in enumerate(items, start=1)
    ]


def _with_links(text: str, links: Sequence[Mapping[str, str]], limit: int) -> str:
    """The answer and a line for each link; as it is, if the channel has no room for them."""
    longer = "\n".join([text, "", *(link["url"] for link in links)])
    return longer if len(longer) <= limit else text
