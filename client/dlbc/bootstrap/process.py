"""This process and its machine: settings, clock, log, figures, devices."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config, read_config
from dlbc.ports import Clock

if TYPE_CHECKING:
    from dlbc.adapters.telemetry import EventLog
    from dlbc.core.checkup import Finding
    from dlbc.roles.watch import Watch


def load_config(flags: Mapping[str, str | None] | None = None) -> Config:
    """Settings of this process: flags, DLBC_* variables, dlbc.toml, defaults. Raises Usage."""
    return read_config(flags or {}, os.environ, Path.cwd(), Path.home())


def clock() -> Clock:
    """The operating system's clock."""
    from dlbc.adapters.clock import SystemClock

    return SystemClock()


def event_log() -> EventLog:
    """Logs to stderr: lines on a terminal, JSON elsewhere."""
    from dlbc.adapters.telemetry import EventLog

    return EventLog()


@contextmanager
def watch(config: Config, role: str) -> Iterator[Watch]:
    """Watches a daemon; with a metrics port, its figures are served as long as it runs. Raises Refused."""
    import time

    from dlbc.adapters.health import Health, HealthServer
    from dlbc.roles.loop import said_once
    from dlbc.roles.watch import Watch

    health, logged = Health(time.monotonic), said_once(bootstrap.event_log())
    if not config.metrics_port:
        yield Watch(logged, health)
        return
    from dlbc.adapters.metrics import Metrics

    metrics = Metrics(role, lambda: health.age)
    with HealthServer(config.metrics_port, health, metrics.text, metrics.content_type):
        yield Watch(logged, health, metrics)


def checkup(config: Config) -> tuple[int, Iterator[Finding]]:
    """(number of checks, their findings as they come) of this machine under this configuration."""
    from dlbc.adapters.checkup import checks_of, run

    checks = checks_of(config)
    return len(checks), run(checks)


def devices(named: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str]:
    """(the named ones, else every GPU of this machine that torch can use, else the processor; a warning, or "")."""
    from dlbc.core.devices import without_missing

    if named and not any(device.startswith("cuda") for device in named):
        return named, ""
    count = _gpus()
    if named:
        return (named, "") if count is None else without_missing(named, count)
    return tuple(f"cuda:{number}" for number in range(count or 0)) or ("cpu",), ""


def _gpus() -> int | None:
    """How many torch can use, asked in a process of its own; None if it does not say."""
    import subprocess
    import sys

    if not any((*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd"))):
        return 0
    asked = [sys.executable, "-P", "-c", "import torch; print(torch.cuda.device_count())"]
    try:
        return int(subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True).stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
