"""The figures beside the results. Without matplotlib there are none, and a line says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import erfc, exp, log2, sqrt
from pathlib import Path
from typing import Any

from watermark_parts.attacks import RETRAINING

LINEAR_EVIDENCE = 128
"""Bits up to which the evidence axis of our mark is linear; it is logarithmic beyond."""
TICKS = (0, 80, 128, 300, 1000, 3000)


def can_plot() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def attack_curves(cells: Mapping[str, Any], path: Path) -> None:
    """Evidence and accuracy over epochs of attack, a row for each cell, for ours and for the baseline."""
    figure, axes = _figure(len(cells), 4, 3.6, 2.5)
    kinds = _kinds(cells)
    for row, (name, cell) in zip(axes, cells.items(), strict=True):
        for column, scheme in enumerate(("kss", "uchida")):
            evidence, accuracy = row[2 * column], row[2 * column + 1]
            for run in cell[scheme]["attacks"]:
                colour = f"C{kinds.index(run['kind']) % 10}"
                style = "--" if kinds.index(run["kind"]) >= 10 else "-"
                curve = run["curve"]
                found = [-min(blind, aligned or 0.0) for blind, aligned in _evidence(curve)]
                marker = "." if len(found) == 1 else None
                drawing = {"color": colour, "linestyle": style, "linewidth": 0.7, "alpha": 0.7, "marker": marker}
                evidence.plot(curve["epoch"], found, **drawing)
                accuracy.plot(curve["epoch"], [100 * value for value in curve["accuracy"]], **drawing)
            for bits in (80, 128) if scheme == "kss" else (32,):
                evidence.axhline(bits, color="black", linewidth=0.8, linestyle=":")
            if scheme == "kss":
                evidence.set_yscale("symlog", linthresh=LINEAR_EVIDENCE)
                evidence.set_yticks(TICKS, [str(tick) for tick in TICKS])
            evidence.set_ylim(bottom=0)
            for floor in cell[scheme]["floors"].values():
                accuracy.axhline(100 * floor, color="black", linewidth=0.8, linestyle=":")
            evidence.set_title(f"{name}, {scheme}: evidence in bits", fontsize=8)
            accuracy.set_title(f"{name}, {scheme}: accuracy %", fontsize=8)
    for place in axes[-1]:
        place.set_xlabel("epochs of attack", fontsize=8)
    _legend(figure, kinds)
    _save(figure, path)


def ratios(cells: Mapping[str, Any], path: Path) -> None:
    """R by kind of attack; hollow where the attack never succeeded and R is more than drawn."""
    figure, axes = _figure(1, 1, 3 + 1.4 * len(cells), 4.2)
    axis = axes[0][0]
    kinds = _kinds(cells)
    for x, cell in enumerate(cells.values()):
        for offset, scheme in ((-0.2, "kss"), (0.2, "uchida")):
            for place, kind in enumerate(kinds):
                removal = "removal" if scheme == "kss" else "removal_blind"
                found = cell[scheme][removal]["by_kind"].get(kind)
                if found is None or found["ratio"]["value"] is None:
                    continue
                at = x + offset + (place / len(kinds) - 0.5) * 0.3
                is_open = found["ratio"]["is_lower_bound"]
                axis.plot(
                    at,
                    found["ratio"]["value"],
                    marker="^" if scheme == "kss" else "v",
                    color=f"C{place % 10}",
                    fillstyle="none" if is_open else "full",
                    linestyle="none",
                )
    axis.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(cells)), [name.replace("/", "\n") for name in cells], fontsize=8)
    axis.set_ylabel("E_remove / E_scratch")
    axis.set_title(
        "▲ keyed spread spectrum   ▼ Uchida as published   hollow: never removed within the budget", fontsize=9
    )
    _legend(figure, kinds)
    _save(figure, path)


def roc(cells: Mapping[str, Any], path: Path) -> None:
    """Share of attacked models still worth having that are found, over the bound on the false-positive probability.

    Every point of every attack that keeps weights of the original counts, after the epoch in which it stands.
    """
    figure, axes = _figure(1, 1, 7, 4.2)
    axis = axes[0][0]
    for index, (name, cell) in enumerate(cells.items()):
        for scheme, style in (("kss", "-"), ("uchida", "--")):
            found = sorted(_evidence_worth_having(cell[scheme]))
            if not found:
                continue
            bits = list(range(201))
            shares = [sum(evidence >= level for evidence in found) / len(found) for level in bits]
            axis.plot(bits, shares, style, color=f"C{index}", label=f"{name}, {scheme}", linewidth=1)
    for threshold in (32, 80, 128):
        axis.axvline(threshold, color="black", linewidth=0.8, linestyle=":")
    axis.set_xlabel("false positives: bound in bits (2^-x)")
    axis.set_ylabel("found among attacked models worth having")
    axis.legend(fontsize=6)
    _save(figure, path)


def _evidence_worth_having(found: Mapping[str, Any]) -> list[float]:
    evidence = []
    for run in found["attacks"]:
        if run["kind"] in RETRAINING:
            continue
        curve, floor = run["curve"], found["floors"][str(run["seed"])]
        for accuracy, (blind, aligned) in zip(curve["accuracy"], _evidence(curve), strict=True):
            if accuracy >= floor:
                evidence.append(-min(blind, aligned or 0.0))
    return evidence


def _evidence(curve: Mapping[str, Any]) -> list[tuple[float, float | None]]:
    return list(zip(curve["log2"], curve["aligned_log2"], strict=True))


def tails(series: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Empirical tails against the bound, and against a normal distribution's."""
    figure, axes = _figure(1, 1, 7, 4.2)
    axis = axes[0][0]
    levels = [index / 50 for index in range(25, 310)]
    axis.plot(levels, [exp(-(s**2) / 2) for s in levels], color="black", label="bound exp(-s²/2)")
    axis.plot(levels, [erfc(s / sqrt(2)) / 2 for s in levels], color="black", linestyle=":", label="normal")
    for name, found in series.items():
        drawn = [level for level in found if level["reached"]]
        axis.plot([one["s"] for one in drawn], [one["share"] for one in drawn], ".-", label=name, linewidth=0.8)
    axis.set_yscale("log")
    axis.set_xlabel("strength s")
    axis.set_ylabel("share of keys with S ≥ s")
    axis.legend(fontsize=7)
    top = axis.secondary_xaxis("top", functions=(lambda s: s**2 / 2 * log2(exp(1)), _level))
    top.set_xlabel("bound in bits", fontsize=8)
    _save(figure, path)


def _level(bits: Any) -> Any:
    return (abs(bits) * 2 / log2(exp(1))) ** 0.5


def _kinds(cells: Mapping[str, Any]) -> list[str]:
    runs = (run for cell in cells.values() for scheme in ("kss", "uchida") for run in cell[scheme]["attacks"])
    return list(dict.fromkeys(run["kind"] for run in runs))


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _legend(figure: Any, kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=f"C{index % 10}", linestyle="--" if index >= 10 else "-", label=kind)
        for index, kind in enumerate(kinds)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
