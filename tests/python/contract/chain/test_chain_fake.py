"""The fakes of the unit tests and the real contracts are played side by side, at random, and must agree."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from anvil_node import Anvil
from dlbc.core.types import Phase, Wei
from pair import Pair, RandomPlay, likely
from play import AUDITORS, ETHER, Play, account

pytestmark = pytest.mark.contract

STEPS = 110
MOST_STEPS = 6 * STEPS
MARKET = {
    Phase.NONE: ("advance",),
    Phase.TRAINING: ("post", "commit", "commit", "commit", "commit", "time"),
    Phase.RELEASING: ("release", "release", "release", "time"),
    Phase.REVEALING: ("reveal", "reveal", "reveal", "reveal", "time"),
    Phase.OPENING: ("open", "open", "reclaim", "time"),
    Phase.NOMINATING: ("nominate", "nominate", "time"),
    Phase.CHALLENGE: ("reclaim", "time"),
    Phase.SETTLED: ("post", "reclaim", "pay", "slot", "slot"),
}
"""What a phase is for; NONE: what is due, SETTLED: any cold phase."""
NEEDED = {"post", "commit", "release", "reveal", "open", "advance", "reclaim", "slot"}
"""Play goes on until each of these succeeded."""
STAKES = ("stake", "activate", "activate", "unstake", "finish", "finish", "fees", "dividends", "wait")
COLLECT = ("collect", "collect", "bond", "close", "pay", "pay", "reclaim")
POOL = {
    Phase.NONE: ("advance", "advance", "resolve"),
    Phase.TRAINING: ("commit", "commit", "commit", "activate", "fees", "time", "time"),
    Phase.RELEASING: ("release", "release", "time"),
    Phase.REVEALING: (*["reveal"] * 12, "impeach", "refute", "time", "time"),
    Phase.OPENING: ("open", "open", "demand", "answer", "answer", "answer"),
    Phase.NOMINATING: ("nominate", "nominate", "time"),
    Phase.CHALLENGE: ("dispute", "dispute", "demand", "answer", "answer", "answer", "refute", "time"),
    Phase.VOTING_COMMIT: ("vote", "vote", "vote", "vote", "answer", "refute", "time"),
    Phase.VOTING_REVEAL: ("show", "show", "show", "show", "show", "answer", "refute", "time"),
    Phase.SETTLED: ("post", "post", *COLLECT, *STAKES),
}
POOL_NEEDED = {
    *("stake", "activate", "unstake", "finish", "fees", "impeach", "dispute", "vote", "show", "collect", "bond"),
    *("refute", "demand", "answer", "pay from the pool"),
}


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A node of its own: a pair stops its clock."""
    with Anvil("--hardfork", "prague") as running:
        yield running


@pytest.mark.parametrize("seed", [1, 2])
def test_fake_market__random_play__agrees_with_the_contracts(node: Anvil, seed: int) -> None:
    """Every random action is allowed or refused alike, and both markets hold the same facts."""
    chance = random.Random(seed)
    pair = Pair(Play(node))
    play = RandomPlay(pair, chance)

    for step in range(MOST_STEPS):
        if step >= STEPS and set(pair.done) >= NEEDED:
            break
        task_id = play.task()
        play.move(likely(pair.fake, task_id, chance, MARKET), task_id)
        if step % 10 == 9:
            pair.compare()
    assert set(pair.done) >= NEEDED, f"too little happened: {pair.done}"


@pytest.mark.parametrize("seed", [3, 4])
def test_fake_pool__random_play__agrees_with_the_contracts(node: Anvil, seed: int) -> None:
    """With auditors, disputes, votes, refutations and demands: both pools do and hold the same."""
    chance = random.Random(seed)
    pair = Pair(Play(node))
    play = RandomPlay(pair, chance, lies=0.3, tasks=1)
    for index in AUDITORS:
        pair.act(index, "stake", lambda chain, pool: pool.stake(Wei(2 * ETHER)))
    node.move_to(pair.play.pool(AUDITORS[-1]).stake_of(account(AUDITORS[-1]).address).ready_at)
    for index in AUDITORS:
        who = account(index).address
        pair.act(index, "activate", lambda chain, pool, who=who: pool.activate(who))

    for step in range(MOST_STEPS):
        if step >= 2 * STEPS and set(pair.done) >= POOL_NEEDED:
            break
        task_id = play.task()
        play.move(likely(pair.fake, task_id, chance, POOL), task_id)
        if step % 20 == 19:
            pair.compare()
    assert set(pair.done) >= POOL_NEEDED, f"too little happened: {pair.done}"
