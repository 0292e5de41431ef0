"""Results as JSON that can be read, and as a table for people."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from dlbc.adapters.ml.evaluate import describe_device, pick_device
from dlbc.adapters.ml.files import replacing

from watermark_parts.metrics import Least, Point, Ratio


def machine(device: str) -> dict[str, Any]:
    """Where and with what the figures were measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": describe_device(pick_device(device)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return names[0] if names else platform.machine()


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Replaces the file; lists of plain values stay on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\s*\n\s*", " ", match.group()), text)
    with replacing(path) as draft:
        draft.write_text(text + "\n")


def columns(curve: Sequence[Point]) -> dict[str, list[Any]]:
    """A curve as one list for each of its figures."""
    found: dict[str, list[Any]] = {
        "epoch": [point.epoch for point in curve],
        "accuracy": [round(point.accuracy, 4) for point in curve],
        "log2": [round(point.log2_chance, 1) for point in curve],
        "aligned_log2": [_rounded(point.aligned_log2_chance, 1) for point in curve],
        "wrong_bits": [point.wrong for point in curve],
        "aligned_wrong_bits": [point.aligned_wrong for point in curve],
        "cosine": [_rounded(point.cosine, 3) for point in curve],
    }
    if any(point.strength is not None for point in curve):
        found["strength"] = [_rounded(point.strength, 2) for point in curve]
        found["aligned_strength"] = [_rounded(point.aligned_strength, 2) for point in curve]
    return found


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def table(cells: Mapping[str, Any]) -> str:
    """The figures that the documentation quotes, in Markdown."""
    heads = [
        "net",
        "unmarked %",
        "KSS %",
        "Uchida %",
        "S",
        "wrong bits",
        "E_embed",
        "afterwards",
        "E_remove",
        "E_scratch",
        "R",
    ]
    heads += ["R keeping weights", "R fine-tuning", "Uchida: E_embed", "afterwards", "E_remove", "R", "R if aligned"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, cell in cells.items():
        ours, base = cell["kss"], cell["uchida"]
        row = [
            f"{name} ({cell['parameters'] // 1000} k)",
            *(_percent(cell["accuracy"][label]) for label in ("unmarked", "kss", "uchida")),
            _range(ours["strengths"]),
            f"{max(ours['wrong_bits'])} of {ours['n']}",
            *(_epochs(ours["embed"][when]) for when in ("in_training", "afterwards")),
            _least(ours["removal"]["all"], "remove"),
            _least(ours["removal"]["all"], "scratch"),
            *(_ratio(ours["removal"][group]["ratio"]) for group in ("all", "keeping_weights", "fine_tuning")),
            *(_epochs(base["embed"][when]) for when in ("in_training", "afterwards")),
            _least(base["removal_blind"]["all"], "remove"),
            _ratio(base["removal_blind"]["all"]["ratio"]),
            _ratio(base["removal"]["all"]["ratio"]),
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _percent(found: Mapping[str, Any]) -> str:
    deviation = "" if found["sd"] is None else f" ± {100 * found['sd']:.1f}"
    return f"{100 * found['mean']:.1f}{deviation}"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low}–{high}"


def _epochs(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"{len(values) - len(known)} of {len(values)} never"
    low, high = f"{min(known):g}", f"{max(known):g}"
    return low if low == high else f"{low}–{high}"


def _least(found: Mapping[str, Any], what: str) -> str:
    return str(Least(found[what], found["budget"]))


def _ratio(found: Mapping[str, Any]) -> str:
    return str(Ratio(found["value"], found["is_lower_bound"]))
