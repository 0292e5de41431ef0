"""A market with its pool twice, the real contracts and the fakes of the unit tests: every action is done on both."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from dlbc.core import disputes, proofs
from dlbc.core.errors import ContractRefused
from dlbc.core.events import Prize, TaskEvent
from dlbc.core.types import (
    Address,
    Ground,
    Hash32,
    Locator,
    Outcome,
    Phase,
    PredictionLeaf,
    TaskId,
    Verdict,
    Wei,
)
from dlbc.ports import Chain, Pool
from dlbc.roles.reporting import money_of
from fakes.chain import FakeChain, FakeMarket
from fakes.pool import FakePool, PoolState
from play import AUDITORS, DISPUTER, ETHER, FIRST_MINER, REQUESTER, TERMS, Play, Work, account, secret

MINERS = range(FIRST_MINER, FIRST_MINER + 4)
EVERYBODY = (REQUESTER, *MINERS, *AUDITORS, DISPUTER)


class Pair:
    """One action on both; both must do it or refuse it for the same reason.

    To be played on a node of its own, whose clock stands still but for a second a block: so every run is the same, and
    both meet every window at the same moment.
    """

    def __init__(self, play: Play) -> None:
        self.play = play
        where = play.deployment
        self.fake = FakeMarket(
            params=where.params,
            address=where.market,
            genesis=play.requester.genesis_hash(),
            now=play.anvil.time(),
        )
        self.fake_pool = PoolState(self.fake, where.pool_params)
        self.done: dict[str, int] = {}
        play.anvil.rpc("anvil_setBlockTimestampInterval", 1)

    def act(self, index: int, name: str, action: Callable[[Chain, Pool], object]) -> bool:
        """Runs it on the real contracts, then at the same time on the fake ones."""
        refused: list[str] = []
        moment = self.play.anvil.time() + 1
        me = account(index).address
        for chain, pool in (
            (self.play.chain(index), self.play.pool(index)),
            (FakeChain(self.fake, me), FakePool(self.fake_pool, me)),
        ):
            try:
                action(chain, pool)
                refused.append("")
            except ContractRefused as error:
                refused.append(error.name)
            self.fake.now = moment
        self.fake.now = self.play.anvil.time()
        assert refused[0] == refused[1], f"{name}: the contracts say {refused[0]!r}, the fake {refused[1]!r}"
        if not refused[0]:
            self.done[name] = self.done.get(name, 0) + 1
        return not refused[0]

    def compare(self) -> None:
        """Every fact that a role can read."""
        self._compare_market(self.play.requester, FakeChain(self.fake))
        self._compare_pool(self.play.pool(REQUESTER), FakePool(self.fake_pool))

    def _compare_market(self, real: Chain, fake: Chain) -> None:
        accounts = [account(index).address for index in EVERYBODY]
        assert real.task_count() == fake.task_count()
        assert real.open_tasks() == fake.open_tasks()
        assert real.liabilities() == fake.liabilities()
        assert real.market_balance() == fake.market_balance()
        assert real.blocks() == fake.blocks()
        assert real.head() == fake.head()
        assert [real.credit(who) for who in accounts] == [fake.credit(who) for who in accounts]
        assert real.credit(self.play.deployment.pool) == fake.credit(self.play.deployment.pool)
        assert real.slot_reveals() == fake.slot_reveals()
        for model in self.fake.origins:
            for slot in range(3):
                assert real.slot(Hash32(model), slot) == fake.slot(Hash32(model), slot)
        assert set(real.all_openings()) == set(fake.all_openings())
        assert list(real.all_commits()) == list(fake.all_commits())
        for who in accounts:
            assert real.commits_of(who) == fake.commits_of(who)
            assert sorted(real.prizes_of(who), key=_where) == sorted(fake.prizes_of(who), key=_where)
        assert [posting.task_id for posting in real.postings()] == [posting.task_id for posting in fake.postings()]
        for who in accounts:
            assert [each.task_id for each in real.postings_of(who)] == [each.task_id for each in fake.postings_of(who)]
        held = 0
        for number in range(1, real.task_count() + 1):
            task_id = TaskId(number)
            assert real.task(task_id) == fake.task(task_id)
            assert real.phase(task_id) == fake.phase(task_id)
            assert replace(real.task_posted(task_id), block_number=0) == replace(
                fake.task_posted(task_id), block_number=0
            )
            assert real.queue_at_posting(task_id) == fake.queue_at_posting(task_id)
            assert real.settlements(task_id) == fake.settlements(task_id)
            held += self._compare_history(real, fake, task_id)
            for index in range(real.task(task_id).rounds):
                assert real.round(task_id, index) == fake.round(task_id, index)
                assert real.winner(task_id, index) == fake.winner(task_id, index)
                assert real.commits(task_id, index) == fake.commits(task_id, index)
                assert real.reveals(task_id, index) == fake.reveals(task_id, index)
                assert real.strikes(task_id, index) == fake.strikes(task_id, index)
                assert real.openings(task_id, index) == fake.openings(task_id, index)
                assert real.released(task_id, index) == fake.released(task_id, index)
                for who in accounts:
                    assert real.entry(task_id, index, who) == fake.entry(task_id, index, who)
        assert held == real.liabilities()[0]

    def _compare_history(self, real: Chain, fake: Chain, task_id: TaskId) -> Wei:
        """What the market holds for the task, by its log and by its facts alike."""
        history = real.history(task_id)
        assert _told(history) == _told(fake.history(task_id))
        times = real.block_times({event.block_number for event in history})
        assert set(times) == {event.block_number for event in history}
        flow, other = money_of(real, task_id, history), money_of(fake, task_id, fake.history(task_id))
        assert sorted(each.wei for each in flow.market) == sorted(each.wei for each in other.market)
        assert flow.held_wei == flow.due_wei == other.due_wei
        return flow.held_wei

    def _compare_pool(self, real: Pool, fake: Pool) -> None:
        now = self.fake.now
        assert real.totals() == fake.totals()
        assert real.liabilities() == fake.liabilities()
        assert real.balance() == fake.balance()
        assert real.filings() == fake.filings()
        for index in EVERYBODY:
            who = account(index).address
            assert real.credit(who) == fake.credit(who)
            assert real.stake_of(who) == fake.stake_of(who)
            assert real.dividend(who) == fake.dividend(who)
            assert real.ballots_of(who) == fake.ballots_of(who)
        for case_id, case in self.fake_pool.cases.items():
            assert real.case(case_id) == case
            assert real.windows(case_id) == fake.windows(case_id)
            assert real.resolved(case_id) == fake.resolved(case_id)
            assert real.ballots_committed(case_id) == fake.ballots_committed(case_id)
            assert real.ballots_revealed(case_id) == fake.ballots_revealed(case_id)
            for time in (case.snapshot_at, now - 1):
                assert real.total_stake_at(time) == fake.total_stake_at(time)
            for attempt in (0, 1):
                assert real.tally(case_id, attempt) == fake.tally(case_id, attempt)
                assert real.ruling(case_id, attempt) == fake.ruling(case_id, attempt)
            for index in EVERYBODY:
                who = account(index).address
                assert real.has_filed(case_id, who) == fake.has_filed(case_id, who)
                assert real.stake_at(who, case.snapshot_at) == fake.stake_at(who, case.snapshot_at)
                assert real.lock_for(case_id, who) == fake.lock_for(case_id, who)
                for attempt in (0, 1):
                    assert real.ballot(case_id, attempt, who) == fake.ballot(case_id, attempt, who)
        for task_id, task in self.fake.tasks.items():
            for index in range(task.rounds):
                assert real.demands(TaskId(task_id), index) == fake.demands(TaskId(task_id), index)
                assert real.shown(TaskId(task_id), index) == fake.shown(TaskId(task_id), index)


def _told(history: Sequence[TaskEvent]) -> list[list[tuple[object, ...]]]:
    """The events of each transaction in turn; within one their order does not matter, nor what the chain calls it."""
    return [
        sorted(
            (
                event.contract,
                event.name,
                -1 if event.round is None else event.round,
                event.account,
                event.wei,
                event.detail,
            )
            for event in events
        )
        for _, events in groupby(history, key=lambda event: event.tx_hash)
    ]


def _where(prize: Prize) -> tuple[int, int]:
    return prize.task_id, prize.round


class RandomPlay:
    """Random moves on a pair, mostly sensible ones."""

    def __init__(self, pair: Pair, chance: random.Random, *, lies: float = 0.0, tasks: int = 3) -> None:
        """`lies`: share of the works that count one wrong prediction; `tasks`: so many at once."""
        self.pair = pair
        self._play = pair.play
        self._fake = pair.fake
        self._pool = pair.fake_pool
        self._chance = chance
        self._lies = lies
        self._tasks = tasks
        self._works: list[Work] = []
        self._verdicts: dict[tuple[bytes, int, int], Verdict] = {}

    def task(self) -> TaskId:
        """One of the warm tasks."""
        warm = [number for number, task in self._fake.tasks.items() if task.outcome is Outcome.NONE]
        return TaskId(self._chance.choice(warm or [1]))

    def move(self, name: str, task_id: TaskId) -> None:
        """Tries one move."""
        if name == "post" or self._fake.tasks:
            getattr(self, f"_{name}")(task_id)

    # ------------------------------------------------------------------ the market

    def _post(self, task_id: TaskId) -> None:
        if self._fake.open_tasks >= self._tasks:
            return
        rounds = self._chance.choice([1, 1, 2])
        commitments = [proofs.test_commitment(self._play.test_set(index)) for index in range(rounds)]
        terms = replace(TERMS, bond_wei=Wei(ETHER * rounds // 10 + self._chance.choice([0, 0, 0, -1])))
        self.pair.act(REQUESTER, "post", lambda chain, pool: chain.post(terms, commitments))

    def _cancel(self, task_id: TaskId) -> None:
        self.pair.act(REQUESTER, "cancel", lambda chain, pool: chain.cancel(task_id))

    def _commit(self, task_id: TaskId) -> None:
        chance, miner, index = self._chance, self._chance.choice(MINERS), self._fake.tasks[task_id].round
        parent = self._fake.winners[task_id, index - 1].model_hash if index else bytes(32)
        model = chance.choice([None, None, None, "the same file"])
        total = chance.randint(self._play.samples // 3, self._play.samples)
        lies = [chance.randrange(total, self._play.samples)] if self._lies and total < self._play.samples else []
        lies = lies if chance.random() < self._lies else []
        attempt = chance.randrange(10**6)
        work = self._play.work(
            task_id, miner, total, round=index, model=model, parent=parent, attempt=attempt, lies=lies
        )
        is_first = self._fake.entries.get((task_id, index, account(miner).address)) is None
        deposit = Wei(TERMS.deposit_wei if is_first else 0)
        terms_hash = self._fake.tasks[task_id].terms_hash
        if self.pair.act(
            miner,
            "commit",
            lambda chain, pool: chain.commit(
                task_id, index, terms_hash, work.commitment, work.proof.sealed_model, deposit
            ),
        ):
            self._works.append(work)

    def _release(self, task_id: TaskId) -> None:
        index = self._fake.tasks[task_id].round
        test_set, key = self._play.test_set(index), self._play.test_key(index)
        self.pair.act(REQUESTER, "release", lambda chain, pool: chain.release(task_id, test_set, key))

    def _reveal(self, task_id: TaskId) -> None:
        ready = [work for work in self._works if self._is_committed(work) and work.proof.task_id == task_id]
        if work := self._chance.choice(ready) if ready and self._chance.random() < 0.7 else self._work(task_id):
            self.pair.act(
                self._chance.choice(MINERS),
                "reveal",
                lambda chain, pool: chain.reveal(work.proof, work.salt, work.claim, work.h_top, work.signature),
            )

    def _open(self, task_id: TaskId) -> None:
        if work := self._leading(task_id):
            path = proofs.slot_path(work.slot_keys, 0)
            self.pair.act(
                self._chance.choice(MINERS),
                "open",
                lambda chain, pool: chain.open(work.proof, work.claim, work.seal_key, work.slot_keys[0], path),
            )

    def _nominate(self, task_id: TaskId) -> None:
        miner = account(self._chance.choice(MINERS)).address
        self.pair.act(REQUESTER, "nominate", lambda chain, pool: chain.nominate(task_id, miner))

    def _advance(self, task_id: TaskId) -> None:
        self.pair.act(REQUESTER, "advance", lambda chain, pool: chain.advance(task_id))

    def _reclaim(self, task_id: TaskId) -> None:
        task_id = TaskId(self._chance.choice(list(self._fake.tasks)))
        index = self._chance.randint(0, self._fake.tasks[task_id].round)
        miner = account(self._chance.choice(MINERS)).address
        self.pair.act(REQUESTER, "reclaim", lambda chain, pool: chain.reclaim(task_id, index, miner))

    def _pay(self, task_id: TaskId) -> None:
        is_market = self._chance.random() < 0.5
        owed = [who for who, wei in (self._fake if is_market else self._pool).credits.items() if wei]
        who = Address(self._chance.choice(owed or [account(DISPUTER).address]))
        if is_market:
            self.pair.act(REQUESTER, "pay", lambda chain, pool: chain.withdraw(who))
        else:
            self.pair.act(REQUESTER, "pay from the pool", lambda chain, pool: pool.withdraw(who))

    def _slot(self, task_id: TaskId) -> None:
        """Of any work, settled or not, mostly with the key that was committed."""
        chance = self._chance
        if not self._works:
            return
        settled = [work for work in self._works if work.proof.model_hash in self._fake.origins]
        work = chance.choice(settled if settled and chance.random() < 0.8 else self._works)
        model, slot = work.proof.model_hash, chance.choice([0, 1, 1, 1, 2])
        key, path = work.slot_keys[slot % 2], proofs.slot_path(work.slot_keys, slot % 2)
        if chance.random() < 0.2:
            key, path = secret("another"), chance.choice([path, (), path * 4])
        self.pair.act(DISPUTER, "slot", lambda chain, pool: chain.reveal_slot(model, slot, key, path))

    def _time(self, task_id: TaskId) -> None:
        info = self._fake.phase(task_id)
        self._move_to(self._chance.choice([self._fake.now + 100, info.ends_at]))

    def _wait(self, task_id: TaskId) -> None:
        """Until some stake may be activated or paid."""
        stakes = self._pool.stakes.values()
        waiting = [stake.ready_at for stake in stakes if stake.pending_wei]
        waiting += [stake.free_at for stake in stakes if stake.unbonding_wei]
        if waiting:
            self._move_to(self._chance.choice(waiting))

    def _move_to(self, time: int) -> None:
        self._play.anvil.move_to(time)
        self._fake.now = self._play.anvil.time()

    # ------------------------------------------------------------------ the pool

    def _stake(self, task_id: TaskId) -> None:
        amount = Wei(self._chance.choice([0, 1, ETHER, ETHER, 3 * ETHER + 7]))
        self.pair.act(self._auditor(), "stake", lambda chain, pool: pool.stake(amount))

    def _activate(self, task_id: TaskId) -> None:
        who = account(self._auditor()).address
        self.pair.act(DISPUTER, "activate", lambda chain, pool: pool.activate(who))

    def _unstake(self, task_id: TaskId) -> None:
        amount = Wei(self._chance.choice([0, 1, ETHER // 3, ETHER, 4 * ETHER]))
        self.pair.act(self._auditor(), "unstake", lambda chain, pool: pool.unstake(amount))

    def _finish(self, task_id: TaskId) -> None:
        who = account(self._auditor()).address
        self.pair.act(DISPUTER, "finish", lambda chain, pool: pool.finish_unstake(who))

    def _fees(self, task_id: TaskId) -> None:
        self.pair.act(DISPUTER, "fees", lambda chain, pool: pool.collect_fees())

    def _dividends(self, task_id: TaskId) -> None:
        self.pair.act(self._auditor(), "dividends", lambda chain, pool: pool.claim_dividends())

    def _impeach(self, task_id: TaskId) -> None:
        bond = Wei(disputes.dispute_bond(TERMS.bounty_wei) - self._chance.choice([0, 0, 0, 1]))
        self.pair.act(self._filer(), "impeach", lambda chain, pool: pool.impeach(task_id, _evidence(), bond))

    def _dispute(self, task_id: TaskId) -> None:
        chance = self._chance
        bond = Wei(disputes.dispute_bond(TERMS.bounty_wei) - chance.choice([0, 0, 0, 0, 1]))
        grounds = chance.choice([Ground.HASH, Ground.SCORE | Ground.COPIED, Ground.SAMPLES, Ground.SAMPLES, 0, 128])
        count = chance.choice([1, 2, 8]) if grounds & Ground.SAMPLES else chance.choice([0, 0, 0, 0, 1])
        samples = tuple(chance.randrange(self._play.samples + 1) for _ in range(count))
        self.pair.act(
            self._filer(), "dispute", lambda chain, pool: pool.dispute(task_id, grounds, _evidence(), samples, bond)
        )

    def _vote(self, task_id: TaskId) -> None:
        if not (case_id := self._case(task_id)):
            return
        index, attempt = self._auditor(), self._pool.cases[case_id].attempt
        verdict = self._chance.choice([Verdict.STANDS, Verdict.FALLS, Verdict.FALLS, Verdict.UNAVAILABLE])
        ballot = self._ballot(case_id, attempt, index, verdict)
        if self.pair.act(index, "vote", lambda chain, pool: pool.commit_vote(case_id, ballot)):
            self._verdicts[case_id, attempt, index] = verdict

    def _show(self, task_id: TaskId) -> None:
        if not (case_id := self._case(task_id)):
            return
        attempt = self._pool.cases[case_id].attempt
        mine = [who for case, turn, who in self._verdicts if (case, turn) == (case_id, attempt)]
        index = self._chance.choice(mine or AUDITORS)
        verdict = self._verdicts.get((case_id, attempt, index), Verdict.STANDS)
        if self._chance.random() < 0.1:
            verdict = self._chance.choice(list(Verdict))
        voter, lock = account(index).address, self._lock(case_id, attempt, index)
        salt = secret("salt", case_id, attempt, index)
        self.pair.act(DISPUTER, "show", lambda chain, pool: pool.reveal_vote(case_id, voter, verdict, lock, salt))

    def _resolve(self, task_id: TaskId) -> None:
        self.pair.act(DISPUTER, "resolve", lambda chain, pool: pool.resolve(task_id))

    def _collect(self, task_id: TaskId) -> None:
        """A ballot, opened or sealed, of any case."""
        if not self._verdicts:
            return
        case_id, attempt, index = self._chance.choice(list(self._verdicts))
        case, voter = Hash32(case_id), account(index).address
        if self._chance.random() < 0.6:
            self.pair.act(DISPUTER, "collect", lambda chain, pool: pool.collect_vote(case, attempt, voter))
            return
        ballot = self._ballot(case, attempt, index, self._verdicts[case_id, attempt, index])
        lock = self._lock(case, attempt, index)
        self.pair.act(DISPUTER, "recover", lambda chain, pool: pool.recover_vote(case, attempt, voter, ballot, lock))

    def _bond(self, task_id: TaskId) -> None:
        if self._pool.filed:
            filing = self._chance.choice(self._pool.filed)
            self.pair.act(DISPUTER, "bond", lambda chain, pool: pool.collect_bond(filing.case_id, filing.filer))

    def _refute(self, task_id: TaskId) -> None:
        if not (work := self._work(task_id)):
            return
        lies = [i for i, leaf in enumerate(work.leaves) if leaf.score and not self._is_right(work, i)]
        index = self._chance.choice(lies or range(self._play.samples))
        leaf, path = work.shown(index)
        if self._chance.random() < 0.1:
            leaf = PredictionLeaf(leaf.prediction, leaf.score ^ 1)
        label = self._play.label(index, work.proof.round) if self._chance.random() < 0.9 else None
        self.pair.act(DISPUTER, "refute", lambda chain, pool: pool.refute(work.ref, index, leaf, path, label))

    def _demand(self, task_id: TaskId) -> None:
        if work := self._leading(task_id):
            index = self._chance.choice([0, 5, self._play.samples - 1, self._play.samples])
            bond = Wei(self._pool.params.demand_bond_wei + self._chance.choice([0, 0, 0, 1]))
            self.pair.act(self._filer(), "demand", lambda chain, pool: pool.demand(work.ref, index, bond))

    def _answer(self, task_id: TaskId) -> None:
        if demand := self._demanded(task_id):
            mine = [(w, (w.proof.task_id, w.proof.round, w.proof.miner)) for w in self._works if self._is_revealed(w)]
            work = next(work for work, place in mine if place == demand[:3])
            leaf, path = work.shown(demand[3])
            self.pair.act(
                self._chance.choice(MINERS), "answer", lambda chain, pool: pool.answer(work.ref, demand[3], leaf, path)
            )

    def _close(self, task_id: TaskId) -> None:
        if demand := self._demanded(None):
            number, index, miner, sample = demand
            self.pair.act(DISPUTER, "close", lambda chain, pool: pool.close_demand(number, index, miner, sample))

    # ------------------------------------------------------------------ who and what

    def _auditor(self) -> int:
        return self._chance.choice(AUDITORS)

    def _filer(self) -> int:
        return self._chance.choice((DISPUTER, *AUDITORS))

    def _work(self, task_id: TaskId) -> Work | None:
        here = [work for work in self._works if work.proof.task_id == task_id]
        return self._chance.choice(here or self._works) if self._works else None

    def _leading(self, task_id: TaskId) -> Work | None:
        leader = self._fake.rounds[task_id, self._fake.tasks[task_id].round].leader
        here = [work for work in self._works if (work.proof.task_id, work.proof.miner) == (task_id, leader)]
        known = [work for work in here if self._is_revealed(work)] or here or self._works
        return self._chance.choice(known) if known else None

    def _is_committed(self, work: Work) -> bool:
        entry = self._fake.entries.get((work.proof.task_id, work.proof.round, work.proof.miner))
        return entry is not None and entry.digest == work.commitment

    def _is_revealed(self, work: Work) -> bool:
        entry = self._fake.entries.get((work.proof.task_id, work.proof.round, work.proof.miner))
        return entry is not None and entry.digest == proofs.claim_hash(work.digest, work.claim)

    def _is_right(self, work: Work, index: int) -> bool:
        return work.leaves[index].prediction == self._play.labels(work.proof.round)[index]

    def _case(self, task_id: TaskId) -> Hash32 | None:
        """Of this task if there is one."""
        here: Sequence[bytes] = [case for case, facts in self._pool.cases.items() if facts.task_id == task_id]
        known = here or list(self._pool.cases)
        return Hash32(self._chance.choice(known)) if known else None

    def _demanded(self, task_id: TaskId | None) -> tuple[TaskId, int, str, int] | None:
        open_ = [key for key in self._pool.demands if task_id in (None, key[0])]
        return self._chance.choice(open_) if open_ else None

    def _ballot(self, case_id: Hash32, attempt: int, index: int, verdict: Verdict) -> Hash32:
        dispute = proofs.dispute_id(case_id, attempt)
        salt = secret("salt", case_id, attempt, index)
        return proofs.ballot_hash(self._pool.address, dispute, account(index).address, verdict, salt)

    def _lock(self, case_id: Hash32, attempt: int, index: int) -> Wei:
        me = account(index).address
        for ballot in self._pool.committed:
            if (ballot.case_id, ballot.attempt, ballot.voter) == (case_id, attempt, me):
                return ballot.lock_wei
        return Wei(1)


def likely(fake: FakeMarket, task_id: TaskId, chance: random.Random, by_phase: dict[Phase, tuple[str, ...]]) -> str:
    """Mostly what this phase is for, sometimes anything."""
    if not fake.tasks:
        return "post"
    info = fake.phase(task_id)
    if chance.random() < 0.25:
        return chance.choice(sorted({name for names in by_phase.values() for name in names} | {"cancel", "advance"}))
    if info.due:
        return chance.choice(by_phase[Phase.NONE])
    cold = by_phase[Phase.SETTLED]
    return chance.choice(cold if info.phase.is_cold else by_phase[info.phase])


def _evidence() -> Locator:
    return Locator(secret("evidence"))
