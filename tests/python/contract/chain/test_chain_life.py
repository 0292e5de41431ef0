"""A task's life through the real adapter on a real chain."""

from __future__ import annotations

import pytest
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.core import difficulty, proofs
from dlbc.core.types import ZERO_ADDRESS, LockKind, Phase, PhaseInfo, TaskId
from play import ETHER, FIRST_MINER, REQUESTER, SAMPLES, TERMS, Play, account

pytestmark = pytest.mark.contract


def test_life__three_miners_one_silent__pays_everyone_and_ends_empty(play: Play) -> None:
    """Post, three commits, release, two reveals, open, settle, reclaim, withdraw: the market ends with nothing."""
    requester = play.requester
    posted = play.post()
    task_id = posted.task_id
    assert task_id == 1
    best, second, silent = (play.work(task_id, FIRST_MINER + i, total) for i, total in enumerate((350, 340, 300)))
    for work in (best, second, silent):
        play.commit(work)
    assert ETHER * 14 // 10 == requester.market_balance() == requester.liabilities()[0]
    play.release(task_id)
    for work in (second, best):
        play.reveal(work)
    assert best.proof.miner == requester.round(task_id, 0).leader
    assert requester.verify_proof(best.proof, best.claim, best.signature)
    assert not requester.verify_proof(best.proof, best.claim, second.signature)
    play.open(best)
    play.settle(task_id)
    assert PhaseInfo(Phase.SETTLED, False, 0) == requester.phase(task_id)

    for work in (best, second):
        requester.reclaim(task_id, 0, work.proof.miner)
    paid, fee = ETHER * 98 // 100, ETHER * 2 // 100
    deposit = ETHER // 10
    assert paid + deposit == requester.credit(best.proof.miner)
    assert deposit == requester.credit(second.proof.miner)
    assert fee + deposit == requester.credit(play.deployment.pool)  # and the deposit never revealed
    assert requester.credit(account(REQUESTER).address) == ETHER // 10
    for index in (REQUESTER, FIRST_MINER, FIRST_MINER + 1):
        requester.withdraw(account(index).address)
    play.pool(REQUESTER).collect_fees()
    assert (fee + deposit, 0) == play.pool(REQUESTER).liabilities()
    assert requester.liabilities() == (0, 0)
    assert requester.market_balance() == 0


MAGIC = bytes.fromhex("1626ba7e")
HIGH_S = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize(
    ("code", "signature", "expected"),
    [
        ("", "own", True),
        ("", "other", False),
        ("", "short", False),
        ("", "high s", False),
        ("accepts", "short", True),
        ("accepts", "other", True),
        ("other word", "short", False),
        ("31 bytes", "short", False),
        ("reverts", "short", False),
        ("reverts", "own", True),
    ],
)
def test_verify_proof__keys_and_contract_wallets__agrees_with_the_lens(
    play: Play, code: str, signature: str, expected: bool
) -> None:
    """The client decides like MarketLens whether a miner signed: by its key with low s, or by its contract's word."""
    task_id = play.post().task_id
    work, other = play.work(task_id, FIRST_MINER, 350), play.work(task_id, FIRST_MINER + 1, 350)
    play.commit(work)
    play.release(task_id)
    play.reveal(work)
    own = work.signature
    high = own[:32] + (HIGH_S - int.from_bytes(own[32:64], "big")).to_bytes(32, "big") + bytes([55 - own[64]])
    given = {"own": own, "other": other.signature, "short": b"short", "high s": high}[signature]
    answer = "7f" + MAGIC.ljust(32, b"\0").hex() + "5f52"  # push the word, store it at 0
    codes = {
        "": "",
        "accepts": answer + "60205ff3",
        "other word": answer.replace("1626ba7e", "1626ba7f") + "60205ff3",
        "31 bytes": answer + "601f5ff3",
        "reverts": "5f5ffd",
    }
    chain, where = play.requester, play.deployment
    play.anvil.rpc("anvil_setCode", work.proof.miner, "0x" + codes[code])
    try:
        lens = chain.connection.view("MarketLens", where.lens, "verifyProof", work.proof, work.claim, given)
        assert (lens, chain.verify_proof(work.proof, work.claim, given)) == (expected, expected)
    finally:
        play.anvil.rpc("anvil_setCode", work.proof.miner, "0x")
    assert not chain.verify_proof(other.proof, other.claim, other.signature)  # never revealed


def test_life__one_round_settled__log_and_ledger_tell_it(play: Play) -> None:
    """Events, winner, watermark and ledger block say what happened, and agree with the hashes computed here."""
    chain = play.requester
    task_id = play.post().task_id
    work = play.work(task_id, FIRST_MINER, 355)
    receipt = play.commit(work)
    play.release(task_id)
    play.reveal(work)
    play.open(work)
    play.settle(task_id)

    posted = chain.task_posted(task_id)
    assert posted.terms == TERMS
    assert (proofs.test_commitment(play.test_set()),) == posted.test_commitments
    assert proofs.terms_hash(TERMS, posted.test_commitments) == posted.terms_hash == chain.task(task_id).terms_hash
    expected = difficulty.difficulty(TERMS.workload, 1, chain.params())
    assert expected == posted.difficulty == chain.task(task_id).difficulty

    (commit,) = chain.commits(task_id, 0)
    assert (work.proof.miner, work.commitment, 1) == (commit.miner, commit.commitment, commit.commit_seq)
    assert ("commit", receipt.block_number) == (receipt.call, receipt.block_number)
    released = chain.released(task_id, 0)
    assert released is not None
    assert (play.test_set(), play.test_key(0)) == (released.test_set, released.test_key)
    (reveal,) = chain.reveals(task_id, 0)
    assert (work.proof, work.claim, work.salt, work.h_top, work.signature, True) == (
        reveal.proof,
        reveal.claim,
        reveal.salt,
        reveal.h_top,
        reveal.signature,
        reveal.qualifies,
    )
    (opening,) = chain.openings(task_id, 0)
    assert (work.seal_key, work.slot_keys[0]) == (opening.seal_key, opening.slot_key)
    assert proofs.verify_slot_path(opening.slot_key, 0, opening.slot_path, work.proof.watermark_root)
    (settled,) = chain.settlements(task_id)
    assert (settled.paid_wei, settled.fee_wei, settled.royalty_wei) == (ETHER * 98 // 100, ETHER * 2 // 100, 0)

    (block,) = chain.blocks()
    assert chain.blocks(1) == []
    assert chain.genesis_hash() == proofs.genesis_hash(chain.chain_id, play.deployment.registry) == block.previous_hash
    assert proofs.block_hash(block) == chain.block_hash(0)
    assert (1, chain.block_hash(0), block.difficulty) == chain.head()
    assert chain.verify_block(block)
    assert (work.digest, 355, 355 * 10**6 // SAMPLES) == (block.proof_digest, block.total, block.score_ppm)
    winner = chain.winner(task_id, 0)
    assert (work.proof.miner, work.proof.model_hash, work.digest) == (
        winner.miner,
        winner.model_hash,
        winner.proof_digest,
    )
    mark = chain.watermark(work.proof.model_hash)
    assert (work.proof.watermark_root, work.proof.miner, 1, task_id) == (
        mark.root,
        mark.miner,
        mark.commit_seq,
        mark.task_id,
    )


def test_life__silent_leader__is_struck_and_the_nominated_one_wins(play: Play) -> None:
    """A leader that does not open loses its deposit; the next claim is nominated, opens and settles."""
    chain = play.requester
    task_id = play.post().task_id
    silent, heir = play.work(task_id, FIRST_MINER, 350), play.work(task_id, FIRST_MINER + 1, 340)
    for work in (silent, heir):
        play.commit(work)
    play.release(task_id)
    for work in (silent, heir):
        play.reveal(work)
    play.pass_phase(task_id, "Revealing")
    play.pass_phase(task_id, "Opening")
    chain.advance(task_id)
    assert chain.entry(task_id, 0, silent.proof.miner).is_struck
    assert chain.round(task_id, 0).leader == ZERO_ADDRESS
    chain.nominate(task_id, heir.proof.miner)
    play.pass_phase(task_id, "Nominating")
    play.open(heir)
    play.settle(task_id)
    assert heir.proof.miner == chain.winner(task_id, 0).miner
    assert chain.credit(play.deployment.pool) == ETHER * 12 // 100


def test_life__two_rounds__second_starts_from_the_first_winner(play: Play) -> None:
    """Each round is a block; the second must name the first winner's model as its parent, and pays its royalty."""
    chain = play.requester
    task_id = play.post(rounds=2).task_id
    first = play.work(task_id, FIRST_MINER, 300)
    play.commit(first)
    play.release(task_id)
    play.reveal(first)
    play.open(first)
    play.settle(task_id)
    assert chain.task(task_id).round == 1
    orphan = play.work(task_id, FIRST_MINER, 360, round=1)
    child = play.work(task_id, FIRST_MINER + 1, 320, round=1, parent=first.proof.model_hash)
    for work in (orphan, child):
        play.commit(work)
    play.release(task_id)
    for work in (orphan, child):
        play.reveal(work)
    assert [reveal.qualifies for reveal in chain.reveals(task_id, 1)] == [False, True]
    play.open(child)
    play.settle(task_id)
    assert [block.round for block in chain.blocks()] == [0, 1]
    assert chain.settlements(task_id)[1].royalty_wei == ETHER * 5 // 100
    assert [chain.blocks()[1]] == chain.blocks(1, 1)


def test_life__not_released__aborts_and_shares_the_bond(play: Play) -> None:
    """Without a release, committers get their deposits and half of the bond."""
    chain = play.requester
    task_id = play.post().task_id
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.to_release(task_id)
    play.pass_phase(task_id, "Releasing")
    chain.advance(task_id)
    assert Phase.ABORTED is chain.phase(task_id).phase
    chain.reclaim(task_id, 0, work.proof.miner)
    assert chain.credit(work.proof.miner) == ETHER // 10 + ETHER // 20
    assert chain.credit(play.deployment.pool) == ETHER // 20


def test_life__replaced_commit__costs_nothing_and_takes_a_new_place(play: Play) -> None:
    """The second commit of a miner carries no deposit and a later commitSeq."""
    chain = play.requester
    task_id = play.post().task_id
    play.commit(play.work(task_id, FIRST_MINER, 350))
    play.commit(play.work(task_id, FIRST_MINER, 351, attempt=1), deposit=0)
    assert [commit.commit_seq for commit in chain.commits(task_id, 0)] == [1, 2]
    assert chain.round(task_id, 0).commits == 1


def test_life__cancelled__returns_everything_to_another_address(play: Play) -> None:
    """A cancelled task credits bounty and bond; withdrawTo pays them elsewhere."""
    chain = play.requester
    task_id = play.post().task_id
    assert chain.open_tasks() == 1
    chain.cancel(task_id)
    assert chain.open_tasks() == 0
    stranger = account(8).address
    before = chain.balance(stranger)
    chain.withdraw_to(stranger)
    assert before + ETHER * 11 // 10 == chain.balance(stranger)
    assert chain.market_balance() == 0


def test_locks__bounty_bond_and_deposit__name_the_call_that_frees_them(play: Play) -> None:
    """The lens lists each locked amount with the call that frees it."""
    chain = play.requester
    task_id = play.post().task_id
    play.commit(play.work(task_id, FIRST_MINER, 350))
    mine = {lock.kind: lock for lock in chain.locks(task_id, account(REQUESTER).address)}
    assert {LockKind.BOUNTY, LockKind.BOND} == set(mine)
    assert (mine[LockKind.BOUNTY].amount_wei, mine[LockKind.BOND].amount_wei) == (ETHER, ETHER // 10)
    (deposit,) = chain.locks(task_id, account(FIRST_MINER).address)
    assert (deposit.kind, deposit.amount_wei) == (LockKind.DEPOSIT, ETHER // 10)
    assert "(" in deposit.freed_by


def test_ranked_tasks__with_and_without_lens__agree(play: Play) -> None:
    """The list is best first, holds only tasks in Training, and is the same when it is computed here."""
    for bounty in (2 * ETHER, ETHER, 3 * ETHER, ETHER + 7):
        play.post(bounty_wei=bounty, deposit_wei=bounty, bond_wei=bounty)
    play.requester.cancel(TaskId(3))
    rows = play.requester.ranked_tasks()
    where = play.deployment
    assert Web3Chain(play.anvil.url, where.market, None, None, where.block_number).ranked_tasks() == rows
    assert [row.task_id for row in rows] == [1, 2, 4]
