"""`dlbc deploy` on a real chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anvil_node import PRIVATE_KEYS, Anvil
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.keys import create_keystore
from dlbc.cli.main import run
from play import TREASURY, account

pytestmark = pytest.mark.contract


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
    """Standard output and the file agree, and the market at that address has the parameters asked for."""
    file = tmp_path / "deployments" / "31337.json"
    treasury = account(TREASURY).address
    assert run([*command_line, "--fee-receiver", treasury, "--output", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(file.read_text())
    chain = Web3Chain(anvil.url, told["market"], told["lens"], None, told["block_number"], told["chain_id"])
    assert (told["registry"], treasury, 200) == (chain.registry, chain.params().fee_receiver, chain.params().fee_bps)
    assert (told["params"]["fee_receiver"], []) == (treasury, chain.ranked_tasks())


def test_deploy__on_a_terminal__says_what_to_put_into_the_configuration(
    command_line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json people get the addresses and the three lines for dlbc.toml."""
    assert run(command_line) == 0
    told = capsys.readouterr().out
    for word in ('market = "0x', 'lens = "0x', "deployment_block = ", f"fee receiver  {account(0).address}"):
        assert word in told


@pytest.mark.parametrize(
    ("content", "flags", "code", "expected"),
    [
        ("fee_bps = 1", [], 1, "parameter max_royalty_bps is missing"),
        (None, ["--fee-receiver", "0x12"], 1, "fee_receiver: expected an address"),
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
