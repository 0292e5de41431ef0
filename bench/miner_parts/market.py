"""Big markets on a real Anvil: real tasks and real commits, thousands a second.

Every event is the real contract's, by a transaction of its own. What is spared is signing here: the accounts are the
node's own, a batch of JSON-RPC requests carries hundreds of transactions, and a block is mined after each batch.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.deploy import deploy_contracts, load_params
from dlbc.adapters.chain.record import Deployment
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.devnet import process
from dlbc.adapters.devnet.anvil import find_anvil
from dlbc.adapters.keys import KeystoreKeys
from dlbc.core.hashing import keccak
from dlbc.core.proofs import terms_hash
from dlbc.core.types import Address, Locator, Phase, Terms, Wei, Workload
from eth_account import Account

ROOT = Path(__file__).resolve().parents[2]
FIRST_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""Of Anvil's well-known mnemonic."""
ACCOUNTS = 64
START_SECONDS = 30.0
REQUEST_SECONDS = 300.0
ETHER = 10**18
GAS = {"post": 600_000, "commit": 250_000, "cancel": 250_000} | {
    "release": 250_000,
    "reveal": 500_000,
    "open": 400_000,
    "advance": 600_000,
}
KINDS = 16
TESTS = [keccak(b"test set")]

TERMS = Terms(
    manifest_hash=keccak(b"manifest"),
    manifest=Locator(keccak(b"manifest locator")),
    workload=Workload(
        parameters=85_002,
        flops_per_sample=170_000,
        samples=1_437,
        epochs=40,
        data_bytes=380_000,
        model_bytes=341_000,
    ),
    train_seconds=86_400,
    release_seconds=1_800,
    reveal_seconds=1_200,
    open_seconds=600,
    challenge_seconds=900,
    min_score_ppm=500_000,
    min_gain_ppm=10_000,
    tolerance_ppm=5_000,
    bounty_wei=Wei(ETHER),
    deposit_wei=Wei(ETHER // 10),
    bond_wei=Wei(ETHER // 10),
    royalty_bps=500,
)


class Node:
    """`with Node(folder) as node:` an Anvil that mines only when told to."""

    def __init__(self, folder: Path) -> None:
        self.port = process.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder

    def __enter__(self) -> Node:
        binary = find_anvil(os.environ, ROOT)
        command = [
            *(binary, "--quiet", "--host", "127.0.0.1", "--port", self.port, "--hardfork", "prague"),
            *("--accounts", ACCOUNTS, "--disable-block-gas-limit", "--order", "fifo"),
            *("--cache-path", self._folder / "cache", "--prune-history"),  # past states cost more than all else
        ]
        log = self._folder / "anvil.log"
        self._process = process.start("anvil", [str(word) for word in command], self.port, log, dies_with_parent=True)
        if not process.wait_until(self._answers, START_SECONDS):
            process.stop(self._process)
            raise SystemExit(f"Anvil did not start: {process.last_words(log)}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process.stop(self._process)

    def cpu_seconds(self) -> float:
        """Processor time of the node so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: 14 and 15 of proc(5)

    def rpc(self, method: str, *params: object) -> Any:
        """The result of one request. Raises RuntimeError with the node's words."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Iterable[tuple[str, Sequence[object]]]) -> list[Any]:
        """The results of several requests, sent as one."""
        asked = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(calls)
        ]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        try:
            connection.request("POST", "/", json.dumps(asked), {"Content-Type": "application/json"})
            answers = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        for answer in answers:
            if "error" in answer:
                raise RuntimeError(f"{asked[answer['id']]['method']}: {answer['error'].get('message')}")
        return [answer["result"] for answer in sorted(answers, key=lambda answer: answer["id"])]

    def _answers(self) -> bool:
        try:
            self.rpc("eth_chainId")
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Call:
    """A transaction to be: which account (its number) calls which function of the market."""

    account: int
    name: str
    arguments: Sequence[Any]
    value: int = 0


class Market:
    """A market deployed on a node; account 0 deploys and posts."""

    def __init__(self, node: Node) -> None:
        self.node = node
        params, of_pool = load_params(31337)
        self.deployment: Deployment = deploy_contracts(
            node.url, KeystoreKeys(Account.from_key(FIRST_KEY)), params, of_pool
        )
        self.accounts: list[Address] = node.rpc("eth_accounts")
        node.batch([("anvil_setBalance", [account, hex(10**6 * ETHER)]) for account in self.accounts])
        node.rpc("evm_setAutomine", False)
        self._nonces = [
            int(count, 16)
            for count in node.batch([("eth_getTransactionCount", [account, "latest"]) for account in self.accounts])
        ]
        self._functions = abi.load("TaskMarket").functions

    def chain(self) -> Web3Chain:
        """The market as nobody sees it."""
        where = self.deployment
        return Web3Chain(self.node.url, where.market, where.lens, None, where.block_number, where.chain_id)

    def post(self, count: int, a_block: int = 500) -> None:
        """Posts tasks of KINDS bounties, and so of as many ranks and more."""
        kinds = [replace(TERMS, bounty_wei=Wei(TERMS.bounty_wei - kind * ETHER // 100)) for kind in range(KINDS)]
        self._hashes = [terms_hash(terms, TESTS) for terms in kinds]
        calls = [Call(0, "post", (terms, TESTS), terms.bounty_wei + terms.bond_wei) for terms in kinds]
        self.play((calls[index % KINDS] for index in range(count)), a_block)

    def cancel(self, tasks: Iterable[int], a_block: int = 500) -> None:
        """Takes tasks back."""
        self.play((Call(0, "cancel", (task,)) for task in tasks), a_block)

    def commit(self, tasks: Iterable[int], miners: int, a_block: int = 500) -> None:
        """Every one of so many miners commits to each of the tasks."""
        if miners >= ACCOUNTS:
            raise ValueError(f"there are {ACCOUNTS - 1} miners, not {miners}")
        recovery = keccak(b"recovery")
        entries = ((task, miner) for task in tasks for miner in range(1, miners + 1))
        calls = (
            Call(
                miner,
                "commit",
                (task, 0, self._hashes[(task - 1) % KINDS], keccak(b"%d %d" % (task, miner)), recovery),
                TERMS.deposit_wei,
            )
            for task, miner in entries
        )
        self.play(calls, a_block)

    def play(self, calls: Iterable[Call], a_block: int) -> None:
        """Sends and mines, so many transactions a block."""
        waiting = iter(calls)
        while part := list(islice(waiting, a_block)):
            self.node.batch([("eth_sendTransaction", [self._transaction(call)]) for call in part])
            self.node.rpc("evm_mine")

    def check(self, tasks: int, commits: int) -> None:
        """All that was sent has happened: no transaction failed."""
        chain = self.chain()
        found = chain.task_count(), chain.round(1, 0).commits if tasks else 0
        if found != (tasks, commits) or (tasks and chain.phase(tasks).phase is not Phase.TRAINING):
            raise SystemExit(f"expected {tasks} tasks with {commits} commits each, found {found}")

    def _transaction(self, call: Call) -> dict[str, str]:
        nonce = self._nonces[call.account]
        self._nonces[call.account] += 1
        return {
            "from": self.accounts[call.account],
            "to": self.deployment.market,
            "data": "0x" + self._functions[call.name].encode(call.arguments).hex(),
            "value": hex(call.value),
            "gas": hex(GAS[call.name]),
            "nonce": hex(nonce),
        }
