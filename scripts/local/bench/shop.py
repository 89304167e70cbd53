"""A question set in the database, as a shop's items and messages are, and its questions asked as a worker asks them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from scripts.local.bench.question_set import Base, Question
from scripts.local.folders import ROOT
from shared import db
from shared.ai import embeddings, prompt, search
from shared.ai.context import Context
from shared.ai.vectors import as_literal
from shared.db import sql
from shared.jobs.ledger import ClaimStatement, Job, leases
from shared.knowledge.split import PART, split
from shared.models import Chatbot, Customer, KnowledgeBase, KnowledgeDocument, KnowledgeItem, KnowledgeSource
from shared.queues import Queue


@dataclass(frozen=True)
class Found:
    """What one question got: documents, best first, each once; how long the claim took, on the wall and of PostgreSQL's CPU."""

    base: str
    question: Question
    documents: list[str]
    characters: int
    ms: float
    cpu_ms: float | None = None

    @property
    def place(self) -> int | None:
        """That of the first right document, from 0."""
        return next((place for place, document in enumerate(self.documents) if document in self.question.right), None)


class Shop:
    """The bases of a set in the database, a chatbot each."""

    def __init__(self, bases: Iterable[Base], model: str | None = None) -> None:
        self._model = model
        self._claim = ClaimStatement(Queue.AI, sql.load(str(ROOT / "workers" / "ai.py"))["claim"])
        self._documents: dict[int, str] = {}
        self._chatbots: dict[str, int] = {}
        self._customer = db.scalar(Customer.insert(name="Bench").returning(Customer.id))
        for base in bases:
            self.add(base)
        db.rows("vacuum analyze")

    def add(self, base: Base) -> int:
        """Stores a base, its items split as imports split them; returns its id."""
        known = db.scalar("select knowledge_language_is_known(%s)", [base.language])
        language = base.language if known else "simple"
        new_base = KnowledgeBase.insert(customer=self._customer, name=base.name, language=language)
        stored = db.scalar(new_base.returning(KnowledgeBase.id))
        new_chatbot = Chatbot.insert(customer=self._customer, name="Bot", knowledge_base=stored)
        self._chatbots[base.name] = db.scalar(new_chatbot.returning(Chatbot.id))
        with db.transaction():
            source = KnowledgeSource.insert(knowledge_base=stored, kind="file", location=base.name, state="listed")
            source_id = db.scalar(source.returning(KnowledgeSource.id))
            for document, (title, content) in base.documents.items():
                imported = _document(source_id, document) if len(content) > PART else None
                for part_title, part in split(title, content) if imported else [(title, content)]:
                    item = KnowledgeItem.insert(knowledge_base=stored, title=part_title, content=part, document=imported)
                    self._documents[int(db.scalar(item.returning(KnowledgeItem.id)))] = document
        if self._model:
            _embed(int(stored), self._model)
        return int(stored)

    def ask(self, base: Base) -> list[Found]:
        """All of a base's questions, one after the other."""
        chatbot = self._chatbots[base.name]
        with db.transaction():
            jobs = [self._message(chatbot, question) for question in base.questions]
        return [self._found(base.name, question, job) for question, job in zip(base.questions, jobs, strict=True)]

    def rank(self, base: Base, question: Question) -> Found:
        """The best five of a plain question, whatever their scores."""
        cpu, begun = _postgres_cpu(), time.perf_counter()
        rows = db.rows(_RANK, [question.text, self._chatbots[base.name]])
        ms = (time.perf_counter() - begun) * 1000
        cpu_ms = None if cpu is None else ((_postgres_cpu() or cpu) - cpu) / 1e6
        documents = list(dict.fromkeys(self._documents[row["id"]] for row in rows))
        return Found(base.name, question, documents, sum(row["characters"] for row in rows), ms, cpu_ms)

    def _message(self, chatbot: int, question: Question) -> int:
        rows = [[role, text] for role, text in (*question.before, ("user", question.text))]
        return int(db.scalar(_ADD, {"chatbot": chatbot, "customer": self._customer, "turns": db.json(rows)}))

    def _found(self, base: str, question: Question, job_id: int) -> Found:
        cpu, begun = _postgres_cpu(), time.perf_counter()
        job = self._claim(job_id)
        assert isinstance(job, Job), job
        context = cast("Context", job.loaded)
        by_words = context["items"] or []
        items = by_words if context["is_searched"] else search.items_of(context, self._customer, prompt.ITEM_BUDGET + 1)
        ms, cpu_ms = (time.perf_counter() - begun) * 1000, None
        if cpu is not None:
            cpu_ms = ((_postgres_cpu() or cpu) - cpu) / 1e6
        leases.drop(job.id, job.claim)
        documents = list(dict.fromkeys(self._documents[item["id"]] for item in items))
        return Found(base, question, documents, sum(len(item["title"]) + len(item["content"]) for item in items), ms, cpu_ms)


_RANK = """
    select item.id, length(title) + length(content) as characters
    from chatbot, knowledge_candidates_v6(chatbot.knowledge_base_id, %s, null, 5) candidate
    join knowledge_item item on item.id = candidate.id where chatbot.id = %s order by score desc, item.id
"""
#: A conversation, its turns (each assistant's turn answers the one before it) and the job that answers the last one.
_ADD = """
    with turns as materialized (
        select place, turn ->> 0 as role, coalesce(nullif(turn ->> 1, ''), '…') as text
        from jsonb_array_elements(%(turns)s) with ordinality as given (turn, place)
    ), conversations as (
        insert into conversation (chatbot_id, channel, external_user_id)
        values (%(chatbot)s, 'whatsapp_qr', gen_random_uuid()::text) returning id
    ), ids as materialized (
        select turns.*, nextval(pg_get_serial_sequence('message', 'id')) as id from turns order by place
    ), messages as (
        insert into message (id, conversation_id, chatbot_id, channel, role, content, status, reply_to)
        select ids.id, conversations.id, %(chatbot)s, 'whatsapp_qr', role, text,
            case role when 'user' then 'DELIVERED' else 'READ' end,
            case when role <> 'user' then lag(ids.id) over (order by place) end
        from ids, conversations
    )
    select (job_add_v1(jsonb_build_array(answer_job_v1(%(customer)s, 5::smallint, max(ids.id), max(conversations.id), 0::real)))
            #>> '{0,id}')::bigint
    from ids, conversations
"""


def _document(source: int, name: str) -> int:
    """What the parts of an imported text belong to."""
    document = KnowledgeDocument.insert(source=source, location=name, state="stored")
    return int(db.scalar(document.returning(KnowledgeDocument.id)))


def _embed(base: int, model: str) -> None:
    """Makes a base's vectors, as workers/knowledge_embed.py does."""
    db.rows(KnowledgeBase.update(embedding_model=model).where(KnowledgeBase.id == base))
    lacks_some = True
    while lacks_some:
        texts = db.rows("select * from knowledge_embedding_due_v1(%s, %s, %s)", [base, model, embeddings.batch_size(model)])
        vectors = embeddings.of_texts(model, [text.pop("text") for text in texts])
        made = [
            {**text, "text_hash": str(text["text_hash"]), "vector": as_literal(vector)}
            for text, vector in zip(texts, vectors, strict=True)
        ]
        lacks_some = db.scalar("select knowledge_embedding_save_v1(%s, %s, %s)", [base, model, db.json(made)])


def _postgres_cpu() -> int | None:
    """Nanoseconds of CPU of this session's backend, if it runs on this machine."""
    with suppress(OSError, ValueError), db.connection() as database:
        return int(Path(f"/proc/{database.session.get_backend_pid()}/schedstat").read_text(encoding="utf-8").split()[0])
    return None
