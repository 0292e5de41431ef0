// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Tally, Verdict} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// Given a disputed claim
/// ├── when a ballot is committed
/// │   ├── it should move the lock out of the stake and stop it earning
/// │   ├── outside its window, empty, or twice, it should revert
/// │   └── it should weigh what was active at the opening and still is: nothing staked later, nothing unbonding
/// ├── when the voter leaves after committing
/// │   └── it should not shrink the lock
/// └── when a ballot is opened
///     ├── it should count by its lock
///     ├── copied from another voter, it should be useless
///     └── outside its window, with another verdict, salt or lock, or twice, it should revert
contract PoolVoteTest is PoolScenario {
    Work internal entry;
    bytes32 internal caseId;
    uint40 internal start;
    uint40 internal commitEnd;
    uint40 internal revealEnd;

    function setUp() public override {
        super.setUp();
        entry = openClaim();
        caseId = dispute(fay, entry.proof.taskId);
        (start, commitEnd, revealEnd) = pool.windowsOf(caseId);
    }

    // ---------------------------------------------------------------- commit

    function test_commitVote_moves_the_lock_out_of_the_stake() public {
        feed(7.5 ether);
        pool.collectFees();
        uint256 accruedWei = accruedOf(ann);
        vm.warp(start);
        assertEq(10 ether, pool.lockFor(caseId, ann), "lockFor");
        bytes32 ballot = ballotOf(caseId, ann, Verdict.Falls);
        (uint256 lockedBefore,) = pool.liabilities();
        vm.expectEmit();
        emit IAuditorPool.VoteCommitted(caseId, 0, ann, ballot, 10 ether);
        vm.prank(ann);
        pool.commitVote(caseId, ballot);
        assertEq(ANN_STAKE - 10 ether, activeOf(ann), "own");
        assertEq(65 ether, totalActive(), "total");
        assertEq(10 ether, pool.tallyOf(caseId, 0).committedWei, "tally");
        assertEq(keccak256(abi.encode(ballot, uint256(10 ether))), pool.ballotOf(caseId, 0, ann), "sealed");
        assertEq(ANN_STAKE, pool.stakeAt(ann, uint40(block.timestamp)), "a lock leaves no trace");
        assertEq(accruedWei, pool.stakeOf(ann).accruedWei, "what it earned is booked");
        (uint256 lockedWei,) = pool.liabilities();
        assertEq(lockedBefore, lockedWei, "the lock stays locked");
        feed(6.5 ether);
        pool.collectFees();
        assertGeWei(accruedWei + 4 ether, accruedOf(ann), "40 of 65 earn on");
        assertEq(8 ether, pool.lockFor(caseId, ann), "what is locked weighs nothing");
    }

    function test_commitVote_outside_its_window_reverts() public {
        bytes32 ballot = ballotOf(caseId, ann, Verdict.Falls);
        vm.warp(start - 1);
        expectNotInWindow(start - 1, start, commitEnd);
        vm.prank(ann);
        pool.commitVote(caseId, ballot);
        vm.warp(start);
        vm.prank(ann);
        pool.commitVote(caseId, ballot);
        ballot = ballotOf(caseId, ben, Verdict.Falls);
        vm.warp(commitEnd);
        expectNotInWindow(commitEnd, start, commitEnd);
        vm.prank(ben);
        pool.commitVote(caseId, ballot);
        vm.warp(commitEnd - 1);
        vm.prank(ben);
        pool.commitVote(caseId, ballot);
    }

    function test_commitVote_of_nothing_or_twice_reverts() public {
        vm.warp(start);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_EmptyBallot.selector));
        vm.prank(ann);
        pool.commitVote(caseId, 0);
        commitVote(caseId, ann, Verdict.Falls);
        bytes32 other = ballotOf(caseId, ann, Verdict.Stands);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_AlreadyVoted.selector, ann));
        vm.prank(ann);
        pool.commitVote(caseId, other);
    }

    function test_commitVote_in_an_unknown_case_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_UnknownCase.selector, bytes32(uint256(1))));
        vm.prank(ann);
        pool.commitVote(bytes32(uint256(1)), bytes32(uint256(2)));
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_UnknownCase.selector, bytes32(uint256(1))));
        pool.revealVote(bytes32(uint256(1)), ann, Verdict.Falls, 1, 0);
    }

    function test_commitVote_without_weight_reverts() public {
        vm.warp(start);
        expectNoWeight(fay, 0, 0);
        vm.prank(fay);
        pool.commitVote(caseId, bytes32(uint256(1)));
        unstake(ann, ANN_STAKE);
        expectNoWeight(ann, ANN_STAKE, 0);
        vm.prank(ann);
        pool.commitVote(caseId, bytes32(uint256(1)));
        unstake(ben, BEN_STAKE - 4);
        expectNoWeight(ben, BEN_STAKE, 4);
        vm.prank(ben);
        pool.commitVote(caseId, bytes32(uint256(1)));
    }

    function test_stake_activated_after_the_opening_has_no_weight() public {
        stake(fay, 500 ether);
        stake(ben, 500 ether);
        pass(ACTIVATION - 300); // so that the stakes are ready while the challenge runs
        Work memory later = openClaim();
        pass(300);
        pool.activate(fay);
        pool.activate(ben);
        bytes32 laterCase = dispute(gus, later.proof.taskId);
        toCommit(laterCase);
        expectNoWeight(fay, 0, 500 ether);
        vm.prank(fay);
        pool.commitVote(laterCase, bytes32(uint256(1)));
        assertEq(3 ether, pool.lockFor(laterCase, ben), "only what ben had at the opening");
    }

    function test_stake_in_unbonding_weighs_nothing() public {
        unstake(ann, 30 ether);
        vm.warp(start);
        assertEq(4 ether, pool.lockFor(caseId, ann), "what is left weighs");
        commitVote(caseId, ann, Verdict.Stands);
        assertEq(16 ether, activeOf(ann), "a fifth of it is locked");
    }

    function test_leaving_after_the_commit_does_not_shrink_the_lock() public {
        vm.warp(start);
        commitVote(caseId, ann, Verdict.Falls);
        unstake(ann, activeOf(ann));
        assertEq(0, activeOf(ann), "all that was free left");
        assertEq(10 ether, pool.tallyOf(caseId, 0).committedWei, "the lock did not");
        vm.warp(commitEnd);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        assertEq(10 ether, pool.tallyOf(caseId, 0).fallsWei, "and counts in full");
    }

    function test_two_votes_at_once_weigh_what_is_free() public {
        Work memory other = work(BOB, post(1), 0, 900, "bob");
        opened(other);
        bytes32 otherCase = dispute(fay, other.proof.taskId);
        // the first vote is over by now; a third claim, opened in the same second as the second
        toCommit(otherCase);
        commitVote(otherCase, ann, Verdict.Falls);
        Work memory third = work(CAROL, post(1), 0, 900, "carol");
        opened(third);
        bytes32 thirdCase = dispute(fay, third.proof.taskId);
        toCommit(thirdCase);
        assertEq(8 ether, pool.lockFor(thirdCase, ann), "a fifth of what is free");
    }

    // ---------------------------------------------------------------- reveal

    function test_revealVote_counts_by_the_lock() public {
        vm.warp(start);
        commitVote(caseId, ann, Verdict.Falls);
        commitVote(caseId, ben, Verdict.Stands);
        commitVote(caseId, cat, Verdict.Unavailable);
        vm.warp(commitEnd);
        vm.expectEmit();
        emit IAuditorPool.VoteRevealed(caseId, 0, ann, Verdict.Falls, 10 ether);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        revealVote(caseId, ben, Verdict.Stands, 3 ether);
        revealVote(caseId, cat, Verdict.Unavailable, 2 ether);
        Tally memory tally = pool.tallyOf(caseId, 0);
        assertEq(15 ether, tally.committedWei, "committed");
        assertEq(10 ether, tally.fallsWei, "falls");
        assertEq(3 ether, tally.standsWei, "stands");
        assertEq(2 ether, tally.unavailableWei, "unavailable");
        assertEq(bytes32((uint256(10 ether) << 8) | 2), pool.ballotOf(caseId, 0, ann), "opened");
    }

    function test_revealVote_outside_its_window_reverts() public {
        vm.warp(start);
        commitVote(caseId, ann, Verdict.Falls);
        commitVote(caseId, ben, Verdict.Falls);
        vm.warp(commitEnd - 1);
        expectNotInWindow(commitEnd - 1, commitEnd, revealEnd);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        vm.warp(commitEnd);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        vm.warp(revealEnd);
        expectNotInWindow(revealEnd, commitEnd, revealEnd);
        revealVote(caseId, ben, Verdict.Falls, 3 ether);
        vm.warp(revealEnd - 1);
        revealVote(caseId, ben, Verdict.Falls, 3 ether);
    }

    function test_revealVote_of_another_ballot_reverts() public {
        vm.warp(start);
        commitVote(caseId, ann, Verdict.Falls);
        bytes32 stored = pool.ballotOf(caseId, 0, ann);
        vm.warp(commitEnd);
        expectWrongBallot(ann, Verdict.Stands, saltOf(ann), 10 ether, stored);
        revealVote(caseId, ann, Verdict.Stands, 10 ether);
        expectWrongBallot(ann, Verdict.Falls, saltOf(ann), 10 ether - 1, stored);
        revealVote(caseId, ann, Verdict.Falls, 10 ether - 1);
        expectWrongBallot(ann, Verdict.Falls, saltOf(ann), type(uint256).max, stored);
        revealVote(caseId, ann, Verdict.Falls, type(uint256).max);
        expectWrongBallot(ann, Verdict.Falls, saltOf(ben), 10 ether, stored);
        pool.revealVote(caseId, ann, Verdict.Falls, 10 ether, saltOf(ben));
        expectWrongBallot(ben, Verdict.Falls, saltOf(ben), 10 ether, 0);
        revealVote(caseId, ben, Verdict.Falls, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongVerdict.selector, 0));
        revealVote(caseId, ann, Verdict.None, 10 ether);
        (bool isTaken,) = address(pool)
            .call(abi.encodeWithSelector(pool.revealVote.selector, caseId, ann, uint256(4), 10 ether, saltOf(ann)));
        assertTrue(!isTaken, "there is no fourth verdict");
    }

    function test_revealVote_twice_reverts() public {
        vm.warp(start);
        commitVote(caseId, ann, Verdict.Falls);
        vm.warp(commitEnd);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        expectWrongBallot(
            ann, Verdict.Falls, saltOf(ann), 10 ether, bytes32((uint256(10 ether) << 8) | uint256(Verdict.Falls))
        );
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
    }

    function test_copied_ballot_cannot_be_opened() public {
        vm.warp(start);
        bytes32 ballot = ballotOf(caseId, ann, Verdict.Falls);
        commitVote(caseId, ann, Verdict.Falls);
        vm.prank(ben);
        pool.commitVote(caseId, ballot);
        vm.warp(commitEnd);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        bytes32 stored = pool.ballotOf(caseId, 0, ben);
        expectWrongBallot(ben, Verdict.Falls, saltOf(ann), 3 ether, stored);
        pool.revealVote(caseId, ben, Verdict.Falls, 3 ether, saltOf(ann));
    }

    function testFuzz_ballot_opens_only_as_it_was_sealed(bytes32 salt, bytes32 other, uint8 says, uint8 claims) public {
        Verdict verdict = Verdict(within(says, 1, 3));
        Verdict claimed = Verdict(within(claims, 1, 3));
        vm.assume(salt != other || verdict != claimed);
        bytes32 disputeId = pool.disputeIdOf(caseId, 0);
        vm.warp(start);
        vm.prank(ann);
        pool.commitVote(caseId, keccak256(abi.encode(pool, disputeId, ann, verdict, salt)));
        vm.warp(commitEnd);
        vm.expectRevert();
        pool.revealVote(caseId, ann, claimed, 10 ether, other);
        pool.revealVote(caseId, ann, verdict, 10 ether, salt);
    }

    // ---------------------------------------------------------------- help

    function expectNoWeight(address voter, uint256 snapshotWei, uint256 activeWei) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NoWeight.selector, voter, snapshotWei, activeWei));
    }

    function expectWrongBallot(address voter, Verdict verdict, bytes32 salt, uint256 lockWei, bytes32 stored) private {
        bytes32 disputeId = keccak256(abi.encode(caseId, uint256(0)));
        bytes32 ballot = keccak256(abi.encode(address(pool), disputeId, voter, uint256(verdict), salt));
        bytes32 given = keccak256(abi.encode(ballot, lockWei));
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongBallot.selector, given, stored));
    }

    /// @dev Equal but for the rounding of dividends.
    function assertGeWei(uint256 expected, uint256 found, string memory message) private pure {
        vm.assertLe(found, expected, message);
        vm.assertGe(found + 10, expected, message);
    }
}
