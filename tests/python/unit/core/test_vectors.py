"""tests/vectors/protocol.json, which the Solidity tests read too, is what the formulas give today."""

from __future__ import annotations

import json
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dlbc.core.types import Fault, Phase, Ruling
from eth_account import Account

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
GENERATOR = runpy.run_path(str(VECTORS / "generate.py"))
TABLES: dict[str, dict[str, list[Any]]] = json.loads((VECTORS / "protocol.json").read_text("utf-8"))


def test_vectors__regenerated__are_the_committed_file() -> None:
    """No formula changes silently: run `python tests/vectors/generate.py` and commit the difference."""
    assert (VECTORS / "protocol.json").read_text("utf-8") == GENERATOR["generate"]()


@pytest.mark.parametrize(
    ("section", "column", "least"), [("difficulties", "queue", 100), ("ranks", "rank", 100), ("phases", "phase", 60)]
)
def test_vectors__section__has_enough_cases(section: str, column: str, least: int) -> None:
    """Enough cases that a slip in either language shows."""
    assert least <= len(TABLES[section][column])


def test_vectors__phases__show_every_phase_running_and_due() -> None:
    """Each warm phase comes up both ways, each cold one at least once."""
    found = {
        (Phase(int(phase)), due)
        for section in ("phases", "votingPhases")
        for phase, due in zip(TABLES[section]["phase"], TABLES[section]["due"], strict=True)
    }

    warm = {phase for phase in Phase if not phase.is_cold} - {Phase.NONE}
    assert {(phase, False) for phase in Phase} | {(phase, True) for phase in warm} == found


@pytest.mark.parametrize(
    ("section", "column", "values", "least"),
    [("rulings", "ruling", set(Ruling) - {Ruling.NONE}, 15), ("refutations", "fault", set(Fault), 8)],
)
def test_vectors__votes_and_refutations__show_every_outcome(
    section: str, column: str, values: set[int], least: int
) -> None:
    """Each ruling and each fault comes up several times, honest leaves too."""
    found = Counter(int(value) for value in TABLES[section][column])

    assert set(found) == values
    assert least <= min(found.values())


@pytest.mark.parametrize("section", TABLES)
def test_vectors__section__arrays_are_parallel(section: str) -> None:
    """Arrays have one entry a case; those with several values a case have the length that their counts sum to."""
    table = TABLES[section]
    counts = {name: values for name, values in table.items() if name.lower().endswith("counts")}
    cases = len(next(iter(table.values())))
    sums = {sum(map(int, values)) for values in counts.values()}

    assert all(len(values) in {cases, *sums} for values in table.values())
    assert all(len(values) == cases for values in counts.values())


def test_vectors__signatures__recover_to_the_miners() -> None:
    """The signatures in the file are by the proofs' miners over the digests in the file."""
    table = TABLES["proofs"]
    for digest, signature, miner, separator in zip(
        table["scoreClaimDigest"], table["signature"], table["miner"], table["domainSeparator"], strict=True
    ):
        assert len(bytes.fromhex(separator[2:])) == 32
        assert miner == Account._recover_hash(bytes.fromhex(digest[2:]), signature=signature)
