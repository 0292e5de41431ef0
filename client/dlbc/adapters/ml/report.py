"""What a training process tells its parent: progress.json, replaced as a whole, and an exit code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dlbc.adapters.ml.files import read_json, write_json

REPORT_SECONDS = 0.5
NO_ROOM = 73
"""Exit code of one that could not write, so neither what is wrong."""


class Reporter:
    """Writes progress.json, at most every half second unless the state changes."""

    def __init__(self, work: Path, epochs: int) -> None:
        self._path = work / "progress.json"
        self._now: dict[str, Any] = {"state": "starting", "epoch": 0, "epochs": epochs, "loss": None}
        self._now |= {"validation_ppm": None, "message": ""}
        self._next = 0.0

    def is_due(self) -> bool:
        """Enough time has passed for another report; ask before computing what to say."""
        return time.monotonic() >= self._next

    def tell(self, **changes: object) -> None:
        self._now |= changes
        write_json(self._path, self._now)
        self._next = time.monotonic() + REPORT_SECONDS

    def catch_up(self) -> None:
        """Goes on from what another process of this training told last."""
        self._now |= read_json(self._path) or {}
