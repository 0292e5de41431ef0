"""What the proofs have to reach. The drivers enforce it, and a unit test compares the committed results with it."""

from __future__ import annotations

COVERED_LINES_PERCENT = 99.0
COVERED_BRANCHES_PERCENT = 97.0
KILLED_MUTANTS_PERCENT = 90.0
FUZZ_RUNS = 10_000
INVARIANT_RUNS = 256
INVARIANT_DEPTH = 500
SEEDED_FAULTS = 3
FINE_TUNING_R = 2.0
"""R of docs/watermark.md against thieves who only train on."""
DEEP_SECONDS = 3600
