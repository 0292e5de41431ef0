"""The way of a task from its posting to a verdict, step by step, with whole processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from conftest import AUDITORS, Process, Site
from dlbc.core.types import Phase, TaskId


def posted(site: Site, name: str, liar: str = "") -> TaskId:
    """A new task."""
    arguments = ("task", "post", str(site.task_file(name)), "--yes", "--json")
    process = site.start_lying(liar, "requester", *arguments) if liar else site.start("requester", *arguments)
    assert process.wait() == 0, process.err.read_text()[-2000:]
    return TaskId(site.chain.task_count())


def released(site: Site, task_id: TaskId, commits: int, *miners: Process) -> Process:
    """Training is over, the test set is out; returns the requester's watch."""
    for miner in miners:
        miner.until(lambda: site.chain.round(task_id, 0).commits == commits, f"{commits} commits")
    watch = site.start("requester", "task", "watch", str(task_id), "--release")
    site.network.advance_time(to=site.chain.round(task_id, 0).train_end)
    watch.until(lambda: site.chain.round(task_id, 0).reveal_end, "the release")
    return watch


def challenged(site: Site, task_id: TaskId, watch: Process, reveals: int) -> None:
    """Everybody has revealed and the leader has opened its model."""
    watch.until(lambda: site.chain.round(task_id, 0).reveals == reveals, "the reveals")
    site.network.advance_time(to=site.chain.round(task_id, 0).reveal_end)
    watch.until(lambda: site.chain.round(task_id, 0).challenge_end, "the opening")


def voted(site: Site, task_id: TaskId, case: bytes, watch: Process, verdict: str) -> None:
    """Both auditors vote, each with one command that follows the vote to its end.

    The second one's machine dies after its ballot; a new one opens the ballot with nothing but the wallet.
    """
    start, commit_end, reveal_end = site.pool.windows(case)  # type: ignore[arg-type]
    site.network.advance_time(to=start)
    votes = [site.start(name, "auditor", "vote", str(task_id), "--verdict", verdict, "--wait") for name in AUDITORS]

    def are(count: Callable[[], int], what: str) -> None:
        for process in votes:
            process.until(lambda: count() == len(AUDITORS), what)

    are(lambda: len(site.pool.ballots_committed(case)), "the ballots")  # type: ignore[arg-type]
    votes[1].kill()
    shutil.rmtree(site.network.home / f"auditor-{site.address(AUDITORS[1])}")
    votes[1] = site.start(AUDITORS[1], "auditor", "vote", str(task_id), "--wait")
    site.network.advance_time(to=commit_end)
    are(lambda: len(site.pool.ballots_revealed(case)), "the opened ballots")  # type: ignore[arg-type]
    site.network.advance_time(to=reveal_end)
    watch.until(lambda: site.pool.case(case).ruling, "the ruling")  # type: ignore[arg-type]
    for process in votes:
        assert process.wait() == 0, process.err.read_text()[-2000:]


def settled(site: Site, task_id: TaskId, watch: Process) -> None:
    """The present leader's challenge passes."""
    site.network.advance_time(to=site.chain.round(task_id, 0).challenge_end)
    assert watch.wait() == 0
    assert site.chain.phase(task_id).phase is Phase.SETTLED
