"""The ledger's rules, replayed from a market's log: what each block must say follows from the events before it.

Takes one event at a time, in the chain's order, and believes none: hashes, commitments, difficulty, who owns a model,
who leads and who is paid are computed again as the contracts do. A ledger block goes out as a `Settled` with every
check that failed. What takes the chain's word or much time (stored hashes, signatures) is left to the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from dlbc.core.difficulty import difficulty
from dlbc.core.errors import BadInput
from dlbc.core.events import (
    BlockAppended,
    ClaimNominated,
    ClaimRevealed,
    ClaimStruck,
    LedgerEvent,
    ModelCommitted,
    ModelOpened,
    RoundSettled,
    TaskEnded,
    TaskPosted,
    TestSetReleased,
)
from dlbc.core.ledger_state import Contest, Entrant, FirstReveal, LedgerState, Origin
from dlbc.core.payouts import settlement
from dlbc.core.proofs import (
    block_hash,
    commitment,
    key_hash,
    proof_digest,
    terms_hash,
    test_commitment,
    verify_slot_path,
)
from dlbc.core.report import Check, shown
from dlbc.core.scoring import meets, predictions_root, score_ppm
from dlbc.core.types import PPM, ZERO_ADDRESS, ZERO_HASH, Address, BlockHeader, Hash32, Params, TaskId

VERSION = 1
"""Of the ledger's blocks."""
LOG = "the log is complete"
ORDER = "order of events"
TERMS = "terms hash"
DIFFICULTY = "difficulty"
TEST_SET = "test set"
COMMITMENT = "commitment opens"
ROOT = "predictions root"
QUALIFIES = "claim qualifies"
BEST = "best claim leads"
OPENING = "keys of the opening"
PAYOUT = "payout, fee, royalty (wei)"
LINKS = "links to genesis"
SUM = "sum of difficulties"
HEADER = "block is the settled claim"
HASH = "block hash"


@dataclass(frozen=True, slots=True)
class Settled:
    """One ledger block as the log tells it."""

    header: BlockHeader
    hash: Hash32  # of the header, computed
    block_number: int  # of the chain
    claim: ClaimRevealed | None  # of the winner; None: the log does not show it
    digest: Hash32 | None  # of its proof
    failed: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Payment:
    """A settlement whose block is still to come: the two are events of one transaction."""

    contest: Contest
    event: RoundSettled
    winner: Entrant | None
    open_tasks: int


class Replay:
    """One pass over a market's log. `state` is changed as events come; `done` counts checks by name."""

    def __init__(self, chain_id: int, market: Address, params: Params, state: LedgerState) -> None:
        self.state = state
        self.done: Counter[str] = Counter()
        self.stray: list[Check] = []
        """What does not hold of tasks that gave no block."""
        self._chain_id, self._market, self._params = chain_id, market, params
        self._payment: _Payment | None = None
        self._steps: dict[type, Callable[[Any], None]] = {
            TaskPosted: self._post,
            ModelCommitted: self._commit,
            TestSetReleased: self._release,
            ClaimRevealed: self._reveal,
            ClaimNominated: self._nominate,
            ModelOpened: self._open,
            ClaimStruck: self._strike,
            RoundSettled: self._settle,
            TaskEnded: self._end,
        }

    def take(self, event: LedgerEvent, block_number: int) -> Settled | None:
        """The next event; the ledger block that it appends, if it does."""
        if isinstance(event, BlockAppended):
            return self._append(event, block_number)
        self._steps[type(event)](event)
        return None

    # ------------------------------------------------------------------ as a task lives

    def _post(self, event: TaskPosted) -> None:
        state = self.state
        contest = Contest(event, required_ppm=event.terms.min_score_ppm)
        self._equal(contest.of_task, LOG, f"task {state.tasks + 1}", f"task {event.task_id}")
        state.tasks = event.task_id
        state.open_tasks += 1
        found = terms_hash(event.terms, event.test_commitments)
        self._equal(contest.of_task, TERMS, found, event.terms_hash)
        self._equal(contest.of_task, DIFFICULTY, self._difficulty(event, state.open_tasks), event.difficulty)
        state.contests[event.task_id] = contest

    def _difficulty(self, event: TaskPosted, queue: int) -> int | str:
        try:
            return difficulty(event.terms.workload, queue, self._params)
        except BadInput as error:
            return str(error)

    def _commit(self, event: ModelCommitted) -> None:
        state, contest = self.state, self._contest(event.task_id, event.round, "a commit")
        failed = self.stray if contest is None else contest.of_round
        self._equal(failed, LOG, f"commit {state.commit_seq + 1}", f"commit {event.commit_seq}")
        state.commit_seq = event.commit_seq
        if contest is not None:
            self._that(failed, ORDER, contest.released is None, "commits before the release", "one after it")
            contest.entrants[event.miner] = Entrant(event.commitment, event.commit_seq)

    def _release(self, event: TestSetReleased) -> None:
        contest = self._contest(event.task_id, event.round, "a release")
        if contest is None:
            return
        failed, committed = contest.of_round, contest.posted.test_commitments[contest.round]
        self._that(failed, ORDER, contest.released is None, "one release", "another")
        self._equal(failed, TEST_SET, test_commitment(event.test_set), committed)
        self._equal(failed, TEST_SET, key_hash(event.test_key), event.test_set.key_hash)
        contest.released = event

    def _reveal(self, event: ClaimRevealed) -> None:
        proof, claim = event.proof, event.claim
        contest = self._contest(proof.task_id, proof.round, "a reveal")
        if contest is None:
            return
        failed, entrant = contest.of_round, contest.entrants.get(proof.miner)
        ready = entrant is not None and entrant.claim is None and contest.released is not None
        self._that(failed, ORDER, ready, "one reveal, of what was committed before the release", "another")
        if entrant is None or contest.released is None:
            return
        test, digest = contest.released.test_set, proof_digest(proof, self._chain_id, self._market)
        self._equal(failed, COMMITMENT, commitment(digest, event.salt), entrant.commitment)
        root = predictions_root(digest, test.samples, event.h_top, claim.total)
        self._equal(failed, ROOT, root, claim.predictions_root)
        enough = meets(claim.total, contest.required_ppm, test.samples, test.max_sample_score)
        entrant.claim = event
        # who is not eligible displaces nobody, whatever it scores
        entitled = self._own_model(contest, event, entrant) and self._take_model(contest, event, entrant)
        entrant.qualifies = enough and entitled
        self._equal(failed, QUALIFIES, entrant.qualifies, event.qualifies)
        if entrant.qualifies and self._beats_leader(contest, entrant):
            contest.leader = proof.miner

    def _nominate(self, event: ClaimNominated) -> None:
        contest = self._contest(event.task_id, event.round, "a nomination")
        if contest is None:
            return
        entrant = contest.entrants.get(event.miner)
        able = entrant is not None and entrant.qualifies and not entrant.is_struck and contest.may_nominate
        ahead = able and entrant is not None and self._beats_leader(contest, entrant)
        self._that(contest.of_round, BEST, ahead, "a nomination that beats the leader", f"that of {event.miner}")
        contest.leader = event.miner

    def _open(self, event: ModelOpened) -> None:
        contest = self._contest(event.task_id, event.round, "an opening")
        if contest is None:
            return
        failed, entrant = contest.of_round, contest.entrants.get(event.miner)
        self._equal(failed, BEST, contest.leader, event.miner)
        if entrant is not None and entrant.claim is not None:
            proof = entrant.claim.proof
            self._equal(failed, OPENING, key_hash(event.seal_key), proof.seal_key_hash)
            rooted = verify_slot_path(event.slot_key, 0, event.slot_path, proof.watermark_root)
            self._that(failed, OPENING, rooted, "slot 0 under the watermark root", "another key or path")
        contest.opening = event

    def _strike(self, event: ClaimStruck) -> None:
        contest = self._contest(event.task_id, event.round, "a strike")
        if contest is None:
            return
        entrant = contest.entrants.get(event.miner)
        able = entrant is not None and entrant.claim is not None and not entrant.is_struck
        self._that(contest.of_round, ORDER, able, "a strike of a revealed claim", f"one of {event.miner}")
        if entrant is not None:
            entrant.is_struck = True
        if event.miner == contest.leader:
            contest.leader, contest.opening, contest.may_nominate = ZERO_ADDRESS, None, True

    def _settle(self, event: RoundSettled) -> None:
        contest = self._contest(event.task_id, event.round, "a settlement")
        if contest is None:
            return
        state, failed, winner = self.state, contest.of_round, contest.entrants.get(event.miner)
        self._equal(failed, BEST, contest.leader, event.miner)
        opened_by = contest.opening.miner if contest.opening else "nobody"
        self._equal(failed, ORDER, f"opened by {event.miner}", f"opened by {opened_by}")
        claim = winner.claim if winner is not None else None
        has_parent = claim is not None and claim.proof.parent_model in state.origins
        terms = contest.posted.terms
        shares = settlement(terms.bounty_wei, self._params.fee_bps, terms.royalty_bps, has_parent)
        self._equal(failed, PAYOUT, tuple(shares), (event.paid_wei, event.fee_wei, event.royalty_wei))
        state.open_tasks -= contest.round + 1 == contest.rounds
        # a task with a further round is still open, but this block did select it
        others = state.open_tasks - (contest.round + 1 < contest.rounds)
        self._payment = _Payment(contest, event, winner, others)
        if contest.round + 1 == contest.rounds:
            del state.contests[event.task_id]
        else:
            state.contests[event.task_id] = self._next_round(contest, claim)

    def _next_round(self, contest: Contest, claim: ClaimRevealed | None) -> Contest:
        """Its least score is the winner's and the gain, at most everything (P-42)."""
        terms, required = contest.posted.terms, contest.posted.terms.min_score_ppm
        if claim is not None:
            required = max(required, min(PPM, _score_ppm(contest, claim) + terms.min_gain_ppm))
        return Contest(
            contest.posted,
            required_ppm=required,
            round=contest.round + 1,
            previous_model=ZERO_HASH if claim is None else claim.proof.model_hash,
            of_task=contest.of_task,
        )

    def _end(self, event: TaskEnded) -> None:
        contest = self.state.contests.pop(event.task_id, None)
        if contest is None:
            self._miss(event.task_id, 0, "an end")
            return
        self.state.open_tasks -= 1
        self.stray += [_of_task(event.task_id, check) for check in (*contest.of_task, *contest.of_round)]

    # ------------------------------------------------------------------ the block

    def _append(self, event: BlockAppended, block_number: int) -> Settled:
        state, header = self.state, event.header
        payment, self._payment = self._payment, None
        failed: list[Check] = [] if payment is None else [*payment.contest.of_task, *payment.contest.of_round]
        claim = payment.winner.claim if payment is not None and payment.winner is not None else None
        digest = None if claim is None else proof_digest(claim.proof, self._chain_id, self._market)
        self._equal(failed, LINKS, (state.height, state.head), (header.height, header.previous_hash))
        self._equal(failed, SUM, state.difficulty + header.difficulty, header.cumulative_difficulty)
        expected = None if payment is None or claim is None or digest is None else _expected(payment, claim, digest)
        wrong = "no settlement before it" if expected is None else _differences(expected, header)
        self._that(failed, HEADER, not wrong, "what its settlement says", wrong)
        found = block_hash(header)
        self._equal(failed, HASH, found, event.block_hash)
        # one wrong block is one finding, not one for each that follows
        state.height, state.head, state.difficulty = header.height + 1, found, header.cumulative_difficulty
        if payment is not None and payment.winner is not None and claim is not None:
            origin = state.origins.get(claim.proof.model_hash)
            if origin is None or payment.winner.commit_seq < origin.commit_seq:
                state.origins[claim.proof.model_hash] = Origin(payment.winner.commit_seq, claim.proof.miner)
        return Settled(header, found, block_number, claim, digest, tuple(failed))

    # ------------------------------------------------------------------ who owns a model, who leads

    def _own_model(self, contest: Contest, event: ClaimRevealed, entrant: Entrant) -> bool:
        """Whether the model and its parent let the claim win, as ModelRegistry.recordReveal says (P-31, P-33)."""
        proof, reveals = event.proof, self.state.first_reveals
        if proof.model_hash == ZERO_HASH:
            return False
        first = reveals.get(proof.model_hash)
        if first is None or entrant.commit_seq <= first.commit_seq:
            reveals[proof.model_hash] = FirstReveal(entrant.commit_seq, proof.miner)
        elif first.miner != proof.miner:
            return False
        if contest.previous_model is not None:
            return proof.parent_model == contest.previous_model
        return proof.parent_model == ZERO_HASH or proof.parent_model in self.state.origins

    def _take_model(self, contest: Contest, event: ClaimRevealed, entrant: Entrant) -> bool:
        """Of this round: the lowest commitSeq of a model owns it, and who revealed it before no longer qualifies."""
        model = event.proof.model_hash
        owner = contest.owners.get(model)
        if owner is not None:
            displaced = contest.entrants[owner]
            if displaced.commit_seq < entrant.commit_seq:
                return False
            displaced.qualifies = False
            if contest.leader == owner:
                contest.leader, contest.may_nominate = ZERO_ADDRESS, True
        contest.owners[model] = event.proof.miner
        return True

    def _beats_leader(self, contest: Contest, entrant: Entrant) -> bool:
        leading = contest.entrants.get(contest.leader)
        if leading is None or leading.claim is None or entrant.claim is None:
            return True
        mine, other = entrant.claim.claim.total, leading.claim.claim.total
        return (mine, -entrant.commit_seq) > (other, -leading.commit_seq)

    # ------------------------------------------------------------------ checks

    def _contest(self, task_id: TaskId, index: int, what: str) -> Contest | None:
        """The open task in its present round; None, and a stray finding, if the log has not told of it."""
        contest = self.state.contests.get(task_id)
        if contest is None or contest.round != index:
            self._miss(task_id, index, what)
            return None
        return contest

    def _miss(self, task_id: TaskId, index: int, what: str) -> None:
        found = f"{what} of task {task_id}, round {index}, that was not begun or is over"
        self._that(self.stray, LOG, False, "events of open rounds", found)

    def _equal(self, failed: list[Check], name: str, expected: object, found: object) -> None:
        self.done[name] += 1
        if expected != found:
            failed.append(Check(name, False, _in_words(expected), _in_words(found)))

    def _that(self, failed: list[Check], name: str, ok: bool, expected: str, found: str) -> None:
        self.done[name] += 1
        if not ok:
            failed.append(Check(name, False, expected, found))


def _expected(payment: _Payment, claim: ClaimRevealed, digest: Hash32) -> dict[str, object]:
    """What a block says of its settlement; the rest of it follows from the block before, and from the clock."""
    contest, proof = payment.contest, claim.proof
    return {
        "version": VERSION,
        "task_id": proof.task_id,
        "round": contest.round,
        "model_hash": proof.model_hash,
        "proof_digest": digest,
        "miner": payment.event.miner,
        "total": claim.claim.total,
        "score_ppm": _score_ppm(contest, claim),
        "difficulty": contest.posted.difficulty,
        "open_tasks": payment.open_tasks,
    }


def _differences(expected: dict[str, object], header: BlockHeader) -> str:
    """Empty if there are none."""
    names = [field.name for field in fields(header) if field.name in expected]
    differing = [name for name in names if getattr(header, name) != expected[name]]
    return ", ".join(
        f"{name} {_in_words(getattr(header, name))} instead of {_in_words(expected[name])}" for name in differing
    )


def _score_ppm(contest: Contest, claim: ClaimRevealed) -> int:
    assert contest.released is not None  # who has revealed did it after the release
    test = contest.released.test_set
    return score_ppm(claim.claim.total, max(1, test.samples), max(1, test.max_sample_score))


def _of_task(task_id: TaskId, check: Check) -> Check:
    return Check(f"{check.name} (task {task_id})", check.ok, check.expected, check.found)


def _in_words(value: object) -> str:
    return ", ".join(map(shown, value)) if isinstance(value, tuple) else shown(value)
