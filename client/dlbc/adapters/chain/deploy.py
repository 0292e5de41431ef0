"""Deploys a market with its ledger and lens. The contracts know each other by addresses computed beforehand."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.adapters.chain.transactions import Sender
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.core.errors import BadInput, ChainUnreachable, Usage, VerificationFailed
from dlbc.core.hashing import address_bytes
from dlbc.core.types import Address, Params
from dlbc.ports import Keys

MAX_PARAMS_BYTES = 2**16
MINING_DEADLINE = 180.0
CONTRACTS = ("TaskMarket", "ModelRegistry", "MarketLens")
"""In the order of their nonces."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a market lives."""

    chain_id: int
    market: Address
    registry: Address
    lens: Address
    block_number: int  # of the first of the three transactions; logs start here
    deployer: Address
    gas_used: int  # by the three transactions
    params: Params


def deploy_contracts(
    rpc_url: str, keys: Keys, params: Params, timeout: float = 20.0, mining_deadline: float = MINING_DEADLINE
) -> Deployment:
    """Deploys TaskMarket, ModelRegistry and MarketLens from `keys`' account, and reads them back.

    Raises ContractRefused for parameters out of bounds (before anything is sent), Refused when the account can't
    pay, ChainUnreachable, and VerificationFailed when another program used the account in between.
    """
    chain_id = chain_id_of(rpc_url, timeout)
    rpc = Rpc(rpc_url, timeout)
    try:
        nonce = rpc.quantity("eth_getTransactionCount", [keys.address, "pending"])
    except RpcError as error:
        raise _refused(rpc, error) from error
    market, registry, lens = (contract_address(keys.address, nonce + index) for index in range(len(CONTRACTS)))
    sender = Sender(rpc, chain_id, keys, mining_deadline)
    arguments: tuple[tuple[Any, ...], ...] = ((params, registry), (market,), (market,))
    mined = [
        sender.send(f"deploy {name}", None, creation_code(name, values))
        for name, values in zip(CONTRACTS, arguments, strict=True)
    ]
    try:
        chain = Web3Chain(rpc_url, market, lens, timeout=timeout)
        found = (chain.registry, chain.params(), chain.head()[0])
    except (Usage, VerificationFailed) as error:
        raise VerificationFailed(_elsewhere(keys.address)) from error
    if found != (registry, params, 0):
        raise VerificationFailed(_elsewhere(keys.address))
    return Deployment(
        chain_id=chain_id,
        market=market,
        registry=registry,
        lens=lens,
        block_number=mined[0].block_number,
        deployer=keys.address,
        gas_used=sum(transaction.gas_used for transaction in mined),
        params=params,
    )


def chain_id_of(rpc_url: str, timeout: float = 20.0) -> int:
    """The id of the chain an endpoint serves. Raises Usage, ChainUnreachable."""
    rpc = Rpc(rpc_url, timeout)
    try:
        return rpc.quantity("eth_chainId", [])
    except RpcError as error:
        raise _refused(rpc, error) from error


def creation_code(name: str, arguments: tuple[Any, ...]) -> bytes:
    """What a deploying transaction carries: bytecode, then the constructor's arguments."""
    contract = abi.load(name)
    return contract.bytecode + codec.encode(contract.constructor, arguments)


def contract_address(deployer: Address, nonce: int) -> Address:
    """Where a contract created by the account's transaction of this nonce will live: keccak of the RLP of both."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if not number or nonce >= 0x80:
        number = bytes([0x80 + len(number)]) + number
    payload = b"\x94" + address_bytes(deployer) + number
    digest = keccak(bytes([0xC0 + len(payload)]) + payload)
    return Address(to_checksum_address(digest[-20:]))


def load_params(chain_id: int, fee_receiver: Address, file: Path | None = None) -> Params:
    """The parameters in `file`, else those shipped for this chain; `fee_receiver` unless the file names one.

    Raises Usage when there are none for this chain, BadInput for a malformed file.
    """
    source = file or shipped_params(chain_id)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise Usage(f"parameter file {source} can't be read: {error.strerror}") from error
    if len(data) > MAX_PARAMS_BYTES:
        raise BadInput(f"{source}: a parameter file has at most {MAX_PARAMS_BYTES} bytes, found {len(data)}")
    try:
        content = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{source} is not valid TOML: {error}") from error
    known = [field.name for field in fields(Params)]
    for name in content:
        if name not in known:
            raise BadInput(f"{source}: unknown parameter {name[:60]!r}; known are {', '.join(known)}")
    values: dict[str, Any] = {"fee_receiver": fee_receiver} | content
    for name in known:
        if name not in values:
            raise BadInput(f"{source}: parameter {name} is missing")
        value = values[name]
        if name == "fee_receiver":
            values[name] = _fee_receiver(source, value)
        elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
            raise BadInput(
                f"{source}: {name}: expected a whole number from 0 to {2**32 - 1}, found {str(value)[:60]!r}"
            )
    for name in ("fee_bps", "max_royalty_bps"):
        if values[name] >= 2**16:
            raise BadInput(f"{source}: {name}: expected at most {2**16 - 1}, found {values[name]}")
    return Params(**values)


def shipped_params(chain_id: int) -> Path:
    """params/<chainId>.toml beside this file (deploy/params links to it). Raises Usage when there is none."""
    file = Path(__file__).parent / "params" / f"{chain_id}.toml"
    if not file.is_file():
        raise Usage(f"no parameters are known for chain {chain_id}; write a file like {file.with_name('31337.toml')}")
    return file


def deployment_to_json(deployment: Deployment) -> dict[str, Any]:
    """The content of deploy/deployments/<chainId>.json."""
    return asdict(deployment)


def write_deployment(deployment: Deployment, file: Path) -> None:
    """Writes the deployment as JSON, whole or not at all. Raises Usage when the file can't be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.draft")
        draft.write_text(json.dumps(deployment_to_json(deployment), indent=2) + "\n")
        draft.replace(file)
    except OSError as error:
        raise Usage(f"{file} can't be written: {error.strerror}") from error


def _refused(rpc: Rpc, error: RpcError) -> ChainUnreachable:
    return ChainUnreachable(f"{rpc.name} refused the first request ({error.message[:200]}); use another endpoint")


def _fee_receiver(source: Path, value: object) -> Address:
    try:
        address_bytes(str(value))
    except BadInput as error:
        raise BadInput(f"{source}: fee_receiver: {error}") from error
    return Address(to_checksum_address(str(value)))


def _elsewhere(account: Address) -> str:
    return (
        f"the contracts are not where they were expected: another program sent transactions from {account} meanwhile; "
        "deploy again with an account that nothing else uses"
    )
