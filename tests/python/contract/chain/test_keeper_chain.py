"""The keeper on a real chain: what it sends counts, and what would fail is never sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlbc.config import checksum_address
from dlbc.core.signed_reveal import OWN_TURN, SignedReveal, to_bytes
from dlbc.core.types import Phase, TaskId, Wei
from dlbc.ports import Chain, Payout
from dlbc.roles.collecting import pull_credits
from dlbc.roles.keeping import MarketKeeper
from dlbc.roles.relaying import Relay
from play import DISPUTER, ETHER, FIRST_MINER, TERMS, Play, Work, account, secret

pytestmark = pytest.mark.contract


def signed(play: Play, work: Work) -> SignedReveal:
    """What its miner leaves in the folder."""
    where = play.deployment
    return SignedReveal(where.chain_id, where.market, work.proof, work.salt, work.claim, work.h_top, work.signature)


def sent(play: Play, index: int) -> int:
    """Transactions the account has on the chain."""
    return int(play.anvil.rpc("eth_getTransactionCount", account(index).address, "latest"), 16)


def keepers_turn(chain: Chain, task_id: TaskId) -> int:
    """From when on every keeper may send."""
    return chain.phase(task_id).ends_at - TERMS.reveal_seconds + 2 * (TERMS.reveal_seconds // OWN_TURN)


def test_keeper__a_silent_miner_and_a_forged_file__reveals_one_and_pays_for_no_other(
    play: Play, tmp_path: Path
) -> None:
    """The miner's deposit is saved by a stranger; five forgeries of its file cost the stranger nothing."""
    task_id = TaskId(play.post().task_id or 0)
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    true = signed(play, work)
    forged = [
        replace(true, salt=secret("another")),
        replace(true, h_top=secret("another")),
        replace(true, signature=true.signature[:64] + bytes([55 - true.signature[64]])),
        replace(true, claim=replace(true.claim, total=true.claim.total + 1)),
        replace(true, proof=replace(true.proof, miner=account(5).address)),
    ]
    for number, reveal in enumerate(forged):
        (tmp_path / f"forged-{number}.json").write_bytes(to_bytes(reveal))
    file = tmp_path / true.file_name
    file.write_bytes(to_bytes(true))
    told: list[tuple[str, dict[str, Any]]] = []

    def report(event: str, **keys: Any) -> None:
        told.append((event, keys))

    chain = play.chain(DISPUTER)
    keeper = MarketKeeper(chain, report, relay=Relay(chain, tmp_path, report))
    before = sent(play, DISPUTER)

    keeper.tick()
    assert sent(play, DISPUTER) == before, "the first part of the window is the miner's own"
    play.anvil.move_to(keepers_turn(chain, task_id))
    for _ in range(4):
        keeper.tick()

    assert chain.entry(task_id, 0, work.proof.miner).has_revealed
    assert sent(play, DISPUTER) == before + 1
    assert {keys["file"] for event, keys in told if event == "relay_refused"} == {
        f"forged-{number}.json" for number in range(len(forged))
    }
    play.pass_phase(task_id, "Revealing")
    keeper.tick()
    assert not file.exists()
    play.pass_phase(task_id, "Opening")
    keeper.tick()
    keeper.tick()
    assert chain.phase(task_id).phase is Phase.NOMINATING, "the silent leader was struck by the keeper"
    play.pass_phase(task_id, "Nominating")
    keeper.tick()
    keeper.tick()
    assert chain.phase(task_id).phase is Phase.VOID
    assert sent(play, DISPUTER) == before + 3


def greedy_wallet(gas: int) -> str:
    """Code of a contract that accepts every signature (ERC-1271) after it has burnt so much gas."""
    loop = f"5a5b5a8103{'62' + gas.to_bytes(3, 'big').hex()}11600157"  # until start - gas() reaches it
    return f"0x{loop}631626ba7e60e01b60005260206000f3"


@pytest.mark.parametrize(("gas", "sends"), [(100_000, 1), (10_000_000, 0)])
def test_keeper__a_wallet_that_burns_gas__is_relayed_only_as_far_as_a_keeper_pays(
    play: Play, tmp_path: Path, gas: int, sends: int
) -> None:
    """A stranger's contract checks the signature with gas of the keeper, of which it may burn a block's worth."""
    task_id = TaskId(play.post().task_id or 0)
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    play.anvil.rpc("anvil_setCode", work.proof.miner, greedy_wallet(gas))
    reveal = replace(signed(play, work), signature=b"only its contract accepts this")
    file = tmp_path / reveal.file_name
    file.write_bytes(to_bytes(reveal))
    chain = play.chain(DISPUTER)
    play.anvil.move_to(keepers_turn(chain, task_id))
    before, balance = sent(play, DISPUTER), chain.balance(account(DISPUTER).address)
    for _ in range(3):
        Relay(chain, tmp_path).tick()
    assert sent(play, DISPUTER) == before + sends
    assert chain.entry(task_id, 0, work.proof.miner).has_revealed is bool(sends)
    assert balance - chain.balance(account(DISPUTER).address) < 10**16
    assert file.exists() is bool(sends)


def test_phases__with_and_without_a_lens__are_those_of_the_single_tasks(play: Play) -> None:
    """A page is clipped to the tasks that exist."""
    tasks = [TaskId(play.post().task_id or 0) for _ in range(3)]
    play.requester.cancel(tasks[1])
    expected = [play.requester.phase(task_id) for task_id in tasks]
    without = type(play.requester)(play.anvil.url, play.deployment.market)
    for chain in (play.requester, without):
        assert expected == chain.phases(TaskId(1), 100)
        assert expected[1:2] == chain.phases(TaskId(2), 1)
        assert chain.phases(TaskId(4), 10) == []


@pytest.mark.parametrize("reserve", [ETHER, 10**6 * ETHER])
def test_payout__a_credit_on_the_chain__goes_to_the_owner_beyond_the_reserve(play: Play, reserve: int) -> None:
    """A worker with its reserve never has the money; one without keeps all of it."""
    task_id = TaskId(play.post().task_id or 0)
    play.requester.cancel(task_id)
    where, me = play.deployment, account(1).address
    payout = Payout(checksum_address("0x" + secret("owner", reserve)[:20].hex()), Wei(reserve))
    chain = type(play.requester)(play.anvil.url, where.market, where.lens, account(1), payout=payout)
    before, owed = chain.balance(me), chain.credit(me)
    outcome = pull_credits(chain, play.pool(1), me)
    assert outcome.wei == owed == ETHER * 11 // 10
    if reserve == ETHER:
        assert chain.balance(payout.to) == owed
        assert chain.balance(me) < before
    else:
        assert chain.balance(payout.to) == 0
        assert chain.balance(me) > before + owed - ETHER // 100
    assert chain.credit(me) == 0


def test_pay__plain_ether__arrives(play: Play) -> None:
    """What is above the reserve is sent on with an ordinary transfer."""
    to = checksum_address("0x" + secret("receiver")[:20].hex())
    assert play.requester.pay(to, Wei(12345)).call == "pay"
    assert play.requester.balance(to) == 12345
