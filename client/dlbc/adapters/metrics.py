"""What a daemon does, as Prometheus metrics: counted from its events, and read from its entries after each tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_REVEAL_SECONDS = (1, 2, 5, 10, 30, 60, 300, 1800, 7200)


class Metrics:
    """One daemon's figures, in a registry of its own. Safe to read from other threads."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, role: str, tick_age: Callable[[], float]) -> None:
        """`tick_age`: seconds since a tick succeeded."""
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Gauge("dlbc_role", "1, by the role that runs here.", ["role"], registry=registry).labels(role).set(1)
        age = Gauge("dlbc_tick_age_seconds", "Seconds since a tick succeeded.", registry=registry)
        age.set_function(tick_age)
        self._ticks = Counter("dlbc_ticks", "Looks at the world, by how they ended.", ["result"], registry=registry)
        self._events = Counter("dlbc_events", "What was reported, repeats included.", ["event"], registry=registry)
        self._rpc_failures = Counter(
            "dlbc_rpc_failures", "Calls to the chain that the RPC endpoint did not answer.", registry=registry
        )
        self._entries = Gauge("dlbc_entries", "Entries in tasks that are not over.", ["stage"], registry=registry)
        self._locked = Gauge("dlbc_locked_wei", "Deposits of entries that are not over.", registry=registry)
        self._arrived = Counter("dlbc_money_arrived_wei", "Credits withdrawn since the start.", registry=registry)
        self._training = Gauge(
            "dlbc_training_progress_ratio", "Epochs trained, of all.", ["task_id"], registry=registry
        )
        self._reveals = Histogram(
            "dlbc_reveal_delay_seconds",
            "From the release of a test set to the reveal of the claim, by the chain's time.",
            buckets=_REVEAL_SECONDS,
            registry=registry,
        )

    def heard(self, event: str, keys: Mapping[str, Any]) -> None:
        """Counts an event."""
        self._events.labels(event).inc()
        if event == "money_arrived" and isinstance(keys.get("wei"), int):
            self._arrived.inc(keys["wei"])
        elif event == "training":
            self._trained(keys)

    def ticked(self, result: str) -> None:
        """A tick ended: "ok", or the kind of error."""
        self._ticks.labels(result).inc()

    def show_entries(self, by_stage: Mapping[str, int], locked_wei: int) -> None:
        """What is in flight now."""
        self._entries.clear()
        for stage, count in by_stage.items():
            self._entries.labels(stage).set(count)
        self._locked.set(locked_wei)

    def revealed(self, seconds: float) -> None:
        """A claim was revealed this long after the test set."""
        self._reveals.observe(seconds)

    def rpc_failed(self) -> None:
        """A call to the chain got no answer."""
        self._rpc_failures.inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _trained(self, keys: Mapping[str, Any]) -> None:
        task_id, epoch, epochs = (keys.get(name) for name in ("task_id", "epoch", "epochs"))
        if keys.get("state") in ("starting", "training") and isinstance(epoch, int) and isinstance(epochs, int):
            self._training.labels(str(task_id)).set(epoch / max(1, epochs))
        elif (str(task_id),) in self._training._metrics:
            self._training.remove(str(task_id))
