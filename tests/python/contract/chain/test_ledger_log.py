"""The whole ledger verified on the real contracts: whatever happens to tasks, and what a node may do to the chain."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from anvil_node import Anvil
from dlbc.adapters.chain.web3_ledger import Web3Ledger
from dlbc.adapters.signatures import recover_signer
from dlbc.core import proofs
from dlbc.core.events import LedgerEvent, TaskPosted
from dlbc.core.ledger_memory import Depth
from dlbc.core.types import TaskId
from dlbc.ports import LedgerLog
from dlbc.roles.ledger import LedgerVerifier
from fakes.ledger_log import FakeLedgerLog
from pair import Pair, RandomPlay, likely
from play import DISPUTER, FIRST_MINER, Play, Work
from test_chain_fake import MARKET, MOST_STEPS, NEEDED, STEPS

pytestmark = pytest.mark.contract

YES_TO_ALL = "0x631626ba7e60e01b60005260206000f3"
"""Code of a wallet that accepts every signature (ERC-1271)."""
NO_TO_ALL = "0x60206000f3"
HOSTILE_WALLETS = {
    "reverts": "0x60006000fd",
    "invalid instruction": "0xfe",
    "endless loop": "0x5b600056",
    "stack that is empty": "0x50",
    "jump to nowhere": "0x600056",
    "a gigabyte of memory": "0x6001633b9aca0052",
    "an answer of a megabyte": "0x620f42406000f3",
    "writes where it may only read": "0x600160005500",
}


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A node of its own: a pair stops its clock, a reorganisation is everybody's."""
    with Anvil("--hardfork", "prague") as running:
        yield running


def verifier(log: LedgerLog, file: Path | None = None) -> LedgerVerifier:
    """What `dlbc ledger verify` makes."""
    return LedgerVerifier(log, recover_signer, None, file)


def block(play: Play, total: int = 350, miner: int = FIRST_MINER) -> Work:
    """One more ledger block."""
    work = play.opened(total, miner)
    play.settle(work.proof.task_id)
    return work


@pytest.mark.parametrize("seed", [1, 5])
def test_ledger__random_play__holds_at_every_moment_and_is_what_the_fake_tells(
    node: Anvil, tmp_path: Path, seed: int
) -> None:
    """Strikes, nominations, copies, several rounds, tasks that end without a block: all of it is replayed."""
    chance = random.Random(seed)
    pair = Pair(Play(node))
    play = RandomPlay(pair, chance)
    real, fake = Web3Ledger(pair.play.requester), FakeLedgerLog(pair.fake)
    for step in range(MOST_STEPS):
        if step >= STEPS and set(pair.done) >= NEEDED:
            break
        task_id = play.task()
        play.move(likely(pair.fake, task_id, chance, MARKET), task_id)
        if step % 25 == 24:
            report = verifier(real, tmp_path / "real.json").verify()
            assert report.wrong == []
            assert report.elsewhere == []
    told = [_without_place(logged.event) for logged in real.events(real.first_block, real.tip()[0])]
    assert told == [_without_place(logged.event) for logged in fake.events(0, 2**63)]
    whole = verifier(real).verify()
    assert (whole.holds, whole.blocks, whole.unconfirmed) == (True, len(pair.fake.blocks), [])
    assert verifier(real, tmp_path / "real.json").verify().holds
    assert whole.blocks > 0


def _without_place(event: LedgerEvent) -> LedgerEvent:
    return replace(event, block_number=0) if isinstance(event, TaskPosted) else event


def test_ledger__two_rounds_and_a_royalty__holds(play: Play) -> None:
    """A later round has its own least score and parent, and pays the parent's miner."""
    task_id = play.post(rounds=2).task_id
    assert task_id is not None
    first = play.work(task_id, FIRST_MINER, 330)
    second = play.work(task_id, FIRST_MINER + 1, 350, round=1, parent=first.proof.model_hash)
    for work in (first, second):
        play.commit(work)
        play.release(task_id)
        play.reveal(work)
        play.open(work)
        play.settle(task_id)
    third = play.work(TaskId(play.post().task_id or 0), FIRST_MINER + 2, 340, parent=second.proof.model_hash)
    play.commit(third)
    play.release(third.proof.task_id)
    play.reveal(third)
    play.open(third)
    play.settle(third.proof.task_id)
    report = verifier(Web3Ledger(play.requester)).verify()
    assert (report.wrong, report.elsewhere, report.blocks) == ([], [], 3)


def test_ledger__chain_is_reorganised_between_two_runs__rolls_back_and_verifies_what_is_there(
    node: Anvil, tmp_path: Path
) -> None:
    """What was verified in blocks that are gone is verified again, and nothing else."""
    play, file = Play(node), tmp_path / "ledger.json"
    log = Web3Ledger(play.requester)
    block(play)
    assert verifier(log, file).verify().blocks == 1
    snapshot = node.rpc("evm_snapshot")
    gone = block(play, 340)
    assert verifier(log, file).verify().before == 1
    assert node.rpc("evm_revert", snapshot) is True
    other = block(play, 345, FIRST_MINER + 1)
    report = verifier(log, file).verify()
    assert (report.holds, report.before, report.blocks) == (True, 1, 2)
    assert "reorganised" in report.notes[0]
    assert gone.proof.model_hash != play.requester.blocks()[1].model_hash == other.proof.model_hash
    assert verifier(log, file).verify().before == 2


def test_ledger__wallet_is_a_contract__is_asked_by_its_code(play: Play) -> None:
    """Yes holds; a changed mind and code that was taken back are told, and hold."""
    task_id = TaskId(play.post().task_id or 0)
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    set_code = "anvil_setCode", work.proof.miner
    play.anvil.rpc(*set_code, YES_TO_ALL)
    anybody = play.chain(DISPUTER)
    anybody.reveal(work.proof, work.salt, work.claim, work.h_top, b"only its contract accepts this")
    play.pass_phase(task_id, "Revealing")
    path = proofs.slot_path(work.slot_keys, 0)
    anybody.open(work.proof, work.claim, work.seal_key, work.slot_keys[0], path)
    play.settle(task_id)
    log = Web3Ledger(anybody)
    assert (verifier(log).verify().holds, verifier(log).verify().unconfirmed) == (True, [])
    play.anvil.rpc(*set_code, NO_TO_ALL)
    report = verifier(log).verify(Depth.CHAIN)
    assert (report.holds, [each.height for each in report.unconfirmed]) == (True, [0])
    play.anvil.rpc(*set_code, "0x")
    report = verifier(log).verify()
    assert (report.holds, [each.height for each in report.unconfirmed]) == (True, [0])
    assert "there is no contract now" in report.unconfirmed[0].missing


@pytest.mark.parametrize("code", HOSTILE_WALLETS.values(), ids=HOSTILE_WALLETS)
def test_claim__wallet_breaks_off_when_it_is_asked__is_a_no_and_ends_no_audit(play: Play, code: str) -> None:
    """It said yes to the reveal; from then on it runs out of gas, or into an invalid instruction, on purpose."""
    task_id = TaskId(play.post().task_id or 0)
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    set_code = "anvil_setCode", work.proof.miner
    play.anvil.rpc(*set_code, YES_TO_ALL)
    anybody, signature = play.chain(DISPUTER), b"only its contract accepts this"
    anybody.reveal(work.proof, work.salt, work.claim, work.h_top, signature)
    assert anybody.verify_proof(work.proof, work.claim, signature)
    play.anvil.rpc(*set_code, code)
    assert not anybody.verify_proof(work.proof, work.claim, signature)
