"""What one call to the AI provider costs this process, by who carries it: our transport, or the openai client's own."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
from cryptography.fernet import Fernet

from scripts.local.simulator.client import Simulator
from shared import config, http
from shared.ai import profiles, prompt, provider
from shared.ai.prompt import Item, as_prompt
from shared.ai.tools import NO_ANSWER

#: Milliseconds of CPU that a call may cost.
BUDGET = 1.0
#: Rounds, of which the median counts; calls of a way in each; threads that call at once in the second half of each.
ROUNDS, CALLS, THREADS = 7, 320, 32
#: Settings that config wants and a call to a provider has no use for.
_KEY = Fernet.generate_key().decode()
_UNUSED = {"DATABASE_URL": "postgresql://unused/", "REDIS_URL": "redis://unused/", "CREDENTIALS_KEY": _KEY}

Call = Callable[[], object]


@dataclass(frozen=True)
class Way:
    """One way to call; milliseconds of CPU a call, from one thread and from THREADS at once."""

    name: str
    one_thread: float
    many_threads: float


def measure() -> list[Way]:
    """Each way in turns against the simulator; the first one is what the workers do."""
    with Simulator.start() as simulator:
        os.environ.update({**_UNUSED, **simulator.environment()})
        config.reset()
        profiles.know({})
        ways = _ways(f"{simulator.url}/v1")
        one: dict[str, list[float]] = {name: [] for name in ways}
        many: dict[str, list[float]] = {name: [] for name in ways}
        for call in ways.values():
            _from_threads(call)  # connections, caches
        for _ in range(ROUNDS):
            for name, call in ways.items():
                one[name].append(_from_one(call))
                many[name].append(_from_threads(call))
    return [Way(name, statistics.median(one[name]), statistics.median(many[name])) for name in ways]


def _ways(base_url: str) -> dict[str, Call]:
    chosen = provider.Provider(base_url, "sk-simulated", "gpt", 0.3, 500)
    items = [Item(number, "Shipping", "We ship within two days, by bike where we can. " * 10) for number in range(5)]
    messages = prompt.build(
        "You answer for a shop.",
        as_prompt(items, [NO_ANSWER]),
        [prompt.Turn("user", "Do you ship to the moon?", 0.0)] * 10,
        history_budget=24_000,
        place="",
    )
    body: dict[str, Any] = {"model": "gpt", "messages": messages, "temperature": 0.3, "max_tokens": 500}
    client = openai.OpenAI(base_url=base_url, api_key="sk-simulated", max_retries=0)
    headers = {"Authorization": "Bearer sk-simulated"}
    return {
        "provider.complete: client.post, our transport": lambda: provider.complete(chosen, messages),
        "client.post, its own transport": lambda: json.loads(
            client.post("/chat/completions", body=body, cast_to=httpx2.Response).content
        ),
        "client.chat.completions.create, its own transport": lambda: client.chat.completions.create(**body),
        "no client: http.post": lambda: http.post(
            f"{base_url}/chat/completions", json.dumps(body).encode(), headers, 10.0
        ).json(),
    }


def _from_one(call: Call) -> float:
    before = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - before) / CALLS * 1000


def _from_threads(call: Call) -> float:
    def calls() -> None:
        for _ in range(CALLS // THREADS):
            call()

    threads = [threading.Thread(target=calls) for _ in range(THREADS)]
    before = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - before) / CALLS * 1000
