"""The closing tables of the demo's dispute, in 80 columns."""

from __future__ import annotations

from pathlib import Path

from dlbc.cli import render
from dlbc.cli.audit import show_checks
from dlbc.cli.demo_dispute_outcome import GAS_LIMITS, OVERCLAIMER, PEOPLE, DisputeOutcome
from dlbc.cli.demo_money import MARKET, POOL
from dlbc.core.report import Check


def show_dispute(outcome: DisputeOutcome, figures: Path) -> None:
    """Who lied, how it came out, who paid for it, and where every wei went."""
    claimed, samples = outcome.claimed
    show_checks(
        f"Evidence of {' and '.join(outcome.filers)} against {OVERCLAIMER}'s claim of {claimed} of {samples}",
        tuple(Check(**check) for check in outcome.checks),
    )
    render.table(
        "The vote: does the claim fall?",
        ["auditor", "verdict", "lock", "came back", "share of the pot"],
        [
            [
                name,
                outcome.verdicts[name].name.lower(),
                render.ether(ballot.lock_wei),
                render.ether(ballot.returned_wei),
                ballot.share_wei,
            ]
            for name, ballot in sorted(outcome.ballots.items())
        ],
        right=["share of the pot"],
    )
    refutation = outcome.refutation
    render.facts(
        "The refutation",
        {
            "fault": f"{str(refutation['fault']).replace('_', ' ')} at sample {refutation['sample']}",
            "transactions": refutation["transactions"],
            "gas": f"{refutation['gas']} (limit {GAS_LIMITS['refute']})",
            f"{refutation['refuter']} earned": f"{refutation['earnedWei']} wei",
        },
    )
    render.table(
        "Tasks",
        ["task", "phase", "winner", "correct", "score", "audit"],
        [
            [
                row["taskId"],
                row["phase"],
                outcome.names.get(row["winner"], "-"),
                f"{row['total']}/{row['samples']}",
                render.ppm(row["scorePpm"]),
                row["audit"],
            ]
            for row in outcome.tasks
        ],
        right=["task", "correct", "score"],
    )
    render.table(
        "Every wei: who paid whom, and why",
        ["from", "to", "wei", "why"],
        [[movement.source, movement.target, movement.wei, movement.why] for movement in outcome.movements],
        right=["wei"],
    )
    render.table(
        "Every account, in wei (gas aside)",
        ["account", "paid", "got", "gain"],
        [
            [name, outcome.paid[name], outcome.received[name], outcome.received[name] - outcome.paid[name]]
            for name in PEOPLE
        ],
        right=["paid", "got", "gain"],
    )
    render.table(
        "Every contract, in wei",
        ["contract", "came in", "went out", "left"],
        [
            [MARKET, outcome.received[MARKET], outcome.paid[MARKET], outcome.market_balance_wei],
            [POOL, outcome.received[POOL], outcome.paid[POOL], outcome.pool_balance_wei],
        ],
        right=["came in", "went out", "left"],
    )
    render.paragraph(
        f"The pool holds the auditors' stakes, which stay at work, and {outcome.pool_waiting_wei} wei of fees that no "
        "stake divides; they wait for the next dividend."
    )
    render.table(
        "Gas, the most one call used",
        ["call", "gas", "limit"],
        [[call, used, GAS_LIMITS.get(call, "-")] for call, used in outcome.gas.items()],
        right=["gas", "limit"],
    )
    render.table(
        "Promises",
        ["", "promise"],
        [["✓" if is_kept else "✗", promise] for promise, is_kept in outcome.promises.items()],
    )
    render.facts("", {"seconds": f"{outcome.seconds:.1f}", "figures": figures})
