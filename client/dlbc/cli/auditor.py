"""`dlbc auditor`: stake, vote, dispute false claims, and earn for it. Cases are in auditor_cases.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.auditor_cases import CASE_COMMANDS
from dlbc.cli.auditor_daemon import examine, run
from dlbc.cli.confirm import agree, tell, yes_option
from dlbc.cli.options import Group, Settings, typed_amount

if TYPE_CHECKING:
    from dlbc.core.types import Wei
    from dlbc.roles.stakes import Staker
    from dlbc.roles.standing import AuditorStatus, Ballot, OpenCase

_AMOUNT = click.argument("amount", nargs=-1, required=True, metavar="AMOUNT")


@click.group(cls=Group)
def command() -> None:
    """Stake, vote, dispute false claims, and earn for it.

    To vote: stake, wait, activate. Then `dlbc auditor run` does the rest, or `dlbc auditor status` says what there is
    to vote on.
    """


for case_command in (run, examine, *CASE_COMMANDS):
    command.add_command(case_command)


@command.command()
@_AMOUNT
@click.option("--more", is_flag=True, help="Add to a stake that is there already.")
@yes_option
@click.pass_obj
def stake(settings: Settings, amount: tuple[str, ...], more: bool, yes: bool) -> None:
    """Stake AMOUNT, such as "1.5 ether". It earns and votes once it is activated."""
    wei = typed_amount(amount)
    tell(settings, _staker(settings, yes).stake(wei, more=more))


@command.command()
@click.pass_obj
def activate(settings: Settings) -> None:
    """Make pending stake active. Exit code 3 before its time."""
    tell(settings, _staker(settings, yes=True).activate())


@command.command()
@_AMOUNT
@click.option("--more", is_flag=True, help="Add to what is on its way out; all of it then waits again.")
@yes_option
@click.pass_obj
def unstake(settings: Settings, amount: tuple[str, ...], more: bool, yes: bool) -> None:
    """Begin to take AMOUNT out of the stake, what is pending first."""
    wei = typed_amount(amount)
    tell(settings, _staker(settings, yes).unstake(wei, more=more))


@command.command()
@click.pass_obj
def finish(settings: Settings) -> None:
    """Bring home what was taken out of the stake. Exit code 3 before its time."""
    tell(settings, _staker(settings, yes=True).finish())


@command.command()
@yes_option
@click.pass_obj
def dividends(settings: Settings, yes: bool) -> None:
    """Share out the fees of the market, and bring this account's part home.

    Pays by participation: votes taken part in, of those one could have taken part in.
    """
    tell(settings, _staker(settings, yes).dividends())


@command.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show stake, dividends, what there is to vote on, and ballots that wait."""
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.roles.standing import auditor_status

    config = settings.config()
    address = bootstrap.account_address(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config)
    found = auditor_status(chain, pool, address)
    if settings.json:
        render.print_json(_status_json(found))
    else:
        _show(found, chain.now())


def _show(found: AuditorStatus, now: int) -> None:
    stake = found.stake
    taken_part = f"{found.ballots_counted} of {found.votes_counted} votes taken part in"
    render.facts(
        f"Auditor {found.account}",
        {
            "active": f"{render.ether(stake.active_wei)} of {render.ether(found.total_stake_wei)} in all",
            "pending": _when(stake.pending_wei, stake.ready_at, now, "activate"),
            "unbonding": _when(stake.unbonding_wei, stake.free_at, now, "finish"),
            "dividends": f"{render.ether(found.accrued_wei)}, {taken_part}",
            "credit in the pool": render.ether(found.credit_wei),
            "balance": render.ether(found.balance_wei),
        },
    )
    if found.cases:
        render.table(
            "To vote on",
            ["task", "about", "grounds", "filers", "now", "for", "your lock", "ballot"],
            [_case_row(case, now) for case in found.cases],
            right=["task", "filers"],
        )
    else:
        click.echo("Nothing is disputed.")
    if found.ballots:
        render.table(
            "Your ballots",
            ["task", "vote", "locked", "next", "for"],
            [_ballot_row(ballot, now) for ballot in found.ballots],
            right=["task", "vote"],
        )


def _case_row(case: OpenCase, now: int) -> list[object]:
    told = {"waits": "filing", "commit": "voting", "reveal": "opening", "due": "to count"}
    return [
        case.task_id,
        f"claim of {render.short(case.subject)}" if case.about == "claim" else case.about,
        ", ".join(case.grounds) or "-",
        case.filers,
        told[case.stage.value],
        render.duration(max(0, case.until - now)) if case.until else "-",
        render.ether(case.lock_wei) if case.lock_wei else "-",
        case.ballot,
    ]


def _ballot_row(ballot: Ballot, now: int) -> list[object]:
    told = {
        "reveal": f"open it: dlbc auditor vote {ballot.task_id}",
        "collect": f"dlbc auditor collect {ballot.task_id}",
        "wait": "wait",
        "lost": "lost: it was not opened in time",
    }
    left = render.duration(max(0, ballot.until - now)) if ballot.until else "-"
    return [ballot.task_id, ballot.attempt + 1, render.ether(ballot.lock_wei), told[ballot.next], left]


def _when(wei: Wei, moment: int, now: int, name: str) -> str:
    if not wei:
        return "-"
    if moment <= now:
        return f"{render.ether(wei)}, ready: dlbc auditor {name}"
    return f"{render.ether(wei)}, ready in {render.duration(moment - now)} ({render.moment(moment)} UTC)"


def _status_json(found: AuditorStatus) -> dict[str, object]:
    return {
        "account": found.account,
        "stake": found.stake,
        "balanceWei": found.balance_wei,
        "poolCreditWei": found.credit_wei,
        "dividends": {
            "accruedWei": found.accrued_wei,
            "ballots": found.ballots_counted,
            "votes": found.votes_counted,
        },
        "totalStakeWei": found.total_stake_wei,
        "cases": found.cases,
        "ballots": found.ballots,
    }


def _staker(settings: Settings, yes: bool) -> Staker:
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal

    return bootstrap.staker(settings.config(), bootstrap.event_log(), agree(settings, yes), ask_on_terminal())
