"""TASK.toml: what a requester writes down before it posts a task. Strict: an unknown or misspelt setting is an error.

Every failure is a BadInput of one sentence that names the setting, what was expected and what was found. Shares are
read as exact decimals and kept in parts per million.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlbc.core.architecture import CLASSIFIERS, MAX_LAYERS, MAX_WIDTH, check_classifies
from dlbc.core.errors import BadInput
from dlbc.core.license import check_license
from dlbc.core.types import PPM, Params, Wei
from dlbc.core.units import parse_amount, parse_duration

MAX_BYTES = 64 * 1024
MAX_BITS = 256
BUILT_IN = ("digits", "fashion-mnist")
MAX_TOLERANCE_PPM = 20_000
MIN_SHARE_PERCENT = 10  # of the bounty, for the miners' deposit and the requester's bond (P-12)
DEPOSIT_PERCENT = 35  # of the bounty, unless the file says otherwise; why: docs/economy.md


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One parsed TASK.toml. Input shape and classes come from the data."""

    name: str
    source: str  # a built-in data set or the path of an .npz file
    seed: int  # of the split into training and test samples
    family: str
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    width: int  # this and the next two: 0 where the family has none
    heads: int
    layers: int
    epochs: int
    batch: int
    learning_rate_ppm: int
    bounty_wei: Wei
    deposit_wei: Wei
    bond_wei: Wei
    royalty_bps: int
    train_seconds: int
    release_seconds: int
    reveal_seconds: int
    open_seconds: int
    challenge_seconds: int
    min_score_ppm: int
    tolerance_ppm: int
    license: str = ""  # of the winning model, an SPDX identifier; "" if none is named


def parse_task_file(text: str | bytes) -> TaskFile:
    """Parses TOML text. Raises BadInput."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"the task file has {len(text)} bytes, the limit is {MAX_BYTES}")
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        root = tomllib.loads(decoded, parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise BadInput(f"the task file is not UTF-8 text: byte {error.start} does not decode") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is one; a number of 5,000 digits is another
        raise BadInput(f"the task file is not valid TOML: {str(error)[:120] or 'nested too deeply'}") from None
    _check_numbers(root)
    _known("", root, {"name", "license", "data", "model", "training", "money", "windows", "scoring"})
    data = _table(root, "data", {"source", "seed"})
    model = _table(root, "model", {"family", "hidden", "channels", "blocks", "width", "heads", "layers"})
    training = _table(root, "training", {"epochs", "batch", "learning_rate"})
    money = _table(root, "money", {"bounty", "deposit", "bond", "royalty"})
    windows = _table(root, "windows", {"train", "release", "reveal", "open", "challenge"})
    scoring = _table(root, "scoring", {"min_score", "tolerance"})

    bounty = parse_amount(_required(money, "money", "bounty"), "money.bounty")
    tenth = -(-bounty * MIN_SHARE_PERCENT // 100)
    family = _text(model, "model", "family", longest=16)
    check_classifies(family, what="model.family")
    if family not in CLASSIFIERS:
        raise BadInput(f"model.family: expected one of {', '.join(CLASSIFIERS)}, found {family!r}")

    def window(key: str) -> int:
        return parse_duration(_required(windows, "windows", key), f"windows.{key}")

    return TaskFile(
        name=_text(root, "", "name", longest=64, pattern=r"[A-Za-z0-9][A-Za-z0-9 ._-]*"),
        source=_text(data, "data", "source", longest=4096),
        seed=_whole(data, "data", "seed", 0, 2**32 - 1, default=0),
        family=family,
        hidden=_widths(model, "hidden"),
        channels=_widths(model, "channels"),
        blocks=_widths(model, "blocks"),
        width=_whole(model, "model", "width", 0, MAX_WIDTH, default=0),
        heads=_whole(model, "model", "heads", 0, MAX_WIDTH, default=0),
        layers=_whole(model, "model", "layers", 0, MAX_LAYERS, default=0),
        epochs=_whole(training, "training", "epochs", 1, 100_000),
        batch=_whole(training, "training", "batch", 1, 2**20, default=128),
        learning_rate_ppm=_share(training, "training", "learning_rate", 1, 10 * PPM, default=1_000),
        bounty_wei=bounty,
        deposit_wei=_amount(money, "deposit", Wei(-(-bounty * DEPOSIT_PERCENT // 100))),
        bond_wei=_amount(money, "bond", tenth),
        royalty_bps=_share(money, "money", "royalty", 0, 200_000, default=50_000) // 100,
        train_seconds=window("train"),
        release_seconds=window("release"),
        reveal_seconds=window("reveal"),
        open_seconds=window("open"),
        challenge_seconds=window("challenge"),
        min_score_ppm=_share(scoring, "scoring", "min_score", 0, PPM),
        tolerance_ppm=_share(scoring, "scoring", "tolerance", 0, MAX_TOLERANCE_PPM, default=2_000),
        license=check_license(root["license"], what="license") if "license" in root else "",
    )


def check_against_market(task: TaskFile, params: Params) -> None:
    """Refuses what the market would refuse (P-12), naming the setting of the file. Raises BadInput."""
    for name, seconds in (
        ("train", task.train_seconds),
        ("release", task.release_seconds),
        ("reveal", task.reveal_seconds),
        ("open", task.open_seconds),
        ("challenge", task.challenge_seconds),
    ):
        if not params.min_window <= seconds <= params.max_window:
            raise BadInput(
                f"windows.{name}: this market allows {params.min_window} to {params.max_window} seconds, "
                f"found {seconds}"
            )
    if task.royalty_bps > params.max_royalty_bps:
        raise BadInput(
            f"money.royalty: this market allows at most {params.max_royalty_bps / 10_000}, "
            f"found {task.royalty_bps / 10_000}"
        )
    if task.bounty_wei == 0:
        raise BadInput("money.bounty: expected more than 0 wei, found 0")
    tenth = -(-task.bounty_wei * MIN_SHARE_PERCENT // 100)
    for name, wei in (("deposit", task.deposit_wei), ("bond", task.bond_wei)):
        if not tenth <= wei <= task.bounty_wei:
            raise BadInput(
                f"money.{name}: expected 10 to 100 % of the bounty ({tenth} to {task.bounty_wei} wei), found {wei} wei"
            )


# ------------------------------------------------------------------ one setting at a time


def _check_numbers(root: Mapping[str, Any]) -> None:
    """Numbers too long for Python to print could not be told in a message. TOML has them in hexadecimal."""
    left: list[Any] = [root]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise BadInput(
                f"the task file: expected numbers of at most {MAX_BITS} bits, found {value.bit_length()} bits"
            )


def _known(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise BadInput(f"{name[:60]}: unknown setting; known here are {', '.join(sorted(known))}")


def _table(root: Mapping[str, Any], key: str, known: set[str]) -> Mapping[str, Any]:
    if key not in root:
        raise BadInput(f"[{key}]: this table is missing")
    if not isinstance(root[key], dict):
        raise BadInput(f"{key}: expected a table [{key}], found {str(root[key])[:40]!r}")
    table: Mapping[str, Any] = root[key]
    _known(key, table, known)
    return table


def _required(table: Mapping[str, Any], where: str, key: str) -> object:
    if key not in table:
        raise BadInput(f"{f'{where}.' if where else ''}{key}: this setting is missing")
    return table[key]


def _text(table: Mapping[str, Any], where: str, key: str, *, longest: int, pattern: str = r"[^\x00-\x1f]+") -> str:
    value = _required(table, where, key)
    name = f"{where}.{key}" if where else key
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise BadInput(f"{name}: expected text of 1 to {longest} characters, found {str(value)[:40]!r}")
    if not re.fullmatch(pattern, value):
        raise BadInput(f"{name}: {value[:60]!r} has characters that are not allowed here")
    return value


def _whole(table: Mapping[str, Any], where: str, key: str, least: int, most: int, *, default: int | None = None) -> int:
    value = default if default is not None and key not in table else _required(table, where, key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"{where}.{key}: expected a whole number from {least} to {most}, found {str(value)[:40]!r}")
    return value


def _share(table: Mapping[str, Any], where: str, key: str, least: int, most: int, *, default: int | None = None) -> int:
    """A decimal number as parts per million."""
    if default is not None and key not in table:
        return default
    value = _required(table, where, key)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise BadInput(f"{where}.{key}: expected a number, found {str(value)[:40]!r}")
    number = Decimal(value)
    scaled = number * PPM if abs(number) < 2**40 else Decimal(most + 1)
    if scaled != scaled.to_integral_value():
        raise BadInput(f"{where}.{key}: expected at most six decimals, found {str(value)[:40]}")
    if not least <= scaled <= most:
        shown = [format(Decimal(limit) / PPM, "f") for limit in (least, most)]
        raise BadInput(f"{where}.{key}: expected {shown[0]} to {shown[1]}, found {str(value)[:40]}")
    return int(scaled)


def _amount(money: Mapping[str, Any], key: str, default: int) -> Wei:
    return parse_amount(money[key], f"money.{key}") if key in money else Wei(default)


def _widths(model: Mapping[str, Any], key: str) -> tuple[int, ...]:
    value = model.get(key, [])

    def fits(width: object) -> bool:
        return isinstance(width, int) and not isinstance(width, bool) and 1 <= width <= MAX_WIDTH

    if not isinstance(value, list) or len(value) > MAX_LAYERS or not all(fits(width) for width in value):
        raise BadInput(f"model.{key}: expected a list of up to {MAX_LAYERS} whole numbers, found {str(value)[:60]!r}")
    return tuple(value)
