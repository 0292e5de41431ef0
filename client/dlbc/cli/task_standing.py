"""The part of `dlbc task show` about disputes, demands and strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlbc.cli import render

if TYPE_CHECKING:
    from dlbc.roles.standing import CaseFacts, TaskStanding


def show_standing(standing: TaskStanding, now: int) -> None:
    """Tables of what is disputed, demanded and struck; nothing where there is nothing."""
    for case in standing.cases:
        _show_case(case, now)
    if standing.demands:
        render.table(
            "Demanded predictions",
            ["sample", "of", "by", "until (UTC)", "state"],
            [
                [
                    row.demand.index,
                    render.short(row.demand.miner),
                    render.short(row.demand.demander),
                    render.moment(row.demand.demand_end),
                    row.state,
                ]
                for row in standing.demands
            ],
            right=["sample"],
        )
    if standing.strikes:
        render.table(
            "Struck claims",
            ["miner", "why"],
            [[event.miner, event.reason.name.lower()] for event in standing.strikes],
        )


def standing_json(standing: TaskStanding) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "cases": [_case_json(case) for case in standing.cases],
        "demands": [{"state": row.state, "demand": row.demand} for row in standing.demands],
        "strikes": [{"miner": event.miner, "reason": event.reason.name.lower()} for event in standing.strikes],
    }


def _show_case(case: CaseFacts, now: int) -> None:
    from dlbc.roles.evidence import ground_names

    view = case.view
    what = "Impeachment of the test set" if view.is_about_the_test_set else f"Dispute of {view.case.subject}"
    ends = {"waits": view.start, "commit": view.commit_end, "reveal": view.reveal_end}.get(case.stage.value, 0)
    left = f", {render.duration(max(0, ends - now))} left" if ends else ""
    bond = render.ether(view.case.bond_wei)
    render.facts(
        f"{what}: {case.ruling}",
        {
            "stage": {
                "waits": "filing",
                "commit": "ballots are cast",
                "reveal": "ballots are opened",
                "due": "to be counted",
                "ruled": "over",
                "moot": "over",
            }[case.stage.value]
            + left,
            "grounds": ", ".join(ground_names(view.case.grounds)) or "-",
            "samples": ", ".join(map(str, view.samples)) or "-",
        },
    )
    render.table(
        "",
        ["filed by", "bond", "evidence"],
        [[render.short(filing.filer), bond, render.cid(filing.evidence)] for filing in view.filings],
    )
    cast = [(attempt, tally) for attempt, tally in enumerate(case.tallies) if tally.committed_wei]
    if cast:
        render.table(
            "Ballots, by what they risk",
            ["vote", "cast", "stands", "falls", "unavailable"],
            [
                [
                    attempt + 1,
                    *map(
                        render.ether,
                        (tally.committed_wei, tally.stands_wei, tally.falls_wei, tally.unavailable_wei),
                    ),
                ]
                for attempt, tally in cast
            ],
            right=["vote"],
        )


def _case_json(case: CaseFacts) -> dict[str, Any]:
    from dlbc.roles.evidence import ground_names

    view = case.view
    return {
        "caseId": view.case_id,
        "subject": view.case.subject,
        "isAboutTheTestSet": view.is_about_the_test_set,
        "stage": case.stage.value,
        "ruling": view.case.ruling.name.lower() if view.case.ruling else None,
        "isMoot": view.is_moot,
        "grounds": ground_names(view.case.grounds),
        "samples": view.samples,
        "attempt": view.case.attempt,
        "start": view.start,
        "commitEnd": view.commit_end,
        "revealEnd": view.reveal_end,
        "bondWei": view.case.bond_wei,
        "filings": [
            {
                "filer": filing.filer,
                "grounds": ground_names(filing.grounds),
                "samples": filing.samples,
                "evidence": render.cid(filing.evidence),
            }
            for filing in view.filings
        ],
        "tallies": case.tallies,
    }
