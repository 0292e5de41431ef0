"""What the proof drivers share: where the tools are, temporary copies of the sources, commands with progress."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-proof"
TICK_SECONDS = 20
COPIED = ("contracts", "deploy", "tests/solidity", "tests/vectors", "tests/proof/symbolic", "foundry.toml")
"""What compiling and running the Solidity tests needs, beside node_modules."""
OPTIMISED_ONLY = "below_.*_bytes|says_what_it_was_deployed_with|^test_gas"
"""Tests of a contract's size or gas: they say nothing of code that is compiled without the optimiser."""


class Unusable(Exception):
    """A tool is missing or did not do its work, so there is no result at all. Carries one sentence."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    output: str
    seconds: float


def say(text: str) -> None:
    """One line of progress, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def forge() -> Path:
    """The forge program itself. npm's wrapper of it exits 0 when tests fail."""
    found = sorted((ROOT / "node_modules" / "@foundry-rs").glob("forge-*-*/bin/forge*"))
    if not found:
        raise Unusable("forge is not in node_modules; run `make setup` first")
    return found[0]


def environment(**more: str) -> dict[str, str]:
    """Ours, with the tools first on the path and a home inside the checkout: halmos writes to its home."""
    path = [str(TOOLS / "bin"), str(forge().parent), str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")]
    home = ROOT / "cache" / "home"
    home.mkdir(parents=True, exist_ok=True)
    return os.environ | {"PATH": os.pathsep.join(path), "HOME": str(home), "NO_COLOR": "1"} | more


def run(command: Sequence[str | Path], label: str, cwd: Path = ROOT, quiet: bool = False, **more: str) -> Finished:
    """Runs a command to its end; says every few seconds that it still runs. `more` goes into its environment."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env=environment(**more), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    child.wait(TICK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if not quiet:
                        say(f"  {label}: {time.monotonic() - began:.0f} s")
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        output.seek(0)
        return Finished(child.returncode, output.read(), time.monotonic() - began)


@contextmanager
def copy(root: Path = ROOT) -> Iterator[Path]:
    """A temporary folder with the contracts and their tests, to be changed at will. It is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dlbc-proof-") as name:
        folder = Path(name)
        for part in COPIED:
            source, target = root / part, folder / part
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        (folder / "node_modules").symlink_to(root / "node_modules")
        yield folder


def last_lines(text: str, count: int = 30) -> str:
    """The end of an output, for a message."""
    return "\n".join(text.strip().splitlines()[-count:])


def report(broken: list[str], done: str) -> int:
    """Prints every broken limit, or that there is none; returns the exit code."""
    for sentence in broken:
        sys.stderr.write(f"error: {sentence}\n")
    if not broken:
        say(done)
    return 1 if broken else 0


def entry(main: Callable[[], int]) -> None:
    """Ends the process with main's exit code; a missing tool is one sentence and exit 2."""
    try:
        sys.exit(main())
    except Unusable as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
