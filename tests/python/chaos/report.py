"""The account of the chaos suite: how often each kind of fault was injected, and what became of its victims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ward import Life

PROPERTY = "fault"
"""Name of the property that a test records for each fault: kind, name, broken, recovered_in (seconds)."""


class Account:
    """Of one test; it is told each fault."""

    def __init__(self, note: Callable[[str, object], None]) -> None:
        self._note = note

    def add(self, kind: str, name: str, broken: Sequence[str] = (), recovered_in: float = 0.0) -> None:
        """Counts one fault. `recovered_in`: seconds from its end until what it held up was done."""
        found = {"kind": kind, "name": name, "broken": list(broken), "recovered_in": round(recovered_in, 1)}
        self._note(PROPERTY, found)

    def check(self, lives: Sequence[Life], *, is_counted: bool = True) -> None:
        """Counts each life's fault, and fails if one broke something."""
        broken = {life.name: life.broken() for life in lives}
        for life in lives:
            if is_counted:
                self.add(life.fault.kind, life.fault.name, broken[life.name], life.recovered_in)
        told = [f"{name}: {'; '.join(problems)}" for name, problems in broken.items() if problems]
        assert not told, "\n" + "\n".join(told)


def table(faults: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of at most 80 columns: kinds in the order of their first fault."""
    lines = [f"{'fault':<22}{'injected':>10}{'broke something':>18}{'slowest recovery':>20}"]
    for kind in dict.fromkeys(fault["kind"] for fault in faults):
        of_kind = [fault for fault in faults if fault["kind"] == kind]
        slowest = max(fault["recovered_in"] for fault in of_kind)
        broke = sum(bool(fault["broken"]) for fault in of_kind)
        lines.append(f"{kind:<22}{len(of_kind):>10}{broke:>18}{f'{slowest:.1f} s' if slowest else '-':>20}")
    broke = sum(bool(fault["broken"]) for fault in faults)
    return [*lines, f"{'all':<22}{len(faults):>10}{broke:>18}"]
