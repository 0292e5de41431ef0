"""docs/hostile-inputs.md from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WHERE = {
    "requester's data": "`dlbc task post` reads it, on the requester's own machine",
    "task file": "`dlbc task post` reads it, on the requester's own machine",
    "manifest": "A miner looks for work; the terms commit to exactly these bytes",
    "training shard": "A miner's training reads it, after its hash was checked",
    "test set": "An auditor examines a released test set, as it was committed to",
    "sealed model": "An auditor examines an opened claim",
    "model file": "An auditor examines an opened claim; the file is sealed and hashed as it should be",
    "predictions": "An auditor examines an opened claim",
    "earlier original": "An auditor examines an honest claim; a stranger's model of its architecture was opened before",
    "event": "An auditor examines an honest claim; the log tells such fields: a stranger chose them, or a node lies",
    "IPFS DAG": "A real IPFS node has the blocks, and is asked for the file (`tests/python/contract/storage`)",
    "too much work": "An auditor's machine is too small, or has too little time",
    "evidence": "`dlbc auditor evidence` and voters read it",
    "signed reveal": "A keeper reads it from the relay folder",
    "suspect file": "`dlbc watermark detect` reads it",
}
MIB = 2**20


def page(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [_head(figures), *(_area(area, where, figures) for area, where in WHERE.items()), _readers(figures)]
    return "\n".join(parts)


def _head(figures: Mapping[str, Any]) -> str:
    rows, cost, limits = figures["cases"], figures["cost"], figures["limits"]
    slowest, largest = max(row["seconds"] for row in rows), max(row["peakBytes"] for row in rows) / MIB
    network = " and ".join(figures["confinement"]["network"]) or "nothing, on this kernel"
    return f"""# Hostile inputs and their verdicts

Written by `dlbc bench hostile`; do not edit. What the verdicts mean is in [auditing.md](auditing.md), the corpus in
`tests/python/hostile`; `tests/python/unit/test_hostile_corpus.py` plays every case.

{len(rows)} inputs, {figures["date"]}, {figures["machine"]}. The slowest took {slowest:.1f} s, the largest
{largest:.0f} MiB beyond what was there (allowed: {limits["seconds"]:.0f} s, {limits["peakBytes"] / MIB:.0f} MiB).
What kept the scoring process from the network: {network}. Parsing and scoring {cost["samples"]:,} samples of a small
cnn took {cost["apart"]:.2f} s over there and {cost["here"]:.2f} s in a process with everything; it is confined
{cost["confined"]:.2f} s after it was started, and has torch after {cost["torchImported"]:.1f} s, which pass while the
audit reads the chain. An examination of such a claim on a market in memory took {cost["audit"]:.1f} s,
{100 * cost["scoringShare"]:.0f} % of them scoring. Where memory is 0, the input fitted into what had been freed before.
"""


def _area(area: str, where: str, figures: Mapping[str, Any]) -> str:
    rows = [row for row in figures["cases"] if row["area"] == area]
    table = "\n".join(
        f"| {row['input']} | {row['verdict']} | {1000 * row['seconds']:.0f} | {row['peakBytes'] / MIB:.0f} |"
        for row in rows
    )
    return f"""## {area[0].upper()}{area[1:]}

{where}.

| input | verdict | ms | MiB |
|---|---|---:|---:|
{table}
"""


def _readers(figures: Mapping[str, Any]) -> str:
    table = "\n".join(
        f"| {row['reader']} | {row['files']:,} | {row['taken']:,} | {1000 * row['slowestSeconds']:.0f} |"
        for row in figures["readers"]
    )
    return f"""## Spoiled files

Good files with bits, bytes and pieces changed, cut, doubled, or replaced by words that parsers know; the same files
every time. Each was read, or refused in one sentence.

| reader | files | still good | slowest, ms |
|---|---:|---:|---:|
{table}
"""
