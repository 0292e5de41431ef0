"""Auditors as daemons, whole processes: nobody types, a lie is struck, and who told the truth is left alone."""

from __future__ import annotations

import pytest
from conftest import AUDITORS, ETHER, Process, Site
from court import challenged, posted, released, settled
from dlbc.core.proofs import case_id
from dlbc.core.types import Reason, Ruling

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("jury")
def test_auditors__nobody_types__a_lie_is_disputed_voted_down_and_paid(site: Site) -> None:
    """One disputes, both vote, one of them is killed amid the vote; the runner-up's honest claim stands."""
    task_id = posted(site, "unattended")
    run = ("miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    liar = site.start_lying("labels", "miner1", *run, "--epochs", "1")
    honest = site.start("miner2", *run)
    audit = ("auditor", "run", "--task", str(task_id))
    before = sum(site.chain.balance(site.address(name)) for name in AUDITORS)
    auditors = [site.start(name, *audit) for name in AUDITORS]
    watch = released(site, task_id, 2, liar, honest)
    for auditor in auditors:
        auditor.until(lambda auditor=auditor: auditor.events("examined"), "the test set to be examined")  # type: ignore[misc]
        assert [event["verdict"] for event in auditor.events("examined")] == ["stands"]
    challenged(site, task_id, watch, 2)

    me = site.address("miner1")
    case = case_id(task_id, 0, me)
    for auditor in auditors:
        auditor.until(lambda auditor=auditor: len(auditor.events("examined")) == 2, "the claim to be examined")  # type: ignore[misc]
    auditors[0].until(lambda: site.pool.filings(task_id), "a dispute")
    start, commit_end, reveal_end = site.pool.windows(case)
    site.network.advance_time(to=start)
    auditors[0].until(lambda: len(site.pool.ballots_committed(case)) == 2, "the ballots")
    auditors[1].kill()
    auditors[1] = site.start(AUDITORS[1], *audit)
    site.network.advance_time(to=commit_end)
    auditors[1].until(lambda: len(site.pool.ballots_revealed(case)) == 2, "the opened ballots")
    site.network.advance_time(to=reveal_end)
    watch.until(lambda: site.pool.case(case).ruling, "the ruling")
    assert site.pool.case(case).ruling is Ruling.FALLS
    assert [event.reason for event in site.chain.strikes(task_id, 0)] == [Reason.VOTED]

    honest.until(lambda: site.chain.round(task_id, 0).leader == site.address("miner2"), "the nomination")
    site.network.advance_time(to=site.chain.round(task_id, 0).nominate_end)
    honest.until(lambda: site.chain.round(task_id, 0).challenge_end, "the second opening")
    honest_claim = f"the claim of {site.address('miner2')}"
    for auditor in auditors:

        def verdicts(auditor: Process = auditor) -> list[str]:
            return [event["verdict"] for event in auditor.events("examined") if event["about"] == honest_claim]

        auditor.until(verdicts, "the honest claim to be examined")
        assert verdicts() == ["stands"]
    settled(site, task_id, watch)
    for process in (honest, *auditors):
        assert process.wait() == 0, process.err.read_text()[-2000:]
    assert site.chain.winner(task_id, 0).miner == site.address("miner2")
    assert [site.pool.stake_of(site.address(name)).active_wei for name in AUDITORS] == [10 * ETHER] * 2
    after = sum(site.chain.balance(site.address(name)) for name in AUDITORS)
    assert after - before > ETHER // 10 * 9 // 10  # the struck deposit, less gas
    assert len(site.pool.filings(task_id)) in (1, 2)
