"""What operators see: log lines, Sentry, counters for /metrics, timings of a job.

What belongs here: the means, one module each (logs, sentry, outage, timings, metrics, worker_logging),
and how much memory the machine has free (machine).
What does not: what is logged or counted, which the module that knows it says; the page /metrics (web/ops/metrics.py).

It may import: config. Everybody may import it.
"""
