"""The tables of docs/economy.md, in Markdown, from recorded results: a test holds the page against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMES = {
    "over_claimer": "over-claimer",
    "ring": "over-claimer with friends among the auditors",
    "junk": "junk: commits nothing, reveals zero",
    "silent": "silent: claims everything, does not open",
    "builder": "builder: goes on from an opened model, declares it",
    "thief": "thief: the same, undeclared",
    "honest": "honest",
    "falls": "lazy: Falls, trusting whoever filed",
    "unavailable": "lazy: Unavailable",
    "absent": "absent",
    "own_contest": "wins its own contest",
    "leak": "leaks the test set",
    "no_release": "never releases",
    "unreachable": "score that nobody reaches",
}


def all_of(results: Mapping[str, Any]) -> dict[str, str]:
    """By name, in the order of the page."""
    market, attacks = results["market"], results["attacks"]
    return {
        "miners": miners(market["miners"]),
        "auditors": auditors(market["auditors"]),
        "requesters": requesters(market["requesters"]),
        "attacks": played(attacks["played"]),
        "bought votes": bought(attacks["with_stake"]),
        "least shares": least(attacks["least_share"]),
        "small votes": small(attacks["small_votes_first"]),
        "ballots": ballots(attacks["ballots"]),
        "looking": looking(attacks["looking_pays_from_share_false"]),
        "bounties": bounties(attacks["by_bounty"]),
        "watching": watching(results["watching"]),
        "locks": locks(results["parameters"]["lock_bps"]),
        "criteria": criteria(results["parameters"]),
        "sensitivity": sensitivity(results["sensitivity"]),
    }


def miners(found: Mapping[str, Any]) -> str:
    rows = [
        (
            _named(name),
            row["agents"],
            f"{row['profit_ether']:+.4f} ± {2 * row['standard_error']:.4f}",
            _or_dash(row["compute_ether"], ".4f"),
            _or_dash(row["profit_per_compute"], ".2f"),
            f"{row['profit_per_deposit']:+.3f}",
            f"{row['in_profit']:.0%}",
        )
        for name, row in found.items()
    ]
    heads = ("miners", "number", "ether a round", "compute", "profit / compute", "profit / deposit", "in profit")
    return table(heads, sorted(rows, key=lambda row: -float(str(row[2]).split()[0])))


def auditors(found: Mapping[str, Any]) -> str:
    parts = ("from_votes", "from_dividends", "thirds_of_filers", "audits", "locks_lost", "profit_per_staked_ether")
    rows = [
        (_ring(name), f"{row['stake_ether']:.0f}", *(f"{row[part]:+.4f}" for part in parts))
        for name, row in found.items()
    ]
    return table(("auditors", "stake", "votes", "dividends", "thirds", "audits", "locks lost", "sum"), rows)


def requesters(found: Mapping[str, Any]) -> str:
    rows = [
        (_named(name), row["tasks"], f"{row['cost_ether_a_task']:.4f}", f"{row['cost_share_of_bounty']:.1%}")
        for name, row in found.items()
    ]
    return table(("requesters", "tasks", "cost a task, ether", "of the mean bounty"), rows)


def played(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            f"{row['cost_ether']:.4f}",
            f"{row['gain_ether']:.2f}",
            f"{row['harm_ether']:+.4f}",
            f"{row['harm_per_cost']:g}" if row["harm_per_cost"] else "",
            f"{row['delay_hours']:g}",
            row["result"].replace("_", " "),
        )
        for name, row in found.items()
    ]
    return table(("attack", "cost", "gain", "harm", "harm / cost", "hours lost", "end"), rows)


def bought(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{row['share']:.0%}",
            *(f"{row[kind]['profit_ether']:+.3f}, {row[kind]['result']}" for kind in _KINDS),
        )
        for row in found
    ]
    return table(("share of the stake", "own false claim", "strike the leader", "impeach"), rows)


def least(found: Mapping[str, Any]) -> str:
    rows = [
        (f"{float(turnout):.0%}", _percent(row["false_claim_settles"]), _percent(row["honest_claim_struck"]))
        for turnout, row in found.items()
    ]
    return table(("honest stake that votes", "a false claim settles from", "an honest claim is struck from"), rows)


def small(found: Mapping[str, Any]) -> str:
    rows = [
        (
            count,
            _percent(row["settle_from_share"]),
            _percent(row["strike_from_share"]),
            f"{row['gas_ether']:.4f}",
        )
        for count, row in found.items()
        if count != "votes_at_once"
    ]
    heads = ("small votes first", "a false claim settles from", "an honest claim is struck from", "gas, ether")
    return table(heads, rows)


def ballots(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            f"{row['right_dispute_ether']:+.5f}",
            f"{row['wrong_dispute_ether']:+.5f}",
            _or_dash(row["honest_pays_from_share_of_wrong"], ".2%"),
        )
        for name, row in found.items()
        if name != "lock_ether"
    ]
    return table(("ballot", "the dispute is right", "it is wrong", "looking pays if this share is wrong"), rows)


def bounties(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{size} ether",
            f"{row['share_of_stake']:.2%}",
            f"{row['filer_net_ether']:+.4f}",
            f"{row['voter_net_ether']:+.5f}",
            f"{row['over_claim_deterred_from_chance']:.1%}",
        )
        for size, row in found.items()
    ]
    return table(("bounty", "of all stake", "filer nets", "each voter nets", "cheating stops paying at"), rows)


def watching(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            row["habits"],
            f"{row['deposit_bps'] / 100:g} %",
            f"{row['caught_share']:.1%}",
            f"{row['over_claimer_profit_ether']:+.3f}",
            f"{row['honest_profit_ether']:+.3f}",
            f"{row['false_settled_share']:.1%}",
        )
        for row in found
    ]
    heads = ("who looks", "deposit", "caught", "an over-claimer's round", "an honest one's", "tasks settled falsely")
    return table(heads, rows)


def looking(found: Mapping[str, Any]) -> str:
    rows = [(name, f"{share:.2%}") for name, share in found.items()]
    return table(("who looks", "it pays if this share of claims is false"), rows)


def locks(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{row['value'] / 100:g} %",
            row["most_votes_at_once"],
            row["votes_without_quorum"],
            f"{row['false_settled_share']:.1%}",
            f"{row['over_claimer_profit_ether']:+.3f}",
        )
        for row in found["large_markets"]
    ]
    heads = (
        "lockBps",
        "most votes at once",
        "votes without a quorum",
        "tasks settled falsely",
        "an over-claimer's round",
    )
    return table(heads, rows)


def criteria(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            _value(row["default"]),
            row["bound"],
            row["criterion"],
            "yes" if row["default_keeps"] else "**no**",
            ", ".join(_value(value) for value in row["values_that_keep"]) or "none",
        )
        for name, row in found.items()
    ]
    return table(("parameter", "default", "bound", "it should keep", "does it", "of the values tried, these do"), rows)


def sensitivity(found: Mapping[str, Any]) -> str:
    keys = ("honest", "builder", "thief", "over_claimer")
    rows = [
        (
            name,
            *(f"{row[f'{key}_profit_ether']:+.3f}" for key in keys),
            f"{row['honest_auditor_a_round']:+.4f}",
            f"{row['caught_share']:.0%}",
            f"{row['false_settled_share']:.1%}",
        )
        for name, row in found.items()
    ]
    heads = ("changed", "honest", "builder", "thief", "over-claimer", "honest auditor", "caught", "settled falsely")
    return table(heads, rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (heads, *rows)]
    return "\n".join((lines[0], "|" + "---|" * len(heads), *lines[1:]))


_KINDS = ("false_claim", "strike_leader", "impeach")


def _named(name: str) -> str:
    return NAMES.get(name, name)


def _ring(name: str) -> str:
    return "friends of over-claimers" if name == "ring" else _named(name)


def _percent(share: float | None) -> str:
    return "no share" if share is None else f"{share:.1%}"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if not value else format(value, form)


def _value(value: Any) -> str:
    return f"{value / 1e18:g} ether" if isinstance(value, int) and value > 10**12 else str(value)
