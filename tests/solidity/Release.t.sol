// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, Round, TestSet} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// release
/// ├── given an unknown task: it should revert
/// ├── when the caller is not the requester: it should revert
/// ├── given Training: it should revert
/// ├── given less than the finality gap since trainEnd: it should revert (P-40)
/// ├── given releaseEnd: it should revert
/// ├── given a released test set: it should revert
/// ├── when the test set is another: it should revert (P-13)
/// ├── when the test key is another: it should revert
/// ├── when the test set has no or too many samples, or scores beyond the bounds: it should revert (M-1)
/// └── when all is well: it should store what scoring needs and start Revealing now (P-40)
contract ReleaseTest is Scenario {
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
        commit(work(ALICE, taskId, 0, 900, "a"));
    }

    function test_release_of_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        market.release(9, testSetOf(0), TEST_KEY);
    }

    function test_release_by_a_stranger_reverts() public {
        toRelease(taskId);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotRequester.selector, alice, requester));
        vm.prank(alice);
        market.release(taskId, testSetOf(0), TEST_KEY);
    }

    function test_release_during_training_reverts() public {
        expectWrongPhase(Phase.Training, false, Phase.Releasing);
        send(testSetOf(0), TEST_KEY);
    }

    function test_release_within_the_finality_gap_reverts() public {
        vm.warp(T0 + TRAIN + GAP - 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_TooEarly.selector, T0 + TRAIN + GAP - 1, T0 + TRAIN + GAP));
        send(testSetOf(0), TEST_KEY);
    }

    function test_release_at_releaseEnd_reverts() public {
        vm.warp(T0 + TRAIN + GAP + RELEASE);
        expectWrongPhase(Phase.Releasing, true, Phase.Releasing);
        send(testSetOf(0), TEST_KEY);
    }

    function test_release_twice_reverts() public {
        toRelease(taskId);
        release(taskId);
        expectWrongPhase(Phase.Revealing, false, Phase.Releasing);
        send(testSetOf(0), TEST_KEY);
    }

    function test_release_of_another_test_set_reverts() public {
        toRelease(taskId);
        TestSet memory other = testSetOf(0);
        other.samples += 1;
        bytes32 given = keccak256(abi.encode(other));
        bytes32 expected = market.roundOf(taskId, 0).testCommitment;
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongTestSet.selector, given, expected));
        send(other, TEST_KEY);
    }

    function test_release_with_another_key_reverts() public {
        toRelease(taskId);
        bytes32 key = keccak256("another key");
        vm.expectRevert(
            abi.encodeWithSelector(
                Errors.Market_WrongTestKey.selector, keccak256(abi.encode(key)), keccak256(abi.encode(TEST_KEY))
            )
        );
        send(testSetOf(0), key);
    }

    function test_release_of_a_test_set_out_of_bounds_reverts() public {
        TestSet memory t = testSetOf(0);
        t.samples = 0;
        expectUnreleasable(t, Errors.Market_BelowMinimum.selector, "samples", 0, 1);
        t.samples = uint40(2 ** 32 + 1);
        expectUnreleasable(t, Errors.Market_AboveMaximum.selector, "samples", 2 ** 32 + 1, 2 ** 32);
        t = testSetOf(0);
        t.maxSampleScore = 0;
        expectUnreleasable(t, Errors.Market_BelowMinimum.selector, "maxSampleScore", 0, 1);
        t.maxSampleScore = uint32(2 ** 24 + 1);
        expectUnreleasable(t, Errors.Market_AboveMaximum.selector, "maxSampleScore", 2 ** 24 + 1, 2 ** 24);
    }

    function test_release_starts_revealing_now() public {
        vm.warp(T0 + TRAIN + GAP + RELEASE - 1);
        uint40 revealEnd = uint40(block.timestamp + REVEAL);
        vm.expectEmit();
        emit ITaskMarket.TestSetReleased(taskId, 0, testSetOf(0), TEST_KEY, revealEnd);
        send(testSetOf(0), TEST_KEY);
        Round memory round = market.roundOf(taskId, 0);
        assertEq(revealEnd, round.revealEnd, "revealEnd");
        assertEq(SAMPLES, round.samples, "samples");
        assertEq(1, round.maxSampleScore, "maxSampleScore");
        assertEq(10, round.classes, "classes");
        assertEq(1, round.metric, "metric");
        assertPhase(taskId, Phase.Revealing, false);
    }

    function send(TestSet memory testSet, bytes32 key) private {
        vm.prank(requester);
        market.release(taskId, testSet, key);
    }

    /// @dev A fresh task whose test commitment is honest about a test set that no release can accept.
    function expectUnreleasable(TestSet memory testSet, bytes4 selector, bytes32 term, uint256 given, uint256 limit)
        private
    {
        vm.warp(T0);
        bytes32[] memory commitments = new bytes32[](1);
        commitments[0] = keccak256(abi.encode(testSet));
        vm.prank(requester);
        uint256 fresh = market.post{value: value(terms(1), 1)}(terms(1), commitments);
        commit(work(ALICE, fresh, 0, 900, "a"));
        toRelease(fresh);
        vm.expectRevert(abi.encodeWithSelector(selector, term, given, limit));
        vm.prank(requester);
        market.release(fresh, testSet, TEST_KEY);
    }
}
