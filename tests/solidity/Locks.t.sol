// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lock, LockKind, Params, Phase, Ruling, Terms, Verdict} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// locksOf
/// ├── given an impeached test set
/// │   ├── the requester's money: it should wait for the end of the vote, and of its repeat
/// │   ├── deposits of losers and of the unrevealed: they should wait for the ruling
/// │   └── given that it fell: every deposit and a share of the bond should be there to reclaim
/// ├── given a disputed claim: bounty and deposits should wait for the vote, and be free once it stands
/// ├── given an open demand: the leader should have to answer, and the bounty should wait for it
/// └── the bond of a filer
///     ├── before the ruling: it should wait for it
///     ├── it should be there to collect after Split, Falls and NoQuorum, less a tenth for a claim without quorum
///     └── it should be gone after Stands, and once collected
/// stakesOf
/// ├── given active, pending and unbonding stake: it should name the call that moves each on, and when
/// ├── given no stake: it should be empty
/// └── given a market whose pool has no code: it should be empty, and so should be the bonds of filers
contract LocksTest is PoolScenario {
    string private constant COLLECT = "pool.collectBond(caseId, filer)";
    string private constant RECLAIM = "reclaim(taskId, round, miner)";
    string private constant COUNT = "advance(taskId) once the vote is over, then as it rules";
    string private constant UNTIL_COLD = "advance(taskId) until the round is cold, then reclaim(taskId, round, miner)";

    // ---------------------------------------------------------------- an impeached test set

    function test_locksOf_the_requester_while_the_test_set_is_impeached() public {
        Work memory entry = revealing();
        uint256 id = entry.proof.taskId;
        bytes32 caseId = impeach(fay, id);
        uint256 voteEnd = roundOf(id).revealEnd + 2 * VOTE;
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, voteEnd, COUNT);
        assertRow(requester, id, 1, LockKind.Bond, terms(1).bondWei, voteEnd, COUNT);
        toReveal(caseId);
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, voteEnd, COUNT);
        vm.warp(voteEnd);
        advance(id);
        assertRuling(Ruling.Repeat, caseId, 0);
        voteEnd += 4 * VOTE;
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, voteEnd, COUNT);
        vm.warp(voteEnd);
        advance(id);
        assertPhase(id, Phase.Nominating, true);
    }

    function test_locksOf_a_loser_while_the_test_set_is_impeached() public {
        uint256 id = post(1);
        Work memory low = work(BOB, id, 0, 100, "low");
        released(low);
        reveal(low);
        bytes32 caseId = impeach(fay, id);
        string memory freedBy = "reclaim(taskId, round, miner) once the vote on the test set is over";
        assertRow(bob, id, 0, LockKind.Deposit, DEPOSIT, 0, freedBy);
        toReveal(caseId);
        assertRow(bob, id, 0, LockKind.Deposit, DEPOSIT, 0, freedBy);
        uint256 revealEnd = roundOf(id).revealEnd;
        vote(caseId, Verdict.None, Verdict.None, Verdict.None);
        advance(id);
        vote(caseId, Verdict.None, Verdict.None, Verdict.None);
        advance(id);
        assertRow(bob, id, 0, LockKind.Deposit, DEPOSIT, revealEnd, RECLAIM);
        market.reclaim(id, 0, bob);
    }

    function test_locksOf_an_unrevealed_deposit_while_the_test_set_is_impeached() public {
        Work memory entry = revealing();
        uint256 id = entry.proof.taskId;
        bytes32 caseId = impeach(fay, id);
        toCommit(caseId);
        string memory freedBy = "reclaim(taskId, round, miner) if the test set falls; lost if it stands";
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, 0, freedBy);
        vote(caseId, Verdict.Unavailable, Verdict.Falls, Verdict.None);
        advance(id);
        assertPhase(id, Phase.Aborted, false);
        uint256 postedAt = market.taskOf(id).postedAt;
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, postedAt, RECLAIM);
        assertRow(alice, id, 1, LockKind.Bond, terms(1).bondWei / 2, postedAt, RECLAIM);
        market.reclaim(id, 0, alice);
        assertEq(DEPOSIT + terms(1).bondWei / 2, market.creditOf(alice), "both");
        assertEq(0, lens.locksOf(id, alice).length, "nothing is locked");
        assertEq(0, lens.locksOf(id, requester).length, "nor for the requester");
    }

    // ---------------------------------------------------------------- a disputed claim

    function test_locksOf_all_while_a_claim_is_disputed() public {
        uint256 id = post(1);
        Work memory leader = work(ALICE, id, 0, 900, "alice");
        Work memory second = work(BOB, id, 0, 800, "bob");
        commit(second);
        released(leader);
        reveal(leader);
        reveal(second);
        toRevealEnd(id);
        open(leader);
        uint256 challengeEnd = roundOf(id).challengeEnd;
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, challengeEnd, "advance(taskId)");
        assertRow(bob, id, 0, LockKind.Deposit, DEPOSIT, challengeEnd, UNTIL_COLD);
        bytes32 caseId = dispute(fay, id);
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, challengeEnd + 2 * VOTE, COUNT);
        assertRow(bob, id, 0, LockKind.Deposit, DEPOSIT, 0, UNTIL_COLD);
        string memory freedBy = "reclaim(taskId, round, miner) once settled, if the claim stands; lost if it falls";
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, 0, freedBy);
        vote(caseId, Verdict.Stands, Verdict.Stands, Verdict.Stands);
        advance(id);
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, challengeEnd, "advance(taskId)");
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, challengeEnd, UNTIL_COLD);
        advance(id);
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, market.taskOf(id).postedAt, RECLAIM);
        market.reclaim(id, 0, alice);
        market.reclaim(id, 0, bob);
    }

    // ---------------------------------------------------------------- an open demand

    function test_locksOf_all_while_a_demand_is_open() public {
        Work memory entry = openClaim();
        uint256 id = entry.proof.taskId;
        uint256 challengeEnd = roundOf(id).challengeEnd;
        vm.warp(challengeEnd - 1);
        vm.prank(address(pool));
        uint256 demandEnd = market.noteDemand(id, 0, alice);
        string memory freedBy =
            "pool.answer(...) for every open demand, then reclaim(taskId, round, miner) once settled";
        assertRow(alice, id, 0, LockKind.Deposit, DEPOSIT, 0, freedBy);
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, demandEnd, "advance(taskId)");
        vm.warp(challengeEnd);
        assertRow(requester, id, 0, LockKind.Bounty, BOUNTY, demandEnd, "advance(taskId)");
        vm.warp(demandEnd);
        advance(id);
        assertTrue(entryOf(entry).isStruck, "not answered");
    }

    // ---------------------------------------------------------------- bonds of filers

    function test_locksOf_a_filer_until_the_ruling() public {
        (Work memory entry, bytes32 caseId) = disputed();
        uint256 id = entry.proof.taskId;
        string memory freedBy = "advance(taskId) once the vote is over, then pool.collectBond(caseId, filer)";
        assertRow(fay, id, 0, LockKind.DisputeBond, DISPUTE_BOND, 0, freedBy);
        assertEq(0, lens.locksOf(id, gus).length, "who filed nothing");
        vote(caseId, Verdict.Stands, Verdict.Stands, Verdict.Stands);
        advance(id);
        assertEq(0, lens.locksOf(id, fay).length, "lost");
    }

    function test_locksOf_a_filer_after_a_split_vote() public {
        staked(cat, BEN_STAKE - CAT_STAKE); // as much as ben
        (Work memory entry, bytes32 caseId) = disputed();
        vote(caseId, Verdict.None, Verdict.Stands, Verdict.Falls);
        advance(entry.proof.taskId);
        assertRuling(Ruling.Split, caseId, 0);
        assertCollected(entry.proof.taskId, caseId, DISPUTE_BOND);
    }

    function test_locksOf_a_filer_after_a_vote_without_quorum() public {
        (Work memory entry, bytes32 caseId) = disputed();
        lackQuorum(entry.proof.taskId, caseId);
        assertCollected(entry.proof.taskId, caseId, DISPUTE_BOND * 9 / 10);
    }

    function test_locksOf_a_filer_after_an_impeachment_without_quorum() public {
        (Work memory entry, bytes32 caseId) = impeached();
        lackQuorum(entry.proof.taskId, caseId);
        assertCollected(entry.proof.taskId, caseId, DISPUTE_BOND);
    }

    function test_locksOf_a_filer_after_an_upheld_impeachment() public {
        (Work memory entry, bytes32 caseId) = impeached();
        vote(caseId, Verdict.Falls, Verdict.Falls, Verdict.None);
        advance(entry.proof.taskId);
        assertCollected(entry.proof.taskId, caseId, DISPUTE_BOND);
    }

    function test_locksOf_a_filer_of_an_earlier_round() public {
        staked(cat, BEN_STAKE - CAT_STAKE); // as much as ben
        uint256 id = post(2);
        opened(work(ALICE, id, 0, 800, "first"));
        bytes32 caseId = dispute(fay, id);
        vote(caseId, Verdict.None, Verdict.Stands, Verdict.Falls);
        advance(id);
        advance(id);
        opened(work(BOB, id, 1, 900, "second"));
        dispute(fay, id);
        Lock[] memory locks = lens.locksOf(id, fay);
        assertEq(2, locks.length, "one a round");
        assertEq(0, locks[0].round, "the first");
        assertEq(1, locks[1].round, "the second");
    }

    function assertCollected(uint256 id, bytes32 caseId, uint256 amountWei) private {
        uint256 before = pool.creditOf(fay);
        Lock[] memory locks = lens.locksOf(id, fay);
        assertEq(1, locks.length, "one bond");
        assertTrue(locks[0].freeAt <= block.timestamp, "now");
        assertRow(fay, id, 0, LockKind.DisputeBond, amountWei, locks[0].freeAt, COLLECT);
        pool.collectBond(caseId, fay);
        assertEq(amountWei, pool.creditOf(fay) - before, "what the lens said");
        assertEq(0, lens.locksOf(id, fay).length, "nothing is locked");
    }

    function lackQuorum(uint256 id, bytes32 caseId) private {
        vote(caseId, Verdict.None, Verdict.None, Verdict.None);
        advance(id);
        vote(caseId, Verdict.None, Verdict.None, Verdict.None);
        advance(id);
        assertRuling(Ruling.NoQuorum, caseId, 1);
    }

    // ---------------------------------------------------------------- stakesOf

    function test_stakesOf_an_auditor() public {
        stake(ann, 3 ether);
        uint256 readyAt = block.timestamp + ACTIVATION;
        Lock[] memory locks = lens.stakesOf(ann);
        assertEq(2, locks.length, "active and pending");
        string memory freedBy = "pool.unstake(amountWei), then pool.finishUnstake(auditor) after the unbonding period";
        assertLock(locks[0], LockKind.Stake, ANN_STAKE, block.timestamp, freedBy);
        assertLock(locks[1], LockKind.PendingStake, 3 ether, readyAt, "pool.activate(auditor)");
        unstake(ann, 5 ether); // all that is pending, and two of the active
        uint256 freeAt = block.timestamp + UNBONDING;
        locks = lens.stakesOf(ann);
        assertEq(2, locks.length, "active and unbonding");
        assertLock(locks[0], LockKind.Stake, ANN_STAKE - 2 ether, block.timestamp, freedBy);
        assertLock(locks[1], LockKind.UnbondingStake, 5 ether, freeAt, "pool.finishUnstake(auditor)");
        vm.warp(freeAt);
        pool.finishUnstake(ann);
        assertEq(1, lens.stakesOf(ann).length, "active");
    }

    function test_stakesOf_a_pending_stake_from_its_time() public {
        stake(gus, 3 ether);
        Lock memory lock = lens.stakesOf(gus)[0];
        vm.warp(lock.freeAt);
        pool.activate(gus);
        assertEq(uint256(LockKind.Stake), uint256(lens.stakesOf(gus)[0].kind), "active");
    }

    function test_stakesOf_who_has_none_is_empty() public view {
        assertEq(0, lens.stakesOf(fay).length, "nothing");
    }

    function test_stakesOf_a_pool_without_code_is_empty() public {
        Params memory p = params();
        p.pool = address(0x10003);
        deploy(p);
        assertEq(0, lens.stakesOf(ann).length, "nothing");
        settled(work(ALICE, post(1), 0, 900, "a"));
        assertEq(1, lens.locksOf(1, alice).length, "only the deposit");
    }

    // ---------------------------------------------------------------- help

    function assertRow(
        address account,
        uint256 id,
        uint256 row,
        LockKind kind,
        uint256 amountWei,
        uint256 freeAt,
        string memory freedBy
    ) private view {
        assertLock(lens.locksOf(id, account)[row], kind, amountWei, freeAt, freedBy);
    }

    function assertLock(Lock memory lock, LockKind kind, uint256 amountWei, uint256 freeAt, string memory freedBy)
        private
        pure
    {
        assertEq(uint256(kind), uint256(lock.kind), "kind");
        assertEq(amountWei, lock.amountWei, "amount");
        assertEq(freeAt, lock.freeAt, "freeAt");
        assertEq(keccak256(bytes(freedBy)), keccak256(bytes(lock.freedBy)), lock.freedBy);
    }
}
