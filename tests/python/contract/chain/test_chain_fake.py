"""The fake market of the unit tests and the real contracts are played side by side, at random, and must agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from anvil_node import Anvil
from dlbc.core import proofs
from dlbc.core.errors import ContractRefused
from dlbc.core.types import Outcome, Phase, TaskId, Wei
from dlbc.ports import Chain
from fakes.chain import FakeChain, FakeMarket
from play import ETHER, FIRST_MINER, REQUESTER, SAMPLES, TERMS, TREASURY, Play, Work, account

pytestmark = pytest.mark.contract

MINERS = range(FIRST_MINER, FIRST_MINER + 4)
STEPS = 110
MOST_STEPS = 10 * STEPS
NEEDED = {"post", "commit", "release", "reveal", "open", "advance", "reclaim"}
"""Play goes on until each of these succeeded: a real node's clock makes every run a little different."""
ANY = ("post", "cancel", "commit", "release", "reveal", "open", "nominate", "advance", "reclaim", "pay", "time")
LIKELY = {
    Phase.TRAINING: ("post", "commit", "commit", "commit", "commit", "time"),
    Phase.RELEASING: ("release", "release", "release", "time"),
    Phase.REVEALING: ("reveal", "reveal", "reveal", "reveal", "time"),
    Phase.OPENING: ("open", "open", "reclaim", "time"),
    Phase.NOMINATING: ("nominate", "nominate", "time"),
    Phase.CHALLENGE: ("reclaim", "time"),
}


class Pair:
    """One action on both markets; both must do it or refuse it for the same reason."""

    def __init__(self, play: Play) -> None:
        self.play = play
        where = play.deployment
        self.fake = FakeMarket(
            params=where.params,
            address=where.market,
            genesis=play.requester.genesis_hash(),
            now=play.anvil.time(),
        )
        self.done: dict[str, int] = {}

    def act(self, index: int, name: str, action: Callable[[Chain], object]) -> bool:
        """Runs it on the real market, then at the same time on the fake one."""
        refused: list[str] = []
        for chain in (self.play.chain(index), FakeChain(self.fake, account(index).address)):
            try:
                action(chain)
                refused.append("")
            except ContractRefused as error:
                refused.append(error.name)
            self.fake.now = self.play.anvil.time()
        assert refused[0] == refused[1], f"{name}: the contracts say {refused[0]!r}, the fake {refused[1]!r}"
        if not refused[0]:
            self.done[name] = self.done.get(name, 0) + 1
        return not refused[0]

    def compare(self) -> None:
        """Every fact that a role can read."""
        real, fake = self.play.requester, FakeChain(self.fake)
        accounts = [account(index).address for index in (REQUESTER, TREASURY, *MINERS)]
        assert real.task_count() == fake.task_count()
        assert real.open_tasks() == fake.open_tasks()
        assert real.liabilities() == fake.liabilities()
        assert real.market_balance() == fake.market_balance()
        assert real.blocks() == fake.blocks()
        assert real.head() == fake.head()
        assert [real.credit(who) for who in accounts] == [fake.credit(who) for who in accounts]
        for number in range(1, real.task_count() + 1):
            task_id = TaskId(number)
            assert real.task(task_id) == fake.task(task_id)
            assert real.phase(task_id) == fake.phase(task_id)
            assert replace(real.task_posted(task_id), block_number=0) == replace(
                fake.task_posted(task_id), block_number=0
            )
            assert real.queue_at_posting(task_id) == fake.queue_at_posting(task_id)
            assert real.settlements(task_id) == fake.settlements(task_id)
            for index in range(real.task(task_id).rounds):
                assert real.round(task_id, index) == fake.round(task_id, index)
                assert real.winner(task_id, index) == fake.winner(task_id, index)
                assert real.commits(task_id, index) == fake.commits(task_id, index)
                assert real.reveals(task_id, index) == fake.reveals(task_id, index)
                assert real.openings(task_id, index) == fake.openings(task_id, index)
                assert real.released(task_id, index) == fake.released(task_id, index)
                for who in accounts:
                    assert real.entry(task_id, index, who) == fake.entry(task_id, index, who)


@pytest.mark.parametrize("seed", [1, 2])
def test_fake_market__random_play__agrees_with_the_contracts(anvil: Anvil, seed: int) -> None:
    """Every random action is allowed or refused alike, and both markets hold the same facts."""
    chance = random.Random(seed)
    play = Play(anvil)
    pair = Pair(play)
    works: list[Work] = []

    for step in range(MOST_STEPS):
        if step >= STEPS and set(pair.done) >= NEEDED:
            break
        miner = chance.choice(MINERS)
        me = account(miner).address
        warm = [number for number, task in pair.fake.tasks.items() if task.outcome is Outcome.NONE]
        task_id = TaskId(chance.choice(warm or [1]))
        move = _move(pair.fake, task_id, chance)
        if move == "post" and pair.fake.open_tasks < 3:
            rounds = chance.choice([1, 1, 2])
            commitments = [proofs.test_commitment(play.test_set(index)) for index in range(rounds)]
            terms = replace(TERMS, bond_wei=Wei(ETHER * rounds // 10 + chance.choice([0, 0, 0, -1])))
            pair.act(REQUESTER, move, lambda chain, t=terms, c=commitments: chain.post(t, c))
        elif play.requester.task_count() == 0:
            continue
        elif move == "cancel":
            pair.act(REQUESTER, move, lambda chain, t=task_id: chain.cancel(t))
        elif move == "commit":
            index = pair.fake.tasks[task_id].round
            parent = pair.fake.winners[task_id, index - 1].model_hash if index else bytes(32)
            model = chance.choice([None, None, None, "the same file"])
            total = chance.randint(SAMPLES // 3, SAMPLES)
            attempt = chance.randrange(10**6)
            work = play.work(task_id, miner, total, round=index, model=model, parent=parent, attempt=attempt)
            is_first = pair.fake.entries.get((task_id, index, account(miner).address)) is None
            deposit = Wei(TERMS.deposit_wei if is_first else 0)
            terms_hash = pair.fake.tasks[task_id].terms_hash
            if pair.act(
                miner,
                move,
                lambda chain, w=work, d=deposit, h=terms_hash: chain.commit(
                    w.proof.task_id, w.proof.round, h, w.commitment, w.proof.sealed_model, d
                ),
            ):
                works.append(work)
        elif move == "release":
            index = pair.fake.tasks[task_id].round
            test_set, key = play.test_set(index), play.test_key(index)
            pair.act(REQUESTER, move, lambda chain, t=task_id, s=test_set, k=key: chain.release(t, s, k))
        elif move == "reveal" and works:
            work = chance.choice([w for w in works if w.proof.task_id == task_id] or works)
            pair.act(miner, move, lambda chain, w=work: chain.reveal(w.proof, w.salt, w.claim, w.h_top, w.signature))
        elif move == "open" and works:
            leader = pair.fake.rounds[task_id, pair.fake.tasks[task_id].round].leader
            work = chance.choice([w for w in works if (w.proof.task_id, w.proof.miner) == (task_id, leader)] or works)
            pair.act(
                miner,
                move,
                lambda chain, w=work: chain.open(
                    w.proof, w.claim, w.seal_key, w.slot_keys[0], proofs.slot_path(w.slot_keys, 0)
                ),
            )
        elif move == "nominate":
            pair.act(miner, move, lambda chain, t=task_id, m=me: chain.nominate(t, m))
        elif move == "advance":
            pair.act(miner, move, lambda chain, t=task_id: chain.advance(t))
        elif move == "reclaim":
            task_id = TaskId(chance.choice(list(pair.fake.tasks)))
            index = chance.randint(0, pair.fake.tasks[task_id].round)
            pair.act(miner, move, lambda chain, t=task_id, i=index, m=me: chain.reclaim(t, i, m))
        elif move == "pay":
            who = account(chance.choice([REQUESTER, TREASURY, *MINERS])).address
            pair.act(miner, move, lambda chain, w=who: chain.withdraw(w))
        elif move == "time":
            info = pair.fake.phase(task_id)
            play.anvil.move_to(chance.choice([play.anvil.time() + 100, info.ends_at]))
            pair.fake.now = play.anvil.time()
        if step % 5 == 4:
            pair.compare()
    assert set(pair.done) >= NEEDED, f"too little happened: {pair.done}"


def _move(market: FakeMarket, task_id: TaskId, chance: random.Random) -> str:
    """Mostly what this phase is for, sometimes anything."""
    if not market.tasks:
        return "post"
    info = market.phase(task_id)
    if chance.random() < 0.25:
        return chance.choice(ANY)
    if info.phase.is_cold:
        return chance.choice(("post", "reclaim", "pay"))
    return "advance" if info.due else chance.choice(LIKELY[info.phase])
