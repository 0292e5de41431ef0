"""Parameters, addresses and files of a deployment, without a chain."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from dlbc.adapters.chain import abi, codec, record
from dlbc.adapters.chain.deploy import contract_address, load_params
from dlbc.adapters.chain.record import Deployed, Deployment
from dlbc.adapters.chain.verify import NAMES, known_immutables
from dlbc.core.errors import BadInput, Usage
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, PoolParams, Wei

pytestmark = pytest.mark.unit

DEPLOYER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
WORD = Hash32(bytes(range(32)))


@pytest.mark.parametrize(
    ("nonce", "expected"),
    [
        (0, "0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        (1, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
        (127, "0x5fc748f1FEb28d7b76fa1c6B07D8ba2d5535177c"),
        (128, "0xB82008565FdC7e44609fA118A4a681E92581e680"),
        (256, "0x3C1Cb427D20F15563aDa8C249E71db76d7183B6c"),
    ],
)
def test_contract_address__nonces_of_every_length__are_known_addresses(nonce: int, expected: str) -> None:
    """keccak(rlp([sender, nonce])) for one-byte, two-byte and empty nonces, as an independent RLP gives it."""
    assert expected == contract_address(DEPLOYER, nonce)


def test_load_params__local_chain__has_the_defaults_of_the_protocol() -> None:
    """deploy/params/31337.toml holds the defaults of docs/protocol.md, section 12."""
    params, pool = load_params(31337)
    assert (
        params.fee_bps,
        params.max_royalty_bps,
        params.min_window,
        params.max_window,
        params.finality_gap,
        params.aging_seconds,
    ) == (200, 2000, 1, 90 * 86400, 0, 86400)
    weights = (params.weight_complexity, params.weight_network, params.weight_data, params.weight_queue)
    assert weights == (500_000, 200_000, 200_000, 100_000)
    assert (params.max_challenge, params.vote_seconds, params.pool) == (21_600, 1_800, ZERO_ADDRESS)
    assert PoolParams(21_600, 86_400, 500, Wei(5 * 10**15)) == pool


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fee_bps": -1}, ": fee_bps: expected a whole number from 0 to 65535, found '-1'"),
        ({"fee_bps": 70_000}, ": fee_bps: expected a whole number from 0 to 65535, found '70000'"),
        ({"min_window": "1h"}, ": min_window: expected a whole number from 0 to 4294967295, found '1h'"),
        ({"aging_seconds": True}, ": aging_seconds: expected a whole number"),
        ({"weigth_data": 1}, ": unknown parameter 'weigth_data'"),
        ({"fee_bps": None}, ": fee_bps is missing"),
        ({"pool": "0x12"}, ": pool: expected a table [pool]"),
        ({"pool.lock_bps": None}, ": pool.lock_bps is missing"),
        ({"pool.lock_bps": "1"}, ": pool.lock_bps: expected a whole number from 0 to 65535, found '1'"),
        ({"pool.demand_bond_wei": 2**96}, ": pool.demand_bond_wei: expected a whole number from 0 to"),
        ({"pool.fee_bps": 1}, ": unknown parameter 'pool.fee_bps'; known are activation_seconds"),
    ],
)
def test_load_params__malformed__says_what_was_expected(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    """Each malformed parameter is named with what was expected and found."""
    with pytest.raises(BadInput) as caught:
        load_params(1, _file(tmp_path, **change))
    assert expected in str(caught.value)


def test_load_params__no_such_file_or_chain__is_a_usage_error(tmp_path: Path) -> None:
    """A missing file, and a chain without parameters, are told apart from malformed ones."""
    with pytest.raises(Usage, match="can't be read"):
        load_params(1, tmp_path / "none.toml")
    with pytest.raises(Usage, match="no parameters are known for chain 5; write a file like"):
        load_params(5)
    broken = tmp_path / "broken.toml"
    broken.write_text("fee_bps = ")
    with pytest.raises(BadInput, match="is not valid TOML"):
        load_params(1, broken)


# ------------------------------------------------------------------ the record


def test_record__written_and_read__is_the_same(tmp_path: Path) -> None:
    """The file holds everything; arguments are readable by their names in the contracts."""
    file = tmp_path / "deployments" / "31337.json"
    deployment = _deployment()
    record.write(deployment, file)
    assert deployment == record.read(file, NAMES)
    assert [file] == list(file.parent.iterdir())
    told = json.loads(file.read_text())["contracts"]["TaskMarket"]["arguments"]
    assert (told["registry"], told["params"]["feeBps"], told["params"]["pool"]) == (OTHER, 200, OTHER)
    with pytest.raises(Usage, match="can't be written"):
        record.write(deployment, file / "31337.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("chainId", "31337"),
        ("chainId", True),
        ("blockNumber", -1),
        ("contracts", {}),
        ("contracts", None),
        ("contracts.MarketLens", None),
        ("contracts.MarketLens.address", "0x12"),
        ("contracts.MarketLens.transactionHash", "12"),
        ("contracts.MarketLens.encodedArguments", "0xzz"),
        ("contracts.MarketLens.settings", 5),
        ("contracts.MarketLens.arguments", {"market": OTHER, "more": 1}),
        ("contracts.TaskMarket.arguments.params.feeBps", 0.5),
        ("contracts.TaskMarket.arguments.params", {"feeBps": 1}),
        ("contracts.Other", {}),
    ],
)
def test_record__malformed__is_refused(tmp_path: Path, path: str, value: object) -> None:
    """A file that somebody damaged or made up is one sentence, whatever is wrong with it."""
    file = tmp_path / "31337.json"
    content = record.to_json(_deployment())
    *parents, last = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    file.write_text(json.dumps(content, default=str))
    with pytest.raises(BadInput, match="is not a deployment file as `dlbc deploy` writes it"):
        record.read(file, NAMES)


def test_record__no_json_too_long_or_missing__is_refused(tmp_path: Path) -> None:
    """What is no record at all is told apart from a missing file."""
    file = tmp_path / "31337.json"
    file.write_text("[" * 100_000)
    with pytest.raises(BadInput, match="is not a deployment file"):
        record.read(file, NAMES)
    file.write_bytes(b" " * (record.MAX_BYTES + 1))
    with pytest.raises(BadInput, match="at most"):
        record.read(file, NAMES)
    with pytest.raises(Usage, match="can't be read"):
        record.read(tmp_path / "none.json", NAMES)


def test_record_file__local_or_wheel__is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public chain's record belongs to the checkout, if there is one; a local chain's never does."""
    home, root = tmp_path / "home", tmp_path / "checkout"
    monkeypatch.setattr(record, "checkout_root", lambda: root)
    assert record.record_file(31337, home) == home / "deployments" / "31337.json"
    assert record.record_file(11155111, home) == root / "deploy" / "deployments" / "11155111.json"

    def no_checkout() -> Path:
        raise Usage("no checkout")

    monkeypatch.setattr(record, "checkout_root", no_checkout)
    assert record.record_file(11155111, home) == home / "deployments" / "11155111.json"


# ------------------------------------------------------------------ what is verified


def test_immutables__of_every_contract__have_a_known_value() -> None:
    """No shipped contract has an immutable that `dlbc deploy --verify` could not hold against something."""
    addresses = dict.fromkeys(NAMES, OTHER)
    params, pool = load_params(31337)
    known = {*known_immutables(1, addresses, params, pool), "rules"}
    for name in NAMES:
        assert {codec.snake(immutable) for immutable in abi.artifact(name)["immutableReferences"]} <= known, name


def _deployment() -> Deployment:
    params, pool = load_params(31337)
    params = replace(params, pool=OTHER)
    arguments = {
        "TaskMarket": (params, OTHER),
        "MarketRules": (params,),
        "AuditorPool": (DEPLOYER, pool),
    }
    contracts = []
    for name in NAMES:
        given = arguments.get(name, (DEPLOYER,))
        encoded = codec.encode(abi.load(name).constructor, given)
        contracts.append(Deployed(name, OTHER, given, encoded, WORD, 7, "0.8.37", {"evmVersion": "cancun"}, "0x12"))
    return Deployment(31337, DEPLOYER, 7, 8_000_000, tuple(contracts))


def _file(folder: Path, **change: object) -> Path:
    """A parameter file with some lines changed, or left out (None); the pool's after a dot."""
    params, pool = load_params(31337)
    values: dict[str, object] = {key: value for key, value in asdict(params).items() if key != "pool"}
    if "pool" not in change:
        values |= {f"pool.{key}": value for key, value in asdict(pool).items()}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (values | change).items() if value is not None]
    file = folder / "params.toml"
    file.write_text("\n".join(lines))
    return file
