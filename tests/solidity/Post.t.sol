// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, Round, Task, Terms, Workload} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// post
/// ├── when a term is below or above its bound
/// │   └── it should revert with the term, the given value and the limit (P-12)
/// ├── when every term is at its lowest or highest
/// │   └── it should post
/// ├── when the value is not bounty x rounds + bond
/// │   └── it should revert
/// ├── when the workload overflows the difficulty
/// │   └── it should revert
/// └── when all is well
///     ├── it should store the facts, lock the money and emit the terms (P-11)
///     ├── it should number tasks from 1 (P-15)
///     └── it should fix the difficulty that quoteDifficulty gave, queue included (P-80)
/// cancel
/// ├── given an unknown task: it should revert
/// ├── when the caller is not the requester: it should revert
/// ├── given a commit: it should revert
/// ├── given a later round: it should revert
/// ├── given a cancelled task: it should revert
/// ├── given that training is over without a commit: it should revert
/// └── given no commit: it should credit bounty and bond to the requester (P-14)
contract PostTest is Scenario {
    // ---------------------------------------------------------------- post

    function test_post_below_a_bound_reverts() public {
        Terms memory t = terms(1);
        t.trainSeconds = 9;
        expectBelow(t, "trainSeconds", 9, 10);
        t = terms(1);
        t.releaseSeconds = 0;
        expectBelow(t, "releaseSeconds", 0, 10);
        t = terms(1);
        t.revealSeconds = 9;
        expectBelow(t, "revealSeconds", 9, 10);
        t = terms(1);
        t.openSeconds = 9;
        expectBelow(t, "openSeconds", 9, 10);
        t = terms(1);
        t.challengeSeconds = 9;
        expectBelow(t, "challengeSeconds", 9, 10);
        t = terms(1);
        t.bountyWei = 0;
        expectBelow(t, "bountyWei", 0, 1);
        t = terms(1);
        t.bountyWei = 101;
        t.depositWei = 10;
        expectBelow(t, "depositWei", 10, 11);
        t = terms(1);
        t.bondWei = BOUNTY / 10 - 1;
        expectBelow(t, "bondWei", BOUNTY / 10 - 1, BOUNTY / 10);
    }

    function test_post_with_an_empty_workload_reverts() public {
        Terms memory t = terms(1);
        t.workload.parameters = 0;
        expectBelow(t, "parameters", 0, 1);
        t = terms(1);
        t.workload.flopsPerSample = 0;
        expectBelow(t, "flopsPerSample", 0, 1);
        t = terms(1);
        t.workload.samples = 0;
        expectBelow(t, "samples", 0, 1);
        t = terms(1);
        t.workload.epochs = 0;
        expectBelow(t, "epochs", 0, 1);
        t = terms(1);
        t.workload.dataBytes = 0;
        expectBelow(t, "dataBytes", 0, 1);
        t = terms(1);
        t.workload.modelBytes = 0;
        expectBelow(t, "modelBytes", 0, 1);
    }

    function test_post_above_a_bound_reverts() public {
        uint32 over = 90 days + 1;
        Terms memory t = terms(1);
        t.trainSeconds = over;
        expectAbove(t, "trainSeconds", over, 90 days);
        t = terms(1);
        t.releaseSeconds = over;
        expectAbove(t, "releaseSeconds", over, 90 days);
        t = terms(1);
        t.revealSeconds = over;
        expectAbove(t, "revealSeconds", over, 90 days);
        t = terms(1);
        t.openSeconds = over;
        expectAbove(t, "openSeconds", over, 90 days);
        t = terms(1);
        t.challengeSeconds = type(uint32).max;
        expectAbove(t, "challengeSeconds", type(uint32).max, MAX_CHALLENGE);
        t = terms(1);
        t.minScorePpm = 1e6 + 1;
        expectAbove(t, "minScorePpm", 1e6 + 1, 1e6);
        t = terms(1);
        t.minGainPpm = 1e6 + 1;
        expectAbove(t, "minGainPpm", 1e6 + 1, 1e6);
        t = terms(1);
        t.tolerancePpm = 20_001;
        expectAbove(t, "tolerancePpm", 20_001, 20_000);
        t = terms(1);
        t.depositWei = BOUNTY + 1;
        expectAbove(t, "depositWei", BOUNTY + 1, BOUNTY);
        t = terms(1);
        t.bondWei = BOUNTY + 1;
        expectAbove(t, "bondWei", BOUNTY + 1, BOUNTY);
        t = terms(1);
        t.royaltyBps = 2001;
        expectAbove(t, "royaltyBps", 2001, 2000);
    }

    function test_post_with_no_or_too_many_rounds_reverts() public {
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, bytes32("rounds"), 0, 1));
        vm.prank(requester);
        market.post(terms(1), none);

        bytes32[] memory many = new bytes32[](17);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AboveMaximum.selector, bytes32("rounds"), 17, 16));
        vm.prank(requester);
        market.post(terms(17), many);
    }

    function test_post_at_the_lowest_bounds_succeeds() public {
        Terms memory t = terms(1);
        t.workload = Workload(1, 1, 1, 1, 1, 1);
        t.trainSeconds = 10;
        t.releaseSeconds = 10;
        t.revealSeconds = 10;
        t.openSeconds = 10;
        t.challengeSeconds = 10;
        t.minScorePpm = 0;
        t.minGainPpm = 0;
        t.tolerancePpm = 0;
        t.bountyWei = 1;
        t.depositWei = 1;
        t.bondWei = 1;
        t.royaltyBps = 0;
        assertEq(1, post(t, 1), "task id");
    }

    function test_post_at_the_highest_bounds_succeeds() public {
        Terms memory t = terms(16);
        t.workload =
            Workload(type(uint64).max, type(uint64).max, type(uint64).max, 2 ** 30, type(uint64).max, type(uint64).max);
        t.trainSeconds = 90 days;
        t.releaseSeconds = 90 days;
        t.revealSeconds = 90 days;
        t.openSeconds = 90 days;
        t.challengeSeconds = MAX_CHALLENGE;
        t.minScorePpm = 1e6;
        t.minGainPpm = 1e6;
        t.tolerancePpm = 20_000;
        t.bountyWei = 1e27;
        t.depositWei = 1e27;
        t.bondWei = 16e27;
        t.royaltyBps = 2000;
        vm.deal(requester, 32e27);
        assertEq(1, post(t, 16), "task id");
    }

    function test_post_of_more_than_the_ledger_holds_reverts() public {
        Terms memory t = terms(1);
        t.bountyWei = type(uint96).max;
        t.depositWei = type(uint96).max;
        t.bondWei = type(uint96).max;
        uint256 sent = value(t, 1);
        vm.deal(requester, sent);
        bytes32[] memory commitments = commitmentsOf(1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_AmountTooLarge.selector, sent, type(uint96).max));
        vm.prank(requester);
        market.post{value: sent}(t, commitments);
    }

    /// @dev Were only the locked money bounded, credits could overflow later, and nothing could be paid out.
    function test_post_beyond_what_credits_leave_of_the_ledger_reverts() public {
        Terms memory t = terms(1);
        t.bountyWei = 70_000_000_000 ether;
        t.depositWei = t.bountyWei / 10;
        t.bondWei = t.bountyWei / 10;
        uint256 sent = value(t, 1);
        vm.deal(requester, 2 * sent);
        uint256 id = post(t, 1);
        vm.prank(requester);
        market.cancel(id);
        bytes32[] memory commitments = commitmentsOf(1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_AmountTooLarge.selector, 2 * sent, type(uint96).max));
        vm.prank(requester);
        market.post{value: sent}(t, commitments);
    }

    function test_post_with_another_value_reverts() public {
        Terms memory t = terms(2);
        bytes32[] memory commitments = commitmentsOf(2);
        uint256 expected = value(t, 2);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongValue.selector, expected - 1, expected));
        vm.prank(requester);
        market.post{value: expected - 1}(t, commitments);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongValue.selector, expected + 1, expected));
        vm.prank(requester);
        market.post{value: expected + 1}(t, commitments);
    }

    function test_post_of_an_overflowing_workload_reverts() public {
        Terms memory t = terms(1);
        t.workload = Workload(1, type(uint64).max, type(uint64).max, type(uint32).max, 1, 1);
        bytes32[] memory commitments = commitmentsOf(1);
        uint256 sent = value(t, 1);
        uint256 given = 3 * uint256(type(uint64).max) * type(uint64).max * type(uint32).max;
        vm.expectRevert(abi.encodeWithSelector(Errors.Difficulty_TooLarge.selector, given, 2 ** 160 - 1));
        vm.prank(requester);
        market.post{value: sent}(t, commitments);
    }

    function test_post_stores_locks_and_emits() public {
        Terms memory t = terms(2);
        bytes32[] memory commitments = commitmentsOf(2);
        bytes32 termsHash = keccak256(abi.encode(t, keccak256(abi.encodePacked(commitments))));
        uint64 difficulty = lens.quoteDifficulty(t);
        vm.expectEmit();
        emit ITaskMarket.TaskPosted(1, requester, termsHash, difficulty, t, commitments);
        uint256 taskId = post(2);

        Task memory task = market.taskOf(taskId);
        assertEq(requester, task.requester, "requester");
        assertEq(2, task.rounds, "rounds");
        assertEq(termsHash, task.termsHash, "termsHash");
        assertEq(T0, task.postedAt, "postedAt");
        assertEq(ROYALTY_BPS, task.royaltyBps, "royaltyBps");
        assertEq(t.tolerancePpm, task.tolerancePpm, "tolerancePpm");
        assertEq(T0 + TRAIN, market.roundOf(taskId, 0).trainEnd, "trainEnd");
        assertEq(commitments[1], market.roundOf(taskId, 1).testCommitment, "testCommitment");
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(value(t, 2), lockedWei, "locked");
        assertEq(0, creditedWei, "credited");
        assertEq(value(t, 2), address(market).balance, "balance");
        assertPhase(taskId, Phase.Training, false);
    }

    function test_post_numbers_tasks_from_one() public {
        assertEq(1, post(1), "first");
        assertEq(2, post(1), "second");
        (uint256 tasks, uint256 openTasks, uint256 commits) = market.counters();
        assertEq(2, tasks, "tasks");
        assertEq(2, openTasks, "open tasks");
        assertEq(0, commits, "commits");
    }

    function test_post_fixes_the_quoted_difficulty() public {
        uint64 first = lens.quoteDifficulty(terms(1));
        assertEq(first, market.taskOf(post(1)).difficulty, "first");
        uint64 second = lens.quoteDifficulty(terms(1));
        assertTrue(second > first, "a longer queue is more difficult");
        assertEq(second, market.taskOf(post(1)).difficulty, "second");
    }

    // ---------------------------------------------------------------- cancel

    function test_cancel_of_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 7));
        market.cancel(7);
    }

    function test_cancel_by_a_stranger_reverts() public {
        uint256 taskId = post(1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotRequester.selector, keeper, requester));
        vm.prank(keeper);
        market.cancel(taskId);
    }

    function test_cancel_after_a_commit_reverts() public {
        uint256 taskId = post(1);
        commit(work(ALICE, taskId, 0, 900, "a"));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AlreadyCommitted.selector, taskId, 1));
        vm.prank(requester);
        market.cancel(taskId);
    }

    function test_cancel_in_a_later_round_reverts() public {
        uint256 taskId = post(2);
        settled(work(ALICE, taskId, 0, 900, "a"));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AlreadyCommitted.selector, taskId, 0));
        vm.prank(requester);
        market.cancel(taskId);
    }

    function test_cancel_twice_reverts() public {
        uint256 taskId = post(1);
        vm.prank(requester);
        market.cancel(taskId);
        expectWrongPhase(Phase.Cancelled, false, Phase.Training);
        vm.prank(requester);
        market.cancel(taskId);
    }

    function test_cancel_after_training_reverts() public {
        uint256 taskId = post(1);
        vm.warp(T0 + TRAIN);
        expectWrongPhase(Phase.Training, true, Phase.Training);
        vm.prank(requester);
        market.cancel(taskId);
    }

    function test_cancel_credits_the_requester() public {
        uint256 taskId = post(3);
        vm.warp(T0 + TRAIN - 1);
        vm.expectEmit();
        emit ITaskMarket.TaskCancelled(taskId);
        vm.prank(requester);
        market.cancel(taskId);
        assertEq(value(terms(3), 3), market.creditOf(requester), "credit");
        assertPhase(taskId, Phase.Cancelled, false);
        (, uint256 openTasks,) = market.counters();
        assertEq(0, openTasks, "open tasks");
        assertEmptyAfterWithdrawals();
    }

    // ---------------------------------------------------------------- help

    function expectBelow(Terms memory t, bytes32 term, uint256 given, uint256 minimum) private {
        expectRefused(t, abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, term, given, minimum));
    }

    function expectAbove(Terms memory t, bytes32 term, uint256 given, uint256 maximum) private {
        expectRefused(t, abi.encodeWithSelector(Errors.Market_AboveMaximum.selector, term, given, maximum));
    }

    function expectRefused(Terms memory t, bytes memory reason) private {
        bytes32[] memory commitments = commitmentsOf(1);
        uint256 sent = value(t, 1);
        vm.expectRevert(reason);
        vm.prank(requester);
        market.post{value: sent}(t, commitments);
    }
}
