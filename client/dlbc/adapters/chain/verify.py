"""Verifies a deployment: are the contracts on the chain what contracts/ compiles to, and do they belong together?

Three things are compared. The runtime code of every contract, with its immutable variables masked. Every place where
an immutable stands in that code, against what the others and the record say it must be. And, if there is a record,
the whole creating transaction: only our own constructor leaves nothing in storage but what it should.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.compile import checkout_root, compile_contracts
from dlbc.adapters.chain.connection import Connection
from dlbc.adapters.chain.deploy import CONTRACTS, MADE, made_address
from dlbc.adapters.chain.record import Deployment
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core import proofs
from dlbc.core.errors import ContractRefused, Usage, VerificationFailed
from dlbc.core.hashing import Word, h, keccak, words
from dlbc.core.types import ZERO_ADDRESS, Address, Params, PoolParams

NAMES = (*CONTRACTS, *MADE)
_WORD = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    contract: str
    check: str  # "code", "creation", "arguments", "address", or the name of an immutable
    expected: str
    found: str

    @property
    def ok(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was compared, and with what."""

    chain_id: int
    addresses: Mapping[str, Address]
    is_compiled_here: bool  # else the wheel's artifacts were taken
    source_hash: str  # of the sources that were compared against
    recorded_source_hash: str  # "" without a record
    compiler: str
    settings: Mapping[str, Any]
    params: Params | None  # None: the market does not even answer
    pool_params: PoolParams | None
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]  # what could not be compared, one sentence each

    @property
    def passed(self) -> bool:
        return all(row.ok for row in self.rows)


def reference_artifacts() -> tuple[dict[str, Mapping[str, Any]], bool]:
    """What the contracts should be: freshly compiled in a checkout (True), else as the wheel carries it (False)."""
    try:
        root = checkout_root()
    except Usage:
        return {name: abi.artifact(name) for name in NAMES}, False
    compiled = compile_contracts(root)
    return {name: compiled[name] for name in NAMES}, True


def verify_record(
    rpc_url: str, record: Deployment, artifacts: Mapping[str, Mapping[str, Any]], is_compiled_here: bool
) -> Verification:
    """Compares the chain with a recorded deployment. Raises Usage for a record of another chain, ChainUnreachable."""
    chain = _chain(rpc_url, record.chain_id)
    addresses = {deployed.name: deployed.address for deployed in record.contracts}
    rows = [*_record_rows(chain, record, artifacts)]
    rows += _state_rows(chain, addresses, artifacts, record.params, record.pool_params)
    return _verification(
        chain, addresses, artifacts, is_compiled_here, record.params, record.pool_params, rows, record=record
    )


def verify_market(
    rpc_url: str,
    market: Address,
    lens: Address | None,
    expected_chain_id: int | None,
    artifacts: Mapping[str, Mapping[str, Any]],
    is_compiled_here: bool,
) -> Verification:
    """Compares a market and whatever it names, without a record. Raises Usage, ChainUnreachable."""
    chain = _chain(rpc_url, expected_chain_id)
    addresses = {"TaskMarket": market, "MarketRules": made_address(market)}
    params: Params | None = None
    pool_params: PoolParams | None = None
    registry = _answer(chain, "TaskMarket", market, "registry")
    addresses["ModelRegistry"] = registry or ZERO_ADDRESS
    params = _answer(chain, "MarketRules", addresses["MarketRules"], "params")
    addresses["AuditorPool"] = params.pool if params else ZERO_ADDRESS
    addresses["PoolRules"] = made_address(addresses["AuditorPool"])
    pool_params = _answer(chain, "AuditorPool", addresses["AuditorPool"], "poolParams")
    if lens:
        addresses["MarketLens"] = lens
    rows = _state_rows(chain, addresses, artifacts, params, pool_params)
    return _verification(chain, addresses, artifacts, is_compiled_here, params, pool_params, rows)


# ------------------------------------------------------------------ what is compared


def _record_rows(chain: Connection, record: Deployment, artifacts: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """That the record agrees with itself, and with the transactions it names."""
    for deployed in record.contracts:
        contract = abi.parse(artifacts[deployed.name])
        encoded = codec.encode(contract.constructor, deployed.arguments)
        yield Row(deployed.name, "arguments", _hash(encoded), _hash(deployed.encoded_arguments))
        maker = MADE.get(deployed.name)
        if maker:
            yield Row(deployed.name, "address", made_address(record.contract(maker).address), deployed.address)
            continue
        created = _hash(contract.bytecode + encoded)
        tx_hash = "0x" + deployed.tx_hash.hex()
        transaction = _record_of(chain, "eth_getTransactionByHash", tx_hash)
        receipt = _record_of(chain, "eth_getTransactionReceipt", tx_hash)
        if transaction is None or receipt is None:
            yield Row(deployed.name, "creation", created, f"no transaction {tx_hash}")
            continue
        data = chain.rpc.as_data("eth_getTransactionByHash", transaction.get("input"))
        yield Row(deployed.name, "creation", created, _hash(data) if transaction.get("to") is None else "a call")
        made = str(receipt.get("contractAddress"))
        yield Row(deployed.name, "address", deployed.address, _checksummed(made))
        block = chain.rpc.as_quantity("eth_getTransactionReceipt", receipt.get("blockNumber"))
        yield Row(deployed.name, "block", str(deployed.block_number), str(block))


def _state_rows(
    chain: Connection,
    addresses: Mapping[str, Address],
    artifacts: Mapping[str, Mapping[str, Any]],
    params: Params | None,
    pool_params: PoolParams | None,
) -> list[Row]:
    """Code, and immutables where the code is long enough to hold them."""
    rows = []
    known = known_immutables(chain.chain_id, addresses, params, pool_params)
    rules = {maker: addresses[name] for name, maker in MADE.items()}
    for name, address in addresses.items():
        artifact = artifacts[name]
        expected = bytes.fromhex(artifact["deployedBytecode"][2:])
        code = _code(chain, address)
        places = artifact["immutableReferences"]
        found = _hash(_masked(code, places)) if code else f"no contract at {address}"
        rows.append(Row(name, "code", _hash(_masked(expected, places)), found))
        if len(code) == len(expected):
            rows += _immutable_rows(name, code, places, known | {"rules": rules.get(name)})
    return rows


def _immutable_rows(
    name: str, code: bytes, places: Mapping[str, Any], known: Mapping[str, Word | None]
) -> Iterator[Row]:
    """One row for each immutable: every place that holds it has the same, expected value."""
    for immutable in sorted(places):
        expected = known.get(codec.snake(immutable))
        values = sorted({code[place["start"] :][: place["length"]] for place in places[immutable]})
        shown = " and ".join(_shown(value, expected) for value in values)
        yield Row(name, immutable, "nothing known" if expected is None else _shown(words(expected), expected), shown)


def known_immutables(
    chain_id: int, addresses: Mapping[str, Address], params: Params | None, pool_params: PoolParams | None
) -> dict[str, Word | None]:
    """What each immutable must be, by its name in snake case: contracts name parameters alike. Addresses are those of
    the contracts compared here, whatever the parameters say.
    """
    market, registry = addresses["TaskMarket"], addresses["ModelRegistry"]
    known: dict[str, Word | None] = (asdict(params) if params else {}) | (asdict(pool_params) if pool_params else {})
    return known | {
        "market": market,
        "registry": registry,
        "pool": addresses["AuditorPool"],
        "cached_chain_id": chain_id,
        "cached_domain_separator": proofs.domain_separator(chain_id, market),
        "genesis_hash": h(b"DLBC".ljust(_WORD, b"\0"), chain_id, registry),
    }


def _masked(code: bytes, places: Mapping[str, Any]) -> bytes:
    """The code with zeros where immutables stand."""
    masked = bytearray(code)
    for references in places.values():
        for place in references:
            if place["start"] + place["length"] <= len(masked):
                masked[place["start"] : place["start"] + place["length"]] = bytes(place["length"])
    return bytes(masked)


def _verification(
    chain: Connection,
    addresses: Mapping[str, Address],
    artifacts: Mapping[str, Mapping[str, Any]],
    is_compiled_here: bool,
    params: Params | None,
    pool_params: PoolParams | None,
    rows: list[Row],
    record: Deployment | None = None,
) -> Verification:
    left_out = []
    if "MarketLens" not in addresses:
        left_out.append("the lens: a market does not name one; set lens in dlbc.toml, or give --deployment")
    if record is None:
        left_out.append("the creating transactions: only a record says which they are; give --deployment")
    compared = artifacts["TaskMarket"]
    return Verification(
        chain_id=chain.chain_id,
        addresses=addresses,
        is_compiled_here=is_compiled_here,
        source_hash=compared["sourceHash"],
        recorded_source_hash=record.contract("TaskMarket").source_hash if record else "",
        compiler=compared["compiler"],
        settings=compared["settings"],
        params=params,
        pool_params=pool_params,
        rows=tuple(rows),
        left_out=tuple(left_out),
    )


# ------------------------------------------------------------------ how values are read and shown


def _chain(rpc_url: str, expected_chain_id: int | None) -> Connection:
    return Connection(Rpc(rpc_url), None, {}, 0, expected_chain_id, 0.0)


def _answer(chain: Connection, contract: str, address: Address, name: str) -> Any:
    """What a view says; None if there is nothing that could say it. The rows about its code tell why."""
    try:
        return chain.view(contract, address, name)
    except (ContractRefused, VerificationFailed):
        return None


def _code(chain: Connection, address: Address) -> bytes:
    try:
        return chain.rpc.data("eth_getCode", [address, "latest"])
    except RpcError as error:
        raise chain.refused("eth_getCode", error) from error


def _record_of(chain: Connection, method: str, tx_hash: str) -> Mapping[str, Any] | None:
    try:
        return chain.rpc.record(method, [tx_hash])
    except RpcError as error:
        raise chain.refused(method, error) from error


def _hash(data: bytes) -> str:
    return "0x" + keccak(data).hex()


def _checksummed(address: str) -> str:
    return to_checksum_address(address) if len(address) == 42 else address


def _shown(value: bytes, like: Word | None) -> str:
    """A word as the expected value is written: a number, an address or bytes."""
    if isinstance(like, int):
        return str(int.from_bytes(value, "big"))
    if isinstance(like, str) and not any(value[:12]):
        return to_checksum_address(value[12:])
    return "0x" + value.hex()
