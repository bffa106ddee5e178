"""What the app counts, in the form that Prometheus reads. Counts are of this process, from its start.

Labels never hold what a person typed: actions, kinds of addresses and models come from lists.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from db.schema.urls import show_url
from engine.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
FAST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _counter(name: str, words: str, *labels: str) -> Counter:
    return Counter(f"maskgroup_{name}", words, labels, registry=REGISTRY)


def _gauge(name: str, words: str, *labels: str) -> Gauge:
    return Gauge(f"maskgroup_{name}", words, labels, registry=REGISTRY)


def _times(name: str, words: str, *labels: str) -> Histogram:
    return Histogram(f"maskgroup_{name}", words, labels, buckets=FAST_S, registry=REGISTRY)


REQUESTS = _counter("requests", "Requests answered.", "method", "kind", "status")
REQUEST_SECONDS = _times("request_seconds", "Time to answer a request; streams and uploads are left out.", "kind")
OPEN_REQUESTS = _gauge("open_requests", "Requests being answered, open streams among them.", "kind")
HANDLER_SECONDS = _times("handler_seconds", "Time of a page's or program's call, by what it does.", "action")
HANDLER_ERRORS = _counter("handler_errors", "Calls that ended in an error, refusals among them.", "action")
DECISIONS = _counter("decisions", "Decisions written, and undos.", "decision")
JUDGE_CALLS = _counter("judge_calls", "Batches of pairs that people waited for and a judge was asked about.", "model", "outcome")
JUDGE_PAIRS = _counter("judge_pairs", "Pairs that a judge answered.", "model")
JUDGE_SECONDS = _times("judge_seconds", "Time of such a batch.", "model")
QUEUE_EVENTS = _gauge("queue_events", "Calls in the queue, waiting or running.", "state")
JOBS = _gauge("jobs_running", "Long jobs under way.", "kind")
ProcessCollector(registry=REGISTRY)
_gauge("info", "Always 1.", "version").labels(VERSION).set(1)


def render() -> bytes:
    """Return all of it, as text of the type `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)


def measure(gauge: Gauge, sources: Mapping[str, Callable[[], int]]) -> None:
    """Let a gauge ask for its values when it is read.

    Args:
        gauge: One with a single label.
        sources: What gives the value, by the label's.
    """
    for label, source in sources.items():
        gauge.labels(label).set_function(source)


@contextmanager
def handling(action: str) -> Generator[None]:
    """Count and time one call of a handler."""
    begun = perf_counter()
    try:
        yield
    except BaseException:
        HANDLER_ERRORS.labels(action).inc()
        raise
    finally:
        HANDLER_SECONDS.labels(action).observe(perf_counter() - begun)


@contextmanager
def judging(model: str, pairs: int) -> Generator[None]:
    """Count and time one batch of pairs.

    Args:
        model: The judge's name; of an address, its password is not shown.
        pairs: How many it is asked about.
    """
    name, begun = show_url(model), perf_counter()
    try:
        yield
    except BaseException:
        JUDGE_CALLS.labels(name, "failed").inc()
        raise
    JUDGE_CALLS.labels(name, "answered").inc()
    JUDGE_PAIRS.labels(name).inc(pairs)
    JUDGE_SECONDS.labels(name).observe(perf_counter() - begun)


def count_pairs(model: str) -> Callable[[int], None]:
    """Return what is told again and again how many pairs a judge has answered in all in one long job."""
    counter, before = JUDGE_PAIRS.labels(show_url(model)), 0

    def count_up_to(answered: int) -> None:
        nonlocal before
        counter.inc(answered - before)
        before = answered

    return count_up_to


def count_decision(decision: str, *, is_undo: bool) -> None:
    """Count a row of the history."""
    DECISIONS.labels("undo" if is_undo else decision).inc()
