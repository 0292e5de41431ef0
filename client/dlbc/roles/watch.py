"""A daemon is watched: its events are logged and counted, its ticks timed, its entries read after each tick.

What goes wrong here is said and nothing else: entries hold deposits, figures do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from dlbc.core.errors import ChainUnreachable, DlbcError
from dlbc.core.types import TaskId, Wei
from dlbc.ports import Chain, Pool
from dlbc.roles.entry import MinerEntry
from dlbc.roles.loop import Report
from dlbc.roles.miner import Miner


class Pulse(Protocol):
    """Whether the daemon is alive."""

    def succeeded(self) -> None: ...

    def failed(self, reason: str) -> None: ...


class Meter(Protocol):
    """Where figures are kept."""

    def heard(self, event: str, keys: Mapping[str, Any]) -> None: ...

    def ticked(self, result: str) -> None: ...

    def show_entries(self, by_stage: Mapping[str, int], locked_wei: int) -> None: ...

    def revealed(self, seconds: float) -> None: ...

    def rpc_failed(self) -> None: ...


@dataclass(slots=True)
class Watch:
    """One daemon. `meter` is None when nobody wants figures."""

    logged: Report
    pulse: Pulse
    meter: Meter | None = None
    _after: list[Callable[[], None]] = field(default_factory=list)
    _revealed: list[TaskId] = field(default_factory=list)

    def report(self, event: str, **keys: Any) -> None:
        """A Report: every event is counted, and logged unless it was just said."""
        if self.meter is not None:
            self.meter.heard(event, keys)
            if event == "claim_revealed":
                self._revealed.append(keys["task_id"])
        self.logged(event, **keys)

    def after_tick(self, look: Callable[[], None]) -> None:
        """Called after every tick that succeeded."""
        self._after.append(look)

    def tick(self, tick: Callable[[], bool]) -> Callable[[], bool]:
        """The same tick, watched."""

        def watched() -> bool:
            try:
                goes_on = tick()
            except DlbcError as error:
                self.pulse.failed(str(error))
                if self.meter is not None:
                    self.meter.ticked(type(error).__name__)
                raise
            self.pulse.succeeded()
            if self.meter is not None:
                self.meter.ticked("ok")
            for look in self._after:
                self._try(look)
            return goes_on

        return watched

    def miner(self, miner: Miner) -> None:
        """Reads a miner's figures after every tick, and counts its calls that found no chain. Before its first tick."""
        meter = self.meter
        if meter is None:
            return
        miner.chain = cast("Chain", Counted(miner.chain, meter.rpc_failed))
        miner.pool = cast("Pool", Counted(miner.pool, meter.rpc_failed))

        def look() -> None:
            entries = miner.entries.values()
            meter.show_entries(entries_by_stage(entries), locked_wei(entries))
            while self._revealed:
                meter.revealed(reveal_delay(miner.chain, self._revealed.pop()))

        self.after_tick(look)

    def _try(self, look: Callable[[], None]) -> None:
        try:
            look()
        except DlbcError as error:
            self.report("failed", do="housekeeping", reason=str(error))
        except Exception as error:  # noqa: BLE001  (a mistake of ours here must not cost a deposit)
            self.report("failed", do="housekeeping", reason=f"unexpected {type(error).__name__}: {str(error)[:200]}")


class Counted:
    """Stands for a port, and counts its calls that find nobody at the RPC endpoint."""

    def __init__(self, port: Any, failed: Callable[[], None]) -> None:
        """`failed` is called for each; the error goes on."""
        self._port, self._failed = port, failed

    def __getattr__(self, name: str) -> Any:
        found = self._tried(lambda: getattr(self._port, name))
        if not callable(found):
            return found
        return lambda *arguments, **named: self._tried(lambda: found(*arguments, **named))

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ChainUnreachable:
            self._failed()
            raise


def entries_by_stage(entries: Iterable[MinerEntry]) -> Mapping[str, int]:
    """How many entries that are not over stand where, by the journal's word for it."""
    return Counter(str(entry.record["stage"]) for entry in entries if not entry.is_done)


def locked_wei(entries: Iterable[MinerEntry]) -> Wei:
    """Deposits that were sent and may still be in the market."""
    paid = (entry for entry in entries if entry.may_have_paid and not entry.is_done)
    return Wei(sum(entry.posted.terms.deposit_wei for entry in paid))


def reveal_delay(chain: Chain, task_id: TaskId) -> int:
    """Seconds of the chain's time since the present test set of a task was released."""
    task = chain.task(task_id)
    released = chain.round(task_id, task.round).reveal_end - task.reveal_seconds
    return max(0, chain.now() - released)
