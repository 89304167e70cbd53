"""HTTP to everything outside: one client, deadlines, the SSRF guard, error classification, bulkheads.

What belongs here: what is true of any call to any service, and nothing of any one of them.
    client.py           the calls (`post`, `get`, `fetch`), and the response with its size cap
    multipart.py        a form with a file in it, for `post`
    exchange.py         a call under way: one deadline for all of it, and how to end it from another thread
    connections.py      the two pools of connections; one of them refuses private addresses
    connecting.py       one connection: to the first of a name's addresses that answers
    urls.py             URLs that people give, in one form; why one is refused
    addresses.py        which addresses are public
    failures.py         what an exception means: never sent, or sent and without an answer
    pauses.py           how long somebody asks to be left alone (Retry-After)
    bulkhead.py         limits on the calls to one endpoint
What does not: what a service means by its answers (shared/channels, shared/ai, workers/webhooks.py).

It may import: the vocabulary and dns, but reads no settings: a caller says what its call needs. Used by whatever calls somebody
outside. web uses urls.py alone: what it has checked at providers, shared/channels calls.
"""

from shared.http.client import MAX_RESPONSE_BYTES, Response, code_of, fetch, get, number_of, post
from shared.http.exchange import Phases, cancel_calls, keys_of_calls
from shared.http.failures import PASSING, REDIRECTS, CallCancelled, ConnectFailed
from shared.http.pauses import retry_after

__all__ = [
    "MAX_RESPONSE_BYTES",
    "PASSING",
    "REDIRECTS",
    "CallCancelled",
    "ConnectFailed",
    "Phases",
    "Response",
    "cancel_calls",
    "code_of",
    "fetch",
    "get",
    "keys_of_calls",
    "number_of",
    "post",
    "retry_after",
]
