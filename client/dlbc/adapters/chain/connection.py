"""What the adapters of several contracts share: one chain, one endpoint, one account, one queue of transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.errors import refusal
from dlbc.adapters.chain.fees import allowed, read_fees
from dlbc.adapters.chain.logs import Limit, read_logs, read_mixed_logs
from dlbc.adapters.chain.outcomes import Mined
from dlbc.adapters.chain.rpc import NoAnswerInTime, Rpc, RpcError
from dlbc.adapters.chain.transactions import FREELY, Sender, Sending
from dlbc.core.errors import ChainUnreachable, DlbcError, Usage, VerificationFailed, WrongChain
from dlbc.core.events import Receipt
from dlbc.core.types import Address, Hash32, TaskId, Timestamp
from dlbc.ports import Keys

BLOCK = "eth_getBlockByNumber"
ERC1271_MAGIC = bytes.fromhex("1626ba7e")
"""isValidSignature's selector, and what it answers for yes."""
WALLET_GAS = 10_000_000
"""For one look at a signature: many times what wallets need, and no node's idea of long."""
WALLET_CALLS = 2
"""That have to fail while the node answers everything else."""
IDENTITY = Address("0x0000000000000000000000000000000000000004")
"""A contract that every chain has: it answers what it is told."""


class Connection:
    """Views, logs and transactions of shipped contracts. The first call checks chain and addresses."""

    def __init__(
        self,
        rpc: Rpc,
        keys: Keys | None,
        places: Mapping[str, Address],
        first_block: int,
        expected_chain_id: int | None,
        mining_deadline: float,
        sending: Sending = FREELY,
    ) -> None:
        """`places`: addresses that must hold a contract, by the name of their setting. Logs start at `first_block`."""
        self.rpc = rpc
        self.keys = keys
        self._places = places
        self.first_block = first_block
        """Of the deployment: no log is older."""
        self._expected_chain_id = expected_chain_id
        self._mining_deadline = mining_deadline
        self._sending = sending
        self._limit = Limit()

    @cached_property
    def chain_id(self) -> int:
        """The chain's id, once chain and addresses are known to be the right ones."""
        try:
            chain_id = self.rpc.quantity("eth_chainId", [])
        except RpcError as error:
            raise self.refused("the first request", error) from error
        if self._expected_chain_id not in {None, chain_id}:
            raise WrongChain(
                f"{self.rpc.name} is chain {chain_id}, expected is chain {self._expected_chain_id}; "
                "set DLBC_RPC_URL to an endpoint of that chain"
            )
        for name, address in self._places.items():
            if not self.has_code(address):
                raise Usage(
                    f"there is no contract at the {name} address {address} on chain {chain_id} ({self.rpc.name}); "
                    f"set DLBC_{name.upper()} to the deployed one, or deploy with `dlbc deploy`"
                )
        return chain_id

    def has_code(self, address: Address) -> bool:
        """True iff there is a contract."""
        try:
            return bool(self.rpc.data("eth_getCode", [address, "latest"]))
        except RpcError as error:
            raise self.refused("eth_getCode", error) from error

    def view(self, contract: str, address: Address, name: str, *arguments: Any) -> Any:
        """One eth_call at the latest block, decoded; several outputs come as a tuple."""
        _ = self.chain_id
        function = abi.load(contract).functions[name]
        request = {"to": address, "data": "0x" + function.encode(arguments).hex()}
        try:
            answer = self.rpc.data("eth_call", [request, "latest"])
        except RpcError as error:
            raise self._refused_view(name, error) from error
        return self._decoded(contract, address, function, answer)

    def views(self, contract: str, address: Address, name: str, arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """The same view for many arguments, in few requests."""
        _ = self.chain_id
        function = abi.load(contract).functions[name]
        calls = [[{"to": address, "data": "0x" + function.encode(given).hex()}, "latest"] for given in arguments]
        try:
            answers = [self.rpc.as_data("eth_call", answer) for answer in self.rpc.batch("eth_call", calls)]
        except RpcError as error:
            raise self._refused_view(name, error) from error
        return [self._decoded(contract, address, function, answer) for answer in answers]

    def _refused_view(self, name: str, error: RpcError) -> DlbcError:
        return refusal(name, error.revert_data, error.message) if error.is_revert else self.refused(name, error)

    def _decoded(self, contract: str, address: Address, function: abi.Function, answer: bytes) -> Any:
        try:
            values = function.decode(answer)
        except codec.Undecodable as error:
            raise VerificationFailed(
                f"{function.name} of {contract} {address} answered {len(answer)} bytes that are not what its ABI says; "
                f"check the address and the endpoint {self.rpc.name}"
            ) from error
        return values[0] if len(values) == 1 else values

    def is_accepted(self, wallet: Address, digest: Hash32, signature: bytes) -> bool:
        """What a contract says of a signature (ERC-1271); no, unless it plainly says yes.

        It may run into an invalid instruction, or out of gas or time, of which nodes tell as of faults of their own.
        Whose fault it was, a call of which nothing can go wrong tells: nobody may keep auditors from looking at a
        claim by the wallet that it was made with. Raises ChainUnreachable if it was the node's.
        """
        data = ERC1271_MAGIC + codec.encode([{"type": "bytes32"}, {"type": "bytes"}], [digest, signature])
        for _ in range(WALLET_CALLS):
            try:
                answer = self._call(wallet, data)
            except NoAnswerInTime:
                pass
            except RpcError as error:
                if error.is_revert:
                    return False
            else:
                return answer[:32] == ERC1271_MAGIC.ljust(32, b"\0")
            try:
                self._call(IDENTITY, b"1")
            except RpcError as error:
                raise self.refused("isValidSignature", error) from error
        return False

    def _call(self, to: Address, data: bytes) -> bytes:
        """A stranger's contract, with gas that any node spends in a moment."""
        request = {"to": to, "data": "0x" + data.hex(), "gas": hex(WALLET_GAS)}
        return self.rpc.as_data("eth_call", self.rpc.request("eth_call", [request, "latest"], once_in_time=True))

    def quantity(self, method: str, *params: object) -> int:
        """A request whose result is a number."""
        _ = self.chain_id
        try:
            return self.rpc.quantity(method, list(params))
        except RpcError as error:
            raise self.refused(method, error) from error

    def block(self, tag: str) -> Mapping[str, Any] | None:
        """A block as the node tells it, without its transactions; None if there is none."""
        _ = self.chain_id
        try:
            return self.rpc.record(BLOCK, [tag, False])
        except RpcError as error:
            raise self.refused(BLOCK, error) from error

    def block_time(self, tag: str) -> int:
        """A block's timestamp; 0 if the node has no such block."""
        _ = self.chain_id
        try:
            block = self.rpc.record(BLOCK, [tag, False])
        except RpcError as error:
            if tag == "pending":
                return 0
            raise self.refused(BLOCK, error) from error
        return self.rpc.as_quantity(BLOCK, block.get("timestamp")) if block else 0

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        """Timestamps of blocks that exist, in few requests."""
        _ = self.chain_id
        wanted = sorted(set(numbers))
        try:
            blocks = self.rpc.batch(BLOCK, [[hex(number), False] for number in wanted])
        except RpcError as error:
            raise self.refused(BLOCK, error) from error
        if not all(isinstance(block, Mapping) for block in blocks):
            raise self.rpc.malformed(BLOCK, "a block")
        times = [Timestamp(self.rpc.as_quantity(BLOCK, block.get("timestamp"))) for block in blocks]
        return dict(zip(wanted, times, strict=True))

    def logs(
        self, contract: str, address: Address, event: str, indexed: Sequence[object | None] = ()
    ) -> Iterator[dict[str, Any]]:
        """Logs of one event since the deployment, oldest first, read as they are consumed.

        `indexed`: its leading indexed values; None = any.
        """
        kind, last = abi.load(contract).events[event], self.quantity("eth_blockNumber")
        try:
            yield from read_logs(self.rpc, self._limit, address, kind, indexed, self.first_block, last)
        except RpcError as error:
            raise self.refused("eth_getLogs", error) from error

    def mixed_logs(
        self, kinds: Mapping[Address, Sequence[abi.Event]], first: int, last: int
    ) -> Iterator[tuple[abi.Event, dict[str, Any]]]:
        """Logs of several events in these blocks, in the order in which they happened, read as they are consumed."""
        _ = self.chain_id
        try:
            yield from read_mixed_logs(self.rpc, self._limit, kinds, first, last)
        except RpcError as error:
            raise self.refused("eth_getLogs", error) from error

    def send(
        self,
        contract: str,
        address: Address,
        name: str,
        *arguments: Any,
        value: int = 0,
        most_gas: int | None = None,
    ) -> Mined:
        """One transaction, simulated before it is sent and mined when this returns. Raises Usage without an account."""
        data = abi.load(contract).functions[name].encode(arguments)
        return self._sender.send(name, address, data, value, most_gas)

    def pay(self, to: Address, value: int) -> Mined:
        """Ether and no call. Raises as `send`."""
        return self._sender.send("pay", to, b"", value)

    def gas_price(self) -> int:
        """What the next transaction offers for one gas, at most. Raises TryLater above the owner's ceiling."""
        _ = self.chain_id
        try:
            return allowed("a transaction", read_fees(self.rpc), self._sending.max_fee).most
        except RpcError as error:
            raise self.refused(BLOCK, error) from error

    def finish_sent(self) -> int:
        """Finishes what an earlier process of the account left on its way; how many are not mined after that."""
        return self._sender.finish_sent()

    @cached_property
    def _sender(self) -> Sender:
        if self.keys is None:
            raise Usage("sending a transaction needs an account; give --account or set DLBC_ACCOUNT")
        return Sender(self.rpc, self.chain_id, self.keys, self._mining_deadline, self._sending)

    def refused(self, what: str, error: RpcError) -> ChainUnreachable:
        """The node, not a contract, said no."""
        return ChainUnreachable(f"{self.rpc.name} refused {what} ({error.message[:200]}); use another RPC endpoint")


def receipt(call: str, mined: Mined, task_id: TaskId | None = None) -> Receipt:
    """What the ports promise of a mined transaction."""
    return Receipt(call, mined.tx_hash, mined.block_number, mined.gas_used, task_id)


def place(values: Mapping[str, Any]) -> tuple[int, int]:
    """Where in the chain's log an event stands."""
    return int(values["block_number"]), int(values["log_index"])
