"""HTTP to everything outside: one client, deadlines, the SSRF guard, error classification, bulkheads.

What belongs here: whatever is true of any call to any service.
What does not: what a particular service means by its answers (shared/channels, shared/ai, shared/webhooks).
It may import: config, errors, payloads, telemetry. Used by ai, channels, webhooks and their workers.
"""

from shared.http.client import MAX_ANSWER, USER_AGENT, Answer, ConnectFailed, get, post, retry_after

__all__ = ["MAX_ANSWER", "USER_AGENT", "Answer", "ConnectFailed", "get", "post", "retry_after"]
