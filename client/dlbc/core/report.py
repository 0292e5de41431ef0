"""What a verification found: named checks, each with what was expected and what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from dlbc.core.errors import ChainUnreachable, DlbcError, LimitReached, StorageUnreachable, Usage

Value = TypeVar("Value")

LIMITS = "limits of this machine"
"""The check that fails when something could not be found out here. No vote follows from it: a claim must not fall
because an auditor's machine is small.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One named check."""

    name: str
    ok: bool
    expected: str
    found: str


@dataclass(slots=True)
class Checks:
    """Collects checks; a failing one never ends the verification, so that all are listed."""

    done: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True iff there is a check and none failed."""
        return bool(self.done) and all(check.ok for check in self.done)

    def equal(self, name: str, expected: object, found: object) -> bool:
        """Expected and found are the same."""
        return self.that(name, expected == found, shown(expected), shown(found))

    def that(self, name: str, ok: bool, expected: str, found: str) -> bool:
        """A fact that was decided elsewhere."""
        self.done.append(Check(name, ok, expected, found))
        return ok

    def attempt(self, name: str, expected: str, get: Callable[[], Value]) -> Value | None:
        """What `get` returns; None and a failed check if it raises. An unreachable chain or store is no finding.

        What this machine's limits kept from being found out fails LIMITS instead of `name`.
        """
        try:
            return get()
        except (ChainUnreachable, StorageUnreachable, Usage):
            raise
        except LimitReached as error:
            self.done.append(Check(LIMITS, False, f"{name}: {expected}", str(error)))
            return None
        except DlbcError as error:
            self.done.append(Check(name, False, expected, str(error)))
            return None


def shown(value: object) -> str:
    """A value as people compare it; bytes as 0x-hex."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
