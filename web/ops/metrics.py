"""/metrics for Prometheus. What PostgreSQL knows is asked there, at each scrape; the rest are counters that every process
adds to in Redis (shared/telemetry/metrics.py). No label names a customer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import redis
from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from werkzeug.exceptions import NotFound, Unauthorized

from shared import db
from shared.broker.connection import outage
from shared.channels.signatures import constant_time_equal
from shared.config import settings
from shared.jobs.sweep import swept_ago
from shared.queues import Queue
from shared.telemetry import metrics as counters

metrics = Blueprint("metrics", __name__)
log = logging.getLogger(__name__)

OPEN_STATES = ("waiting", "delayed", "active")
#: Queues whose every attempt is one call of somebody outside, unless a limit of ours kept it from that.
PROVIDERS = {
    Queue.AI: "ai",
    Queue.WHATSAPP_CLOUD: "whatsapp_cloud",
    Queue.WHATSAPP_QR: "whatsapp_qr",
    Queue.WEBHOOKS: "webhook",
}

_OPEN = """
    select queue, state, held, count(*) as jobs, extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest
    from job where closed_at is null and id > 0 group by queue, state, held
"""
_FAILED = "select queue, count(*) as jobs from job where state = 'failed' and closed_at is not null group by queue"
_SESSIONS = "select state, count(*) as sessions from whatsapp_qr_session where active group by state"


class _FromPostgres(Collector):
    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("switchboard_jobs", "Open jobs", labels=["queue", "state"])
        oldest = GaugeMetricFamily("switchboard_oldest_job_seconds", "Age of the oldest open job", labels=["queue"])
        jobs = {(queue.value, state): 0 for queue in Queue for state in OPEN_STATES}
        ages = dict.fromkeys((queue.value for queue in Queue), 0.0)
        for row in db.rows(_OPEN):
            jobs[row["queue"], row["state"]] = jobs.get((row["queue"], row["state"]), 0) + row["jobs"]
            ages[row["queue"]] = max(ages[row["queue"]], row["oldest"])
        for labels, count in jobs.items():
            depth.add_metric(labels, count)
        for queue, age in ages.items():
            oldest.add_metric([queue], age)
        yield from (depth, oldest, *_rest())


def _rest() -> Iterator[Metric]:
    failed = GaugeMetricFamily("switchboard_failed_jobs", "Jobs that failed for good and are kept", labels=["queue"])
    for row in db.rows(_FAILED):
        failed.add_metric([row["queue"]], row["jobs"])
    sessions = GaugeMetricFamily("switchboard_qr_sessions", "Active QR sessions by state", labels=["state"])
    for row in db.rows(_SESSIONS):
        sessions.add_metric([row["state"]], row["sessions"])
    yield from (failed, sessions)


class _FromRedis(Collector):
    def collect(self) -> Iterator[Metric]:
        try:
            counts, swept = counters.read(), swept_ago()
        except redis.RedisError as problem:
            outage.noticed(problem)
            return
        yield from _counters(counts)
        if swept is not None:
            yield GaugeMetricFamily("switchboard_sweep_age_seconds", "Since the last sweep ended", value=swept)


def _counters(counts: dict[tuple[str, ...], float]) -> Iterator[Metric]:
    attempts = CounterMetricFamily("switchboard_attempts", "Executions of jobs by outcome", labels=["queue", "outcome"])
    calls = CounterMetricFamily("switchboard_provider_calls", "Calls of the outside by result", labels=["provider", "result"])
    seconds = CounterMetricFamily("switchboard_stage_seconds", "Time that executions took", labels=["queue"])
    tokens = CounterMetricFamily("switchboard_tokens", "Tokens of the AI providers", labels=["kind"])
    inbound = CounterMetricFamily("switchboard_inbound", "What became of what hooks were sent", labels=["hook", "outcome"])
    families = {"attempts": attempts, "seconds": seconds, "tokens": tokens, "inbound": inbound}
    for (metric, *labels), count in sorted(counts.items()):
        if metric in families:
            families[metric].add_metric(labels, count)
        if metric == "attempts" and labels[0] in PROVIDERS and labels[1] != "limited":
            calls.add_metric([PROVIDERS[Queue(labels[0])], labels[1]], count)
    yield from (*families.values(), calls)


_registry = CollectorRegistry()
_registry.register(_FromPostgres())
_registry.register(_FromRedis())


@metrics.get("/metrics")
def scrape() -> Response:
    """Prometheus' text format, for who shows METRICS_TOKEN; without one it is not there, for behind a proxy every address
    may look like this machine's.
    """
    wanted = settings().metrics_token
    if not wanted:
        raise NotFound("nothing is here without METRICS_TOKEN; want it set")
    if not constant_time_equal(request.headers.get("Authorization", ""), f"Bearer {wanted}"):
        raise Unauthorized("the token is missing or wrong; want Authorization: Bearer with METRICS_TOKEN")
    return Response(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)
