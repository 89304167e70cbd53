"""What the claim of a question reads in the same round trip (`claim` in workers/ai.sql): all that an answer is made of."""

from __future__ import annotations

from typing import Any, TypedDict


class Context(TypedDict):
    """A question, its chatbot, and how the conversation stands. Texts are read as far as a prompt takes them."""

    # The chatbot.
    chatbot_id: int
    chatbot_name: str
    system_prompt: str
    #: Whether its model reads pictures.
    can_see: bool
    #: Characters of a prompt; None: the platform's.
    knowledge_characters: int | None
    history_characters: int | None
    cite_sources: bool
    #: Rows of shared/ai/failover.py's Candidate, in the order in which they are asked.
    providers: list[dict[str, Any]]
    has_budget: bool

    # Its own words for what a model is not asked, or cannot answer.
    fallback_message: str
    handover_message: str | None
    no_answer_message: str
    no_answer_hands_over: bool
    #: How many more questions without an answer hand over; None: none does.
    misses_left: int | None
    unsupported_message: str
    unsupported_hands_over: bool
    #: It is closed now, and then a person takes over.
    closed_hands_over: bool

    # Its knowledge.
    has_knowledge: bool
    knowledge_base_id: int | None
    knowledge_languages: list[str] | None
    #: The model whose vectors serve; None: the search is by words.
    embedded_model: str | None
    #: Whether the claim has searched, and what it found; else shared/ai/search.py does.
    is_searched: bool
    items: list[dict[str, Any]] | None
    #: What is searched for, and what was said before it.
    question: str | None
    before: str | None

    # The conversation.
    channel: str
    owner: str
    #: The last turns, as the arguments of shared/ai/prompt.py's Turn; the question is the last one.
    history: list[list[Any]]
    #: The bot's replies of the last hour, if they are many, as the arguments of shared/ai/brakes.py's Reply.
    pace: list[list[Any]] | None
    braked: bool | None
    #: RFC 3834's word, if a machine wrote the question.
    auto_submitted: str | None
    is_revoked: bool
    #: There is nothing to read in it: a picture without words, a sticker.
    unreadable: bool
    #: The customer was told so a moment ago: three stickers in a row are answered once.
    is_told_already: bool
    #: How fetching what came with it stands: open, unclaimed, failing; None: nothing is fetched.
    media_fetch: str | None
    #: Whether an open page shows it now.
    is_watched: bool
    #: Whom to show that somebody types (shared/channels/typing_indicator.py); None: nobody.
    typing: dict[str, Any] | None

    # The answer so far.
    reply_id: int | None
    #: The reply that is there never left, for a person had the conversation.
    is_superseded: bool | None
    #: PostgreSQL's time of the claim.
    claimed_at: str
    #: Nobody has begun with the job before.
    untried: bool
    #: Seconds for which providers have been tried, or the customer waits.
    tried_for: float | None
