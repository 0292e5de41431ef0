"""Devices as operators name them: one, or a group that trains one task together: "cuda:0+cuda:1", "cpu+cpu"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dlbc.core.errors import Usage
from dlbc.core.strategy_name import BUILT_IN

MOST_RANKS = 64
_ONE = re.compile(r"auto|cpu|cuda(:\d{1,2})?")
_IN_GROUP = re.compile(r"cpu|cuda:\d{1,2}")


def members(device: str) -> tuple[str, ...]:
    """Where each rank of a training runs; one device is a group of one."""
    return tuple(device.split("+"))


def check_device(text: str) -> tuple[str, ...]:
    """The members of a device or group. Raises Usage."""
    found = members(text)
    if len(found) == 1 and _ONE.fullmatch(text):
        return found
    is_group = 1 < len(found) <= MOST_RANKS and all(_IN_GROUP.fullmatch(each) for each in found)
    if not is_group:
        raise Usage(
            "--device: expected auto, cpu, cuda or cuda:NUMBER, or a group of them for one training, as in "
            f"cuda:0+cuda:1 or cpu+cpu, found {text[:40]!r}"
        )
    if len({each.split(":")[0] for each in found}) > 1:
        raise Usage(f"--device: expected a group of GPUs or of processors, not of both; found {text[:40]!r}")
    gpus = [each for each in found if each != "cpu"]
    if len(set(gpus)) < len(gpus):
        raise Usage(f"--device: expected each GPU of a group once; found {text[:40]!r}")
    return found


def check_devices(devices: Sequence[str]) -> None:
    """Raises Usage for an unknown device, one that is named twice, and auto beside others."""
    taken: set[str] = set()
    for device in devices:
        mine = {"cuda:0" if each == "cuda" else each for each in check_device(device)}
        if mine & taken or (device == "auto" and len(devices) > 1):
            raise Usage(f"--device: expected each device once, and auto alone; found {', '.join(devices)}")
        taken |= mine


def without_missing(devices: Sequence[str], gpus: int) -> tuple[tuple[str, ...], str]:
    """(devices whose GPUs this machine has, else all of them; a warning about the others, or "").

    A miner starts all the same: a GPU that is gone must not cost the deposits of what is committed.
    """
    missing = [device for device in devices if any(_gpu(each) >= gpus for each in members(device))]
    if not missing:
        return tuple(devices), ""
    here = tuple(device for device in devices if device not in missing)
    there = f"the last GPU of this machine is cuda:{gpus - 1}" if gpus else "PyTorch finds no GPU on this machine"
    effect = "it is left out" if here else "every task chosen for it will be given up"
    return here or tuple(devices), f"device {' '.join(missing)}: {there}; {effect}; `dlbc doctor` says more"


def _gpu(device: str) -> int:
    kind, _, number = device.partition(":")
    return int(number or 0) if kind == "cuda" else -1


def check_strategy_fits(strategy: str, devices: Sequence[str]) -> None:
    """Raises Usage for an operator's own strategy on a group: only the built-in ones know how to use it."""
    groups = [device for device in devices if len(members(device)) > 1]
    if groups and strategy not in BUILT_IN:
        raise Usage(
            f"strategy {strategy[:80]}: expected one device for each training, found the group {groups[0][:40]}; "
            f"name the devices one by one, or train with {' or '.join(BUILT_IN)}"
        )
