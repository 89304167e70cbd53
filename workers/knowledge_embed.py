"""knowledge-embedding: makes the vectors that a knowledge base lacks, some of them a job, until it has all."""

from __future__ import annotations

import logging
from typing import Any

from shared import payloads
from shared.ai import embeddings
from shared.ai.vectors import as_literal
from shared.budgets.meter import Meter, Payer, Unaffordable, metering
from shared.db import sql
from shared.errors import PermanentError, Snooze
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.retry_policy import RetryPolicy
from shared.jobs.stage import actor
from shared.queues import Queue

log = logging.getLogger(__name__)

queries = sql.load(__file__)

save_vectors = CompletionStatement(queries["save_vectors"])

#: Seconds between attempts, over two hours: nobody waits, the search goes by words meanwhile, and a provider comes back.
DELAYS = (2.0, 10.0, 60.0, 600.0, 6000.0)
#: Seconds until a batch is tried again while what is left of a budget is reserved for calls that are under way.
RESERVED_WAIT = 5.0
NO_BUDGET = (
    "the month's budget for models is used up; choose the embedding model again when there is a new month or a higher budget; "
    "until then the search goes by words"
)
NO_PGVECTOR = (
    "this database has no vectors: install PostgreSQL's extension pgvector (0.7 or newer), run scripts/migrate, and choose the "
    "embedding model again; until then the search goes by words"
)


@actor(
    Queue.KNOWLEDGE_EMBEDDING,
    max_retries=len(DELAYS),
    min_backoff=2000,
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    retry=RetryPolicy(DELAYS, jitter=0.2),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
)
def embed(job: Job) -> None:
    """Asks for a batch of vectors, with no connection held, and keeps them with the end of the job."""
    payloads.read(Queue.KNOWLEDGE_EMBEDDING, job.payload)
    base = job.loaded
    if base is not None and base["embedding_model"] and not base["has_vectors"]:
        raise PermanentError(NO_PGVECTOR)
    if base is None or not base["has_vectors"]:  # deleted, or its vectors went with the extension
        complete(job)
        return
    model = base["embedding_model"]
    meter = Meter(Payer(base["customer_id"], job_id=job.id, claim=job.claim), has_budget=base["has_budget"])
    try:
        with metering(meter):
            vectors = _embed(base["id"], model) if model else []
    except Unaffordable as refused:
        raise PermanentError(NO_BUDGET) if refused.is_spent else Snooze(RESERVED_WAIT, str(refused)) from None
    except Exception:
        meter.book()
        raise
    values = {"knowledge_base_id": base["id"], "customer_id": base["customer_id"], "model": model, "vectors": vectors}
    with meter.handed_over() as calls:
        save_vectors(job, values | {"calls": calls})
    log.info("vectors_saved", extra={"base": base["id"], "model": model, "vectors": len(vectors)})


def _embed(base_id: int, model: str) -> list[dict[str, Any]]:
    texts = queries["due_texts"].rows(knowledge_base_id=base_id, model=model, most=embeddings.batch_size(model))
    vectors = embeddings.of_texts(model, [text.pop("text") for text in texts])
    return [{**text, "vector": as_literal(vector)} for text, vector in zip(texts, vectors, strict=True)]
