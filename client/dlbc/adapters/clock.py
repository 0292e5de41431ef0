"""Wall-clock time."""

from __future__ import annotations

import time


class SystemClock:
    """ports.Clock on the operating system's clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))
