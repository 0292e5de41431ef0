"""What is kept of a deployment: every contract with all that is needed to verify it. One JSON file for each chain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.compile import checkout_root
from dlbc.core.errors import BadInput, Usage
from dlbc.core.hashing import address_bytes
from dlbc.core.types import Address, Hash32, Params, PoolParams

MAX_BYTES = 2**20
LOCAL_CHAIN_ID = 31337


@dataclass(frozen=True, slots=True)
class Deployed:
    """One contract on the chain."""

    name: str
    address: Address
    arguments: tuple[Any, ...]  # of the constructor, as our values
    encoded_arguments: bytes
    tx_hash: Hash32
    block_number: int
    compiler: str
    settings: Mapping[str, Any]
    source_hash: str  # of all sources it was compiled with


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a market lives: TaskMarket, ModelRegistry, AuditorPool, MarketLens, and the rules that two of them made."""

    chain_id: int
    deployer: Address
    block_number: int  # of the first transaction; logs start here
    gas_used: int  # by all transactions
    contracts: tuple[Deployed, ...]

    def contract(self, name: str) -> Deployed:
        """One contract by its name."""
        return next(deployed for deployed in self.contracts if deployed.name == name)

    @property
    def market(self) -> Address:
        return self.contract("TaskMarket").address

    @property
    def registry(self) -> Address:
        return self.contract("ModelRegistry").address

    @property
    def pool(self) -> Address:
        return self.contract("AuditorPool").address

    @property
    def lens(self) -> Address:
        return self.contract("MarketLens").address

    @property
    def params(self) -> Params:
        params: Params = self.contract("TaskMarket").arguments[0]
        return params

    @property
    def pool_params(self) -> PoolParams:
        params: PoolParams = self.contract("AuditorPool").arguments[1]
        return params


def record_file(chain_id: int, home: Path) -> Path:
    """Where `dlbc deploy` writes: deploy/deployments of the checkout, else the home folder. A local chain is nobody
    else's business, so it never goes into the checkout.
    """
    if chain_id != LOCAL_CHAIN_ID:
        try:
            return checkout_root() / "deploy" / "deployments" / f"{chain_id}.json"
        except Usage:
            pass  # the wheel is installed, there is no checkout
    return home / "deployments" / f"{chain_id}.json"


def to_json(deployment: Deployment) -> dict[str, Any]:
    """The file's content."""
    return {
        "chainId": deployment.chain_id,
        "deployer": deployment.deployer,
        "blockNumber": deployment.block_number,
        "gasUsed": deployment.gas_used,
        "contracts": {
            deployed.name: {
                "address": deployed.address,
                "arguments": _readable(abi.load(deployed.name).constructor, deployed.arguments),
                "encodedArguments": "0x" + deployed.encoded_arguments.hex(),
                "transactionHash": "0x" + deployed.tx_hash.hex(),
                "blockNumber": deployed.block_number,
                "compiler": deployed.compiler,
                "settings": deployed.settings,
                "sourceHash": deployed.source_hash,
            }
            for deployed in deployment.contracts
        },
    }


def write(deployment: Deployment, file: Path) -> None:
    """Whole or not at all. Raises Usage when the file can't be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.draft")
        draft.write_text(json.dumps(to_json(deployment), indent=2) + "\n")
        draft.replace(file)
    except OSError as error:
        raise Usage(f"{file} can't be written: {error.strerror}") from error


def read(file: Path, names: Sequence[str]) -> Deployment:
    """The deployment in a file that names exactly these contracts. Raises Usage, BadInput."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise Usage(f"deployment file {file} can't be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"{file}: a deployment file has at most {MAX_BYTES} bytes, found more")
    try:
        content = json.loads(data)
        contracts = content["contracts"]
        if sorted(contracts) != sorted(names):
            raise ValueError(f"contracts are {', '.join(contracts)}, expected {', '.join(names)}")
        return Deployment(
            chain_id=_number(content["chainId"]),
            deployer=_address(content["deployer"]),
            block_number=_number(content["blockNumber"]),
            gas_used=_number(content["gasUsed"]),
            contracts=tuple(_deployed(name, contracts[name]) for name in names),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput) as error:
        raise BadInput(
            f"{file} is not a deployment file as `dlbc deploy` writes it ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _deployed(name: str, content: Mapping[str, Any]) -> Deployed:
    return Deployed(
        name=name,
        address=_address(content["address"]),
        arguments=_values(abi.load(name).constructor, content["arguments"]),
        encoded_arguments=_bytes(content["encodedArguments"]),
        tx_hash=Hash32(_bytes(content["transactionHash"])),
        block_number=_number(content["blockNumber"]),
        compiler=str(content["compiler"]),
        settings=dict(content["settings"]),
        source_hash=str(content["sourceHash"]),
    )


def _readable(items: Sequence[codec.Item], values: Sequence[Any]) -> dict[str, Any]:
    """Constructor arguments by their names in the contract; structs as objects."""
    found: dict[str, Any] = {}
    for item, value in zip(items, values, strict=True):
        parts = item.get("components")
        inner = parts and _readable(parts, [getattr(value, codec.snake(part["name"])) for part in parts])
        found[_name(item)] = inner or value
    return found


def _values(items: Sequence[codec.Item], content: Mapping[str, Any]) -> tuple[Any, ...]:
    """The inverse of _readable: numbers, addresses and structs of them."""
    if sorted(content) != sorted(map(_name, items)):
        raise ValueError(f"arguments are {', '.join(content)}, expected {', '.join(map(_name, items))}")
    values = []
    for item in items:
        given = content[_name(item)]
        if parts := item.get("components"):
            values.append(codec.struct(item, _values(parts, given)))
        else:
            values.append(_address(given) if item["type"] == "address" else _number(given))
    return tuple(values)


def _name(item: codec.Item) -> str:
    return str(item["name"]).rstrip("_")


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**256:
        raise ValueError(f"expected a whole number, found {str(value)[:60]!r}")
    return value


def _address(value: object) -> Address:
    return codec.address(address_bytes(str(value)))


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"expected hexadecimal bytes, found {str(value)[:60]!r}")
    return bytes.fromhex(value[2:])
