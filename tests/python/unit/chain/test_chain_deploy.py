"""Parameters, addresses and files of a deployment, without a chain."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from dlbc.adapters.chain.deploy import Deployment, contract_address, load_params, write_deployment
from dlbc.core.errors import BadInput, Usage
from dlbc.core.types import Address

pytestmark = pytest.mark.unit

DEPLOYER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


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
    params = load_params(31337, OTHER)
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
    assert params.fee_receiver == OTHER


def test_load_params__file_names_a_receiver__it_wins(tmp_path: Path) -> None:
    """A fee receiver in the file beats the default one, and gets its checksum."""
    file = _file(tmp_path, fee_receiver=OTHER.lower())
    assert load_params(1, DEPLOYER, file).fee_receiver == OTHER


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fee_bps": -1}, "fee_bps: expected a whole number"),
        ({"fee_bps": 70_000}, "fee_bps: expected at most 65535, found 70000"),
        ({"min_window": "1h"}, "min_window: expected a whole number from 0 to 4294967295, found '1h'"),
        ({"aging_seconds": True}, "aging_seconds: expected a whole number"),
        ({"fee_receiver": "0x12"}, "fee_receiver: expected an address"),
        ({"weigth_data": 1}, "unknown parameter 'weigth_data'"),
        ({"fee_bps": None}, "parameter fee_bps is missing"),
    ],
)
def test_load_params__malformed__says_what_was_expected(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    """Each malformed parameter is named with what was expected and found."""
    with pytest.raises(BadInput) as caught:
        load_params(1, DEPLOYER, _file(tmp_path, **change))
    assert expected in str(caught.value)


def test_load_params__no_such_file_or_chain__is_a_usage_error(tmp_path: Path) -> None:
    """A missing file, and a chain without parameters, are told apart from malformed ones."""
    with pytest.raises(Usage, match="can't be read"):
        load_params(1, DEPLOYER, tmp_path / "none.toml")
    with pytest.raises(Usage, match="no parameters are known for chain 5; write a file like"):
        load_params(5, DEPLOYER)
    broken = tmp_path / "broken.toml"
    broken.write_text("fee_bps = ")
    with pytest.raises(BadInput, match="is not valid TOML"):
        load_params(1, DEPLOYER, broken)


def test_write_deployment__new_folder__holds_everything(tmp_path: Path) -> None:
    """The file is JSON with the addresses and parameters; a file in a folder's place is a usage error."""
    params = load_params(31337, OTHER)
    deployment = Deployment(31337, DEPLOYER, OTHER, OTHER, 7, DEPLOYER, 8_000_000, params)
    file = tmp_path / "deployments" / "31337.json"
    write_deployment(deployment, file)
    assert asdict(deployment) == json.loads(file.read_text())
    assert [file] == list(file.parent.iterdir())
    with pytest.raises(Usage, match="can't be written"):
        write_deployment(deployment, file / "31337.json")


def _file(folder: Path, **change: object) -> Path:
    """A parameter file with some lines changed, or left out (None)."""
    values = {key: value for key, value in asdict(load_params(31337, OTHER)).items() if key != "fee_receiver"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (values | change).items() if value is not None]
    file = folder / "params.toml"
    file.write_text("\n".join(lines))
    return file
