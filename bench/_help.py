"""Options of a measurement. Its help fits 80 columns, however wide the file is that it is written in."""

from __future__ import annotations

import argparse
import re
import textwrap
from functools import partial

WIDTH = 80


def parser_of(described: str | None, name: str | None = None) -> argparse.ArgumentParser:
    """For a module with this docstring. name: else that of the file which is run."""
    style = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH)
    return argparse.ArgumentParser(name, description=narrow(described or ""), formatter_class=style)


def narrow(text: str) -> str:
    """The same paragraphs in narrower lines. Indented lines stay lines of their own: a command, two spaces or more, and
    what it means, which may go on in lines that begin below it.
    """
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join("\n".join(_lines(paragraph)) for paragraph in paragraphs)


def _lines(paragraph: str) -> list[str]:
    entries: list[tuple[str, int]] = []  # and where they go on; -1: nowhere
    for line in paragraph.splitlines():
        indent = len(line) - len(line.lstrip())
        if entries and indent == entries[-1][1]:
            entries[-1] = (f"{entries[-1][0]} {line.strip()}", indent)
        else:
            gap = re.search(r"\S {2,}(?=\S)", line)
            entries.append((line.rstrip(), gap.end() if gap else -1 if indent else 0))
    found = []
    for entry, goes_on in entries:
        further = goes_on if goes_on >= 0 else len(entry) - len(entry.lstrip())
        found += textwrap.wrap(entry, WIDTH, subsequent_indent=" " * further, break_on_hyphens=False)
    return found
