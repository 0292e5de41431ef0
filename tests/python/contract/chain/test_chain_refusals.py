"""What the chain refuses: each as one sentence, by name, and before any money is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from anvil_node import Anvil
from dlbc.adapters.chain import abi
from dlbc.adapters.chain.deploy import deploy_contracts, load_params
from dlbc.adapters.chain.errors import SENTENCES
from dlbc.adapters.chain.transactions import GAS_TO_SPARE
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.keys import KeystoreKeys
from dlbc.core import proofs
from dlbc.core.errors import (
    ChainUnreachable,
    ContractRefused,
    NotFound,
    Refused,
    Usage,
    VerificationFailed,
    WrongChain,
)
from dlbc.core.types import Address, Locator, TaskId, Wei
from eth_account import Account
from play import ETHER, FIRST_MINER, REQUESTER, SAMPLES, TERMS, Play, account, secret

pytestmark = pytest.mark.contract

STRANGER = 8


def refused(play: Play, act: Callable[[], object], name: str, *words: str) -> None:
    """`act` is refused with this error and sentence, and leaves neither a transaction nor a wei."""
    senders = [account(index).address for index in range(10)]
    before = [(play.requester.balance(sender), _nonce(play, sender)) for sender in senders]
    with pytest.raises(ContractRefused) as caught:
        act()
    assert name == caught.value.name, str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before == [(play.requester.balance(sender), _nonce(play, sender)) for sender in senders]


def _nonce(play: Play, sender: Address) -> object:
    return play.anvil.rpc("eth_getTransactionCount", sender, "pending")


def test_sentences__every_custom_error__has_exactly_one() -> None:
    """No error of the contracts is without a sentence, and no sentence without an error."""
    assert {error.name for error in abi.load("Errors").errors.values()} == set(SENTENCES)


@pytest.mark.parametrize(
    ("terms", "name", "words"),
    [
        ({"bounty_wei": Wei(0)}, "Market_BelowMinimum", ["bountyWei", "minimum"]),
        ({"deposit_wei": Wei(ETHER // 100)}, "Market_BelowMinimum", ["depositWei is 0.01 ether", "0.1 ether"]),
        ({"bond_wei": Wei(1)}, "Market_BelowMinimum", ["bondWei"]),
        ({"train_seconds": 0}, "Market_BelowMinimum", ["trainSeconds is 0", "minimum is 1"]),
        ({"challenge_seconds": 21_601}, "Market_AboveMaximum", ["challengeSeconds", "21600"]),
        ({"open_seconds": 2**32 - 1}, "Market_AboveMaximum", ["openSeconds", "7776000"]),
        ({"tolerance_ppm": 20_001}, "Market_AboveMaximum", ["tolerancePpm is 20001", "20000"]),
        ({"royalty_bps": 2001}, "Market_AboveMaximum", ["royaltyBps", "2000"]),
        ({"workload": replace(TERMS.workload, epochs=0)}, "Market_BelowMinimum", ["epochs"]),
    ],
)
def test_post__term_out_of_bounds__names_term_value_and_limit(
    play: Play, terms: dict[str, object], name: str, words: list[str]
) -> None:
    """A term out of bounds (P-12) is named with its value and its limit; nothing is paid."""
    refused(play, lambda: play.post(**terms), name, *words)


def test_commit__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """Unknown task, wrong deposit, round, terms, empty commitment, too late: each has its own sentence."""
    task_id = play.post().task_id
    work = play.work(task_id, FIRST_MINER, 350)
    chain, terms_hash = play.chain(FIRST_MINER), play.requester.task(task_id).terms_hash
    locator, deposit = Locator(secret("r")), Wei(ETHER // 10)
    refused(play, lambda: play.commit(work, deposit=1), "Market_WrongValue", "1 wei", "0.1 ether")
    wrong = Locator(secret("other terms"))
    refused(
        play,
        lambda: chain.commit(task_id, 0, wrong, work.commitment, locator, deposit),
        "Market_WrongTerms",
        wrong.hex(),
        terms_hash.hex(),
    )
    refused(
        play,
        lambda: chain.commit(task_id, 1, terms_hash, work.commitment, locator, deposit),
        "Market_WrongRound",
        "round 1",
        "round 0",
    )
    refused(
        play,
        lambda: chain.commit(task_id, 0, terms_hash, bytes(32), locator, deposit),
        "Market_EmptyCommitment",
    )
    refused(
        play,
        lambda: chain.commit(TaskId(7), 0, terms_hash, work.commitment, locator, deposit),
        "Market_UnknownTask",
        "no task 7",
    )
    play.commit(work)
    refused(play, lambda: play.requester.cancel(task_id), "Market_AlreadyCommitted", "1 commits")
    play.to_release(task_id)
    late = play.work(task_id, FIRST_MINER + 1, 350)
    refused(play, lambda: play.commit(late), "Market_WrongPhase", "Training", "Releasing")


def test_release__wrong_sender_time_set_or_key__is_told_apart(play: Play) -> None:
    """Only the requester, in time, with the committed test set and its key."""
    task_id = play.post().task_id
    test_set, key = play.test_set(), play.test_key(0)
    play.commit(play.work(task_id, FIRST_MINER, 350))
    requester = play.requester
    refused(play, lambda: requester.release(task_id, test_set, key), "Market_WrongPhase", "Releasing", "Training")
    play.to_release(task_id)
    refused(
        play,
        lambda: play.chain(STRANGER).release(task_id, test_set, key),
        "Market_NotRequester",
        account(REQUESTER).address,
        account(STRANGER).address,
    )
    changed = replace(test_set, samples=1)
    refused(play, lambda: requester.release(task_id, changed, key), "Market_WrongTestSet")
    refused(play, lambda: requester.release(task_id, test_set, bytes(32)), "Market_WrongTestKey")


def test_release__before_the_finality_gap__says_how_long_to_wait(anvil: Anvil) -> None:
    """Within the gap after trainEnd the release is too early (P-40)."""
    play = Play(anvil, finality_gap=900)
    task_id = play.post().task_id
    play.commit(play.work(task_id, FIRST_MINER, 350))
    anvil.move_to(play.requester.round(task_id, 0).train_end)
    release = lambda: play.requester.release(task_id, play.test_set(), play.test_key(0))  # noqa: E731
    refused(play, release, "Market_TooEarly", "wait")


def test_reveal__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """No entry, wrong commitment, root, total or signature, and a second reveal: each has its own sentence."""
    task_id = play.post().task_id
    work, stranger = play.work(task_id, FIRST_MINER, 350), play.work(task_id, STRANGER, 350)
    play.commit(work)
    play.release(task_id)
    chain = play.chain(FIRST_MINER)
    refused(play, lambda: play.reveal(stranger), "Market_NoEntry", stranger.proof.miner)
    refused(play, lambda: play.reveal(replace(work, salt=bytes(32))), "Market_WrongCommitment", "commitment")
    refused(
        play,
        lambda: play.chain(FIRST_MINER).reveal(work.proof, work.salt, work.claim, bytes(32), work.signature),
        "Market_WrongPredictionsRoot",
    )
    too_many = replace(work.claim, total=SAMPLES + 1)
    refused(play, lambda: play.reveal(replace(work, claim=too_many)), "Market_TotalTooHigh", str(SAMPLES + 1))
    refused(play, lambda: play.reveal(replace(work, signature=stranger.signature)), "Market_WrongSigner")
    refused(play, lambda: play.reveal(replace(work, signature=b"short")), "Market_MalformedSignature", "5")
    play.reveal(work)
    refused(play, lambda: play.reveal(work), "Market_AlreadyRevealed", work.proof.miner)
    refused(play, lambda: chain.reclaim(task_id, 0, work.proof.miner), "Market_DepositLocked", work.proof.miner)


def test_open__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """Not the leader, another claim, key or slot path; nominations that can't be: each has its own sentence."""
    task_id = play.post().task_id
    best, poor = play.work(task_id, FIRST_MINER, 350), play.work(task_id, FIRST_MINER + 1, 10)
    second = play.work(task_id, FIRST_MINER + 2, 340)
    for work in (best, poor, second):
        play.commit(work)
    play.release(task_id)
    for work in (best, poor, second):
        play.reveal(work)
    chain, path = play.chain(FIRST_MINER), proofs.slot_path(best.slot_keys, 0)
    refused(play, lambda: play.open(poor), "Market_NotLeader", best.proof.miner, poor.proof.miner)
    claim = replace(best.claim, predictions=Locator(bytes(32)))
    refused(play, lambda: chain.open(best.proof, claim, best.seal_key, best.slot_keys[0], path), "Market_WrongClaim")
    refused(play, lambda: chain.open(best.proof, best.claim, bytes(32), best.slot_keys[0], path), "Market_WrongSealKey")
    refused(
        play,
        lambda: chain.open(best.proof, best.claim, best.seal_key, best.slot_keys[1], path),
        "Market_WrongSlotPath",
    )
    refused(play, lambda: chain.advance(task_id), "Market_NothingDue", "Opening")
    refused(play, lambda: chain.nominate(task_id, best.proof.miner), "Market_WrongPhase", "Nominating", "Opening")
    play.pass_phase(task_id, "Opening")
    refused(play, lambda: play.open(best), "Market_WrongPhase", "advance the task")
    chain.advance(task_id)
    refused(play, lambda: chain.nominate(task_id, best.proof.miner), "Market_NotQualified", best.proof.miner)
    refused(play, lambda: chain.nominate(task_id, poor.proof.miner), "Market_NotQualified", poor.proof.miner)
    chain.nominate(task_id, second.proof.miner)
    refused(play, lambda: chain.nominate(task_id, second.proof.miner), "Market_NotBetter", second.proof.miner)


def test_reveal_slot__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """Not settled, slot 0, another key, no slot of the tree, twice: each has its own sentence; then the log has it."""
    work, stranger = play.opened(slots=4), play.chain(STRANGER)
    model, keys = work.proof.model_hash, work.slot_keys
    path = proofs.slot_path(keys, 1)
    refused(play, lambda: stranger.reveal_slot(model, 1, keys[1], path), "Registry_UnknownModel", "no settled model")
    play.settle(work.proof.task_id)
    refused(
        play,
        lambda: stranger.reveal_slot(model, 0, keys[0], proofs.slot_path(keys, 0)),
        "Registry_SlotAlreadyRevealed",
        "slot 0",
        "by the opening of the model",
    )
    refused(
        play,
        lambda: stranger.reveal_slot(model, 1, keys[2], path),
        "Registry_WrongSlotPath",
        work.proof.watermark_root.hex(),
    )
    refused(play, lambda: stranger.reveal_slot(model, 5, keys[1], path), "Registry_SlotOutOfRange", "slots below 4")
    for siblings, name in (((), "Market_BelowMinimum"), (path * 2, "Market_AboveMaximum")):
        refused(play, lambda siblings=siblings: stranger.reveal_slot(model, 1, keys[1], siblings), name, "slotPath")  # type: ignore[misc]
    stranger.reveal_slot(model, 1, keys[1], path)
    refused(
        play,
        lambda: stranger.reveal_slot(model, 1, keys[1], path),
        "Registry_SlotAlreadyRevealed",
        "slot 1",
        "after commit",
    )
    (event,) = stranger.slot_reveals(model)
    commits = play.requester.commits(work.proof.task_id, 0)
    assert (event.slot, event.key, event.miner, event.commit_seq) == (
        1,
        keys[1],
        work.proof.miner,
        commits[-1].commit_seq,
    )
    assert stranger.slot(model, 1).commit_seq == event.commit_seq
    assert stranger.slot(model, 2).revealed_at == 0


def test_money__nothing_there__says_so(play: Play) -> None:
    """No deposit to reclaim, no credit to withdraw, the zero address, a final task."""
    task_id = play.post().task_id
    chain, stranger = play.requester, account(STRANGER).address
    refused(play, lambda: chain.reclaim(task_id, 0, stranger), "Market_NothingToReclaim", stranger)
    refused(play, lambda: chain.withdraw(stranger), "Ledger_NothingToWithdraw", stranger)
    refused(play, lambda: chain.withdraw_to(Address("0x" + "0" * 40)), "Market_ZeroAddress")
    chain.cancel(task_id)
    refused(play, lambda: chain.advance(task_id), "Market_NothingDue", "final")
    refused(play, lambda: chain.withdraw_to(play.deployment.market), "Ledger_TransferFailed", play.deployment.market)


def test_deploy__parameter_out_of_bounds__names_it(anvil: Anvil) -> None:
    """A market with a fee of 6 % is not deployed."""
    params, of_pool = load_params(31337)
    with pytest.raises(ContractRefused, match="feeBps is 600, allowed is 0 to 500"):
        deploy_contracts(anvil.url, account(0), replace(params, fee_bps=600), of_pool)


def test_ledger__unknown_task_and_block__are_not_found(play: Play) -> None:
    """Reads of what does not exist raise NotFound."""
    chain = play.requester
    for missing in (0, 1, 2**256):
        with pytest.raises(NotFound, match="there is no task"):
            chain.task(TaskId(missing))
    with pytest.raises(NotFound, match="there is no task 5"):
        chain.task_posted(TaskId(5))
    with pytest.raises(NotFound, match="there is no block 0"):
        chain.block_hash(0)


def test_send__empty_account__says_what_it_needs_and_has(play: Play) -> None:
    """An account without ether is told the sum before anything is signed; so is one that lacks only the gas."""
    task_id = play.post().task_id
    poor = KeystoreKeys(Account.from_key(secret("poor")))
    where = play.deployment
    chain = Web3Chain(play.anvil.url, where.market, where.lens, poor)
    work = play.work(task_id, FIRST_MINER, 350)
    terms_hash = play.requester.task(task_id).terms_hash

    def commit() -> None:
        deposit = Wei(ETHER // 10)
        chain.commit(task_id, 0, terms_hash, work.commitment, Locator(secret("r")), deposit)

    with pytest.raises(Refused, match=r"commit: needs 0\.1 ether with gas, 0x\w+ has 0 ether"):
        commit()
    play.anvil.rpc("anvil_setBalance", poor.address, hex(ETHER // 10))
    with pytest.raises(Refused, match=r"commit: needs 0\.100\d+ ether with gas, 0x\w+ has 0\.1 ether"):
        commit()


def test_chain__account_that_fees_made_poor__offers_what_it_has(play: Play) -> None:
    """Twice the price is asked for as a rule; with half of it a reveal must not wait until its deposit is lost."""
    poor = KeystoreKeys(Account.from_key(secret("poor")))
    chain = Web3Chain(play.anvil.url, play.deployment.market, play.deployment.lens, poor)
    play.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(100 * 10**9))
    play.anvil.rpc("evm_mine")
    base = int(play.anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    gas = 21_000 * 5 // 4 + GAS_TO_SPARE
    play.anvil.rpc("anvil_setBalance", poor.address, hex(1 + gas * base))
    with pytest.raises(Refused, match="send it more"):
        chain.pay(account(5).address, Wei(1))
    play.anvil.rpc("anvil_setBalance", poor.address, hex(1 + gas * base * 5 // 4))
    assert chain.pay(account(5).address, Wei(1)).call == "pay"


def test_chain__wrong_place__is_a_usage_error(play: Play) -> None:
    """Another chain, an address without code, an address that is none, no account: Usage, saying what to set."""
    where, url = play.deployment, play.anvil.url
    empty = account(STRANGER).address
    with pytest.raises(WrongChain, match="is chain 31337, expected is chain 1; set DLBC_RPC_URL"):
        Web3Chain(url, where.market, expected_chain_id=1).task_count()
    with pytest.raises(Usage, match=f"no contract at the market address {empty}"):
        Web3Chain(url, empty).task_count()
    with pytest.raises(Usage, match=f"no contract at the lens address {empty}"):
        Web3Chain(url, where.market, empty).task_count()
    with pytest.raises(Usage, match="20 bytes in hex"):
        Web3Chain(url, Address("market"))
    with pytest.raises(Usage, match="wrong checksum"):
        Web3Chain(url, Address(where.market.swapcase().replace("0X", "0x")))
    with pytest.raises(Usage, match="needs an account"):
        Web3Chain(url, where.market).advance(TaskId(1))
    with pytest.raises(Usage, match="DLBC_LENS"):
        Web3Chain(url, where.market).locks(TaskId(1), empty)
    with pytest.raises(Usage, match="expected something like http"):
        Web3Chain("ftp://nowhere", where.market)


def test_chain__another_contract_at_the_address__is_a_failed_verification(play: Play) -> None:
    """The lens in the market's place answers nothing that the market's ABI describes."""
    with pytest.raises((VerificationFailed, ContractRefused), match="check the"):
        Web3Chain(play.anvil.url, play.deployment.lens).task_count()


def test_chain__nobody_listens__names_the_endpoint() -> None:
    """A dead RPC endpoint is named, with what to do; the key in its path is not shown."""
    chain = Web3Chain("http://127.0.0.1:1/secret-key", account(0).address)
    with pytest.raises(ChainUnreachable, match=r"http://127\.0\.0\.1:1/… does not answer .*`dlbc devnet up`") as caught:
        chain.task_count()
    assert "secret-key" not in str(caught.value)
