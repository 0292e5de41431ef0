"""The name of a training strategy: a built-in one, or a Python class of the operator's own."""

from __future__ import annotations

import re

from dlbc.core.errors import Usage

BUILT_IN = ("default", "search")
_CLASS = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)


def split_name(name: str) -> tuple[str, str]:
    """(module, class) of "module:Class". Raises Usage."""
    match = _CLASS.fullmatch(name)
    if match is None:
        raise Usage(f"strategy: expected {', '.join(BUILT_IN)} or a class as module:Class, found {name[:80]!r}")
    return match[1], match[2]
