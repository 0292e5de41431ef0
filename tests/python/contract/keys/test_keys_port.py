"""ports.Keys, the same for a key in a keystore and for one in another process; and signers not to be trusted."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlbc import bootstrap
from dlbc.adapters import keys, signer
from dlbc.adapters.checkup import checks_of, run
from dlbc.adapters.signatures import recover_signer
from dlbc.adapters.signer import SignerKeys
from dlbc.config import Config
from dlbc.core.checkup import State
from dlbc.core.errors import BadInput, DlbcError, NotFound, Refused, TryLater, Usage, VerificationFailed
from dlbc.core.proofs import miner_secrets_typed_data, score_claim_typed_data
from dlbc.core.secrets import derive
from dlbc.core.types import Address, Claim, Hash32, Locator, TaskId
from dlbc.ports import Keys

pytestmark = pytest.mark.contract

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER_KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
SECRETS = miner_secrets_typed_data(TaskId(2**60), 0, 1, 31337, MARKET)
CLAIM = score_claim_typed_data(
    Hash32(b"\x01" * 32), Claim(2**60, Hash32(b"\x02" * 32), Locator(b"\x03" * 32)), 31337, MARKET
)
TRANSACTION = {
    "type": 2,
    "chainId": 31337,
    "nonce": 7,
    "to": MARKET,
    "data": "0x12345678" + "ab" * 64,
    "value": 10**17,
    "gas": 250_000,
    "maxFeePerGas": 3 * 10**9,
    "maxPriorityFeePerGas": 10**9,
}


Where = Callable[..., str]
"""where(dialect, mood, count): the URL of a signer."""


@pytest.fixture(scope="module")
def where() -> Iterator[Where]:
    """One process that is every signer a test wants."""
    script = Path(__file__).with_name("signer_process.py")
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{KEY}\n{OTHER_KEY}\n")
        process.stdin.close()
        port = int(process.stdout.readline())
        yield lambda dialect, mood="honest", count=1: f"http://127.0.0.1:{port}/{dialect}/{mood}/{count}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("home")
    (folder / "password").write_text("secret")
    file, _ = keys.create_keystore("me", folder, "secret", bytes.fromhex(KEY), quick=True)
    return keys.open_keystore(file, folder / "password")


@pytest.fixture(scope="module", params=["keystore", "clef", "web3signer", "geth"])
def wallet(request: pytest.FixtureRequest, keystore: Keys, where: Where) -> Keys:
    """The same account, held in four ways."""
    if request.param == "keystore":
        return keystore
    found = SignerKeys(where(request.param), None)
    found.check()
    return found


# ------------------------------------------------------------------ the port


def test_keys__whoever_holds_them__are_the_same_account(wallet: Keys) -> None:
    """An EIP-55 address, and a repr that shows no more."""
    assert wallet.address == ADDRESS
    assert KEY not in repr(wallet)


@pytest.mark.parametrize("typed", [SECRETS, CLAIM])
def test_keys__a_typed_message__gives_one_signature_everywhere(wallet: Keys, keystore: Keys, typed: Any) -> None:
    """65 bytes, low s, v 27 or 28, each time the same, and the same for a keystore: so secrets move with the key."""
    signature = wallet.sign_typed(typed)
    assert signature == wallet.sign_typed(typed) == keystore.sign_typed(typed)
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= keys.HALF_ORDER
    assert derive(signature).prk == derive(keystore.sign_typed(typed)).prk


@pytest.mark.parametrize("change", [{}, {"to": None}, {"value": 0}, {"data": "0x"}])
def test_keys__a_transaction__is_signed_as_asked(wallet: Keys, change: dict[str, Any]) -> None:
    """A call, a deployment, one without ether, one without data."""
    from eth_account import Account

    asked = {name: value for name, value in (TRANSACTION | change).items() if value is not None}
    raw = wallet.sign_transaction(asked)
    assert Account.recover_transaction(raw) == ADDRESS
    assert raw[0] == 2


@pytest.mark.parametrize(("act", "said"), [("sign_typed", "EIP-712"), ("sign_transaction", "transaction")])
def test_keys__something_incomplete__is_one_of_our_errors(wallet: Keys, act: str, said: str) -> None:
    """A caller's mistake is one sentence."""
    with pytest.raises(DlbcError) as caught:
        getattr(wallet, act)({"types": {}})
    assert "\n" not in str(caught.value)
    if act == "sign_typed" or not isinstance(wallet, SignerKeys):
        assert isinstance(caught.value, BadInput)
        assert said in str(caught.value)


# ------------------------------------------------------------------ signers that can't be mined with


def refused(url: str, act: Callable[[SignerKeys], object]) -> DlbcError:
    with pytest.raises(DlbcError) as caught:
        act(SignerKeys(url, None))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return caught.value


def test_check__signatures_differ_each_time__is_refused_with_the_reason(where: Where) -> None:
    """Secrets derived from them could never be recovered."""
    error = refused(where("clef", "random"), SignerKeys.check)
    assert isinstance(error, Refused)
    assert "differently each time" in str(error)


def test_check__signs_with_another_key__fails_verification(where: Where) -> None:
    """A signer that answers for somebody else is no signer of this account."""
    error = refused(where("web3signer", "stranger"), SignerKeys.check)
    assert isinstance(error, VerificationFailed)
    assert f"expected was {ADDRESS}" in str(error)


def test_check__answers_no_json__is_one_sentence(where: Where) -> None:
    """A web server is no signer."""
    assert isinstance(refused(where("geth", "garbage"), SignerKeys.check), VerificationFailed)


def test_check__owner_says_no__is_refused(where: Where) -> None:
    """Clef's "request denied" reaches the user."""
    assert "request denied" in str(refused(where("clef", "refusing"), SignerKeys.check))


def test_sign_typed__high_s__is_made_low(where: Where) -> None:
    """Both forms are valid; the contracts take the low one, and so secrets do not depend on the signer's taste."""
    account = SignerKeys(where("web3signer", "high-s"), ADDRESS)
    account.check()
    signature = account.sign_typed(CLAIM)
    assert int.from_bytes(signature[32:64], "big") <= keys.HALF_ORDER


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("greedy", "value was 100000000000000000, it signed 5"),
        ("dear", "maxFeePerGas was 3000000000"),
        ("elsewhere", "chainId was 31337, it signed 1"),
        ("thief", "to was"),
        ("stranger", "signed for"),
    ],
)
def test_sign_transaction__changed_on_the_way__is_not_sent(where: Where, mood: str, said: str) -> None:
    """Every field that was asked for is compared with what was signed."""
    error = refused(where("clef", mood), lambda account: account.sign_transaction(TRANSACTION))
    assert isinstance(error, VerificationFailed)
    assert said in str(error)


def test_check__nobody_there__is_try_later() -> None:
    """A signer that is locked or not started yet is waited for by services; a person reads what to do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(TryLater, match="start it or unlock it"):
            SignerKeys(url, None).check()


def test_check__silent_signer__is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody approved in time."""
    monkeypatch.setattr(signer, "APPROVAL_SECONDS", 0.05)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(TryLater, match="does not answer"):
            SignerKeys(f"http://127.0.0.1:{deaf.getsockname()[1]}", None).check()


def test_address__several_accounts__has_to_be_named(where: Where) -> None:
    """Which account is never guessed; one that is named is found whatever the case of its letters."""
    url = where("clef", "honest", 2)
    with pytest.raises(Usage, match="has 2 accounts; name one"):
        _ = SignerKeys(url, None).address
    named = SignerKeys(url, ADDRESS.lower())
    named.check()
    assert named.address == ADDRESS
    with pytest.raises(NotFound, match="has no account"):
        SignerKeys(url, MARKET).check()
    with pytest.raises(Usage, match="the account is an address"):
        SignerKeys(url, "alice")


def test_bootstrap__signer_url__is_checked_before_anything_is_signed(where: Where, tmp_path: Path) -> None:
    """The composition root gives out only a signer that passed."""
    config = Config(home=tmp_path, signer_url=where("web3signer"))
    assert bootstrap.keys(config).address == bootstrap.account_address(config) == ADDRESS
    assert bootstrap.accounts(config) == [("(signer)", ADDRESS)]
    assert recover_signer(signer._digest(CLAIM), bootstrap.keys(config).sign_typed(CLAIM)) == ADDRESS
    with pytest.raises(Refused):
        bootstrap.keys(replace(config, signer_url=where("clef", "random")))


@pytest.mark.parametrize(
    ("dialect", "mood", "count", "account", "state", "told"),
    [
        ("clef", "honest", 1, None, State.OK, f"{ADDRESS} at http://127.0.0.1"),
        ("web3signer", "honest", 2, ADDRESS, State.OK, "for chain 31337"),
        ("web3signer", "elsewhere", 1, ADDRESS, State.PROBLEM, "signs for chain 1, expected is chain 31337"),
        ("clef", "honest", 2, None, State.PROBLEM, "has 2 accounts"),
        ("clef", "honest", 1, "0x" + "11" * 20, State.PROBLEM, "and not 0x1111"),
        ("clef", "refusing", 1, None, State.OK, ADDRESS),  # nobody is asked to approve anything
    ],
)
def test_doctor__signer__is_asked_for_its_accounts_and_chain_and_for_no_signature(
    where: Where,
    tmp_path: Path,
    dialect: str,
    mood: str,
    count: int,
    account: str | None,
    state: State,
    told: str,
) -> None:
    """What a daemon would stumble over is said before it starts, without disturbing whoever approves signatures."""
    config = Config(tmp_path, signer_url=where(dialect, mood, count), account=account, chain_id=31337)
    (check,) = [check for check in checks_of(config) if check.name == "signer"]
    (found,) = run([check])
    assert found.state is state
    assert told in found.found


def test_doctor__something_else_at_the_signers_address__is_a_problem(where: Where, tmp_path: Path) -> None:
    """A web page is no signer."""
    config = Config(tmp_path, signer_url=where("clef", "garbage"), chain_id=31337)
    (found,) = run([check for check in checks_of(config) if check.name == "signer"])
    assert found.state is State.PROBLEM
    assert "is it a signer?" in found.todo


def test_doctor__no_signer__is_a_problem_and_no_keystore_is_looked_for(tmp_path: Path) -> None:
    """Without an answer there is no account to ask the chain about, either."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = Config(tmp_path, signer_url=f"http://127.0.0.1:{closed.getsockname()[1]}", chain_id=31337)
    checks = {check.name: replace(check, needs="") for check in checks_of(config)}
    assert not {"keystore", "password"} & set(checks)
    signer, transactions = run([checks["signer"], checks["transactions"]])
    assert signer.state is State.PROBLEM
    assert "start it or unlock it" in signer.todo
    assert transactions.found == "not checked: see signer"
