"""How devices and groups of them are named: what is allowed, and one sentence for what is not."""

from __future__ import annotations

import pytest
from dlbc.core.devices import check_devices, check_strategy_fits, members, without_missing
from dlbc.core.errors import Usage

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "devices",
    [
        ("auto",),
        ("cpu",),
        ("cuda",),
        ("cuda:0+cuda:1",),
        ("cpu+cpu+cpu",),
        ("cuda:0+cuda:1", "cuda:2+cuda:3", "cuda:4", "cpu"),
        (),
    ],
)
def test_check_devices__each_named_once__allowed(devices: tuple[str, ...]) -> None:
    """Single devices and groups, side by side."""
    check_devices(devices)


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [
        (("gpu",), "expected auto, cpu, cuda or cuda:NUMBER, or a group of them .* found 'gpu'"),
        (("cuda:0,cuda:1",), "as in cuda:0.cuda:1 or cpu.cpu, found 'cuda:0,cuda:1'"),
        (("cpu:2",), "found 'cpu:2'"),
        (("cuda:0+",), "found 'cuda:0.'"),
        (("cuda+cuda:1",), "found 'cuda.cuda:1'"),
        (("auto+cpu",), "found 'auto.cpu'"),
        (("+".join(["cpu"] * 65),), "expected auto, cpu"),
        (("cuda:0+cpu",), "expected a group of GPUs or of processors, not of both; found 'cuda:0.cpu'"),
        (("cuda:0+cuda:0",), "expected each GPU of a group once; found 'cuda:0.cuda:0'"),
        (("cuda:0+cuda:1", "cuda:1"), "expected each device once, and auto alone; found cuda:0.cuda:1, cuda:1"),
        (("cuda:0+cuda:1", "cuda"), "expected each device once"),
        (("cpu+cpu", "cpu"), "expected each device once"),
        (("auto", "cuda:0+cuda:1"), "auto alone"),
    ],
)
def test_check_devices__wrong_or_twice__refused_in_one_sentence(devices: tuple[str, ...], sentence: str) -> None:
    """What was expected and what came."""
    with pytest.raises(Usage, match=f"--device: .*{sentence}"):
        check_devices(devices)


def test_members__of_a_group__its_devices_in_order() -> None:
    """The first is rank 0's; one device is a group of one."""
    assert members("cuda:3+cuda:1") == ("cuda:3", "cuda:1")
    assert members("auto") == ("auto",)


def test_check_strategy_fits__own_class_on_a_group__refused_with_advice() -> None:
    """An operator's own code knows one device; the built-in strategies use all."""
    check_strategy_fits("my:Own", ["cuda:0", "cuda:1"])
    check_strategy_fits("search", ["cuda:0+cuda:1"])

    with pytest.raises(Usage, match=r"strategy my:Own: expected one device .* found the group cpu\+cpu; .* default or"):
        check_strategy_fits("my:Own", ["cuda:0", "cpu+cpu"])


@pytest.mark.parametrize(
    ("named", "gpus", "kept", "warning"),
    [
        (("cpu", "cuda:0+cuda:1"), 2, ("cpu", "cuda:0+cuda:1"), ""),
        (("cuda",), 1, ("cuda",), ""),
        (
            ("cuda:1", "cuda:4"),
            4,
            ("cuda:1",),
            "device cuda:4: the last GPU of this machine is cuda:3; it is left out",
        ),
        (("cuda:0+cuda:1", "cpu"), 1, ("cpu",), "device cuda:0+cuda:1: the last GPU of this machine is cuda:0; it is"),
        (("cuda:0",), 0, ("cuda:0",), "device cuda:0: PyTorch finds no GPU on this machine; every task chosen for it"),
    ],
)
def test_without_missing__some_gpus__the_others_are_left_out_with_a_warning(
    named: tuple[str, ...], gpus: int, kept: tuple[str, ...], warning: str
) -> None:
    """A GPU that is gone must not keep a miner from revealing; where none is left, the entries still need a miner."""
    found, told = without_missing(named, gpus)

    assert kept == found
    assert told.startswith(warning)
    assert bool(told) == bool(warning)
