"""A requester's bond hangs on one transaction in one window: whether it could be sent is looked into long before.

At the start, once an hour, and every few minutes while something is missing: the test key, the files, the gas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dlbc.core.decide import Facts
from dlbc.core.errors import DlbcError, TryLater
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.types import Hash32, TestSet, Timestamp, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Journal, Storage
from dlbc.roles.drafts import Preimage
from dlbc.roles.errand import Errand, StillRunning
from dlbc.roles.following import Followed
from dlbc.roles.loop import Report, unheard
from dlbc.roles.notices import Level, Notice, data_notice, level_at, risk_notice, safe_notice
from dlbc.roles.requester import Requester
from dlbc.roles.safekeeping import Findings, forget, look_after

PREIMAGE = "preimage"
CHECK_SECONDS = 3600
AGAIN_SECONDS = 300
"""While something is missing; in the release window"""
URGENT_SECONDS = 10
LONGEST_SECONDS = 900.0
"""For one look at a task's files."""
AT_ONCE = 4
RELEASE_GAS = 100_000
"""Above what bench/results/gas.json measures."""
GRACE_SECONDS = 60
"""Of the release window, or an eighth of it, in which a release may fail before anybody is told."""
WINDOW_PARTS = 8
IMPEACHABLE = ("manifest", "test set", "files")
"""What costs the bond after the release, too (P-45)."""
FILES = ("key", "manifest", "test set", "data", "files")

Tell = Callable[[Followed, Notice], None]


def untold(followed: Followed, notice: Notice) -> None:
    """Until a daemon says whom to tell."""


@dataclass(slots=True)
class BondWatch:
    """Looks after the bonds of one account's tasks; `folder` is for copies of their files."""

    chain: Chain
    requester: Requester
    storage: Storage
    journal: Journal
    folder: Path
    tell: Tell = untold
    report: Report = unheard
    patience: float = 0.0
    _errands: dict[str, Errand[Findings]] = field(default_factory=dict)
    _preimages: dict[Hash32, Preimage] = field(default_factory=dict, repr=False)

    def look(self, followed: Followed, facts: Facts, urgency: int) -> Timestamp:
        """Goes on with the checks of a task that is not over, and warns; until when there is no need to look.

        After the release its files are looked after all the same: until revealing ends it could be impeached.
        urgency: how many of the account's releases come before this one; their gas is spent first.
        """
        self._gather(followed, facts)
        if followed.key not in self._errands and facts.now >= self._due_at(followed, facts.now):
            self._begin(followed, facts, urgency)
            self._gather(followed, facts)
        self.judge(followed, facts.now)
        if followed.key in self._errands:
            return Timestamp(facts.now + 2)
        return self._due_at(followed, facts.now)

    def preimage(self, facts: Facts) -> Preimage | None:
        """What the release takes, from memory or a journal; None while only the wallet knows it."""
        committed = facts.round.test_commitment
        if committed not in self._preimages:
            found = self.requester.kept_preimage(committed) or self._recovered(committed)
            if found is None:
                return None
            self._preimages[committed] = found
        return self._preimages[committed]

    def judge(self, followed: Followed, now: Timestamp) -> None:
        """Warns once of each level and each new reason; and once when there is none any more."""
        reasons = self._reasons(followed, now)
        if not reasons:
            if followed.warned is not Level.NONE:
                self._clear(followed, now)
            return
        until = followed.release_end if followed.has_release_ahead else followed.reveal_end
        level = level_at(now, followed.release_start, until) if followed.has_release_ahead else Level.NOW
        if level <= followed.warned and set(reasons) <= set(followed.warned_of):
            return
        self.tell(followed, risk_notice(followed.round, followed.bond_wei, now, level, reasons, until))
        self.report(
            "bond_at_risk",
            task_id=followed.task_id,
            level=level.label,
            wei=followed.bond_wei,
            until=until,
            why="; ".join(reasons.values()),
        )
        followed.warned, followed.warned_of = level, tuple(sorted({*followed.warned_of, *reasons}))
        followed.save(self.journal)

    def released(self, followed: Followed) -> None:
        """The key is public, and what it took to get there is of no interest any more."""
        followed.problems = {kind: why for kind, why in followed.problems.items() if kind in IMPEACHABLE}
        followed.warned, followed.warned_of = Level.NONE, ()
        self._drop(followed)

    def over(self, followed: Followed) -> None:
        """The task's files are nobody's business any more."""
        self._drop(followed)
        forget(self._copies(followed))

    def close(self) -> None:
        """Ends what runs."""
        for errand in self._errands.values():
            errand.abandon()

    # ------------------------------------------------------------------ the checks

    def _due_at(self, followed: Followed, now: Timestamp) -> Timestamp:
        if not followed.checked_at:
            return now
        pause = CHECK_SECONDS
        if followed.problems:
            pause = URGENT_SECONDS if now >= followed.release_start else AGAIN_SECONDS
        return Timestamp(followed.checked_at + pause)

    def _begin(self, followed: Followed, facts: Facts, urgency: int) -> None:
        if followed.has_release_ahead:
            self._check_gas(followed, urgency)
        if len(self._errands) >= AT_ONCE:
            return
        known = self._public(followed, facts) or self.preimage(facts)
        work = partial(
            look_after,
            self.requester,
            posted=self.chain.task_posted(followed.task_id),
            committed=facts.round.test_commitment,
            index=facts.task.round,
            known=known,
            folder=self._copies(followed),
        )
        what = f"the files of task {followed.task_id} are being looked at"
        self._errands[followed.key] = Errand(what, self.storage, lambda storage: work(storage), LONGEST_SECONDS)

    def _gather(self, followed: Followed, facts: Facts) -> None:
        errand = self._errands.get(followed.key)
        if errand is None:
            return
        try:
            found = errand.result(self.patience)
        except StillRunning:
            return
        except DlbcError as error:
            found = Findings({"files": f"its files could not be looked at ({error})"})
        del self._errands[followed.key]
        if found.preimage is not None:
            self._remember(facts.round.test_commitment, found.preimage)
        if found.restored:
            self.report(
                "files_restored", task_id=followed.task_id, count=len(found.restored), cids=" ".join(found.restored[:3])
            )
        if "data" in found.problems:
            self.tell(followed, data_notice(followed.round, found.problems["data"]))
        others = {kind: why for kind, why in followed.problems.items() if kind not in FILES}
        followed.problems = others | found.problems
        followed.checked_at = facts.now
        followed.save(self.journal)

    def _check_gas(self, followed: Followed, urgency: int) -> None:
        followed.problems.pop("gas", None)
        try:
            needed = Wei(RELEASE_GAS * self.chain.gas_price() * (urgency + 1))
            balance = self.chain.balance(self.requester.keys.address)
        except TryLater as error:
            followed.problems["gas"] = str(error)
            return
        if balance < needed:
            followed.problems["gas"] = (
                f"the account holds {format_amount(balance)}; its releases take up to {format_amount(needed)} of gas "
                "now: send it ether"
            )

    def _public(self, followed: Followed, facts: Facts) -> Preimage | None:
        if not followed.is_released:
            return None
        released = self.chain.released(followed.task_id, facts.task.round)
        return None if released is None else (released.test_set, released.test_key)

    def _remember(self, committed: Hash32, preimage: Preimage) -> None:
        """So that the release needs neither IPFS nor, where it asks people, the wallet."""
        test_set, key = preimage
        record = {"test_set": to_record(test_set), "test_key": to_record(key)}
        self.journal.put(PREIMAGE, committed.hex(), record)
        self._preimages[committed] = preimage

    def _recovered(self, committed: Hash32) -> Preimage | None:
        record = self.journal.get(PREIMAGE, committed.hex())
        if record is None:
            return None
        return from_record(TestSet, record["test_set"]), hex_bytes(record["test_key"], "test_key", 32)

    # ------------------------------------------------------------------ warnings

    def _reasons(self, followed: Followed, now: Timestamp) -> dict[str, str]:
        """What failed in the window counts only once it has had a moment to cure itself."""
        if not followed.has_release_ahead:
            is_impeachable = not followed.is_over and now < followed.reveal_end
            return {kind: why for kind, why in followed.problems.items() if is_impeachable and kind in IMPEACHABLE}
        window = followed.release_end - followed.release_start
        is_late = now >= followed.release_start + min(GRACE_SECONDS, window // WINDOW_PARTS)
        return {
            kind: why for kind, why in followed.problems.items() if kind != "data" and (is_late or kind != "release")
        }

    def _clear(self, followed: Followed, now: Timestamp) -> None:
        followed.warned, followed.warned_of = Level.NONE, ()
        if not followed.is_over:
            self.tell(followed, safe_notice(followed.round, now))
            self.report("bond_safe", task_id=followed.task_id)
        followed.save(self.journal)

    def _drop(self, followed: Followed) -> None:
        errand = self._errands.pop(followed.key, None)
        if errand is not None:
            errand.abandon()

    def _copies(self, followed: Followed) -> Path:
        return self.folder / followed.key.replace("/", "-")
