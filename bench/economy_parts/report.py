"""Results as JSON that can be read, and as tables of at most 80 columns for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Replaces the file; lists of plain values stay on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\s*\n\s*", " ", match.group()), text)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text + "\n")
    draft.replace(path)


def summary(results: Mapping[str, Any]) -> str:
    return "\n\n".join(
        (
            market_tables(results["market"]),
            attacks_table(results["attacks"]),
            parameters_table(results["parameters"]),
        )
    )


def market_tables(market: Mapping[str, Any]) -> str:
    miners = [
        (name, row["agents"], row["profit_ether"], _or_dash(row["profit_per_compute"]), row["in_profit"])
        for name, row in market["miners"].items()
    ]
    auditors = [
        (name, row["agents"], row["stake_ether"], row["profit_per_staked_ether"], row["locks_lost"])
        for name, row in market["auditors"].items()
    ]
    requesters = [
        (name, row["tasks"], row["cost_ether_a_task"], row["cost_share_of_bounty"])
        for name, row in market["requesters"].items()
    ]
    told = (
        f"{market['tasks']} tasks; {market['false_settled_share']:.1%} settled falsely; "
        f"{market['seconds']} s, {market['peak_mib']} MiB at most"
    )
    return "\n\n".join(
        (
            told,
            table(("miners", "number", "ether a round", "per compute", "in profit"), miners),
            table(("requesters", "tasks", "ether a task", "of bounty"), requesters),
            table(("auditors", "number", "stake", "per ether", "locks lost"), auditors),
        )
    )


def attacks_table(found: Mapping[str, Any]) -> str:
    rows = [
        (name, *(f"{row[key]:.4f}" for key in ("cost_ether", "gain_ether", "harm_ether")), f"{row['delay_hours']:g}")
        for name, row in found["played"].items()
    ]
    shares = [
        (f"{float(turnout):.0%}", _percent(row["false_claim_settles"]), _percent(row["honest_claim_struck"]))
        for turnout, row in found["least_share"].items()
    ]
    return "\n\n".join(
        (
            table(("attack on a task of 1 ether", "cost", "gain", "harm", "hours"), rows),
            table(("honest stake that votes", "false claim settles from", "honest claim struck from"), shares),
        )
    )


def parameters_table(found: Mapping[str, Any]) -> str:
    rows = []
    for name, row in found.items():
        kept = row["values_that_keep"]
        rows.append((name, _short(row["default"]), "keeps" if row["default_keeps"] else "MISSES", _range(kept)))
    return table(("parameter", "default", "criterion", "values that keep it"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Plain columns, the first to the left, the others to the right."""
    texts = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
    return "\n".join((lines[0], "-" * max(map(len, lines)), *lines[1:]))


def _range(kept: Sequence[Any]) -> str:
    if not kept:
        return "none"
    return _short(kept[0]) if len(kept) == 1 else f"{_short(kept[0])} to {_short(kept[-1])}"


def _short(value: Any) -> str:
    return f"{value / 1e18:g} ether" if isinstance(value, int) and value > 10**12 else str(value)


def _percent(share: float | None) -> str:
    return "never" if share is None else f"{share:.1%}"


def _or_dash(value: float | None) -> Any:
    return "-" if value is None else value
