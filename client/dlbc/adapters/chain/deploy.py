"""Deploys a market with its ledger, pool and lens. They know each other by addresses computed beforehand."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.outcomes import Mined
from dlbc.adapters.chain.record import Deployed, Deployment
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.adapters.chain.transactions import Sender
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.chain.web3_pool import Web3Pool
from dlbc.core.errors import BadInput, ChainUnreachable, ContractRefused, Usage, VerificationFailed
from dlbc.core.hashing import address_bytes
from dlbc.core.types import ZERO_ADDRESS, Address, Params, PoolParams
from dlbc.ports import Keys

MAX_PARAMS_BYTES = 2**16
MINING_DEADLINE = 180.0
CONTRACTS = ("TaskMarket", "ModelRegistry", "AuditorPool", "MarketLens")
"""In the order of their nonces."""
MADE = {"MarketRules": "TaskMarket", "PoolRules": "AuditorPool"}
"""Contracts that another one's constructor makes, as its first."""
LONGEST_PARAMETER = 2 * 365 * 86_400


def deploy_contracts(
    rpc_url: str,
    keys: Keys,
    params: Params,
    pool_params: PoolParams,
    timeout: float = 20.0,
    mining_deadline: float = MINING_DEADLINE,
) -> Deployment:
    """Deploys TaskMarket, ModelRegistry, AuditorPool and MarketLens from `keys`' account, and reads them back.

    The pool of `params` is replaced by the pool's address. Raises ContractRefused for parameters out of bounds (before
    anything is sent), Refused when the account can't pay, ChainUnreachable, and VerificationFailed when another
    program used the account in between.
    """
    _check_pool_params(params, pool_params)
    chain_id = chain_id_of(rpc_url, timeout)
    rpc = Rpc(rpc_url, timeout)
    try:
        nonce = rpc.quantity("eth_getTransactionCount", [keys.address, "pending"])
    except RpcError as error:
        raise _refused(rpc, error) from error
    market, registry, pool, lens = (contract_address(keys.address, nonce + index) for index in range(len(CONTRACTS)))
    params = dataclasses.replace(params, pool=pool)
    arguments: dict[str, tuple[Any, ...]] = {
        "TaskMarket": (params, registry),
        "ModelRegistry": (market,),
        "AuditorPool": (market, pool_params),
        "MarketLens": (market,),
        "MarketRules": (params,),
        "PoolRules": (market,),
    }
    sender = Sender(rpc, chain_id, keys, mining_deadline)
    mined: dict[str, Mined] = {}
    for name in CONTRACTS:
        mined[name] = sender.send(f"deploy {name}", None, creation_code(name, arguments[name]))
    try:
        chain = Web3Chain(rpc_url, market, lens, timeout=timeout)
        auditors = Web3Pool(chain)
        found = (chain.registry, chain.params(), chain.head()[0], auditors.address, auditors.params())
    except (Usage, VerificationFailed, ContractRefused) as error:
        raise VerificationFailed(_elsewhere(keys.address)) from error
    if found != (registry, params, 0, pool, pool_params):
        raise VerificationFailed(_elsewhere(keys.address))
    addresses = dict(zip(CONTRACTS, (market, registry, pool, lens), strict=True))
    for name, maker in MADE.items():
        addresses[name], mined[name] = made_address(addresses[maker]), mined[maker]
    return Deployment(
        chain_id=chain_id,
        deployer=keys.address,
        block_number=mined[CONTRACTS[0]].block_number,
        gas_used=sum(mined[name].gas_used for name in CONTRACTS),
        contracts=tuple(_deployed(name, addresses[name], arguments[name], mined[name]) for name in addresses),
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


def contract_address(creator: Address, nonce: int) -> Address:
    """Where a contract created by the account's transaction of this nonce will live: keccak of the RLP of both."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if not number or nonce >= 0x80:
        number = bytes([0x80 + len(number)]) + number
    payload = b"\x94" + address_bytes(creator) + number
    digest = keccak(bytes([0xC0 + len(payload)]) + payload)
    return Address(to_checksum_address(digest[-20:]))


def made_address(maker: Address) -> Address:
    """Where the first contract that another contract makes lives: contracts count from 1 (EIP-161)."""
    return contract_address(maker, 1)


def load_params(chain_id: int, file: Path | None = None) -> tuple[Params, PoolParams]:
    """The parameters in `file`, else those shipped for this chain; their pool is not known yet (ZERO_ADDRESS).

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
    of_pool = content.pop("pool", {})
    if not isinstance(of_pool, dict):
        raise BadInput(f"{source}: pool: expected a table [pool] of the pool's parameters, found {str(of_pool)[:60]!r}")
    items = abi.load("TaskMarket").constructor[0]["components"]
    known = [item for item in items if item["type"] != "address"]
    params = Params(**_numbers(source, "", known, content), pool=ZERO_ADDRESS)
    items = abi.load("AuditorPool").constructor[1]["components"]
    return params, PoolParams(**_numbers(source, "pool.", items, of_pool))


def shipped_params(chain_id: int) -> Path:
    """params/<chainId>.toml beside this file (deploy/params links to it). Raises Usage when there is none."""
    file = Path(__file__).parent / "params" / f"{chain_id}.toml"
    if not file.is_file():
        raise Usage(f"no parameters are known for chain {chain_id}; write a file like {file.with_name('31337.toml')}")
    return file


def _numbers(source: Path, table: str, items: list[codec.Item], content: dict[str, Any]) -> dict[str, Any]:
    """One whole number for each member, within its type."""
    known = {codec.snake(item["name"]): int(item["type"].removeprefix("uint")) for item in items}
    for name in content:
        if name not in known:
            raise BadInput(f"{source}: unknown parameter {table + name[:60]!r}; known are {', '.join(known)}")
    for name, bits in known.items():
        if name not in content:
            raise BadInput(f"{source}: {table}{name} is missing; write a whole number for it")
        value = content[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**bits:
            raise BadInput(
                f"{source}: {table}{name}: expected a whole number from 0 to {2**bits - 1}, found {str(value)[:60]!r}"
            )
    return content


def _check_pool_params(params: Params, pool_params: PoolParams) -> None:
    """What the pool's constructor asks for, before the market is paid for: the pool is deployed after it."""
    bounds = {
        "activation_seconds": (params.max_challenge, LONGEST_PARAMETER),
        "unbonding_seconds": (params.max_challenge + 6 * params.vote_seconds, LONGEST_PARAMETER),
        "lock_bps": (1, 10_000),
        "demand_bond_wei": (1, 2**96 - 1),
    }
    for name, (least, most) in bounds.items():
        given = getattr(pool_params, name)
        if not least <= given <= most:
            raise BadInput(f"parameter pool.{name} is {given}, allowed is {least} to {most}; change it")


def _deployed(name: str, address: Address, arguments: tuple[Any, ...], mined: Mined) -> Deployed:
    artifact = abi.artifact(name)
    return Deployed(
        name=name,
        address=address,
        arguments=arguments,
        encoded_arguments=codec.encode(abi.load(name).constructor, arguments),
        tx_hash=mined.tx_hash,
        block_number=mined.block_number,
        compiler=artifact["compiler"],
        settings=artifact["settings"],
        source_hash=artifact["sourceHash"],
    )


def _refused(rpc: Rpc, error: RpcError) -> ChainUnreachable:
    return ChainUnreachable(f"{rpc.name} refused the first request ({error.message[:200]}); use another endpoint")


def _elsewhere(account: Address) -> str:
    return (
        f"the contracts are not where they were expected: another program sent transactions from {account} meanwhile; "
        "deploy again with an account that nothing else uses"
    )
