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
CONTRACT = ROOT / "tests" / "python" / "contract"
sys.path[:0] = [str(CONTRACT), str(CONTRACT / "chain")]
sys.path.append(str(ROOT / "bench"))  # a test loads this file

from _help import parser_of  # noqa: E402
from anvil_node import Anvil  # noqa: E402
from dlbc.adapters.chain import abi  # noqa: E402
from dlbc.adapters.chain.deploy import CONTRACTS, MADE  # noqa: E402
from dlbc.core import proofs  # noqa: E402
from dlbc.core.disputes import dispute_bond  # noqa: E402
from dlbc.core.events import Receipt  # noqa: E402
from dlbc.core.types import ZERO_ADDRESS, Ground, Hash32, Locator, TaskId, Verdict, Wei  # noqa: E402
from play import (  # noqa: E402
    AUDITORS,
    DISPUTER,
    ETHER,
    FIRST_MINER,
    REQUESTER,
    Play,
    Work,
    account,
    secret,
)

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
    "reveal slot": 80_000,
    "stake": 90_000,
    "dispute": 140_000,
    "dispute, with samples": 140_000,
    "commit vote": 90_000,
    "reveal vote": 80_000,
    "resolve: falls": 200_000,
    "resolve: stands": 200_000,
    "resolve: repeat": 200_000,
    "resolve: no quorum": 200_000,
    "resolve: test set falls": 200_000,
    "refute": 200_000,
}
SIZE_LIMIT = 23_000
TREE_SAMPLES = 10_000
"""Of the test sets whose predictions are refuted, demanded and shown."""


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
        _votes(play, gas)
        _dividends(play, gas)
        _trees(Play(node, samples=TREE_SAMPLES), gas)
        _slots(Play(node), gas)
    contracts = {name: abi.load(name) for name in (*CONTRACTS, *MADE)}
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
    _note(gas, "strike: silent", play.requester.advance(task_id))
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
    for index in (REQUESTER, FIRST_MINER + 1):
        _note(gas, "withdraw", play.requester.withdraw(account(index).address))
    _note(gas, "withdraw elsewhere", play.chain(FIRST_MINER).withdraw_to(account(8).address))
    _note(gas, "collect fees", play.pool(DISPUTER).collect_fees())
    assert play.requester.liabilities() == (0, 0)


# ------------------------------------------------------------------ the pool


def _later(play: Play) -> None:
    """Two changes of a stake within a second share a checkpoint; figures must not depend on the clock."""
    play.anvil.move_to(play.anvil.time() + 10)


def _votes(play: Play, gas: dict[str, int]) -> None:
    """Three auditors; every ruling of a claim, and a test set that falls."""
    stands, falls, missing = Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE
    for index in AUDITORS:
        _note(gas, "stake", play.pool(index).stake(Wei(ETHER)))
    play.anvil.move_to(play.pool(DISPUTER).stake_of(account(AUDITORS[-1]).address).ready_at)
    for index in AUDITORS:
        _later(play)
        _note(gas, "activate", play.pool(index).activate(account(index).address))
    _note(gas, "dispute, with samples", _dispute_with_samples(play, play.opened(), AUDITORS[0]))
    for name, verdicts in (("falls", (falls, missing, stands)), ("stands", (stands, stands, falls))):
        work = play.opened()
        _note(gas, "dispute", play.dispute(work))
        _note(gas, "dispute again, with samples", _dispute_with_samples(play, work, AUDITORS[0]))
        _vote(play, gas, work.case_id, verdicts)
        _later(play)
        _note(gas, f"resolve: {name}", play.pool(DISPUTER).resolve(work.proof.task_id))
        _collect(play, gas, work.case_id, 0, verdicts, (DISPUTER, AUDITORS[0]) if name == "falls" else ())
    _vote_without_quorum(play, gas)
    task_id = _released(play)
    bond = dispute_bond(play.requester.task(task_id).bounty_wei)
    _note(gas, "impeach", play.pool(DISPUTER).impeach(task_id, Locator(secret("evidence")), bond))
    case_id = proofs.case_id(task_id, 0, ZERO_ADDRESS)
    _vote(play, gas, case_id, (falls, missing, stands))
    _later(play)
    _note(gas, "resolve: test set falls", play.pool(DISPUTER).resolve(task_id))
    _collect(play, gas, case_id, 0, (falls, missing, stands), (DISPUTER,))


def _vote_without_quorum(play: Play, gas: dict[str, int]) -> None:
    """Nobody votes, twice; the keeper's call does the counting."""
    work = play.opened()
    task_id = work.proof.task_id
    play.dispute(work)
    for name in ("repeat", "no quorum"):
        play.vote(work.case_id, {})
        _note(gas, f"resolve: {name}", play.pool(DISPUTER).resolve(task_id))
    _note(gas, "collect bond", play.pool(DISPUTER).collect_bond(work.case_id, account(DISPUTER).address))
    play.settle(task_id)


def _vote(play: Play, gas: dict[str, int], case_id: Hash32, verdicts: tuple[Verdict, ...]) -> None:
    for index, verdict in zip(AUDITORS, verdicts, strict=True):
        _note(gas, "commit vote", play.cast(case_id, index, verdict))
    for index, verdict in zip(AUDITORS, verdicts, strict=True):
        _note(gas, "reveal vote", play.show(case_id, index, verdict))
    play.anvil.move_to(play.pool(DISPUTER).windows(case_id)[2])


def _collect(
    play: Play,
    gas: dict[str, int],
    case_id: Hash32,
    attempt: int,
    verdicts: tuple[Verdict, ...],
    filers: tuple[int, ...],
) -> None:
    for index, verdict in zip(AUDITORS, verdicts, strict=True):
        _later(play)
        me = account(index).address
        name = "collect vote" if verdict is not verdicts[-1] else "collect lost vote"
        _note(gas, name, play.pool(index).collect_vote(case_id, attempt, me))
    for index in filers:
        _note(gas, "collect bond", play.pool(index).collect_bond(case_id, account(index).address))


def _dispute_with_samples(play: Play, work: Work, index: int) -> Receipt:
    """The longest dispute: every ground, eight samples."""
    task = play.requester.task(work.proof.task_id)
    samples = [play.samples - 1 - i for i in range(8)]
    evidence = Locator(secret("evidence"))
    return play.pool(index).dispute(work.proof.task_id, sum(Ground), evidence, samples, dispute_bond(task.bounty_wei))


def _released(play: Play) -> TaskId:
    task_id = play.post().task_id
    assert task_id is not None
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    return task_id


def _dividends(play: Play, gas: dict[str, int]) -> None:
    """Fees are shared, dividends claimed, and a stake leaves."""
    pool, me = play.pool(AUDITORS[0]), account(AUDITORS[0]).address
    _later(play)
    _note(gas, "collect fees", play.pool(DISPUTER).collect_fees())
    _note(gas, "claim dividends", pool.claim_dividends())
    _later(play)
    _note(gas, "unstake", pool.unstake(Wei(ETHER // 2)))
    play.anvil.move_to(pool.stake_of(me).free_at)
    _note(gas, "finish unstake", pool.finish_unstake(me))


def _trees(play: Play, gas: dict[str, int]) -> None:
    """A refutation, and demands that are answered and not answered, of 10,000 predictions."""
    lie = 9_999
    work = play.opened(9_000, lies=[lie])
    leaf, path = work.shown(lie)
    _later(play)  # a strike in the second of the opening takes another branch
    _note(gas, "refute", play.pool(DISPUTER).refute(work.ref, lie, leaf, path, play.label(lie)))
    work = play.opened(9_000)
    bond = play.deployment.pool_params.demand_bond_wei
    for index in (0, lie):
        _note(gas, "demand", play.pool(DISPUTER).demand(work.ref, index, bond))
    _note(gas, "answer", play.pool(FIRST_MINER).answer(work.ref, lie, *work.shown(lie)))
    play.anvil.move_to(play.requester.round(work.proof.task_id, 0).demand_end)
    _note(gas, "strike: withheld", play.requester.advance(work.proof.task_id))
    place = (work.proof.task_id, 0, work.proof.miner, 0)
    _note(gas, "close demand", play.pool(DISPUTER).close_demand(*place))


def _slots(play: Play, gas: dict[str, int]) -> None:
    """The longest path: the last of eight slots of a settled model, by anybody."""
    work = play.opened(slots=8)
    play.settle(work.proof.task_id)
    path = proofs.slot_path(work.slot_keys, 7)
    _note(gas, "reveal slot", play.chain(DISPUTER).reveal_slot(work.proof.model_hash, 7, work.slot_keys[7], path))


def main() -> int:
    """Measures, prints, writes; returns the exit code."""
    parser_of(__doc__).parse_args()
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
