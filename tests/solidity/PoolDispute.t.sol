// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Case, Phase, Ruling, Terms, Vote} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// Given a round
/// ├── when its opened claim is disputed
/// │   ├── it should make one case, lock the bond and call the vote
/// │   ├── again by others, it should unite the grounds
/// │   ├── again by the same, without grounds or with unknown ones, it should revert
/// │   ├── with samples iff and only iff the grounds include them, one to eight, in range, it should accept
/// │   ├── with another value than the bond, it should revert
/// │   └── outside Challenge, it should revert
/// └── when its released test set is impeached
///     ├── it should make one case of nobody's claim
///     └── outside Revealing, it should revert
contract PoolDisputeTest is PoolScenario {
    // ---------------------------------------------------------------- dispute

    function test_dispute_makes_a_case() public {
        Work memory entry = openClaim();
        uint256 taskId = entry.proof.taskId;
        uint40 challengeEnd = roundOf(taskId).challengeEnd;
        bytes32 expected = keccak256(abi.encode(taskId, uint256(0), alice));
        (uint256 lockedBefore,) = pool.liabilities();
        pass(7);
        vm.expectEmit();
        emit IAuditorPool.ClaimDisputed(expected, taskId, 0, alice, fay, 1, keccak256("evidence"), new uint40[](0));
        bytes32 caseId = dispute(fay, taskId);
        assertEq(expected, caseId, "caseId");
        assertEq(expected, pool.caseIdOf(taskId, 0, alice), "caseIdOf");
        assertEq(keccak256(abi.encode(expected, uint256(1))), pool.disputeIdOf(caseId, 1), "disputeIdOf");
        Case memory found = pool.caseOf(caseId);
        assertEq(DISPUTE_BOND, found.bondWei, "bond");
        assertEq(1, found.filers, "filers");
        assertEq(challengeEnd, found.voteStart, "voteStart");
        assertEq(challengeEnd - CHALLENGE, found.snapshotAt, "snapshot at the opening");
        assertEq(0, found.attempt, "attempt");
        assertEq(uint256(Ruling.None), uint256(found.ruling), "ruling");
        assertEq(1, found.grounds, "grounds");
        assertEq(taskId, found.taskId, "task");
        assertEq(0, found.round, "round");
        assertEq(alice, found.subject, "subject");
        assertTrue(pool.hasFiled(caseId, fay), "filed");
        assertTrue(!pool.hasFiled(caseId, gus), "not filed");
        (uint40 start, uint40 commitEnd, uint40 revealEnd) = pool.windowsOf(caseId);
        assertEq(challengeEnd, start, "start");
        assertEq(challengeEnd + VOTE, commitEnd, "commitEnd");
        assertEq(challengeEnd + 2 * VOTE, revealEnd, "revealEnd");
        (uint256 lockedWei,) = pool.liabilities();
        assertEq(lockedBefore + DISPUTE_BOND, lockedWei, "locked");
        assertEq(uint256(Vote.Claim), uint256(roundOf(taskId).vote), "the market knows");
        assertSolvent();
    }

    function test_dispute_again_by_others_unites_the_grounds() public {
        Work memory entry = openClaim();
        uint256 taskId = entry.proof.taskId;
        bytes32 caseId = dispute(fay, taskId);
        uint40 voteStart = pool.caseOf(caseId).voteStart;
        vm.warp(voteStart - 1);
        vm.prank(gus);
        bytes32 again = pool.dispute{value: DISPUTE_BOND}(taskId, 32 | 2, 0, new uint40[](0));
        assertEq(caseId, again, "the same case");
        Case memory found = pool.caseOf(caseId);
        assertEq(2, found.filers, "filers");
        assertEq(1 | 2 | 32, found.grounds, "grounds");
        assertEq(voteStart, found.voteStart, "voteStart stays");
    }

    function test_dispute_again_by_the_same_reverts() public {
        Work memory entry = openClaim();
        dispute(fay, entry.proof.taskId);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_AlreadyFiled.selector, fay));
        dispute(fay, entry.proof.taskId);
    }

    function test_dispute_on_no_or_unknown_grounds_reverts() public {
        Work memory entry = openClaim();
        expectGrounds(0);
        this.disputeOn(entry.proof.taskId, 0, 0);
        expectGrounds(128);
        this.disputeOn(entry.proof.taskId, 128, 0);
        expectGrounds(type(uint16).max);
        this.disputeOn(entry.proof.taskId, type(uint16).max, 0);
        this.disputeOn(entry.proof.taskId, 127, 8);
    }

    function test_dispute_with_samples_iff_grounds_include_them() public {
        Work memory entry = openClaim();
        uint256 taskId = entry.proof.taskId;
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongSamples.selector, 1, 0, 0));
        this.disputeOn(taskId, 63, 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongSamples.selector, 0, 1, 8));
        this.disputeOn(taskId, 64, 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongSamples.selector, 9, 1, 8));
        this.disputeOn(taskId, 64, 9);
        this.disputeOn(taskId, 64, 8);
    }

    function test_dispute_and_impeach_with_another_value_revert() public {
        Work memory entry = revealing();
        uint256 taskId = entry.proof.taskId;
        expectValue(DISPUTE_BOND - 1);
        vm.prank(fay);
        pool.impeach{value: DISPUTE_BOND - 1}(taskId, 0);
        reveal(entry);
        toRevealEnd(taskId);
        open(entry);
        expectValue(0);
        vm.prank(fay);
        pool.dispute(taskId, 1, 0, new uint40[](0));
        expectValue(DISPUTE_BOND + 1);
        vm.prank(fay);
        pool.dispute{value: DISPUTE_BOND + 1}(taskId, 1, 0, new uint40[](0));
    }

    function test_bond_is_a_tenth_rounded_up() public {
        Terms memory values = terms(1);
        values.bountyWei = 11;
        values.depositWei = 2;
        values.bondWei = 2;
        Work memory entry = work(ALICE, post(values, 1), 0, 900, "small");
        opened(entry);
        vm.prank(fay);
        bytes32 caseId = pool.dispute{value: 2}(entry.proof.taskId, 1, 0, new uint40[](0));
        assertEq(2, pool.caseOf(caseId).bondWei, "bond");
    }

    function test_dispute_outside_Challenge_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 77));
        dispute(fay, 77);
        Work memory entry = work(ALICE, post(1), 0, 900, "alice");
        uint256 taskId = entry.proof.taskId;
        expectWrongPhase(Phase.Training, false, Phase.Challenge);
        dispute(fay, taskId);
        released(entry);
        reveal(entry);
        expectWrongPhase(Phase.Revealing, false, Phase.Challenge);
        dispute(fay, taskId);
        toRevealEnd(taskId);
        expectWrongPhase(Phase.Opening, false, Phase.Challenge);
        dispute(fay, taskId);
        open(entry);
        toEnd(taskId);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        dispute(fay, taskId);
    }

    function test_dispute_during_the_vote_reverts() public {
        (Work memory entry,) = disputed();
        expectWrongPhase(Phase.VotingCommit, false, Phase.Challenge);
        dispute(gus, entry.proof.taskId);
    }

    // ---------------------------------------------------------------- impeach

    function test_impeach_makes_a_case_of_the_test_set() public {
        Work memory entry = revealing();
        uint256 taskId = entry.proof.taskId;
        uint40 revealEnd = roundOf(taskId).revealEnd;
        bytes32 expected = keccak256(abi.encode(taskId, uint256(0), address(0)));
        vm.expectEmit();
        emit IAuditorPool.TestSetImpeached(expected, taskId, 0, fay, keccak256("evidence"));
        bytes32 caseId = impeach(fay, taskId);
        assertEq(expected, caseId, "caseId");
        Case memory found = pool.caseOf(caseId);
        assertEq(revealEnd, found.voteStart, "the vote starts before Opening");
        assertEq(revealEnd - REVEAL, found.snapshotAt, "snapshot at the release");
        assertEq(address(0), found.subject, "nobody's claim");
        assertEq(0, found.grounds, "no grounds");
        vm.warp(revealEnd - 1);
        impeach(gus, taskId);
        assertEq(2, pool.caseOf(caseId).filers, "filers");
        assertEq(uint256(Vote.TestSet), uint256(roundOf(taskId).vote), "the market knows");
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_AlreadyFiled.selector, gus));
        impeach(gus, taskId);
    }

    function test_impeach_outside_Revealing_reverts() public {
        Work memory entry = work(ALICE, post(1), 0, 900, "alice");
        uint256 taskId = entry.proof.taskId;
        commit(entry);
        toRelease(taskId);
        expectWrongPhase(Phase.Releasing, false, Phase.Revealing);
        impeach(fay, taskId);
        release(taskId);
        reveal(entry);
        toRevealEnd(taskId);
        expectWrongPhase(Phase.Opening, false, Phase.Revealing);
        impeach(fay, taskId);
    }

    // ---------------------------------------------------------------- views

    function test_views_of_an_unknown_case() public {
        bytes32 caseId = keccak256("nothing");
        assertEq(0, pool.caseOf(caseId).filers, "no filers");
        assertEq(0, pool.caseOf(caseId).bondWei, "no bond");
        assertEq(0, pool.tallyOf(caseId, 0).committedWei, "no ballots");
        assertEq(0, pool.lockFor(caseId, ann), "no weight");
        assertEq(uint256(Ruling.None), uint256(pool.rulingOf(caseId, 0)), "no ruling");
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_UnknownCase.selector, caseId));
        pool.windowsOf(caseId);
    }

    // ---------------------------------------------------------------- help

    function disputeOn(uint256 taskId, uint16 grounds, uint256 samples) external {
        uint40[] memory indices = new uint40[](samples);
        vm.prank(fay);
        pool.dispute{value: DISPUTE_BOND}(taskId, grounds, 0, indices);
    }

    function expectGrounds(uint256 given) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongGrounds.selector, given, 127));
    }

    function expectValue(uint256 given) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongValue.selector, given, DISPUTE_BOND));
    }
}
