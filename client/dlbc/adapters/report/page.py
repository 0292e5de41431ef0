"""An audit document as HTML and JSON. Jinja2 and Pillow live only here.

The page needs nothing from outside: no script, no font, no link; a policy in it forbids browsers to load any. Whatever
strangers wrote is escaped, cut, and rid of characters that do not print.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from dlbc.core.audit_document import AuditDocument, to_json
from dlbc.core.types import ZERO_ADDRESS
from dlbc.core.units import format_amount, format_duration, format_ppm

LONGEST = 1_000
"""Characters of one value on the page; the JSON has all of it."""
MAX_TRANSFERS = 200
"""Rows of the money table; the totals are of all."""


def render(document: AuditDocument) -> Mapping[str, bytes]:
    """The files by their suffix."""
    text = json.dumps(to_json(document), indent=1, ensure_ascii=False, allow_nan=False)
    # What json leaves as it is, UTF-8 may not have: half of a surrogate pair in a text of strangers.
    return {".json": text.encode("utf-8", "backslashreplace"), ".html": _page(document).encode("utf-8", "replace")}


def _page(document: AuditDocument) -> str:
    money = document.money
    transfers = [*money.market, *money.pool]
    return _template().render(
        d=document,
        failed=[check for check in document.checks if not check.ok],
        transfers=transfers[:MAX_TRANSFERS],
        more_transfers=len(transfers) - MAX_TRANSFERS,
        phases=_phases(document),
    )


def _phases(document: AuditDocument) -> list[dict[str, Any]]:
    """Each phase with its first moment, and how long it lasted; the last one has no end."""
    begins = [step for step in document.timeline if step.phase]
    ends = [step.at for step in begins[1:]]
    whole = max(1, begins[-1].at - begins[0].at) if begins else 1
    return [
        {
            "name": step.phase,
            "at": step.at,
            "tx": step.tx_hash,
            "seconds": end - step.at if end is not None else None,
            "share": 100 * (end - step.at) / whole if end is not None else 0,
        }
        for step, end in zip(begins, [*ends, None], strict=False)
    ]


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dlbc.adapters.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ether=format_amount,
        ppm=_ppm,
        lasting=format_duration,
        moment=_moment,
        hex=_hex,
        account=_account,
        png=_png,
        heat=_heat,
    )
    return environment.get_template("audit.html.j2")


def _printed(value: object) -> object:
    """Text without characters that could reorder or hide what stands around it, and not endless."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 100]} … {text[-80:]}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _ppm(value: int | None) -> str:
    return "–" if value is None else format_ppm(value)


def _moment(timestamp: int) -> str:
    """A unix time in UTC; as it is if no calendar has it."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _account(value: str | None) -> str:
    return "" if value is None or value == ZERO_ADDRESS else value


def _heat(count: int, of: int) -> str:
    """Opacity of a cell of the confusion matrix."""
    return f"{count / of:.2f}" if of else "0"


def _png(pixels: NDArray[np.uint8]) -> Markup:
    """A picture as a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return Markup("data:image/png;base64,") + base64.b64encode(file.getvalue()).decode()
