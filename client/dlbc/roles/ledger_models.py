"""The model behind a ledger block: fetched, unsealed, held against what the block says; and audited, if asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from dlbc.core.errors import ChainUnreachable, DlbcError, Garbled, LimitReached, StorageUnreachable, Unavailable, Usage
from dlbc.core.ledger_memory import Depth
from dlbc.core.report import LIMITS, Check, Checks
from dlbc.core.types import Locator, TaskId
from dlbc.ports import Storage
from dlbc.roles.auditor import Auditor
from dlbc.roles.marks import check_own_mark
from dlbc.roles.models import Models
from dlbc.roles.record_checks import SIGNED_OFF_CHAIN, SIGNED_ON_CHAIN

FOR_WANT_OF_THEM = frozenset({"score", "watermark"})
"""Checks of an audit that fail where there is nothing to compute them from: what is missing has failed before."""
OF_THE_CHAIN = frozenset({SIGNED_ON_CHAIN, SIGNED_OFF_CHAIN})
"""The ledger's own verification has told of them: a wallet that is a contract may change its mind, for no fault."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found behind one block."""

    depth: Depth  # how far it holds
    failed: tuple[Check, ...] = ()
    missing: str = ""  # what nobody serves now, or is too much for this machine; "" for nothing


class ModelLook:
    """Looks at settled models, one at a time; needs no account."""

    def __init__(self, auditor: Auditor) -> None:
        """`auditor`: its limits of time are kept."""
        self._auditor = auditor
        self._models = Models(auditor.chain, auditor.storage, auditor.trainer, auditor.fetch_seconds)

    def look(self, task_id: TaskId, index: int, depth: Depth) -> Looked:
        """Raises ChainUnreachable and StorageUnreachable; all else is a finding."""
        found = self._look_at_model(task_id, index)
        if depth < Depth.SCORE or found.depth < Depth.MODEL:
            return found
        return self._audit(task_id, index)

    def _look_at_model(self, task_id: TaskId, index: int) -> Looked:
        try:
            model = self._models.settled(task_id, index)
            weights = self._models.weights(model)
        except (Unavailable, Garbled, LimitReached) as error:
            return Looked(Depth.CHAIN, missing=str(error))
        except (ChainUnreachable, StorageUnreachable, Usage):
            raise
        except DlbcError as error:
            return Looked(Depth.CHAIN, (Check("model", False, "the model that the block names", str(error)),))
        checks = Checks()
        check_own_mark(self._auditor.chain, checks, model.claim, model.opening, weights)
        failed = tuple(check for check in checks.done if not check.ok)
        return Looked(Depth.CHAIN if failed else Depth.MODEL, failed)

    def _audit(self, task_id: TaskId, index: int) -> Looked:
        """What nobody serves, or this machine can't hold, excuses what fails for want of that, and nothing else: many
        an audit asks for originals that are gone, of models that have nothing to do with this one.
        """
        noting = _Noting(self._auditor.storage)
        report = replace(self._auditor, storage=cast("Storage", noting)).audit(task_id, index)
        failed = [check for check in report.checks if not check.ok and check.name not in OF_THE_CHAIN]
        if not failed:
            return Looked(Depth.SCORE)
        wanting = [check for check in failed if check.name == LIMITS or check.found in noting.missing]
        excused = {id(check) for check in wanting}
        excused |= {id(check) for check in failed if wanting and check.name in FOR_WANT_OF_THEM}
        wrong = tuple(check for check in failed if id(check) not in excused)
        return Looked(Depth.MODEL, wrong, "" if wrong else wanting[0].found)


class _Noting:
    """A Storage to fetch from that remembers what it could not serve: an audit reports that as a failure."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.missing: set[str] = set()

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        try:
            return self._storage.fetch(locator, max_bytes=max_bytes, timeout=timeout)
        except (Unavailable, Garbled) as error:
            self.missing.add(str(error))
            raise
