"""Examinations as child processes: what they are given, how they end, and what nobody may find in them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dlbc.adapters.confinement import child_environment
from dlbc.adapters.examinations import ChildExamining, child_settings
from dlbc.config import Config, read_config
from dlbc.core.errors import BadInput, LimitReached, TryLater
from dlbc.core.examination import Examination, Subject, examination_from_json, examination_to_json
from dlbc.core.report import LIMITS, Check
from dlbc.core.types import ZERO_ADDRESS, Address, Ground, TaskId, Verdict

pytestmark = pytest.mark.unit

DEADLINE = 60.0
MINER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
CLAIM = Subject(TaskId(7), 1, MINER)
TEST_SET = Subject(TaskId(7), 1, ZERO_ADDRESS)
FOUND = Examination(CLAIM, (Check("score recomputed", False, "90", "80"),), (3, 5), (MINER,), 12)


@contextmanager
def child(code: str, seconds: float = 30.0) -> Iterator[tuple[ChildExamining, Path]]:
    """A process that prints what it likes."""
    folder = TemporaryDirectory()
    with (Path(folder.name) / "out").open("wb") as out, (Path(folder.name) / "err").open("wb") as err:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=err, start_new_session=True)
    examining = ChildExamining(process, folder, seconds)
    try:
        yield examining, Path(folder.name)
    finally:
        examining.stop()


def ended(examining: ChildExamining) -> Examination:
    """What it found."""
    deadline = time.monotonic() + DEADLINE
    while (found := examining.poll()) is None:
        assert time.monotonic() < deadline, "the examination did not end in time"
        time.sleep(0.02)
    return found


def failed(*names: str) -> tuple[Check, ...]:
    """Some checks of which these fail."""
    return (Check("signature", True, "", ""), *(Check(name, False, "", "") for name in names))


def test_child__says_what_it_found__is_read_and_its_folder_is_gone() -> None:
    """As `dlbc auditor examine --json` prints it."""
    with child(f"print({json.dumps(examination_to_json(FOUND))!r})") as (examining, folder):
        assert ended(examining) == FOUND
        assert not folder.exists()


def failing(kind: str, code: int) -> str:
    """A process that ends as our commands do with --json."""
    told = json.dumps({"error": {"kind": kind, "message": "so it is", "exitCode": code, "retryable": False}})
    return f"import sys; print({told!r}); print('so it is', file=sys.stderr); sys.exit({code})"


@pytest.mark.parametrize(("kind", "code"), [("NotYet", 3), ("ChainUnreachable", 3), ("Refused", 1), ("NotFound", 1)])
def test_child__could_not_find_out__is_tried_later(kind: str, code: int) -> None:
    """A node that is away, or a task that is not that far: it may be different next time."""
    with child(failing(kind, code)) as (examining, folder):
        with pytest.raises(TryLater, match=f"ended with code {code}: so it is"):
            ended(examining)
        assert not folder.exists()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (failing("LimitReached", 1), "ended with code 1: so it is"),
        (failing("DlbcError", 1), "ended with code 1: so it is"),
        ("import sys; print('no such task', file=sys.stderr); sys.exit(1)", "ended with code 1: no such task"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("print('[' * 100_000)", "did not say what it found"),
        ("print('x' * 5_000_000)", "did not say what it found"),
        ("pass", "did not say what it found"),
        ("import json; print(json.dumps({'taskId': 1}))", "did not say what it found"),
    ],
)
def test_child__would_end_so_again__broke_its_limits(code: str, told: str) -> None:
    """One sentence, and nothing left behind."""
    with child(code) as (examining, folder):
        with pytest.raises(LimitReached, match=told):
            ended(examining)
        assert not folder.exists()


def test_child__takes_too_long__is_ended_with_its_children() -> None:
    """A model that takes forever costs an auditor one examination's time."""
    with child("import time; time.sleep(600)", seconds=0.2) as (examining, folder):
        with pytest.raises(LimitReached, match="took longer than 0 s and was ended"):
            ended(examining)
        assert not folder.exists()
        examining.stop()


def test_child__wants_more_memory_than_it_may__ends() -> None:
    """The limit is of private memory, which counts what is written to."""
    code = "from dlbc.adapters.confinement import limit_self; limit_self(200_000_000, 1000); b = bytearray(400_000_000)"
    with child(code) as (examining, _), pytest.raises(LimitReached, match="MemoryError"):
        ended(examining)


def test_child__writes_a_larger_file_than_it_may__ends(tmp_path: Path) -> None:
    """So a stranger's lie about sizes does not fill the disk."""
    code = (
        "from pathlib import Path; from dlbc.adapters.confinement import limit_self; limit_self(None, 1000); "
        f"Path({str(tmp_path / 'large')!r}).write_bytes(bytes(5000))"
    )
    with child(code) as (examining, _), pytest.raises(LimitReached, match="File too large"):
        ended(examining)
    assert (tmp_path / "large").stat().st_size <= 1000


def test_child__is_told_where_the_market_is_and_nothing_of_who_looks(tmp_path: Path) -> None:
    """No account, password, home or GPU; an RPC URL, in which providers put keys, stands in a file only."""
    config = Config(home=tmp_path / "keys", rpc_url="http://user:pass@node:1", market=MINER, account="me", chain_id=5)
    given = {"PATH": "/bin", "PYTHONPATH": "client", "DLBC_PASSWORD": "hunter2", "DLBC_ACCOUNT": "me"}
    folder = str(tmp_path)
    assert child_environment(folder, given) == {
        "PATH": "/bin",
        "PYTHONPATH": str(Path("client").absolute()),
        "TMPDIR": folder,
        "CUDA_VISIBLE_DEVICES": "",
        "DLBC_HOME": folder,
    }
    (tmp_path / "dlbc.toml").write_text(child_settings(config))
    read = read_config({}, {"DLBC_HOME": folder}, tmp_path, tmp_path)
    assert (read.rpc_url, read.market, read.chain_id) == (config.rpc_url, config.market, config.chain_id)
    assert read.account is None


@pytest.mark.parametrize(
    ("subject", "checks", "verdict"),
    [
        (CLAIM, (), Verdict.NONE),
        (CLAIM, failed(), Verdict.STANDS),
        (CLAIM, failed("score recomputed"), Verdict.FALLS),
        (CLAIM, failed("sealed bytes"), Verdict.UNAVAILABLE),
        (CLAIM, failed("sealed bytes", "no other miner's mark"), Verdict.FALLS),
        (CLAIM, failed("terms hash"), Verdict.NONE),
        (CLAIM, failed("part list"), Verdict.FALLS),
        (CLAIM, failed(LIMITS), Verdict.NONE),
        (CLAIM, failed(LIMITS, "sha256 of the weights"), Verdict.FALLS),
        (TEST_SET, failed(LIMITS), Verdict.NONE),
        (TEST_SET, failed(), Verdict.STANDS),
        (TEST_SET, failed("test set"), Verdict.FALLS),
        (TEST_SET, failed("test set bytes"), Verdict.UNAVAILABLE),
        (TEST_SET, failed("labels root"), Verdict.FALLS),
        (TEST_SET, failed("test set bytes", "labels root"), Verdict.FALLS),
        (TEST_SET, failed("manifest"), Verdict.NONE),
    ],
)
def test_verdict__of_what_failed__is_what_a_ballot_may_say(
    subject: Subject, checks: tuple[Check, ...], verdict: Verdict
) -> None:
    """What no vote decides gives no verdict, rather than a guess."""
    assert Examination(subject, checks).verdict is verdict


def test_grounds__of_a_test_set__are_none() -> None:
    """It is impeached, not disputed."""
    assert Examination(TEST_SET, failed("score recomputed")).grounds == Ground(0)


def test_json__there_and_back__is_the_same() -> None:
    """Of a claim and of a test set."""
    for found in (FOUND, Examination(TEST_SET, failed("test set"))):
        assert examination_from_json(json.dumps(examination_to_json(found)).encode()) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("taskId", 0),
        ("round", -1),
        ("subject", "0x12"),
        ("samples", list(range(9))),
        ("samples", [True]),
        ("refuted", ["me"]),
        ("withheld", 2**41),
        ("checks", [{"name": 1, "ok": True, "expected": "", "found": ""}]),
        ("checks", [{"name": "", "ok": 1, "expected": "", "found": ""}]),
        ("checks", "all"),
        ("more", 1),
    ],
)
def test_json__malformed__is_refused_with_a_sentence(name: str, value: object) -> None:
    """The process that wrote it has handled strangers' bytes."""
    with pytest.raises(BadInput, match="examination"):
        examination_from_json(json.dumps(examination_to_json(FOUND) | {name: value}).encode())
