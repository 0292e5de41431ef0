"""Transactions that a killed process left on their way: the next one finishes them, and pays for nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anvil_node import PRIVATE_KEYS, Anvil
from dlbc.adapters.chain import abi, rpc, transactions
from dlbc.adapters.chain.transactions import Sending
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.keys import create_keystore
from dlbc.core import proofs
from dlbc.core.errors import ChainUnreachable, ContractRefused
from dlbc.core.types import Hash32, Phase, TaskId, Wei
from play import REQUESTER, TERMS, Play, account
from proxy import Forward, Proxy, Refusal

pytestmark = pytest.mark.contract

Told = list[tuple[str, dict[str, Any]]]
SOURCES = {
    "log": ("eth_getTransactionBySenderAndNonce", "txpool_contentFrom", "eth_getBlockByNumber"),
    "nonce": ("txpool_contentFrom", "eth_getBlockByNumber"),
    "pool": ("eth_getTransactionBySenderAndNonce", "eth_getBlockByNumber"),
    "block": ("eth_getTransactionBySenderAndNonce", "txpool_contentFrom"),
    "nothing": ("eth_getTransactionBySenderAndNonce", "txpool_contentFrom", "eth_getBlockByNumber"),
}
"""Where a transaction can be found, and what the node then does not serve."""
DEAR = 50 * 10**9
CANCEL = abi.load("TaskMarket").functions["cancel"].selector


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts are as many, but short."""
    monkeypatch.setattr(rpc, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(transactions, "FIRST_POLL", 0.002)
    monkeypatch.setattr(transactions, "LONGEST_POLL", 0.02)


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A node of its own for every test: what happens to its fees and its pool stays there."""
    with Anvil("--hardfork", "prague") as node:
        yield node


@pytest.fixture
def node(anvil: Anvil) -> Iterator[Proxy]:
    """Passes everything on until a test gives it rules."""
    with Proxy(anvil) as proxy:
        yield proxy


@pytest.fixture
def told() -> Told:
    """Events of the second process."""
    return []


def process(node: Proxy, play: Play, folder: Path | None, told: Told | None = None, **options: Any) -> Web3Chain:
    """The market as a fresh process of the requester sees it."""
    ceiling = options.pop("max_fee", None)
    heard = [] if told is None else told
    sending = Sending(ceiling, lambda event, **keys: heard.append((event, keys)), folder)
    where = play.deployment
    return Web3Chain(node.url, where.market, where.lens, account(REQUESTER), sending=sending, **options)


def leave(node: Proxy, play: Play, folder: Path | None, task_id: TaskId) -> Hash32:
    """A process cancels a task, and is killed before that is mined. The transaction's hash."""
    play.anvil.rpc("evm_setAutomine", False)
    with pytest.raises(ChainUnreachable, match="not mined within"):
        process(node, play, folder, mining_deadline=0.05).cancel(task_id)
    return waiting(play)[-1]


def waiting(play: Play) -> list[Hash32]:
    """Hashes of the requester's transactions in the pool, by nonce."""
    pool = play.anvil.rpc("txpool_content")
    own = {}
    for part in ("pending", "queued"):
        own |= pool[part].get(account(REQUESTER).address.lower(), {})
    return [Hash32(bytes.fromhex(own[nonce]["hash"][2:])) for nonce in sorted(own, key=int)]


def sent(play: Play) -> int:
    """Transactions the requester has on the chain."""
    return int(play.anvil.rpc("eth_getTransactionCount", account(REQUESTER).address, "latest"), 16)


def transactions_of(play: Play) -> list[dict[str, Any]]:
    """The requester's mined transactions."""
    last = int(play.anvil.rpc("eth_blockNumber"), 16)
    blocks = (play.anvil.rpc("eth_getBlockByNumber", hex(number), True) for number in range(last + 1))
    me = account(REQUESTER).address.lower()
    return [tx for block in blocks for tx in block["transactions"] if tx["from"] == me]


def refuse(*methods: str, node: Proxy) -> None:
    """A node that does not have these methods, or no pending block."""

    def rule(params: list[Any], forward: Forward) -> Any:
        if params[:1] == ["latest"]:
            return forward()
        raise Refusal({"code": -32601, "message": "Method not found"})

    node.rules |= dict.fromkeys(methods, rule)


def serve_pool(node: Proxy, play: Play) -> None:
    """txpool_contentFrom, which Anvil lacks and Geth has."""

    def rule(params: list[Any], forward: Forward) -> Any:
        pool, sender = play.anvil.rpc("txpool_content"), params[0].lower()
        return {part: pool[part].get(sender, {}) for part in ("pending", "queued")}

    node.rules["txpool_contentFrom"] = rule


def mine_when_asked(node: Proxy, play: Play, after: int = 3) -> None:
    """A block comes when somebody has waited for it a while."""
    asked = iter(range(10**6))

    def rule(params: list[Any], forward: Forward) -> Any:
        if next(asked) % after == after - 1:
            play.anvil.rpc("evm_mine")
        return forward()

    node.rules["eth_getTransactionReceipt"] = rule


def spike(node: Proxy, play: Play) -> None:
    """The base fee rises, in the latest block as in the next, and what offers less stays in the pool."""
    play.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(DEAR))

    def rule(params: list[Any], forward: Forward) -> Any:
        return forward() | {"baseFeePerGas": hex(DEAR)}

    node.rules["eth_getBlockByNumber"] = rule


@pytest.mark.parametrize("source", ["log", "nonce", "pool", "block"])
def test_send__same_call_left_on_its_way__is_taken_over(
    play: Play, node: Proxy, tmp_path: Path, told: Told, source: str
) -> None:
    """However the node lets it be found, the same call waits for the first transaction instead of sending a second."""
    task_id, before = play.post().task_id, sent(play)
    folder = tmp_path if source == "log" else None
    first = leave(node, play, folder, task_id)
    if source == "pool":
        serve_pool(node, play)
    refuse(*SOURCES[source], node=node)
    mine_when_asked(node, play)
    receipt = process(node, play, folder, told).cancel(task_id)
    assert first == receipt.tx_hash
    assert before + 1 == sent(play)
    assert [(event, keys["call"]) for event, keys in told] == [("transaction_taken_over", "cancel")]


def test_send__post_left_on_its_way__is_not_paid_twice(play: Play, node: Proxy, tmp_path: Path) -> None:
    """A requester that was killed while posting posts one task, and locks one bounty."""
    play.anvil.rpc("evm_setAutomine", False)
    commitments = [proofs.test_commitment(play.test_set())]
    with pytest.raises(ChainUnreachable, match="not mined within"):
        process(node, play, tmp_path, mining_deadline=0.05).post(TERMS, commitments)
    mine_when_asked(node, play)
    assert process(node, play, tmp_path).post(TERMS, commitments).task_id == 1
    assert play.requester.task_count() == 1
    assert play.requester.liabilities() == (TERMS.bounty_wei + TERMS.bond_wei, 0)


def test_send__left_at_too_low_a_fee__is_replaced_at_once(play: Play, node: Proxy, tmp_path: Path, told: Told) -> None:
    """What no block takes any more is replaced under its nonce, an eighth dearer at least, and counts once."""
    task_id, before = play.post().task_id, sent(play)
    first = leave(node, play, tmp_path, task_id)
    spike(node, play)
    mine_when_asked(node, play)
    receipt = process(node, play, tmp_path, told).cancel(task_id)
    mined = play.anvil.rpc("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert [event for event, _ in told] == ["transaction_taken_over", "fee_raised"]
    assert first != receipt.tx_hash
    assert before + 1 == sent(play)
    assert int(mined["maxFeePerGas"], 16) > DEAR
    assert play.requester.open_tasks() == 0


def test_send__another_call_left_at_too_low_a_fee__goes_first(
    play: Play, node: Proxy, tmp_path: Path, told: Told
) -> None:
    """A new call has a later nonce: what waits before it is raised and mined before it is even signed."""
    first, second = play.post().task_id, play.post().task_id
    before = sent(play)
    leave(node, play, tmp_path, first)
    spike(node, play)
    mine_when_asked(node, play)
    process(node, play, tmp_path, told).cancel(second)
    assert [event for event, _ in told] == ["transaction_taken_over", "fee_raised"]
    assert before + 2 == sent(play)
    assert play.requester.open_tasks() == 0


def test_send__dropped_when_fees_rose__is_sent_anew_at_the_new_price(play: Play, node: Proxy, tmp_path: Path) -> None:
    """A pool that lets a cheap transaction go leaves the nonce free: the call is made again, and mined once."""
    task_id, before = play.post().task_id, sent(play)
    leave(node, play, tmp_path, task_id)
    play.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(DEAR))
    play.anvil.rpc("evm_mine")
    assert waiting(play) == []
    mine_when_asked(node, play)
    process(node, play, tmp_path).cancel(task_id)
    assert before + 1 == sent(play)


def test_send__left_call_came_too_late__its_nonce_is_used_up(
    play: Play, node: Proxy, tmp_path: Path, told: Told
) -> None:
    """A call that the contract would refuse by now is not paid for: an empty transaction takes its place."""
    task_id, before = play.post().task_id, sent(play)
    leave(node, play, tmp_path, task_id)
    spike(node, play)
    play.anvil.rpc("evm_increaseTime", TERMS.train_seconds)
    mine_when_asked(node, play)
    with pytest.raises(ContractRefused, match="cancel: "):
        process(node, play, tmp_path, told).cancel(task_id)
    assert [event for event, _ in told] == ["transaction_taken_over", "transaction_emptied"]
    assert before + 1 == sent(play)
    assert play.requester.phase(task_id).phase is not Phase.CANCELLED


def test_send__above_the_owners_ceiling__waits_and_sends_nothing(
    play: Play, node: Proxy, tmp_path: Path, told: Told
) -> None:
    """max_fee_gwei holds for what another process sent, too."""
    task_id, before = play.post().task_id, sent(play)
    first = leave(node, play, tmp_path, task_id)
    spike(node, play)
    chain = process(node, play, tmp_path, told, max_fee=Wei(DEAR // 20), mining_deadline=0.1)
    with pytest.raises(ChainUnreachable, match="cancel: sent as 0x"):
        chain.cancel(task_id)
    assert [event for event, _ in told] == ["transaction_taken_over", "fee_at_ceiling"]
    assert ([first], before) == (waiting(play), sent(play))


def test_send__transaction_that_nobody_knows__is_left_alone(play: Play, node: Proxy, told: Told) -> None:
    """Another program's transaction is waited for: what it pays for is not ours to replace."""
    task_id, before = play.post().task_id, sent(play)
    first = leave(node, play, None, task_id)
    refuse(*SOURCES["nothing"], node=node)
    node.calls.clear()
    with pytest.raises(ChainUnreachable, match=f"with nonce {before} that this program does not know is not mined"):
        process(node, play, None, told, mining_deadline=0.1).cancel(task_id)
    assert [("transaction_unknown", {"nonce": before})] == told
    assert [first] == waiting(play)
    assert "eth_sendRawTransaction" not in node.calls


def test_send__node_that_invents_a_transaction__signs_nothing_of_it(play: Play, node: Proxy, told: Told) -> None:
    """A node can't make us sign a payment by calling it ours: only what our key signed is ever raised."""
    task_id = play.post().task_id
    leave(node, play, None, task_id)
    spike(node, play)

    def lie(params: list[Any], forward: Forward) -> Any:
        return forward() | {"to": account(9).address, "value": hex(10**18), "input": "0x"}

    node.rules["eth_getTransactionBySenderAndNonce"] = lie
    refuse("txpool_contentFrom", node=node)
    node.calls.clear()
    with pytest.raises(ChainUnreachable, match="that this program does not know"):
        process(node, play, None, told, mining_deadline=0.1).cancel(task_id)
    assert "eth_sendRawTransaction" not in node.calls


def test_finish_sent__a_gap_before_what_was_left__is_filled(
    play: Play, node: Proxy, tmp_path: Path, told: Told
) -> None:
    """A transaction that waits for a dropped one of a lower nonce is found by the log, and gets through."""
    first, second = play.post().task_id, play.post().task_id
    before = sent(play)
    play.anvil.rpc("evm_setAutomine", False)
    killed = process(node, play, tmp_path, mining_deadline=0.05)
    for task_id in (first, second):
        with pytest.raises(ChainUnreachable, match="not mined within"):
            killed.cancel(task_id)
    later = play.anvil.rpc("eth_getRawTransactionByHash", "0x" + waiting(play)[1].hex())
    play.anvil.rpc("anvil_dropAllTransactions")
    play.anvil.rpc("eth_sendRawTransaction", later)
    assert len(waiting(play)) == 1
    mine_when_asked(node, play)
    assert process(node, play, tmp_path, told).finish_sent() == 0
    assert [(event, keys["nonce"]) for event, keys in told] == [("transaction_taken_over", before + 1)]
    assert before + 2 == sent(play)
    assert [play.requester.phase(task_id).phase for task_id in (first, second)] == [Phase.TRAINING, Phase.CANCELLED]


def test_command__killed_right_after_sending__is_finished_by_the_next(play: Play, node: Proxy, tmp_path: Path) -> None:
    """Two real processes: SIGKILL while the transaction waits, then fees rise, then the same command again."""
    task_id, before = play.post().task_id, sent(play)
    key = bytes.fromhex(PRIVATE_KEYS[REQUESTER][2:])
    create_keystore("me", tmp_path, "secret", key, quick=True)
    (tmp_path / "password").write_text("secret")
    where = play.deployment
    settings = {"HOME": tmp_path, "RPC_URL": node.url, "MARKET": where.market, "LENS": where.lens, "ACCOUNT": "me"}
    settings["PASSWORD_FILE"] = tmp_path / "password"
    environment = os.environ | {f"DLBC_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "dlbc", "task", "cancel", str(task_id)]
    play.anvil.rpc("evm_setAutomine", False)
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not waiting(play):
            assert killed.poll() is None, "it ended before it sent anything"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.kill()
    spike(node, play)
    mine_when_asked(node, play)
    again = subprocess.run(
        command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    events = [json.loads(line)["event"] for line in again.stderr.splitlines()]
    assert events[:2] == ["transaction_taken_over", "fee_raised"]
    assert play.requester.phase(task_id).phase is Phase.CANCELLED
    cancelled = [tx for tx in transactions_of(play) if tx["input"].startswith("0x" + CANCEL.hex())]
    assert len(cancelled) == 1
    assert before < sent(play)
