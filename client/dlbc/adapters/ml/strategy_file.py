"""Whether an operator's own strategy can be meant: looked for and read, but not run. No torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dlbc.core.errors import Usage
from dlbc.core.strategy_name import BUILT_IN, split_name


def check_strategy(name: str) -> None:
    """Raises Usage for a name that no strategy can have, a module that is nowhere, or a class it does not define.

    Nothing is imported: the code of a strategy runs in training processes only.
    """
    if name in BUILT_IN:
        return
    module, class_name = split_name(name)
    spec = _find(name, module.split("."))
    if spec.origin is None or not spec.origin.endswith(".py"):
        return
    file = Path(spec.origin)
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise Usage(f"strategy {name}: {file}{line} is not valid Python: {error.args[0]}") from error
    except OSError as error:
        raise Usage(f"strategy {name}: {file} can't be read: {error.strerror}") from error
    defined = set(_defined(tree.body))
    if class_name not in defined and not defined & {"*", "__getattr__"}:
        near = get_close_matches(class_name, sorted(defined), 1)
        meant = f"; did you mean {module}:{near[0]}?" if near else ""
        raise Usage(f"strategy {name}: expected a class {class_name} in {file}, found none{meant}")


def _find(name: str, parts: Sequence[str]) -> ModuleSpec:
    places: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    spec = None
    for number, part in enumerate(parts):
        module = ".".join(parts[: number + 1])
        spec = PathFinder.find_spec(module if number else part, places)
        if spec is None:
            where = f"in {Path.cwd()} or on PYTHONPATH" if number == 0 else f"in {'.'.join(parts[:number])}"
            raise Usage(
                f"strategy {name}: expected a module {module} {where}, found none; "
                "start the miner in the folder of the module, or set PYTHONPATH"
            )
        places = spec.submodule_search_locations or []
    assert spec is not None, "a name has at least one part"
    return spec


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that statements of a module bind, also within if, try and with."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
        else:
            yield from (
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            for field in ("body", "orelse", "finalbody"):
                yield from _defined(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _defined(handler.body)
