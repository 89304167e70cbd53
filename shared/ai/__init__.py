"""What the bot knows and says: the search in its knowledge, the prompt, the provider, the answer.

What belongs here: what a question finds; what a prompt consists of; whom to ask, calls to AI providers, what their answers mean.
    brakes.py       when the bot is silent, because the other side seems to be a bot
    search.py       the items that a question finds, by meaning as well as by words; embeddings.py, embedding_calls.py,
                    local_model.py: how texts become vectors; vectors.py: their arithmetic
    context.py      what the claim of a question has read for its answer
    prompt.py       the messages that the model is asked with: instructions, the items that were found, the conversation;
                    shorter ones for a model whose context is too small
    attachments.py  what came with the messages: the text of documents, and pictures
    understanding.py what a file says, once it is stored; transcription.py: voice notes as words
    failover.py     which provider is asked, for how long, and when the next one; patience.py: how long a question
                    waits that none of them takes
    provider.py     one question to a provider; clients.py: the openai client for an address
    profiles.py     what a model takes, and the request in that form; lessons.py: what its refusals teach of that
    failures.py     how that fails, and whether another provider may answer
    refusals.py     what a provider's refusal means, in any vendor's format (wordings.py: its words; waits.py: until when)
    completion.py   how an answer is read; native.py: in vendors' own forms; answer_text.py: the words of it that are for the
                    customer, headed_thoughts.py: thoughts without markers, roles.py: what stands around its turn,
                    template_turns.py: others' turns in marks, tool_results.py: what it makes up, wrapped.py: JSON,
                    written_html.py: HTML; calls.py: the tool that it calls, named_calls.py: in a form of its own
    stream.py       the same while it comes; events.py: the wire's JSON; pieces.py: texts and calls of it, put together;
                    visible_text.py: what may be shown
    reply.py        what becomes of a question; tools.py: what a model may do instead of answering; citations.py: its sources, and
                    source_lists.py: lists of them
What does not: the ranking (knowledge_search_v8 in schema.sql, knowledge_hybrid_v6 in shared/db/vectors.sql), how items get into a
base (shared/knowledge, shared/teaching), what becomes of a saved reply (workers/ai.py), HTTP itself (shared/http).

It may import: the vocabulary, models, db, http, media, broker, telemetry, jobs, budgets, knowledge, teaching. Used by workers,
web and scripts.
"""
