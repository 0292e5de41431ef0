"""`dlbc deploy --verify`: a pristine deployment passes, and whatever is not pristine fails in the row that says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anvil_node import ROOT, Anvil
from dlbc.adapters.chain import abi, codec, record, verify
from dlbc.adapters.chain import compile as compiler
from dlbc.adapters.chain.compile import compile_contracts
from dlbc.adapters.chain.deploy import contract_address
from dlbc.adapters.chain.record import Deployed, Deployment
from dlbc.adapters.chain.rpc import Rpc
from dlbc.adapters.chain.transactions import Sender
from dlbc.adapters.chain.verify import NAMES, Verification, verify_market, verify_record
from dlbc.cli.main import run
from dlbc.core.errors import Usage, WrongChain
from dlbc.core.types import Address
from play import DEPLOYER, Play, account

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def artifacts() -> dict[str, Mapping[str, Any]]:
    """The contracts of this checkout, compiled once."""
    found, is_compiled_here = verify.reference_artifacts()
    assert is_compiled_here
    return found


@pytest.fixture
def check(play: Play, artifacts: dict[str, Mapping[str, Any]]) -> Callable[..., Verification]:
    """check(record) or check(market=…, lens=…)."""

    def one(
        recorded: Deployment | None = None, *, market: Address | None = None, lens: Address | None = None
    ) -> Verification:
        url = play.anvil.url
        if recorded is not None:
            return verify_record(url, recorded, artifacts, True)
        assert market is not None
        return verify_market(url, market, lens, 31337, artifacts, True)

    return one


def failed(found: Verification) -> set[tuple[str, str]]:
    """(contract, check) of every row that does not hold."""
    assert found.passed == all(row.ok for row in found.rows)
    return {(row.contract, row.check) for row in found.rows if not row.ok}


def changed(recorded: Deployment, name: str, **change: Any) -> Deployment:
    """The record with one contract's entry edited."""
    contracts = tuple(replace(each, **change) if each.name == name else each for each in recorded.contracts)
    return replace(recorded, contracts=contracts)


def deploy(play: Play, contract: abi.Contract, *arguments: Any) -> Deployed:
    """Deploys one contract by hand."""
    sender = Sender(Rpc(play.anvil.url), 31337, account(DEPLOYER), 30.0)
    nonce = int(play.anvil.rpc("eth_getTransactionCount", account(DEPLOYER).address, "pending"), 16)
    encoded = codec.encode(contract.constructor, arguments)
    mined = sender.send("deploy", None, contract.bytecode + encoded)
    where = contract_address(account(DEPLOYER).address, nonce)
    return Deployed(contract.name, where, arguments, encoded, mined.tx_hash, mined.block_number, "", {}, "")


# ------------------------------------------------------------------ what passes


def test_verify__pristine_deployment__every_row_holds(play: Play, check: Callable[..., Verification]) -> None:
    """Code, every immutable, arguments and creating transaction of all five contracts are as recorded."""
    found = check(play.deployment)

    assert failed(found) == set()
    checked = {(row.contract, row.check) for row in found.rows}
    for name in NAMES:
        assert {(name, "code"), (name, "arguments"), (name, "address")} <= checked
        immutables = abi.artifact(name)["immutableReferences"]
        assert {(name, immutable) for immutable in immutables} <= checked
    assert (("TaskMarket", "creation") in checked, ("MarketRules", "creation") in checked) == (True, False)
    assert found.source_hash == found.recorded_source_hash == play.deployment.contract("TaskMarket").source_hash
    assert (play.deployment.params, play.deployment.pool_params) == (found.params, found.pool_params)
    assert found.left_out == ()


def test_verify__market_alone__finds_the_others_and_says_what_it_left_out(
    play: Play, check: Callable[..., Verification]
) -> None:
    """From the market's address the rules, registry and pool are found; lens and transactions need more."""
    where = play.deployment
    found = check(market=where.market)

    assert failed(found) == set()
    assert {"MarketLens"} == set(NAMES) - set(found.addresses)
    assert all(found.addresses[each.name] == each.address for each in where.contracts if each.name != "MarketLens")
    assert [sentence.split(":")[0] for sentence in found.left_out] == ["the lens", "the creating transactions"]
    assert failed(check(market=where.market, lens=where.lens)) == set()


def test_verify__after_a_task__still_holds(play: Play, check: Callable[..., Verification]) -> None:
    """State changes; code, immutables and creation do not."""
    play.post()
    assert failed(check(play.deployment)) == set()


# ------------------------------------------------------------------ what fails


def test_verify__one_constant_changed__fails_in_that_contracts_code(
    play: Play, check: Callable[..., Verification], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market whose winners would be paid by other rules differs in its code, and in what created it."""
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")
    for name in ("deploy", "node_modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    source = tmp_path / "contracts" / "libraries" / "PayoutLib.sol"
    text = source.read_text()
    assert text.count("10_000;") + text.count("1e4;") == 1
    source.write_text(text.replace("10_000;", "10_001;").replace("1e4;", "10_001;"))
    other = compile_contracts(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(abi, "load", lambda name: abi.parse(other[name]))
        bent = Play(play.anvil).deployment

    found = check(bent)

    differ = {name for name in NAMES if other[name]["deployedBytecode"] != abi.artifact(name)["deployedBytecode"]}
    assert "TaskMarket" in differ
    assert {(name, "code") for name in differ} == {row for row in failed(found) if row[1] == "code"}
    assert ("TaskMarket", "creation") in failed(found)
    assert {contract for contract, _ in failed(found)} == differ
    assert ("TaskMarket", "code") in failed(check(market=bent.market))


def test_verify__swapped_pool__fails_where_the_market_names_another(
    play: Play, check: Callable[..., Verification]
) -> None:
    """A record that names the pool of another market: the market's own immutable says otherwise, and so does it."""
    other = Play(play.anvil).deployment.contract("AuditorPool")
    recorded = changed(play.deployment, "AuditorPool", address=other.address, tx_hash=other.tx_hash)

    found = failed(check(recorded))

    assert {("TaskMarket", "POOL"), ("AuditorPool", "market"), ("AuditorPool", "creation")} <= found
    assert not any(row == "code" for _, row in found)


def test_verify__second_pool_of_the_same_market__fails_where_the_market_names_the_first(
    play: Play, check: Callable[..., Verification]
) -> None:
    """A copy of the genuine pool at another address is not the one that the market pays and obeys."""
    where = play.deployment
    copy = account(5).address
    play.anvil.rpc("anvil_setCode", copy, play.anvil.rpc("eth_getCode", where.pool, "latest"))
    try:
        found = failed(check(changed(where, "AuditorPool", address=copy)))
    finally:
        play.anvil.rpc("anvil_setCode", copy, "0x")

    assert {("TaskMarket", "POOL"), ("MarketRules", "POOL"), ("AuditorPool", "address")} <= found
    assert ("AuditorPool", "code") not in found


def test_verify__market_with_the_pool_of_another__fails_in_the_pool(
    play: Play, check: Callable[..., Verification]
) -> None:
    """Genuine code everywhere, but the pool that the market names obeys another market."""
    theirs = play.deployment
    market = abi.load("TaskMarket")
    nonce = int(play.anvil.rpc("eth_getTransactionCount", account(DEPLOYER).address, "pending"), 16)
    registry = contract_address(account(DEPLOYER).address, nonce + 1)
    mine = deploy(play, market, theirs.params, registry)
    deploy(play, abi.load("ModelRegistry"), mine.address)

    found = check(market=mine.address)

    assert {("AuditorPool", "market"), ("PoolRules", "MARKET")} == failed(found)
    assert {(mine.address, theirs.market)} == {(row.expected, row.found) for row in found.rows if not row.ok}


@pytest.mark.parametrize("name", NAMES)
def test_verify__account_instead_of_a_contract__fails_in_its_code(
    play: Play, check: Callable[..., Verification], name: str
) -> None:
    """Where a contract is recorded that is none, its code row says so."""
    nobody = account(5).address
    found = check(changed(play.deployment, name, address=nobody))

    assert (name, "code") in failed(found)
    (row,) = (row for row in found.rows if (row.contract, row.check) == (name, "code"))
    assert row.found == f"no contract at {nobody}"


def test_verify__market_that_is_an_account__fails_without_an_error(
    play: Play, check: Callable[..., Verification]
) -> None:
    """--market with an address that holds no contract: rows that fail, not an exception."""
    found = check(market=account(5).address)
    assert {name for name in NAMES if name != "MarketLens"} == {contract for contract, _ in failed(found)}
    assert (found.params, found.pool_params) == (None, None)


def test_verify__recorded_arguments_edited__fails_where_they_are_used(
    play: Play, check: Callable[..., Verification]
) -> None:
    """Readable arguments that the chain does not have: the immutables made of them, and the encoded ones, differ."""
    params = replace(play.deployment.params, fee_bps=201)
    found = failed(check(changed(play.deployment, "TaskMarket", arguments=(params, play.deployment.registry))))
    assert {
        ("TaskMarket", "arguments"),
        ("TaskMarket", "creation"),
        ("TaskMarket", "FEE_BPS"),
        ("MarketRules", "FEE_BPS"),
    } == found


def test_verify__encoded_arguments_edited__fails_in_the_arguments(
    play: Play, check: Callable[..., Verification]
) -> None:
    """Encoded arguments that do not encode the readable ones fail in their own row only."""
    encoded = play.deployment.contract("MarketLens").encoded_arguments
    recorded = changed(play.deployment, "MarketLens", encoded_arguments=encoded[:-1] + b"\0")
    assert {("MarketLens", "arguments")} == failed(check(recorded))


def test_verify__wrong_transaction_or_block__fails_in_that_row(play: Play, check: Callable[..., Verification]) -> None:
    """A transaction that is unknown, that made another contract, or a wrong block is named."""
    where = play.deployment
    lens = where.contract("MarketLens")
    assert {("MarketLens", "block")} == failed(check(changed(where, "MarketLens", block_number=lens.block_number + 1)))
    assert {("MarketLens", "creation")} == failed(check(changed(where, "MarketLens", tx_hash=bytes(32))))
    registry = where.contract("ModelRegistry")
    found = failed(check(changed(where, "MarketLens", tx_hash=registry.tx_hash, block_number=registry.block_number)))
    assert {("MarketLens", "creation"), ("MarketLens", "address")} == found


def test_verify__immutables_that_disagree_with_each_other__fail_in_their_row(
    play: Play, check: Callable[..., Verification]
) -> None:
    """Code that holds another value in one of the places of an immutable is not what a constructor writes."""
    where = play.deployment
    places = abi.artifact("TaskMarket")["immutableReferences"]
    name = next(name for name, found in sorted(places.items()) if len(found) > 1)
    code = bytearray.fromhex(play.anvil.rpc("eth_getCode", where.market, "latest")[2:])
    start = places[name][-1]["start"]
    code[start + 31] ^= 1
    play.anvil.rpc("anvil_setCode", where.market, "0x" + code.hex())

    found = check(where)

    assert {("TaskMarket", name)} == failed(found)
    (row,) = (row for row in found.rows if not row.ok)
    assert row.expected in row.found.split(" and ")


def test_verify__record_of_another_chain__is_refused(play: Play, check: Callable[..., Verification]) -> None:
    """Nothing is compared with a chain that the record is not about."""
    with pytest.raises(WrongChain, match="is chain 31337, expected is chain 5"):
        check(replace(play.deployment, chain_id=5))


# ------------------------------------------------------------------ the command


@pytest.fixture
def command(
    anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Mapping[str, Any]]
) -> list[str]:
    """The command line up to its own flags. The contracts are not compiled once more for each."""
    monkeypatch.setattr(verify, "compile_contracts", lambda root: artifacts)
    monkeypatch.setenv("DLBC_RPC_URL", anvil.url)
    monkeypatch.chdir(tmp_path)
    return ["deploy", "--verify", "--home", str(tmp_path / "home")]


def test_command__record_in_the_home_folder__is_found_and_passes(
    command: list[str], play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without options the chain's own record is verified; people see each contract and the rules that hold."""
    record.write(play.deployment, record.record_file(31337, tmp_path / "home"))
    assert run(command) == 0
    told = capsys.readouterr().out
    source_hash = play.deployment.contract("TaskMarket").source_hash
    for word in (*NAMES, source_hash, "PASS: all", "fee_bps 200", "lock_bps 500", "compiled now"):
        assert word in told
    assert max(map(len, told.splitlines()[: len(NAMES) + 4])) <= 80


def test_command__edited_record__fails_with_code_4(
    command: list[str], play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record edited by hand: exit 4, and the rows in JSON say which argument differs."""
    file = tmp_path / "edited.json"
    record.write(play.deployment, file)
    content = json.loads(file.read_text())
    content["contracts"]["AuditorPool"]["arguments"]["params"]["lockBps"] = 9
    file.write_text(json.dumps(content))

    assert run([*command, "--deployment", str(file), "--json"]) == 4

    told = json.loads(capsys.readouterr().out)
    assert told["verification"] == "fail"
    wrong = {(row["contract"], row["check"]) for row in told["checks"] if not row["ok"]}
    assert wrong == {("AuditorPool", "arguments"), ("AuditorPool", "creation"), ("AuditorPool", "LOCK_BPS")}
    assert run([*command, "--deployment", str(file)]) == 4
    told_people = capsys.readouterr().out
    assert "✗ AuditorPool, LOCK_BPS: expected 9\n  found 500" in told_people
    assert "FAIL: 3 of" in told_people


def test_command__market_named__needs_no_record(
    command: list[str], play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    """--market verifies what an address leads to, and says what it could not compare."""
    assert run([*command, "--market", play.deployment.market]) == 0
    told = capsys.readouterr().out
    assert "not compared: the creating transactions" in told
    assert run([*command, "--market", account(5).address]) == 4


def test_command__outside_a_checkout__compares_with_the_package(
    command: list[str], play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without contracts/ the artifacts that the wheel carries are the reference, and the output says so."""

    def no_checkout() -> Path:
        raise Usage("no checkout")

    monkeypatch.setattr(compiler, "checkout_root", no_checkout)
    monkeypatch.setattr(verify, "checkout_root", no_checkout)
    assert run([*command, "--market", play.deployment.market, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["comparedWith"], told["verification"]) == ("wheel", "pass")


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (["--params", "x.toml"], 2, "takes neither --params nor --output"),
        (["--deployment", "x.json", "--market", "0x0"], 2, "not both"),
        (["--deployment", "x.json"], 2, "can't be read"),
        (["--market", "0x12"], 2, "--market"),
        ([], 2, "no market address is configured"),
    ],
)
def test_command__wrong_flags__one_line(
    command: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], code: int, expected: str
) -> None:
    """Flags that contradict each other, and files that are not there, end the command with what to change."""
    assert run([*command, *flags]) == code
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1


def test_command__damaged_record__is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no record is told from one that fails (exit 1)."""
    (tmp_path / "bad.json").write_text('{"contracts": {"TaskMarket": {}}}')
    assert run([*command, "--deployment", "bad.json"]) == 1
    assert "is not a deployment file" in capsys.readouterr().err


def test_command__nobody_answers__try_again_later(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No endpoint: exit 3."""
    monkeypatch.setenv("DLBC_RPC_URL", "http://127.0.0.1:1")
    assert run(command) == 3
    assert "does not answer" in capsys.readouterr().err
