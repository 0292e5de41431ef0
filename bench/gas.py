"""Gas of every call and size of every contract: `make gas` writes bench/results/gas.json.

Real transactions with real proofs and signatures on a fresh Anvil; everything follows from seeds, so the figures
change only when the contracts do (a contract test compares them with the committed file). Each figure is the dearest
case of the play below. Exits 1 if a limit is broken.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "python" / "contract"), str(ROOT / "tests" / "python" / "contract" / "chain")]

from anvil_node import Anvil  # noqa: E402
from dlbc.adapters.chain import abi  # noqa: E402
from dlbc.core.types import Receipt  # noqa: E402
from play import FIRST_MINER, REQUESTER, TREASURY, Play, account  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "gas.json"
HARDFORK = "prague"
CALL_LIMITS = {
    "post": 330_000,
    "commit": 95_000,
    "release": 80_000,
    "reveal": 160_000,
    "open": 130_000,
    "settle": 240_000,
    "withdraw": 50_000,
}
SIZE_LIMIT = 22_000


def measure() -> dict[str, Any]:
    """The content of gas.json."""
    with Anvil("--hardfork", HARDFORK) as node:
        play = Play(node)
        gas: dict[str, int] = {}
        _one_round(play, gas)
        _withdrawals(play, gas)
        _one_round(play, gas)
        _two_rounds(play, gas)
        _struck(play, gas)
        _ended_early(play, gas)
    contracts = {name: abi.load(name) for name in ("TaskMarket", "ModelRegistry", "MarketLens")}
    return {
        "hardfork": HARDFORK,
        "calls": {name: {"gas": used, "limit": CALL_LIMITS.get(name)} for name, used in gas.items()},
        "deployment": {"gas": play.deployment.gas_used},
        "contracts": {
            name: {"bytes": len(contract.deployed_bytecode), "limit": SIZE_LIMIT}
            for name, contract in contracts.items()
        },
    }


def broken_limits(figures: dict[str, Any]) -> list[str]:
    """One sentence for each limit that is broken."""
    calls = [
        f"{name}: {row['gas']} gas, the limit is {row['limit']}"
        for name, row in figures["calls"].items()
        if row["limit"] is not None and row["gas"] > row["limit"]
    ]
    return calls + [
        f"{name}: {row['bytes']} bytes, the limit is {row['limit']}"
        for name, row in figures["contracts"].items()
        if row["bytes"] > row["limit"]
    ]


def render(figures: dict[str, Any]) -> str:
    """The bytes of gas.json."""
    return json.dumps(figures, indent=2) + "\n"


def _note(gas: dict[str, int], name: str, receipt: Receipt) -> Receipt:
    """Keeps the dearest case."""
    gas[name] = max(gas.get(name, 0), receipt.gas_used)
    return receipt


def _one_round(play: Play, gas: dict[str, int]) -> None:
    """Three miners commit, the worst reveals first, one never reveals; nobody has a credit yet."""
    posted = _note(gas, "post", play.post())
    assert posted.task_id is not None
    task_id = posted.task_id
    best, poor, silent = (play.work(task_id, FIRST_MINER + i, total) for i, total in enumerate((350, 320, 300)))
    for work in (best, poor, silent):
        _note(gas, "commit", play.commit(work))
    best = play.work(task_id, FIRST_MINER, 350, attempt=1)
    _note(gas, "commit again", play.commit(best, deposit=0))
    _note(gas, "release", play.release(task_id))
    for work in (poor, best):
        _note(gas, "reveal", play.reveal(work))
    _note(gas, "open", play.open(best))
    _note(gas, "settle", play.settle(task_id))
    for work in (best, poor):
        _note(gas, "reclaim", play.requester.reclaim(task_id, 0, work.proof.miner))


def _two_rounds(play: Play, gas: dict[str, int]) -> None:
    """The second round starts from the first winner's model, which earns a royalty."""
    posted = _note(gas, "post two rounds", play.post(rounds=2))
    assert posted.task_id is not None
    first = play.work(posted.task_id, FIRST_MINER + 3, 330)
    second = play.work(posted.task_id, FIRST_MINER + 4, 350, round=1, parent=first.proof.model_hash)
    for name, work in (("settle first of two rounds", first), ("settle with royalty", second)):
        play.commit(work)
        play.release(posted.task_id)
        _note(gas, "reveal in second round" if work is second else "reveal", play.reveal(work))
        _note(gas, "open", play.open(work))
        _note(gas, name, play.settle(posted.task_id))
    third = play.work(play.post().task_id, FIRST_MINER + 3, 340, parent=first.proof.model_hash)
    play.commit(third)
    play.release(third.proof.task_id)
    play.reveal(third)
    _note(gas, "open with a parent from another task", play.open(third))
    play.settle(third.proof.task_id)


def _struck(play: Play, gas: dict[str, int]) -> None:
    """A silent leader is struck, the next claim is nominated, and nobody opens that either."""
    task_id = play.post().task_id
    assert task_id is not None
    works = [play.work(task_id, FIRST_MINER + i, total) for i, total in enumerate((350, 340))]
    for work in works:
        play.commit(work)
    play.release(task_id)
    for work in works:
        play.reveal(work)
    play.pass_phase(task_id, "Revealing")
    play.pass_phase(task_id, "Opening")
    _note(gas, "strike", play.requester.advance(task_id))
    _note(gas, "nominate", play.requester.nominate(task_id, works[1].proof.miner))
    for label in ("Nominating", "Opening"):
        play.pass_phase(task_id, label)
    play.requester.advance(task_id)
    play.pass_phase(task_id, "Nominating")
    _note(gas, "void", play.requester.advance(task_id))


def _ended_early(play: Play, gas: dict[str, int]) -> None:
    """Cancelled before the first commit; aborted because nothing is released."""
    cancelled, aborted = play.post().task_id, play.post().task_id
    assert cancelled is not None
    assert aborted is not None
    _note(gas, "cancel", play.requester.cancel(cancelled))
    play.commit(play.work(aborted, FIRST_MINER, 350))
    play.to_release(aborted)
    play.pass_phase(aborted, "Releasing")
    _note(gas, "abort", play.requester.advance(aborted))
    _note(gas, "reclaim from aborted", play.requester.reclaim(aborted, 0, account(FIRST_MINER).address))


def _withdrawals(play: Play, gas: dict[str, int]) -> None:
    """The account itself, somebody else for an account, and to another address; then all credits are nothing."""
    for index in (REQUESTER, TREASURY, FIRST_MINER + 1):
        _note(gas, "withdraw", play.requester.withdraw(account(index).address))
    _note(gas, "withdraw elsewhere", play.chain(FIRST_MINER).withdraw_to(account(8).address))
    assert play.requester.liabilities() == (0, 0)


def main() -> int:
    """Measures, prints, writes; returns the exit code."""
    figures = measure()
    print(f"{'call':<28}{'gas':>10}{'limit':>10}")
    for name, row in figures["calls"].items():
        print(f"{name:<28}{row['gas']:>10,}{row['limit'] or '-':>10}")
    print(f"{'deployment':<28}{figures['deployment']['gas']:>10,}{'-':>10}\n")
    print(f"{'contract':<28}{'bytes':>10}{'limit':>10}")
    for name, row in figures["contracts"].items():
        print(f"{name:<28}{row['bytes']:>10,}{row['limit']:>10,}")
    RESULTS.write_text(render(figures))
    broken = broken_limits(figures)
    for sentence in broken:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
