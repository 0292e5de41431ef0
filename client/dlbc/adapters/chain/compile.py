"""Compiles contracts/ into the ABIs and bytecode that the wheel carries: `python -m dlbc.adapters.chain.compile`.

With --check nothing is written: the exit code says whether the committed files are what the sources give.
The settings are those of hardhat.config.js (a contract test compares them), the compiler is npm's solc behind
deploy/solc-wrapper.mjs, driven by py-solc-x. Needs a checkout with node_modules; users of the wheel never run it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlbc.core.errors import BadInput, DlbcError, Usage

SOLC_VERSION = "0.8.37"
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
SHIPPED = ("TaskMarket", "MarketRules", "ModelRegistry", "AuditorPool", "PoolRules", "MarketLens", "Errors")
"""Errors is shipped for its ABI: every custom error, wherever it is thrown. The two rules, made by the constructors of
market and pool, are shipped for their views and for `dlbc deploy --verify`."""

ARTIFACTS = Path(__file__).parent / "artifacts"


def checkout_root() -> Path:
    """The folder that holds contracts/ and deploy/solc-wrapper.mjs. Raises Usage outside a checkout."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "contracts").is_dir() and (folder / "deploy" / "solc-wrapper.mjs").is_file():
            return folder
    raise Usage("compiling needs a checkout with contracts/ and node_modules; the wheel already carries the bytecode")


def compile_sources(root: Path, sources: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Compiles Solidity files under `root` and whatever they import: {contract name: artifact}.

    An artifact is {"contractName", "sourceName", "abi", "bytecode", "deployedBytecode", "immutableReferences",
    "compiler", "settings", "sourceHash"}, all as solc gives them, hex with 0x, but for immutableReferences, which are
    keyed by the variables' names. Raises BadInput with the compiler's first error, Usage if the compiler is missing.
    """
    import solcx
    from solcx.exceptions import SolcError

    files = _with_imports(root, sources)
    request = {
        "language": "Solidity",
        "sources": {name: {"content": content} for name, content in files.items()},
        "settings": SETTINGS
        | {"outputSelection": {"*": {"": ["ast"], "*": ["abi", "evm.bytecode", "evm.deployedBytecode"]}}},
    }
    with _node_on_path():
        try:
            output = solcx.compile_standard(
                request, solc_binary=str(root / "deploy" / "solc-wrapper.mjs"), allow_empty=True
            )
        except SolcError as error:
            raise BadInput(f"solc: {_first_error(error)}") from error
        except (OSError, ValueError) as error:
            raise Usage(f"the compiler could not be run ({error}); run `make setup` first") from error
    source_hash = hashlib.sha256("".join(f"{name}\0{files[name]}\0" for name in sorted(files)).encode()).hexdigest()
    names = {key: name for unit in output.get("sources", {}).values() for key, name in _immutables(unit["ast"])}
    return {
        name: _artifact(name, source, contract, source_hash, names)
        for source, contracts in output.get("contracts", {}).items()
        for name, contract in contracts.items()
    }


def compile_contracts(root: Path) -> dict[str, dict[str, Any]]:
    """The shipped artifacts, freshly compiled."""
    compiled = compile_sources(root, sorted((root / "contracts").rglob("*.sol")))
    return {name: compiled[name] for name in SHIPPED}


def render(artifact: dict[str, Any]) -> str:
    """The bytes of a committed artifact."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def drift(root: Path, folder: Path = ARTIFACTS) -> list[str]:
    """Names of the shipped artifacts that are missing or not what the sources give; empty = all agree."""
    return [
        name
        for name, artifact in compile_contracts(root).items()
        if not (folder / f"{name}.json").is_file() or (folder / f"{name}.json").read_text() != render(artifact)
    ]


def write(root: Path, folder: Path = ARTIFACTS) -> None:
    """Writes the shipped artifacts."""
    folder.mkdir(exist_ok=True)
    for name, artifact in compile_contracts(root).items():
        (folder / f"{name}.json").write_text(render(artifact))


def _artifact(
    name: str, source: str, contract: dict[str, Any], source_hash: str, names: dict[str, str]
) -> dict[str, Any]:
    evm = contract["evm"]
    immutables = evm["deployedBytecode"].get("immutableReferences", {})
    return {
        "contractName": name,
        "sourceName": source,
        "abi": contract["abi"],
        "bytecode": "0x" + evm["bytecode"]["object"],
        "deployedBytecode": "0x" + evm["deployedBytecode"]["object"],
        "immutableReferences": {names[key]: places for key, places in immutables.items()},
        "compiler": SOLC_VERSION,
        "settings": SETTINGS,
        "sourceHash": "0x" + source_hash,
    }


def _immutables(node: Any) -> Iterator[tuple[str, str]]:
    """(id, name) of every immutable variable declared in a syntax tree."""
    if isinstance(node, dict):
        if node.get("mutability") == "immutable":
            yield str(node["id"]), str(node["name"])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _immutables(part)


def _with_imports(root: Path, sources: Iterable[Path]) -> dict[str, str]:
    """Source units by their path from the root, with everything they import by relative path."""
    import re

    waiting = [path.resolve() for path in sources]
    files: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root.resolve()).as_posix()
        if name in files:
            continue
        try:
            files[name] = path.read_text()
        except OSError as error:
            raise BadInput(f"source {name} can't be read: {error.strerror}; check out the whole repository") from error
        imports = re.findall(r'^import\s[^;]*?"(\.[^"]+)";', files[name], re.MULTILINE)
        waiting += [(path.parent / imported).resolve() for imported in imports]
    return files


def _first_error(error: Any) -> str:
    """The compiler's first error as one line."""
    try:
        messages = json.loads(error.stdout_data)["errors"]
        first = next(message for message in messages if message["severity"] == "error")
        return " ".join(str(first["formattedMessage"]).split())
    except (TypeError, ValueError, KeyError, StopIteration):
        return " ".join(str(error).split())[:500]


@contextmanager
def _node_on_path() -> Iterator[None]:
    """The wrapper's first line asks for `node`, which lives beside this Python."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dlbc.adapters.chain.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed files are stale")
    options = parser.parse_args(arguments)
    try:
        root = checkout_root()
        if not options.check:
            write(root)
            sys.stdout.write(f"wrote {', '.join(SHIPPED)} to {ARTIFACTS.relative_to(root)}\n")
            return 0
        stale = drift(root)
    except DlbcError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    if stale:
        sys.stderr.write(f"error: {', '.join(stale)}: the sources give other bytecode or ABI; run `make abi`\n")
        return 1
    sys.stdout.write(f"{', '.join(SHIPPED)} are what the sources give\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
