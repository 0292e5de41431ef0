"""What a requester is told about its tasks: notices that follow from facts, each with an id that never changes.

The same facts give the same notices under the same ids, so that a process that was killed between a fact and its
notice, or that lost its journal, tells it again and whoever hears it twice can see that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from dlbc.core.canonical import to_bytes
from dlbc.core.decide import Facts
from dlbc.core.events import ClaimStruck, DisputeFiled
from dlbc.core.hashing import sha256
from dlbc.core.phases import duration, meaning
from dlbc.core.types import (
    PPM,
    ZERO_ADDRESS,
    Address,
    Hash32,
    Phase,
    TaskId,
    Timestamp,
    Vote,
    Wei,
)
from dlbc.core.units import format_amount, format_ppm
from dlbc.roles.evidence import ground_names
from dlbc.roles.outcome import NOTHING

ID_DIGITS = 32


class Level(IntEnum):
    """How urgent it is that a bond is at risk."""

    NONE = 0
    SOON = 1  # more than half of the release window is left
    NOW = 2

    @property
    def label(self) -> str:
        """As notices and events have it."""
        return self.name.lower()


def level_at(now: int, release_start: int, release_end: int) -> Level:
    """Of a bond that something puts at risk."""
    return Level.NOW if 2 * now >= release_start + release_end else Level.SOON


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened to a task. `about` tells notices of one kind and round apart."""

    kind: str
    round: int
    message: str  # a sentence for people
    about: str = ""
    told: Mapping[str, Any] | None = None  # for programs; JSON values, keys in camelCase


@dataclass(frozen=True, slots=True)
class Win:
    """A settled round."""

    round: int
    miner: Address
    model_hash: Hash32
    total: int
    best: int  # what a total is at most
    price_wei: Wei  # prize, fee and royalty
    height: int  # of its block in the ledger


@dataclass(frozen=True, slots=True)
class TaskView:
    """What notices follow from; strikes and filings are those of the present round."""

    task_id: TaskId
    facts: Facts
    strikes: tuple[ClaimStruck, ...] = ()
    filings: tuple[DisputeFiled, ...] = ()
    wins: tuple[Win, ...] = ()
    returned_wei: Wei = NOTHING  # credited to the requester so far


def notice_id(chain_id: int, market: Address, task_id: TaskId, terms_hash: Hash32, notice: Notice) -> str:
    """32 hex digits, the same whoever notices the same thing whenever."""
    named = [chain_id, str(market), task_id, terms_hash.hex(), notice.kind, notice.round, notice.about]
    return sha256(to_bytes({"notice": named})).hex()[:ID_DIGITS]


def notices_of(view: TaskView) -> list[Notice]:
    """Everything that the facts tell, in the order in which it happened."""
    return [*_of_round(view), *(_settled(view, win) for win in view.wins), *_ended(view)]


def posted_notice(task_id: TaskId, facts: Facts) -> Notice:
    """The first of a task that is not over."""
    task = facts.task
    return Notice(
        kind="task_posted",
        round=0,
        message=f"Task {task_id} is followed: it is in {facts.phase.phase.label}, its bounty is "
        f"{format_amount(task.bounty_wei * task.rounds)}, its bond {format_amount(task.bond_wei)}.",
        told={
            "phase": facts.phase.phase.label,
            "endsAt": facts.phase.ends_at,
            "bountyWei": task.bounty_wei * task.rounds,
            "bondWei": task.bond_wei,
            "trainEnd": facts.round.train_end,
        },
    )


def risk_notice(
    index: int, bond_wei: Wei, now: Timestamp, level: Level, why: Mapping[str, str], release_end: Timestamp
) -> Notice:
    """The bond is lost unless somebody does something. Told once for each level and each new reason."""
    left = release_end - now
    return Notice(
        kind="bond_at_risk",
        round=index,
        message=f"The bond of {format_amount(bond_wei)} is at risk ({level.label}), the release ends in "
        f"{duration(left)}: {'; '.join(why.values())}.",
        about=f"{level.label} {'+'.join(sorted(why))} {now}",
        told={
            "level": level.label,
            "bondWei": bond_wei,
            "releaseEnd": release_end,
            "secondsLeft": max(0, left),
            "reasons": dict(why),
        },
    )


def safe_notice(index: int, now: Timestamp) -> Notice:
    """What was warned of is over."""
    return Notice(
        kind="bond_safe",
        round=index,
        message="What put the bond at risk is over.",
        about=str(now),
        told={"level": "none"},
    )


def data_notice(index: int, why: str) -> Notice:
    """Without its training data nobody can take part. Told once a round."""
    return Notice("data_missing", index, f"Nobody can train: {why}.", told={"why": why})


def stored_notice(index: int, path: str, sha256_hex: str, size: int) -> Notice:
    """The winning model is here."""
    return Notice(
        "model_stored",
        index,
        f"The winning model is verified and stored: {path}",
        told={"path": path, "sha256": sha256_hex, "bytes": size},
    )


def not_stored_notice(index: int, why: str) -> Notice:
    """The winning model is not here yet; it goes on being tried."""
    return Notice(
        "model_not_stored", index, f"The winning model could not be stored; it is tried again: {why}", told={"why": why}
    )


# ------------------------------------------------------------------ inside


def _of_round(view: TaskView) -> list[Notice]:
    facts, found = view.facts, []
    task, round_, index = facts.task, facts.round, facts.task.round
    is_closed = round_.commits > 0 and facts.now >= round_.train_end and facts.phase.phase is not Phase.TRAINING
    if is_closed:
        claims = "1 model was committed" if round_.commits == 1 else f"{round_.commits} models were committed"
        found.append(
            Notice("commits_closed", index, f"Commits are closed: {claims}.", told={"commits": round_.commits})
        )
    if round_.reveal_end:
        found.append(
            Notice(
                "test_set_released",
                index,
                f"The test set is released; claims are revealed until {_moment(round_.reveal_end)}.",
                told={"revealEnd": round_.reveal_end, "samples": round_.samples},
            )
        )
    found += [_disputed(filing) for filing in view.filings]
    found += [
        Notice(
            "claim_struck",
            index,
            f"The claim of {strike.miner} is struck: {strike.reason.name.lower()}.",
            about=str(strike.miner),
            told={"miner": strike.miner, "reason": strike.reason.name.lower()},
        )
        for strike in view.strikes
    ]
    if round_.leader != ZERO_ADDRESS and not facts.phase.phase.is_cold:
        found += _leading(view, task.round)
    return found


def _disputed(filing: DisputeFiled) -> Notice:
    about_test_set, grounds = filing.subject == ZERO_ADDRESS, ground_names(filing.grounds)
    what = "The test set is impeached" if about_test_set else f"The claim of {filing.subject} is disputed"
    said = f" ({', '.join(grounds)})" if grounds else ""
    return Notice(
        "disputed",
        filing.round,
        f"{what} by {filing.filer}{said}; auditors vote.",
        about=f"{filing.case_id.hex()} {filing.filer} {filing.grounds}",
        told={
            "of": "test set" if about_test_set else "claim",
            "subject": filing.subject,
            "filer": filing.filer,
            "grounds": grounds,
        },
    )


def _leading(view: TaskView, index: int) -> list[Notice]:
    round_, phase = view.facts.round, view.facts.phase.phase
    best = round_.samples * round_.max_sample_score
    score = round_.leader_total * PPM // best if best else 0
    told = {"miner": round_.leader, "total": round_.leader_total, "best": best, "scorePpm": score}
    claim = f"the claim of {round_.leader} with {format_ppm(score)}"
    if round_.challenge_end and round_.vote is not Vote.TEST_SET:
        return [
            Notice(
                "claim_opened",
                index,
                f"The model of {claim} is open; it can be disputed until {_moment(round_.challenge_end)}.",
                about=str(round_.leader),
                told={**told, "challengeEnd": round_.challenge_end},
            )
        ]
    if phase is Phase.OPENING:
        return [Notice("claim_leads", index, f"Now {claim} leads.", about=str(round_.leader), told=told)]
    return []


def _moment(at: Timestamp) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _settled(view: TaskView, win: Win) -> Notice:
    score = win.total * PPM // win.best if win.best else 0
    is_last = win.round + 1 == view.facts.task.rounds
    returned = view.returned_wei if is_last else NOTHING
    return Notice(
        "settled",
        win.round,
        f"Task {view.task_id} is settled: {win.miner} won with {format_ppm(score)} for {format_amount(win.price_wei)}; "
        f"{format_amount(returned)} came back.",
        told={
            "winner": win.miner,
            "modelHash": "0x" + win.model_hash.hex(),
            "total": win.total,
            "best": win.best,
            "scorePpm": score,
            "priceWei": win.price_wei,
            "returnedWei": returned,
            "ledgerBlock": win.height,
        },
    )


def _ended(view: TaskView) -> list[Notice]:
    phase = view.facts.phase.phase
    if phase not in (Phase.ABORTED, Phase.VOID, Phase.CANCELLED):
        return []
    return [
        Notice(
            "ended_without_winner",
            view.facts.task.round,
            f"Task {view.task_id} is {phase.label}: {format_amount(view.returned_wei)} came back. {meaning(phase)}",
            told={"phase": phase.label, "returnedWei": view.returned_wei},
        )
    ]
