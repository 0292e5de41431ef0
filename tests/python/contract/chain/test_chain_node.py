"""Nodes that lose answers, repeat themselves, lie or vanish: no transaction twice, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Anvil
from dlbc import bootstrap
from dlbc.adapters.chain import abi, rpc, transactions, web3_chain
from dlbc.adapters.chain.transactions import Sending
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.config import Config
from dlbc.core.errors import BadInput, ChainUnreachable, ContractRefused, TryLater, VerificationFailed, WrongChain
from dlbc.core.types import Address, Hash32, Locator, TaskId, Wei
from eth_abi import abi as eth_abi
from play import FIRST_MINER, REQUESTER, Play, account, secret
from proxy import Drip, Forward, Lost, Proxy, Raw, Refusal, once

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts are as many, but short."""
    monkeypatch.setattr(rpc, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(transactions, "FIRST_POLL", 0.002)


@pytest.fixture
def node(anvil: Anvil) -> Iterator[Proxy]:
    """Passes everything on until a test gives it rules."""
    with Proxy(anvil) as proxy:
        yield proxy


def through(node: Proxy, play: Play, index: int = REQUESTER, **options: Any) -> Web3Chain:
    """The market as an account sees it through this node."""
    where = play.deployment
    return Web3Chain(node.url, where.market, where.lens, account(index), where.block_number, **options)


def sent(play: Play, index: int) -> int:
    """Transactions the account has on the chain."""
    return int(play.anvil.rpc("eth_getTransactionCount", account(index).address, "latest"), 16)


def lose(params: list[Any], forward: Forward) -> Any:
    """The node does what it is asked, and its answer gets lost."""
    forward()
    raise Lost


def test_send__answer_lost__finds_its_own_transaction(play: Play, node: Proxy) -> None:
    """A transaction whose acknowledgement is lost is not sent a second time."""
    task_id = play.post().task_id
    before = sent(play, REQUESTER)
    node.rules["eth_sendRawTransaction"] = once(lose)
    through(node, play).cancel(task_id)
    assert before + 1 == sent(play, REQUESTER)
    assert node.calls.count("eth_sendRawTransaction") == 2


@pytest.mark.parametrize("message", ["nonce too low", "replacement transaction underpriced"])
def test_send__nonce_taken__is_repaired(play: Play, node: Proxy, message: str) -> None:
    """A nonce that another program took is read again, after another look at what the contract says."""
    task_id = play.post().task_id
    chain = through(node, play)

    def refuse(params: list[Any], forward: Forward) -> Any:
        raise Refusal(message)

    node.rules["eth_sendRawTransaction"] = once(refuse)
    chain.cancel(task_id)
    assert node.calls.count("eth_sendRawTransaction") == 2


def test_send__stale_nonce_from_the_node__is_repaired(play: Play, node: Proxy) -> None:
    """A node that lags behind by one nonce costs a retry, nothing else."""
    task_id = play.post().task_id
    node.rules["eth_getTransactionCount"] = once(lambda params, forward: hex(int(forward(), 16) - 1), after=2)
    through(node, play).cancel(task_id)
    assert play.requester.open_tasks() == 0


def test_send__nonce_taken_for_ever__gives_up_with_advice(play: Play, node: Proxy) -> None:
    """When every nonce is taken, the caller is told that the account is used elsewhere."""
    task_id = play.post().task_id

    def refuse(params: list[Any], forward: Forward) -> Any:
        raise Refusal("nonce too low")

    node.rules["eth_sendRawTransaction"] = refuse
    with pytest.raises(ChainUnreachable, match="another program keeps sending"):
        through(node, play).cancel(task_id)


def test_wait__node_vanishes__names_the_transaction_and_can_be_repeated(play: Play, node: Proxy) -> None:
    """When the node dies after taking a transaction, the error names it; the same call later finds it mined."""
    task_id = play.post().task_id
    before = sent(play, REQUESTER)
    chain = through(node, play)

    def vanish(params: list[Any], forward: Forward) -> Any:
        raise Lost

    node.rules["eth_getTransactionReceipt"] = vanish
    with pytest.raises(ChainUnreachable, match=r"cancel: sent as 0x[0-9a-f]{64}, then .* does not answer"):
        chain.cancel(task_id)
    del node.rules["eth_getTransactionReceipt"]
    assert chain.cancel(task_id).call == "cancel"
    assert before + 1 == sent(play, REQUESTER)


def test_wait__fees_rose__is_replaced_under_the_same_nonce(play: Play, node: Proxy) -> None:
    """A transaction left behind by rising fees is replaced by a dearer one when the call is repeated; one counts."""
    task_id = play.post().task_id
    before, nonces = sent(play, REQUESTER), []
    chain = through(node, play, mining_deadline=0.1)
    node.rules["eth_getTransactionReceipt"] = lambda params, forward: None
    play.anvil.rpc("evm_setAutomine", False)
    try:
        for fee in (0, 10**10):
            if fee:
                node.rules["eth_maxPriorityFeePerGas"] = lambda params, forward, fee=fee: hex(fee)
            with pytest.raises(ChainUnreachable, match="not mined within"):
                chain.cancel(task_id)
            nonces.append(int(play.anvil.rpc("eth_getTransactionCount", account(REQUESTER).address, "pending"), 16))
        play.anvil.rpc("evm_mine")
    finally:
        play.anvil.rpc("evm_setAutomine", True)
    del node.rules["eth_getTransactionReceipt"]
    receipt = chain.cancel(task_id)
    assert nonces == [before + 1] * 2
    assert sent(play, REQUESTER) == before + 1
    mined = play.anvil.rpc("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert int(mined["maxPriorityFeePerGas"], 16) == 10**10


def test_wait__fees_rise_while_it_waits__is_raised_and_said(
    play: Play, node: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call raises its own price until it is mined, under one nonce, and each raise is an event."""
    monkeypatch.setattr(transactions, "RAISE_SECONDS", 0.01)
    task_id = play.post().task_id
    before, told = sent(play, REQUESTER), []
    sending = Sending(report=lambda event, **keys: told.append((event, keys)))
    chain = through(node, play, sending=sending)
    tips = iter([10**9, 2 * 10**9, 5 * 10**9])
    node.rules["eth_maxPriorityFeePerGas"] = lambda params, forward: hex(next(tips, 5 * 10**9))

    def when_raised(params: list[Any], forward: Forward) -> Any:
        if len(told) == 2:
            play.anvil.rpc("evm_mine")
        return forward()

    node.rules["eth_getTransactionReceipt"] = when_raised
    play.anvil.rpc("evm_setAutomine", False)
    try:
        receipt = chain.cancel(task_id)
    finally:
        play.anvil.rpc("evm_setAutomine", True)
    assert [event for event, _ in told] == ["fee_raised"] * 2
    assert [keys["call"] for _, keys in told] == ["cancel"] * 2
    assert float(told[1][1]["to_gwei"]) > float(told[1][1]["from_gwei"]) == float(told[0][1]["to_gwei"])
    assert sent(play, REQUESTER) == before + 1
    assert told[1][1]["tx"] == receipt.tx_hash


def test_wait__an_earlier_one_was_given_up__it_is_raised_too(
    play: Play, node: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten transaction of a lower nonce would hold back all that follow."""
    monkeypatch.setattr(transactions, "RAISE_SECONDS", 0.01)
    first, second = play.post().task_id, play.post().task_id
    before, told = sent(play, REQUESTER), []
    sending = Sending(report=lambda event, **keys: told.append((event, keys["nonce"])))
    chain = through(node, play, sending=sending, mining_deadline=0.1)
    play.anvil.rpc("evm_setAutomine", False)
    try:
        with pytest.raises(ChainUnreachable, match="not mined within"):
            chain.cancel(first)
        told.clear()
        node.rules["eth_maxPriorityFeePerGas"] = lambda params, forward: hex(20 * 10**9)
        with pytest.raises(ChainUnreachable, match="not mined within"):
            chain.cancel(second)
    finally:
        play.anvil.rpc("evm_setAutomine", True)
        play.anvil.rpc("evm_mine")
    assert ("fee_raised", before) in told
    assert sent(play, REQUESTER) == before + 2
    assert play.requester.open_tasks() == 0


def test_send__gas_above_the_owners_ceiling__waits_and_sends_nothing(play: Play, node: Proxy) -> None:
    """max_fee_gwei: what is too dear now is tried again later, and the price never exceeds the ceiling."""
    task_id = play.post().task_id
    before = sent(play, REQUESTER)
    play.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))  # after many empty blocks it is a few wei
    play.anvil.rpc("evm_mine")
    base = int(play.anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    tight = through(node, play, sending=Sending(max_fee=Wei(base // 2)))
    with pytest.raises(TryLater, match=r"cancel: one gas costs .* gwei now, max_fee_gwei allows"):
        tight.cancel(task_id)
    assert sent(play, REQUESTER) == before
    assert "eth_sendRawTransaction" not in node.calls

    ceiling = base * 9 // 8
    receipt = through(node, play, sending=Sending(max_fee=Wei(ceiling))).cancel(task_id)
    mined = play.anvil.rpc("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert int(mined["maxFeePerGas"], 16) == ceiling
    assert int(mined["maxPriorityFeePerGas"], 16) <= ceiling


def test_wait__at_the_ceiling__says_so_and_does_not_pay_more(
    play: Play, node: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that may not be raised stays as it is."""
    monkeypatch.setattr(transactions, "RAISE_SECONDS", 0.01)
    task_id = play.post().task_id
    told: list[str] = []
    base = int(play.anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    sending = Sending(Wei(base * 2), lambda event, **keys: told.append(event))
    chain = through(node, play, sending=sending, mining_deadline=0.2)
    node.rules["eth_maxPriorityFeePerGas"] = lambda params, forward: hex(40 * 10**9)
    play.anvil.rpc("evm_setAutomine", False)
    try:
        with pytest.raises(ChainUnreachable, match="not mined within"):
            chain.cancel(task_id)
    finally:
        play.anvil.rpc("evm_setAutomine", True)
        play.anvil.rpc("evm_mine")
    assert set(told) == {"fee_at_ceiling"}
    assert node.calls.count("eth_sendRawTransaction") == 1


def test_send__refused_for_good__is_forgotten(play: Play, node: Proxy) -> None:
    """A transaction the node does not take leaves no trace: the same call later is a new one."""
    task_id = play.post().task_id
    chain = through(node, play)

    def refuse(params: list[Any], forward: Forward) -> Any:
        raise Refusal("tx fee (9.99 ether) exceeds the configured cap")

    node.rules["eth_sendRawTransaction"] = once(refuse)
    with pytest.raises(ChainUnreachable, match=r"refused it .*exceeds the configured cap"):
        chain.cancel(task_id)
    assert chain.cancel(task_id).call == "cancel"


def test_wait__never_mined__gives_up_at_the_deadline(play: Play, node: Proxy) -> None:
    """A transaction that nobody mines ends in ChainUnreachable, and is continued by the same call."""
    task_id = play.post().task_id
    chain = through(node, play, mining_deadline=0.3)
    node.rules["eth_getTransactionReceipt"] = lambda params, forward: None
    with pytest.raises(ChainUnreachable, match="not mined within 0 s; run the same command again"):
        chain.cancel(task_id)
    del node.rules["eth_getTransactionReceipt"]
    assert chain.cancel(task_id).call == "cancel"


def test_wait__overtaken__the_failed_receipt_is_explained(play: Play, node: Proxy) -> None:
    """A transaction that passes its simulation but fails on the chain is explained by its custom error."""
    task_id = play.post().task_id
    chain = through(node, play)
    node.rules["eth_call"] = lambda params, forward: "0x" if params[1] == "pending" else forward()
    node.rules["eth_estimateGas"] = lambda params, forward: hex(200_000)
    play.requester.cancel(task_id)
    with pytest.raises(ContractRefused, match=r"cancel: .*final") as caught:
        chain.cancel(task_id)
    assert caught.value.name == "Market_WrongPhase"


def test_wait__dropped_by_a_reorganisation__is_sent_again(anvil: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that the node forgot before it was seen mined is broadcast again, byte for byte."""
    monkeypatch.setattr(transactions, "REBROADCAST_SECONDS", 0.05)
    with Anvil("--hardfork", "prague") as node, Proxy(node) as proxy:
        play = Play(node)
        task_id = play.post().task_id
        raws: list[str] = []

        def remember(params: list[Any], forward: Forward) -> Any:
            raws.append(params[0])
            return forward()

        def forget(params: list[Any], forward: Forward) -> Any:
            node.rpc("anvil_reorg", 1, [])
            return None

        proxy.rules["eth_sendRawTransaction"] = remember
        proxy.rules["eth_getTransactionReceipt"] = once(forget)
        through(proxy, play).cancel(task_id)
        assert play.requester.open_tasks() == 0
        assert [raws[0]] * 2 == raws


def test_read__connection_lost_twice__is_retried(play: Play, node: Proxy) -> None:
    """Two lost answers in a row cost time, not an error."""
    play.post()
    chain = through(node, play)
    failures = iter([True, True])

    def flaky(params: list[Any], forward: Forward) -> Any:
        if next(failures, False):
            raise Lost
        return forward()

    node.rules["eth_call"] = flaky
    assert chain.task_count() == 1


def test_logs__range_refused__is_halved_until_it_fits(play: Play, node: Proxy) -> None:
    """A node that serves two blocks at a time still gives every event, in order."""
    task_id = play.post().task_id
    works = [play.work(task_id, FIRST_MINER + i, 350) for i in range(4)]
    for work in works:
        play.commit(work)

    def small(params: list[Any], forward: Forward) -> Any:
        if int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 1:
            raise Refusal("query returned more than 2 results")
        return forward()

    node.rules["eth_getLogs"] = small
    found = through(node, play).commits(task_id, 0)
    assert [work.commitment for work in works] == [commit.commitment for commit in found]


def test_ranked_tasks__lens_call_too_large__asks_for_smaller_pages(play: Play, node: Proxy) -> None:
    """A node with a low gas limit for eth_call gets smaller pages."""
    for _ in range(3):
        play.post()
    refused = iter([True])

    def tight(params: list[Any], forward: Forward) -> Any:
        if params[0]["to"] == play.deployment.lens and next(refused, False):
            raise Refusal("out of gas")
        return forward()

    node.rules["eth_call"] = tight
    assert [row.task_id for row in through(node, play).ranked_tasks()] == [1, 2, 3]


def test_phases_and_tasks__in_pages_and_batches__are_as_asked_one_by_one(
    play: Play, node: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tasks in few requests tell the same as one request for each, with a lens and without, in any order."""
    for _ in range(7):
        play.post()
    play.requester.cancel(TaskId(5))
    ids = [TaskId(number) for number in range(1, 8)]
    phases = [play.requester.phase(task_id) for task_id in ids]
    facts = [(play.requester.task(task_id), play.requester.round(task_id, 0)) for task_id in ids]
    ranked = play.requester.ranked_tasks()
    monkeypatch.setattr(web3_chain, "PHASES_PAGE", 3)
    monkeypatch.setattr(web3_chain, "RANKED_PAGE", 2)
    monkeypatch.setattr(rpc, "BATCH", 4)
    node.batch = lambda answers: answers[::-1]
    where = play.deployment
    bare = Web3Chain(node.url, where.market, None, None, where.block_number)
    for chain in (through(node, play), bare):
        assert phases == chain.phases(TaskId(1), 7)
        assert phases[2:] == chain.phases(TaskId(3), 1_000)
        assert chain.phases(TaskId(8), 5) == []
        assert facts == chain.tasks(ids)
        assert chain.tasks([]) == []
        assert ranked == chain.ranked_tasks()


def test_phases__lens_that_leaves_some_out__fails_verification(play: Play, node: Proxy) -> None:
    """A list that is shorter than what was asked for would shift every phase after the gap to another task."""
    for _ in range(2):
        play.post()
    shorter = "0x" + abi.load("MarketLens").functions["phases"].selector.hex()

    def leave_out(params: list[Any], forward: Forward) -> Any:
        if params[0]["data"].startswith(shorter):
            return "0x" + eth_abi.encode(["uint8[]", "bool[]", "uint40[]"], [[1], [False], [2]]).hex()
        return forward()

    node.rules["eth_call"] = leave_out
    with pytest.raises(VerificationFailed, match="of other tasks than it was asked for"):
        through(node, play).phases(TaskId(1), 2)


def test_batch__node_that_serves_none__is_asked_one_by_one(play: Play, node: Proxy) -> None:
    """A node that refuses a batch as such is never sent a second one."""
    for _ in range(3):
        play.post()
    batches = []

    def refuse(answers: list[Any]) -> Any:
        batches.append(len(answers))
        return {"id": None, "error": {"code": -32600, "message": "batch requests are not supported"}}

    node.batch = refuse
    chain = through(node, play)
    ids = [TaskId(1), TaskId(2), TaskId(3)]
    assert [(chain.task(task_id), chain.round(task_id, 0)) for task_id in ids] == chain.tasks(ids)
    assert batches == [3]


@pytest.mark.parametrize(
    "batch",
    [
        lambda answers: answers[:-1],
        lambda answers: [*answers, answers[0]],
        lambda answers: [{"id": 1}, *answers[1:]],
        lambda answers: [7, *answers[1:]],
        lambda answers: [{}, *answers[1:]],
        lambda answers: [answers[0] | {"result": "0x"}, *answers[1:]],
        lambda answers: [answers[0] | {"result": {"a": 1}}, *answers[1:]],
    ],
)
def test_batch__hostile_answers__are_one_sentence(play: Play, node: Proxy, batch: Any) -> None:
    """Answers that are missing, too many or malformed raise one of our errors with one line."""
    for _ in range(2):
        play.post()
    node.batch = batch
    with pytest.raises((VerificationFailed, ChainUnreachable)) as caught:
        through(node, play).tasks([TaskId(1), TaskId(2)])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_now__node_without_a_pending_block__uses_the_latest(play: Play, node: Proxy) -> None:
    """now() falls back to the latest block's time."""

    def none_pending(params: list[Any], forward: Forward) -> Any:
        if params[0] == "pending":
            raise Refusal("unknown block")
        return forward()

    node.rules["eth_getBlockByNumber"] = none_pending
    assert play.anvil.time() == through(node, play).now()


@pytest.mark.parametrize(
    "answer",
    [
        Raw(b""),
        Raw(b"<html>welcome</html>"),
        Raw(b"\xff\xfe"),
        Raw(b"[]"),
        Raw(b"{}"),
        Raw(b'{"id":1,"error":"no"}'),
        Raw(b"[" * 100_000),
        None,
        7,
        "0x",
        "0xzz",
        "0x" + "ff" * 31,
        "0x" + "ff" * 32 * 40,
        {"a": 1},
        [1, 2],
    ],
)
def test_read__hostile_answers__are_one_sentence(play: Play, node: Proxy, answer: Any) -> None:
    """Whatever a node answers to any request, the client raises one of its own errors with one line."""
    task_id = play.post().task_id
    chain = through(node, play)
    assert chain.task_count() == 1
    for method in ("eth_call", "eth_getBalance", "eth_getBlockByNumber", "eth_getLogs"):
        node.rules[method] = lambda params, forward: answer
    for read in (
        chain.params,
        chain.market_balance,
        lambda: chain.task(task_id),
        lambda: chain.task_posted(task_id),
        lambda: chain.reveals(task_id, 0),
        chain.ranked_tasks,
        lambda: chain.cancel(task_id),
    ):
        if answer == "0x" + "ff" * 31 and read == chain.market_balance:
            continue  # a balance like any other
        with pytest.raises((VerificationFailed, ChainUnreachable)) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_read__endless_answer__is_cut_off(play: Play, node: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer over the limit is not read to its end."""
    monkeypatch.setattr(rpc, "MAX_RESPONSE_BYTES", 2**16)
    chain = through(node, play)
    assert chain.task_count() == 0
    node.rules["eth_getBalance"] = lambda params, forward: "0x" + "0" * 2**18
    with pytest.raises(ChainUnreachable, match="longer than 65536 bytes"):
        chain.market_balance()


def test_read__answer_one_byte_at_a_time__is_given_up(play: Play, node: Proxy) -> None:
    """A node that keeps the connection alive with single bytes does not hold the client for ever."""
    chain = through(node, play, timeout=0.05)
    assert chain.task_count() == 0
    node.rules["eth_getBalance"] = lambda params, forward: Drip(b" " * 100_000)
    with pytest.raises(ChainUnreachable, match="no answer in time"):
        chain.market_balance()


def test_read__value_that_fits_no_type__is_bad_input(play: Play) -> None:
    """A number beyond its type, from a command line, is refused before anything is asked."""
    for act in (
        lambda: play.requester.phase(TaskId(2**256)),
        lambda: play.requester.cancel(TaskId(-1)),
        lambda: play.requester.task_posted(TaskId(-1)),
        lambda: play.requester.credit(Address("nobody")),
    ):
        with pytest.raises(BadInput, match="expected values that fit"):
            act()


def test_logs__of_another_contract__fail_verification(play: Play, node: Proxy) -> None:
    """Logs that were not asked for are a lie, not an event."""
    task_id = play.post().task_id

    def foreign(params: list[Any], forward: Forward) -> Any:
        return [log | {"address": play.deployment.lens} for log in forward()]

    node.rules["eth_getLogs"] = foreign
    with pytest.raises(VerificationFailed, match="that were asked for only"):
        through(node, play).task_posted(task_id)


def test_receipt__of_another_transaction__fails_verification(play: Play, node: Proxy) -> None:
    """A receipt that names another transaction is not taken for ours."""
    task_id = play.post().task_id
    node.rules["eth_getTransactionReceipt"] = lambda params, forward: (
        forward() | {"transactionHash": "0x" + secret("other").hex()}
    )
    with pytest.raises(VerificationFailed, match="the transaction that was asked for"):
        through(node, play).cancel(task_id)


def test_fees__greedy_node__is_capped(play: Play, node: Proxy) -> None:
    """A node that suggests an absurd tip can't make the account pay it."""
    task_id = play.post().task_id
    node.rules["eth_maxPriorityFeePerGas"] = lambda params, forward: hex(10**18)
    receipt = through(node, play).cancel(task_id)
    transaction = play.anvil.rpc("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert int(transaction["maxPriorityFeePerGas"], 16) == 50 * 10**9


def test_commit__sent_twice_by_one_program__is_two_transactions_in_order(play: Play) -> None:
    """Calls of one account follow each other with rising nonces."""
    task_id = play.post().task_id
    chain, terms_hash = play.chain(FIRST_MINER), play.requester.task(task_id).terms_hash
    before = sent(play, FIRST_MINER)
    for index, deposit in enumerate((10**17, 0, 0)):
        chain.commit(TaskId(task_id), 0, terms_hash, secret(index), Locator(secret("r")), Wei(deposit))
    assert before + 3 == sent(play, FIRST_MINER)


def test_finish_sent__sent_and_not_mined__is_counted_until_it_is(play: Play, node: Proxy) -> None:
    """What this process sent and gave up waiting for is seen, so that nothing is paid twice."""
    task_id = play.post().task_id
    chain = through(node, play, mining_deadline=0.1)
    assert chain.finish_sent() == 0
    play.anvil.rpc("evm_setAutomine", False)
    try:
        with pytest.raises(ChainUnreachable, match="not mined within"):
            chain.cancel(task_id)
        assert chain.finish_sent() == 1
        play.anvil.rpc("evm_mine")
    finally:
        play.anvil.rpc("evm_setAutomine", True)
    assert chain.finish_sent() == 0


def test_any_command__endpoint_of_another_chain__refused_before_anything_is_signed(play: Play) -> None:
    """A node that names another chain would get a payment signed that counts there: the configuration says which."""
    config = Config(home=Path(), rpc_url=play.anvil.url, market=play.deployment.market, chain_id=1)
    with pytest.raises(WrongChain, match="is chain 31337, expected is chain 1"):
        bootstrap.chain(config).task_count()


@pytest.mark.parametrize("message", ["out of gas", "invalid opcode: INVALID", "execution aborted (timeout = 5s)"])
def test_wallet__only_its_own_calls_fail__is_a_no(play: Play, node: Proxy, message: str) -> None:
    """Nodes tell of a contract that breaks off as of faults of their own: everything else still works."""
    wallet, connection = account(FIRST_MINER).address, through(node, play).connection

    def refuse(params: list[Any], forward: Forward) -> Any:
        if params[0]["to"] == wallet:
            raise Refusal(message)
        return forward()

    node.rules["eth_call"] = refuse
    assert not connection.is_accepted(wallet, Hash32(secret("digest")), b"signature")


def test_wallet__the_node_calls_nothing__is_the_nodes_fault(play: Play, node: Proxy) -> None:
    """A node that is over its limits proves nothing against a wallet: it is asked again later."""
    wallet, connection = account(FIRST_MINER).address, through(node, play).connection
    assert connection.chain_id == 31337

    def refuse(params: list[Any], forward: Forward) -> Any:
        raise Refusal("rate limit exceeded")

    node.rules["eth_call"] = refuse
    with pytest.raises(ChainUnreachable, match="refused isValidSignature"):
        connection.is_accepted(wallet, Hash32(secret("digest")), b"signature")
