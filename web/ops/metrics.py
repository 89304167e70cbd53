"""/metrics for Prometheus. Gauges are read from PostgreSQL at each scrape; counters from Redis, where every process adds to
them (shared/telemetry/metrics.py). No label names a customer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import redis
from flask import Blueprint, Response
from peewee import Cast, ModelSelect, fn
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from shared import db
from shared.broker.connection import outage
from shared.channels import accounts, health
from shared.channels.registry import CHANNELS
from shared.config import settings
from shared.jobs import scheduled
from shared.jobs.sweep import swept_ago
from shared.models import Job, WhatsappQrSession
from shared.queues import Queue
from shared.telemetry import metrics as counters
from web.ops.tokens import require_token

metrics = Blueprint("metrics", __name__)
log = logging.getLogger(__name__)

OPEN_STATES = ("waiting", "delayed", "active")
#: Queues whose every attempt is one call of somebody outside, unless a limit of ours kept it from that.
PROVIDERS = {
    Queue.AI: "ai",
    **{channel.send_queue: name for name, channel in CHANNELS.items() if channel.send_queue},
    Queue.WEBHOOKS: "webhook",
}


def _open_jobs() -> ModelSelect[Job]:
    age = Cast(fn.date_part("epoch", fn.clock_timestamp() - fn.MIN(Job.created_at)), "float8")
    return (
        Job.select(Job.queue, Job.state, Job.held, fn.COUNT(Job.id).alias("jobs"), age.alias("oldest"))
        .where(Job.closed_at.is_null(), Job.id > 0)
        .group_by(Job.queue, Job.state, Job.held)
    )


def _failed_jobs() -> ModelSelect[Job]:
    is_kept = (Job.state == "failed") & Job.closed_at.is_null(False)
    return Job.select(Job.queue, fn.COUNT(Job.id).alias("jobs")).where(is_kept).group_by(Job.queue)


def _active_sessions() -> ModelSelect[WhatsappQrSession]:
    state = WhatsappQrSession.state
    sessions = fn.COUNT(WhatsappQrSession.id).alias("sessions")
    return WhatsappQrSession.select(state, sessions).where(WhatsappQrSession.active).group_by(state)


class _FromPostgres(Collector):
    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("switchboard_jobs", "Open jobs", labels=["queue", "state"])
        oldest = GaugeMetricFamily("switchboard_oldest_job_seconds", "Age of the oldest open job", labels=["queue"])
        jobs = {(queue.value, state): 0 for queue in Queue for state in OPEN_STATES}
        ages = dict.fromkeys((queue.value for queue in Queue), 0.0)
        for row in db.rows(_open_jobs()):
            jobs[row["queue"], row["state"]] = jobs.get((row["queue"], row["state"]), 0) + row["jobs"]
            ages[row["queue"]] = max(ages[row["queue"]], row["oldest"])
        for labels, count in jobs.items():
            depth.add_metric(labels, count)
        for queue, age in ages.items():
            oldest.add_metric([queue], age)
        yield from (depth, oldest, *_failed_jobs_and_sessions())


def _failed_jobs_and_sessions() -> Iterator[Metric]:
    failed = GaugeMetricFamily("switchboard_failed_jobs", "Jobs that failed for good and are kept", labels=["queue"])
    for row in db.rows(_failed_jobs()):
        failed.add_metric([row["queue"]], row["jobs"])
    sessions = GaugeMetricFamily("switchboard_qr_sessions", "Active QR sessions by state", labels=["state"])
    for row in db.rows(_active_sessions()):
        sessions.add_metric([row["state"]], row["sessions"])
    yield from (failed, sessions, _channels())


def _channels() -> Metric:
    states = {(one.name, state): 0 for one in CHANNELS.values() if one.account_table for state in health.STATES}
    for row in accounts.overview():
        if row["active"]:
            states[row["channel"], row["state"]] += 1
    family = GaugeMetricFamily("switchboard_channels", "Active accounts of channels by state", labels=["channel", "state"])
    for labels, count in states.items():
        family.add_metric(labels, count)
    return family


class _FromRedis(Collector):
    def collect(self) -> Iterator[Metric]:
        try:
            counts, swept, ran = counters.read(), swept_ago(), scheduled.ran_ago()
        except redis.RedisError as problem:
            outage.noticed(problem)
            return
        yield from _counters(counts)
        if swept is not None:
            yield GaugeMetricFamily("switchboard_sweep_age_seconds", "Seconds since the last sweep ended", value=swept)
        if ran is not None:
            yield GaugeMetricFamily("switchboard_scheduler_age_seconds", "Seconds since a job of the scheduler ran", value=ran)


def _counters(counts: dict[tuple[str, ...], float]) -> Iterator[Metric]:
    attempts = CounterMetricFamily("switchboard_attempts", "Executions of jobs by outcome", labels=["queue", "outcome"])
    calls = CounterMetricFamily("switchboard_provider_calls", "External provider calls by result", labels=["provider", "result"])
    seconds = CounterMetricFamily("switchboard_stage_seconds", "Time that executions took", labels=["queue"])
    tokens = CounterMetricFamily("switchboard_tokens", "Tokens of the AI providers", labels=["kind"])
    inbound = CounterMetricFamily("switchboard_inbound", "Inbound webhook items by outcome", labels=["hook", "outcome"])
    brakes = CounterMetricFamily("switchboard_brakes", "Conversations in which a bot fell silent", labels=["reason"])
    failovers = CounterMetricFamily("switchboard_failovers", "Replies that came from another provider than a chatbot's first")
    typing = CounterMetricFamily("switchboard_typing", "Read marks and typing by outcome", labels=["channel", "outcome"])
    states = CounterMetricFamily(
        "switchboard_channel_states", "Times that an account got into a state", labels=["channel", "state"]
    )
    endpoints = CounterMetricFamily("switchboard_webhook_endpoints", "Endpoints that fail, or were disabled", labels=["state"])
    unknown = CounterMetricFamily("switchboard_unknown_codes", "Codes of providers that no table knows", labels=["channel"])
    vectors = CounterMetricFamily("switchboard_question_vectors", "Vectors of questions by result", labels=["result"])
    families = {
        "attempts": attempts,
        "seconds": seconds,
        "tokens": tokens,
        "inbound": inbound,
        "brakes": brakes,
        "failovers": failovers,
        "question_vectors": vectors,
        "typing": typing,
        "channel_states": states,
        "endpoints": endpoints,
        "unknown_codes": unknown,
    }
    for (metric, *labels), count in sorted(counts.items()):
        if metric in families:
            families[metric].add_metric(labels, count)
        if metric == "attempts" and labels[0] in PROVIDERS and labels[1] not in ("limited", "parked"):
            calls.add_metric([PROVIDERS[Queue(labels[0])], labels[1]], count)
    yield from (*families.values(), calls)


_registry = CollectorRegistry()
_registry.register(_FromPostgres())
_registry.register(_FromRedis())


@metrics.get("/metrics")
def scrape() -> Response:
    """Prometheus' text format. Requires METRICS_TOKEN, and is 404 where none is set: behind a proxy an address proves nothing."""
    require_token(settings().metrics_token, "METRICS_TOKEN", "metrics")
    with db.patient(db.REPORT):
        return Response(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)
