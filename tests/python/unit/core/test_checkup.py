"""What doctor says of a number: fine, a warning, or a problem with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.core import checkup
from dlbc.core.checkup import GB, Finding, State
from dlbc.core.types import Address, Wei

pytestmark = pytest.mark.unit

ETHER = 10**18
GWEI = 10**9
ME = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


@pytest.mark.parametrize(
    ("finding", "state", "told"),
    [
        (checkup.judge_disk(100 * GB, "/home"), State.OK, "100.0 GB free in /home"),
        (checkup.judge_disk(10 * GB, "/home"), State.WARNING, "disk_quota_gb"),
        (checkup.judge_disk(1 * GB, "/home"), State.PROBLEM, "dlbc disk --free"),
        (checkup.judge_clock(1000.4, 1000, is_local=False), State.OK, "the same as"),
        (checkup.judge_clock(1100, 1000, is_local=False), State.OK, "after the chain's latest block"),
        (checkup.judge_clock(2000, 1000, is_local=False), State.WARNING, "in sync"),
        (checkup.judge_clock(900, 1000, is_local=False), State.PROBLEM, "set this machine's clock"),
        (checkup.judge_clock(900, 10_000, is_local=True), State.OK, "a local chain"),
        (checkup.judge_signer("http://s", [ME], None, None, 5), State.OK, f"{ME} at http://s"),
        (checkup.judge_signer("http://s", [ME, OTHER], ME, 5, 5), State.OK, "for chain 5"),
        (checkup.judge_signer("http://s", [ME, OTHER], None, None, 5), State.PROBLEM, "name one by its address"),
        (checkup.judge_signer("http://s", [], None, None, 5), State.PROBLEM, "has 0 accounts"),
        (checkup.judge_signer("http://s", [ME], OTHER, None, 5), State.PROBLEM, f"import {OTHER} there"),
        (checkup.judge_signer("http://s", [ME], ME, 1, 5), State.PROBLEM, "signs for chain 1, expected is chain 5"),
        (checkup.judge_signer("http://s", [ME], ME, 1, None), State.OK, "for chain 1"),
        (checkup.judge_transactions(7, 7), State.OK, "none is on its way"),
        (checkup.judge_transactions(7, 9), State.WARNING, "2 sent and not mined yet"),
        (checkup.judge_transactions(9, 7), State.OK, "none"),  # the node lags behind itself
        (checkup.judge_synchronised("yes"), State.OK, "is synchronised"),
        (checkup.judge_synchronised("no"), State.WARNING, "timedatectl"),
        (checkup.judge_synchronised(None), State.SKIPPED, "does not say"),
        (checkup.judge_rpc(0.02, "anvil/v1", "http://x"), State.OK, "http://x answers in 20 ms (anvil/v1)"),
        (checkup.judge_rpc(0.8, "anvil/v1", "http://x"), State.WARNING, "nearer"),
        (checkup.judge_gas(Wei(GWEI), [Wei(ETHER)]), State.OK, "1 gwei; an entry costs about 0.0005 ether"),
        (checkup.judge_gas(Wei(300 * GWEI), [Wei(ETHER // 10)]), State.WARNING, "more than any open task's deposit"),
        (checkup.judge_balance(Wei(0), Wei(GWEI), []), State.PROBLEM, "send ether"),
        (checkup.judge_balance(Wei(ETHER), Wei(GWEI), [Wei(2 * ETHER)]), State.WARNING, "cheapest needs 2.0005 ether"),
        (checkup.judge_balance(Wei(ETHER), Wei(GWEI), [Wei(1), Wei(2 * ETHER)]), State.OK, "1 of 2 open tasks"),
        (checkup.judge_gpu([("H200", 139 * GB, 140 * GB)], "2", has_driver=True), State.OK, "H200 with 139 of 140 GB"),
        (checkup.judge_gpu([], "2", has_driver=True), State.PROBLEM, "CUDA build"),
        (checkup.judge_gpu([], "2", has_driver=False), State.WARNING, "none"),
        (
            checkup.judge_scoring(("namespace", "seccomp"), has_no_writes=True, has_no_children=True),
            State.OK,
            "no network (namespace and seccomp), no files, no other programs",
        ),
        (checkup.judge_scoring((), has_no_writes=False, has_no_children=False), State.WARNING, "can't be taken away"),
        (checkup.judge_peers(0, is_local=False), State.WARNING, "nobody can fetch"),
        (checkup.judge_peers(0, is_local=True), State.OK, "0 connected"),
        (checkup.judge_repository(9_500_000_000, 10 * GB), State.WARNING, "StorageMax"),
        (checkup.judge_repository(GB, 0), State.OK, "1.00 GB"),
        (checkup.judge_secret_file("keystore", 0o100644, Path("/k")), State.PROBLEM, "chmod 600 /k"),
        (checkup.judge_secret_file("keystore", 0o100600, Path("/k")), State.OK, "mode 600"),
    ],
)
def test_judge__a_measurement__is_told_with_what_to_do(finding: Finding, state: State, told: str) -> None:
    """Every warning and problem says what to do about it."""
    assert finding.state is state
    assert told in f"{finding.found} {finding.todo}"
    assert bool(finding.todo) == (state in (State.WARNING, State.PROBLEM))
