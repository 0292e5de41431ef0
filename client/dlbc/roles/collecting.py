"""What the pool owes one account, brought home: ballots, bonds of disputes and demands, credits.

Everything here may be called again at any time: what is collected already is passed over, and so is what somebody else
collected for us in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dlbc.core.errors import ContractRefused
from dlbc.core.events import Receipt
from dlbc.core.types import Address, Ruling, TaskId, Verdict, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Payout, Pool
from dlbc.roles.cases import CaseView, OwnBallot, account_of, read_ballot, read_cases
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import Outcome

SMALL_CHANGE = 10**15
"""Wei that are not worth a transaction."""
_COLLECTED = ("Pool_NothingToCollect", "Claim_NotDemanded")


def collect_task(chain: Chain, pool: Pool, task_id: TaskId, report: Report = unheard) -> Outcome:
    """Collects everything a task owes the account, and withdraws what pool and market owe it."""
    me = account_of(pool)
    chain.task(task_id)
    parts = (
        collect_votes(chain, pool, me, report, task_id),
        collect_bonds(chain, pool, me, report, task_id),
        close_demands(chain, pool, task_id, me, report),
        pull_credits(chain, pool, me, report),
    )
    receipts = tuple(receipt for part in parts for receipt in part.receipts)
    aside = "".join(f" {sentence}" for sentence in told_of(read_cases(chain, pool, task_id), pool, me))
    if not receipts:
        return Outcome(f"Task {task_id} owes {me} nothing now; there was nothing to do.{aside}")
    done = ", ".join(part.sentence for part in parts[:3] if part.receipts)
    arrived = parts[3].sentence if parts[3].wei else "no ether was owed"
    return Outcome(f"{f'{done}; ' if done else ''}{arrived}.{aside}", receipts, parts[3].wei)


def told_of(views: Sequence[CaseView], pool: Pool, account: Address) -> list[str]:
    """What the account has in these cases that does not come, or not yet: one sentence each."""
    found = []
    for view in views:
        what = "impeachment" if view.is_about_the_test_set else "dispute"
        bond = format_amount(view.case.bond_wei)
        if pool.has_filed(view.case_id, account):
            if view.case.ruling is Ruling.STANDS:
                found.append(f"The bond of {bond} is lost: the auditors did not agree with the {what}.")
            elif view.is_open:
                found.append(f"The bond of {bond} waits for the vote on the {what}.")
        for event in pool.ballots_committed(view.case_id):
            own = read_ballot(pool, event) if event.voter == account else None
            is_counted = pool.ruling(view.case_id, event.attempt) is not Ruling.NONE
            if own is not None and own.verdict is Verdict.NONE and is_counted:
                found.append(f"The ballot of {format_amount(own.lock_wei)} is lost: it was not opened in time.")
    return found


def collect_votes(
    chain: Chain, pool: Pool, voter: Address, report: Report = unheard, task_id: TaskId | None = None
) -> Outcome:
    """Collects the voter's ballots of finished votes, of one task or of all."""
    receipts: list[Receipt] = []
    views = {view.case_id: view for view in read_cases(chain, pool, task_id)}
    for event in pool.ballots_of(voter):
        view = views.get(event.case_id)
        own = read_ballot(pool, event) if view is not None else None
        if view is None or own is None:
            continue
        call = _collect_call(pool, view, own, voter)
        if call is not None:
            receipts += _sent(call, report, "vote_collected", task_id=view.case.task_id, attempt=own.attempt)
    return Outcome(f"{len(receipts)} ballots collected", tuple(receipts))


def collect_bonds(
    chain: Chain, pool: Pool, filer: Address, report: Report = unheard, task_id: TaskId | None = None
) -> Outcome:
    """Collects the bonds, and shares of struck deposits, of the filer's finished disputes and impeachments."""
    receipts: list[Receipt] = []
    for view in read_cases(chain, pool, task_id):
        is_lost = view.case.ruling is Ruling.STANDS
        if not view.is_open and not is_lost and pool.has_filed(view.case_id, filer):
            call = partial(pool.collect_bond, view.case_id, filer)
            receipts += _sent(call, report, "bond_collected", task_id=view.case.task_id)
    return Outcome(f"{len(receipts)} bonds collected", tuple(receipts))


def close_demands(chain: Chain, pool: Pool, task_id: TaskId, demander: Address, report: Report = unheard) -> Outcome:
    """Takes back the bonds of demands that were never answered, once their claim is struck."""
    receipts: list[Receipt] = []
    for round_index in range(chain.task(task_id).round + 1):
        for event in pool.demands(task_id, round_index):
            is_open = pool.demander(task_id, round_index, event.miner, event.index) == demander
            if is_open and chain.entry(task_id, round_index, event.miner).is_struck:
                call = partial(pool.close_demand, task_id, round_index, event.miner, event.index)
                receipts += _sent(call, report, "demand_closed", task_id=task_id, index=event.index)
    return Outcome(f"{len(receipts)} demands closed", tuple(receipts))


def pull_credits(
    chain: Chain, pool: Pool, account: Address, report: Report = unheard, task_id: TaskId | None = None
) -> Outcome:
    """Withdraws what pool and market owe the account, to where its owner wants it."""
    receipts: list[Receipt] = []
    total = 0
    for name, source in (("pool", pool), ("market", chain)):
        owed = source.credit(account)
        if owed > 0:
            receipts += withdraw_credit(chain, source, account, report, task_id=task_id, source=name, wei=owed)
            total += owed
    payout = _payout_of(chain, account)
    where = str(account) if payout is None else f"{account}, which keeps its reserve and pays the rest to {payout.to}"
    return Outcome(f"{format_amount(total)} arrived on {where}", tuple(receipts), Wei(total))


def withdraw_credit(
    chain: Chain, owing: Chain | Pool, account: Address, report: Report, *, wei: int, **keys: object
) -> list[Receipt]:
    """Withdraws a whole credit of `wei`: to the account up to its reserve, beyond that to its owner.

    An account that has its reserve never touches the money. One that has not takes all, for the contracts pay whole
    credits only, and sends on what is too much: never more than came, so that what its owner gave it stays there.
    """
    payout = _payout_of(chain, account)
    if payout is not None and chain.balance(account) >= payout.reserve_wei:
        receipts = [owing.withdraw_to(payout.to)]
        _arrived(report, receipts[0], wei=wei, to=payout.to, **keys)
        return receipts
    receipts = [owing.withdraw(account)]
    _arrived(report, receipts[0], wei=wei, **keys)
    if payout is not None:
        receipts += pay_owner(chain, account, payout, report, most=wei)
    return receipts


def pay_owner(chain: Chain, account: Address, payout: Payout, report: Report, most: int | None = None) -> list[Receipt]:
    """Sends the owner what the account has above its reserve, but no more than `most`; no small change."""
    surplus = chain.balance(account) - payout.reserve_wei
    amount = surplus if most is None else min(most, surplus)
    if amount <= SMALL_CHANGE:
        return []
    receipt = chain.pay(payout.to, Wei(amount))
    report("money_forwarded", wei=amount, to=payout.to, tx=receipt.tx_hash, gas=receipt.gas_used)
    return [receipt]


def _payout_of(chain: Chain, account: Address) -> Payout | None:
    return chain.payout if account == chain.account else None


def _arrived(report: Report, receipt: Receipt, **keys: object) -> None:
    report("money_arrived", **keys, tx=receipt.tx_hash, block=receipt.block_number, gas=receipt.gas_used)


def _collect_call(pool: Pool, view: CaseView, own: OwnBallot, voter: Address) -> Callable[[], Receipt] | None:
    has_ruling = pool.ruling(view.case_id, own.attempt) is not Ruling.NONE
    if own.verdict is not Verdict.NONE:
        if has_ruling or view.is_moot:
            return partial(pool.collect_vote, view.case_id, own.attempt, voter)
    elif view.is_moot and not has_ruling:
        return partial(pool.recover_vote, view.case_id, own.attempt, voter, own.ballot, own.lock_wei)
    return None  # open, or never revealed and lost


def _sent(call: Callable[[], Receipt], report: Report, event: str, **keys: object) -> list[Receipt]:
    """The receipt; none if it is collected already, by us or, as anyone may collect for anybody, by somebody else."""
    try:
        receipt = call()
    except ContractRefused as error:
        if error.name not in _COLLECTED:
            report("refused", do=event, reason=str(error), **keys)
        return []
    report(event, tx=receipt.tx_hash, gas=receipt.gas_used, **keys)
    return [receipt]
