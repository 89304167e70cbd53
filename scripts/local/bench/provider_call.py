"""Provider call: what one call to the AI costs this process, by who carries it: our transport, or the openai client's own."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai

from scripts.local.bench.modes import Run
from scripts.local.bench.rig import Rig, slow
from shared import config, http
from shared.ai import profiles, prompt, provider
from shared.ai.prompt import Item, as_prompt
from shared.ai.tools import NO_ANSWER

#: Rounds, of which the median counts; threads that call at once in the second half of each.
ROUNDS, THREADS = 7, 32
#: What the workers do.
OURS = "provider.complete: client.post, our transport"

Call = Callable[[], object]


def provider_call(rig: Rig, calls: int) -> Run:
    """Milliseconds of CPU of each way to call, in turns: from one thread, and from many at once."""
    with slow(rig, 0) as world:
        os.environ.update(world.environment)
        config.reset()
        profiles.know({})
        ways = _ways(config.settings().openai_base_url)
        one: dict[str, list[float]] = {name: [] for name in ways}
        many: dict[str, list[float]] = {name: [] for name in ways}
        for call in ways.values():
            _from_threads(call, calls)  # connections, caches
        for _ in range(ROUNDS):
            for name, call in ways.items():
                one[name].append(_from_one(call, calls))
                many[name].append(_from_threads(call, calls))
    figures = {f"{name}, ms": statistics.median(times) for name, times in one.items()}
    return figures | {f"{name}, {THREADS} threads, ms": statistics.median(times) for name, times in many.items()}


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
    url = f"{base_url}/chat/completions"
    return {
        OURS: lambda: provider.complete(chosen, messages),
        "client.post, its own transport": lambda: json.loads(
            client.post("/chat/completions", body=body, cast_to=httpx2.Response).content
        ),
        "client.chat.completions.create, its own transport": lambda: client.chat.completions.create(**body),
        "no client: http.post": lambda: http.post(url, json.dumps(body).encode(), headers, 10.0).json(),
    }


def _from_one(call: Call, calls: int) -> float:
    before = time.thread_time()
    _repeat(call, calls)
    return (time.thread_time() - before) / calls * 1000


def _from_threads(call: Call, calls: int) -> float:
    each = max(1, calls // THREADS)
    before = time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: _repeat(call, each), range(THREADS)))
    return (time.process_time() - before) / (each * THREADS) * 1000


def _repeat(call: Call, times: int) -> None:
    for _ in range(times):
        call()
