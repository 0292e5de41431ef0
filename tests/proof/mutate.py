"""Do the tests notice a changed library? `make mutate`, MUTANTS=40 of them by a seed, or MUTANTS=all.

Each mutant changes one operator, comparison, constant or statement of contracts/libraries in a temporary copy. The
tests of the libraries alone run first, since they compile in seconds; what they do not notice meets the whole Solidity
suite, less the random play. A mutant that no test notices survives. equivalents.json lists those that change nothing,
each with its proof; a row that matches no mutant is an error. Exits 1 if fewer than the limit are noticed, or a row is
stale.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import limits
from workshop import OPTIMISED_ONLY, ROOT, Unusable, copy, entry, forge, report, run, say

LIBRARIES = "contracts/libraries"
EQUIVALENTS = Path(__file__).with_name("equivalents.json")
SEED = 20260101
DEFAULT_COUNT = "40"
WORKERS = 2
WITHOUT_CODE = ("Errors.sol",)

# What is looked for, and what it becomes. Spaces keep operators apart from signs, arrows and exponents.
CHANGES = (
    (r" \+ ", (" - ",)),
    (r" - ", (" + ",)),
    (r" \* ", (" / ",)),
    (r" / ", (" * ",)),
    (r" % ", (" * ",)),
    (r" < ", (" <= ", " >= ")),
    (r" <= ", (" < ", " > ")),
    (r" > ", (" >= ", " <= ")),
    (r" >= ", (" > ", " < ")),
    (r" == ", (" != ",)),
    (r" != ", (" == ",)),
    (r" && ", (" || ",)),
    (r" \|\| ", (" && ",)),
    (r" << ", (" >> ",)),
    (r" >> ", (" << ",)),
    (r" \^ ", (" | ",)),
    (r" & ", (" | ",)),
    (r" \+= ", (" -= ",)),
    (r" -= ", (" += ",)),
    (r"\btrue\b", ("false",)),
    (r"\bfalse\b", ("true",)),
    (r"(?<![\w.])(\d[\d_]*)(?![\w.])", ("+1",)),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one line."""

    file: str
    line: int
    before: str
    after: str

    @property
    def id(self) -> str:
        """file:line and what changed."""
        return f"{self.file}:{self.line}"

    @property
    def diff(self) -> str:
        """Two lines."""
        return f"  - {self.before.strip()}\n  + {self.after.strip()}"


def mutants_of(name: str, text: str) -> Iterator[Mutant]:
    """All changes of a file's code; comments, imports, declarations of types and pragmas are no code."""
    depth_of_import = False
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("//")[0]
        stripped = code.strip()
        if stripped.startswith("import"):
            depth_of_import = not stripped.endswith(";")
            continue
        if depth_of_import:
            depth_of_import = not stripped.endswith(";")
            continue
        if not stripped or stripped.startswith(
            ("pragma", "library", "struct", "function", "mapping", "interface", '"')
        ):
            continue
        yield from _changes(name, number, line, code)
        if re.fullmatch(
            r"(?!return\b|revert\b)[\w.\[\]]+ (?:[-+]?=) [^;]+;|revert [^;]+;|emit [^;]+;|\+\+[^;]+;", stripped
        ):
            yield Mutant(name, number, line, line.replace(stripped, "", 1))
        if match := re.match(r"(\s*)(else )?if \((.*)\) (.*)$", code):
            yield Mutant(name, number, line, f"{match[1]}{match[2] or ''}if (false && ({match[3]})) {match[4]}")


def _changes(name: str, number: int, line: str, code: str) -> Iterator[Mutant]:
    for pattern, replacements in CHANGES:
        for match in re.finditer(pattern, code):
            for replacement in replacements:
                new = str(int(match[1].replace("_", "")) + 1) if replacement == "+1" else replacement
                yield Mutant(name, number, line, line[: match.start()] + new + line[match.end() :])


def all_mutants(root: Path) -> list[Mutant]:
    """Of every library, in order, without doubles."""
    found: dict[Mutant, None] = {}
    for path in sorted((root / LIBRARIES).glob("*.sol")):
        if path.name not in WITHOUT_CODE:
            found |= dict.fromkeys(mutants_of(path.name, path.read_text(encoding="utf-8")))
    return list(found)


def split_equivalents(mutants: list[Mutant], rows: list[dict[str, str]]) -> tuple[list[Mutant], list[str]]:
    """Mutants that a row does not prove equivalent; and rows that are wrong."""
    broken = [
        f"{row['file']}: {row['after']!r}: a proof is a sentence" for row in rows if len(row["proof"].split()) < 4
    ]
    proved = {(row["file"], row["before"].strip(), row["after"].strip()) for row in rows}
    keys = {(each.file, each.before.strip(), each.after.strip()) for each in mutants}
    broken += [
        f"{EQUIVALENTS.name}: no mutant turns {key[1]!r} of {key[0]} into {key[2]!r}" for key in sorted(proved - keys)
    ]
    return [each for each in mutants if (each.file, each.before.strip(), each.after.strip()) not in proved], broken


def choose(mutants: list[Mutant], count: str) -> list[Mutant]:
    """All, or so many of them, the same ones for the same sources."""
    if count == "all" or int(count) >= len(mutants):
        return mutants
    return sorted(random.Random(SEED).sample(mutants, int(count)), key=mutants.index)


def needs_contracts(path: Path, seen: frozenset[Path] = frozenset()) -> bool:
    """Whether a source imports, by whatever way, more than libraries, interfaces and types."""
    if path in seen:
        return False
    imports = re.findall(r'^(?:import|}) [^;"]*"(\.[^"]+)";', path.read_text(encoding="utf-8"), re.MULTILINE)
    files = [(path.parent / name).resolve() for name in imports]
    return any(file.parent.name == "contracts" or needs_contracts(file, seen | {path}) for file in files)


class Bench:
    """Two copies that are compiled once: one with the tests of the libraries only, one with all."""

    def __init__(self, fast: Path, whole: Path) -> None:
        self.fast, self.whole = fast, whole
        for folder in (fast, whole):
            shutil.rmtree(folder / "tests/proof", ignore_errors=True)
        tests = sorted(fast.glob("tests/solidity/*.sol"))
        wide = [path for path in tests if needs_contracts(path)]
        for path in [*wide, *fast.glob("contracts/*.sol")]:
            path.unlink()

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails, or the mutant does not even compile."""
        return any(self._fails(folder, mutant) for folder in (self.fast, self.whole))

    def _fails(self, folder: Path, mutant: Mutant) -> bool:
        path = folder / LIBRARIES / mutant.file
        original = path.read_text(encoding="utf-8")
        lines = original.splitlines(keepends=True)
        lines[mutant.line - 1] = mutant.after + "\n"
        path.write_text("".join(lines), encoding="utf-8")
        try:
            return tests_fail(folder)
        finally:
            path.write_text(original, encoding="utf-8")


def tests_fail(folder: Path) -> bool:
    """Whether the Solidity tests of a copy fail. Sizes are those of optimised code, so their test is left out."""
    return (
        run(
            [
                forge(),
                "test",
                "--fail-fast",
                "--no-match-contract",
                "Invariants",
                "--no-match-test",
                OPTIMISED_ONLY,
            ],
            "mutant",
            cwd=folder,
            quiet=True,
            FOUNDRY_PROFILE="mutant",
            FOUNDRY_FUZZ_RUNS="64",
        ).code
        != 0
    )


def measure(count: str = DEFAULT_COUNT) -> dict[str, Any]:
    """{"seed", "mutants", "tried", "killed", "libraries": {name: [killed, tried]}, "survivors": [...]}."""
    every = all_mutants(ROOT)
    candidates, broken = split_equivalents(every, json.loads(EQUIVALENTS.read_text(encoding="utf-8")))
    chosen = choose(candidates, count)
    proved = len(every) - len(candidates)
    say(f"mutate: {len(chosen)} of {len(candidates)} mutants ({proved} more are proved equivalent); seed {SEED}")
    with ExitStack() as stack:
        benches: Queue[Bench] = Queue()
        for _ in range(WORKERS):
            benches.put(Bench(stack.enter_context(copy()), stack.enter_context(copy())))
        first = benches.get()
        for folder in (first.fast, first.whole):
            if tests_fail(folder):
                raise Unusable("the tests fail without any mutant; run the Solidity tests first")
        benches.put(first)
        done = 0

        def judge(mutant: Mutant) -> bool:
            nonlocal done
            bench = benches.get()
            try:
                noticed = bench.notices(mutant)
            finally:
                benches.put(bench)
            done += 1
            if done % 10 == 0 or not noticed:
                say(f"  {done} of {len(chosen)}" + ("" if noticed else f": survived {mutant.id}\n{mutant.diff}"))
            return noticed

        with ThreadPoolExecutor(WORKERS) as pool:
            verdicts = list(pool.map(judge, chosen))
    return figures(chosen, verdicts, len(candidates), broken)


def figures(chosen: list[Mutant], verdicts: list[bool], candidates: int, broken: list[str]) -> dict[str, Any]:
    """What is printed and kept."""
    libraries: dict[str, list[int]] = {}
    for mutant, noticed in zip(chosen, verdicts, strict=True):
        row = libraries.setdefault(mutant.file, [0, 0])
        row[0] += noticed
        row[1] += 1
    survivors = [each for each, noticed in zip(chosen, verdicts, strict=True) if not noticed]
    return {
        "seed": SEED,
        "mutants": candidates,
        "tried": len(chosen),
        "killed": sum(verdicts),
        "libraries": libraries,
        "survivors": [
            {"place": each.id, "before": each.before.strip(), "after": each.after.strip()} for each in survivors
        ],
        "broken": broken,
    }


def broken_limits(found: dict[str, Any]) -> list[str]:
    """One sentence for each limit that is broken."""
    share = 100.0 * found["killed"] / found["tried"] if found["tried"] else 0.0
    broken = list(found["broken"])
    if share < limits.KILLED_MUTANTS_PERCENT:
        broken.append(f"{share:.1f} % of the mutants are noticed; the limit is {limits.KILLED_MUTANTS_PERCENT} %")
    return broken


def show(found: dict[str, Any]) -> None:
    """Score of each library, and the survivors."""
    for name, (killed, tried) in sorted(found["libraries"].items()):
        say(f"{name:<24}{killed:>5} of {tried:<5} noticed")
    for each in found["survivors"]:
        say(f"survived: {LIBRARIES}/{each['place']}\n  - {each['before']}\n  + {each['after']}")


def main() -> int:
    """Tries and prints; returns the exit code."""
    found = measure(os.environ.get("MUTANTS", DEFAULT_COUNT))
    show(found)
    return report(broken_limits(found), f"mutate: {found['killed']} of {found['tried']} noticed")


if __name__ == "__main__":
    entry(main)
