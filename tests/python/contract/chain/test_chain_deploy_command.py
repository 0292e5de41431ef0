"""`dlbc deploy` on a real chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anvil_node import PRIVATE_KEYS, ROOT, Anvil
from dlbc.adapters.chain import abi, record
from dlbc.adapters.chain.compile import SETTINGS, SOLC_VERSION
from dlbc.adapters.chain.deploy import CONTRACTS, MADE, shipped_params
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.chain.web3_pool import Web3Pool
from dlbc.adapters.keys import create_keystore
from dlbc.cli.main import run
from play import account

pytestmark = pytest.mark.contract

UNBOUND = shipped_params(31337).read_text().replace("unbonding_seconds = 86400", "unbonding_seconds = 32399")


@pytest.fixture
def command_line(anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A home with one account, and an environment that names the node."""
    home = tmp_path / "home"
    create_keystore("deployer", home, "secret", bytes.fromhex(PRIVATE_KEYS[0][2:]), quick=True)
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("DLBC_RPC_URL", anvil.url)
    monkeypatch.setenv("DLBC_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.chdir(tmp_path)
    return ["deploy", "--home", str(home), "--account", "deployer"]


def test_deploy__json_and_output_file__name_a_working_market(
    command_line: list[str], anvil: Anvil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output and the file agree, and the contracts there have the parameters and each other's addresses."""
    file = tmp_path / "deployments" / "31337.json"
    assert run([*command_line, "--output", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(file.read_text())
    where = {name: contract["address"] for name, contract in told["contracts"].items()}
    chain = Web3Chain(anvil.url, where["TaskMarket"], where["MarketLens"], None, told["blockNumber"], told["chainId"])
    pool = Web3Pool(chain)
    assert (where["ModelRegistry"], where["AuditorPool"], 200) == (chain.registry, pool.address, chain.params().fee_bps)
    arguments = told["contracts"]["AuditorPool"]["arguments"]
    assert {"market": chain.market, "params": {"activationSeconds": 21600, "unbondingSeconds": 86400}} == {
        "market": arguments["market"],
        "params": {key: arguments["params"][key] for key in ("activationSeconds", "unbondingSeconds")},
    }
    assert (pool.params().activation_seconds, pool.params().lock_bps) == (21600, 500)
    assert chain.ranked_tasks() == []
    assert run([*command_line, "--output", str(file), "--json"]) == 2  # a record is never replaced
    assert told == json.loads(file.read_text())


def test_deploy__record__says_how_every_contract_was_made(
    command_line: list[str], anvil: Anvil, tmp_path: Path
) -> None:
    """Address, arguments readable and encoded, transaction, block, compiler, settings and source hash of each."""
    file = tmp_path / "31337.json"
    assert run([*command_line, "--output", str(file), "--json"]) == 0
    for name, contract in json.loads(file.read_text())["contracts"].items():
        receipt = anvil.rpc("eth_getTransactionReceipt", contract["transactionHash"])
        assert int(receipt["blockNumber"], 16) == contract["blockNumber"]
        if name not in MADE:
            assert receipt["contractAddress"].lower() == contract["address"].lower()
            data = anvil.rpc("eth_getTransactionByHash", contract["transactionHash"])["input"]
            assert data == abi.artifact(name)["bytecode"] + contract["encodedArguments"][2:]
        assert anvil.rpc("eth_getCode", contract["address"], "latest") != "0x"
        assert (contract["compiler"], contract["settings"]) == (SOLC_VERSION, SETTINGS)
        assert contract["sourceHash"] == abi.artifact(name)["sourceHash"]
    assert record.read(file, (*CONTRACTS, *MADE)).chain_id == 31337


def test_deploy__local_chain__is_recorded_at_home_and_never_in_the_checkout(
    command_line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A local chain's record is found by --verify, may be overwritten, and does not get into the repository."""
    for _ in range(2):
        assert run(command_line) == 0
    told = capsys.readouterr().out
    for word in ('market = "0x', 'lens = "0x', "deployment_block = ", "pool", str(tmp_path / "home")):
        assert word in told
    assert (tmp_path / "home" / "deployments" / "31337.json").is_file()
    assert not (ROOT / "deploy" / "deployments" / "31337.json").exists()


def test_deploy__public_chain__is_recorded_in_the_checkout_and_never_twice(
    command_line: list[str], anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another chain's record goes to deploy/deployments; a second deployment is refused before anything is sent."""
    monkeypatch.setattr(record, "checkout_root", lambda: tmp_path)
    params = ROOT / "deploy" / "params" / "31337.toml"
    with Anvil("--hardfork", "prague", "--chain-id", "5") as node:
        monkeypatch.setenv("DLBC_RPC_URL", node.url)
        assert run([*command_line, "--params", str(params)]) == 0
        assert (tmp_path / "deploy" / "deployments" / "5.json").is_file()
        sent = node.rpc("eth_getTransactionCount", account(0).address, "pending")
        assert run([*command_line, "--params", str(params)]) == 2
        assert sent == node.rpc("eth_getTransactionCount", account(0).address, "pending")


@pytest.mark.parametrize(
    ("content", "flags", "code", "expected"),
    [
        ("fee_bps = 1", [], 1, "max_royalty_bps is missing"),
        (UNBOUND, [], 1, "parameter pool.unbonding_seconds is 32399, allowed is 32400 to 63072000"),
        (None, ["--params", "missing.toml"], 2, "can't be read"),
    ],
)
def test_deploy__bad_parameters__one_line_and_nothing_sent(
    command_line: list[str],
    anvil: Anvil,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    flags: list[str],
    code: int,
    expected: str,
) -> None:
    """Malformed parameters end the command before anything is sent."""
    if content is not None:
        (tmp_path / "params.toml").write_text(content)
        flags = ["--params", "params.toml"]
    before = anvil.rpc("eth_getTransactionCount", account(0).address, "pending")
    assert run([*command_line, *flags]) == code
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1
    assert before == anvil.rpc("eth_getTransactionCount", account(0).address, "pending")
