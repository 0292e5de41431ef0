// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Entry, Phase} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// commit
/// ├── given an unknown task: it should revert
/// ├── when the round is not the current one: it should revert
/// ├── given that training is over
/// │   ├── given commits: it should revert in Releasing
/// │   └── given none: it should revert in Training, due
/// ├── when the terms are others: it should revert (P-15)
/// ├── when the commitment is empty: it should revert
/// ├── given no entry of the caller
/// │   ├── when the value is not the deposit: it should revert
/// │   └── it should lock the deposit, count the commit and number it (P-30)
/// └── given an entry of the caller
///     ├── when value is sent: it should revert
///     └── it should replace the commitment and take a new number, without a new deposit (P-30)
contract CommitTest is Scenario {
    bytes32 private constant COMMITMENT = keccak256("commitment");
    bytes32 private constant RECOVERY = keccak256("recovery");

    uint256 private taskId;
    bytes32 private termsHash;

    function setUp() public override {
        super.setUp();
        taskId = post(2);
        termsHash = market.taskOf(taskId).termsHash;
    }

    function test_commit_to_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        market.commit(9, 0, termsHash, COMMITMENT, RECOVERY);
    }

    function test_commit_to_another_round_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongRound.selector, 1, 0));
        send(1, termsHash, COMMITMENT, DEPOSIT);
    }

    function test_commit_at_trainEnd_after_others_reverts() public {
        send(0, termsHash, COMMITMENT, DEPOSIT);
        vm.warp(T0 + TRAIN);
        expectWrongPhase(Phase.Releasing, false, Phase.Training);
        vm.prank(bob);
        market.commit{value: DEPOSIT}(taskId, 0, termsHash, COMMITMENT, RECOVERY);
    }

    function test_commit_at_trainEnd_as_the_first_reverts() public {
        vm.warp(T0 + TRAIN);
        expectWrongPhase(Phase.Training, true, Phase.Training);
        send(0, termsHash, COMMITMENT, DEPOSIT);
    }

    function test_commit_to_other_terms_reverts() public {
        bytes32 other = keccak256("other terms");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongTerms.selector, other, termsHash));
        send(0, other, COMMITMENT, DEPOSIT);
    }

    function test_commit_of_nothing_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_EmptyCommitment.selector));
        send(0, termsHash, 0, DEPOSIT);
    }

    function test_commit_with_another_value_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongValue.selector, DEPOSIT - 1, DEPOSIT));
        send(0, termsHash, COMMITMENT, DEPOSIT - 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongValue.selector, 0, DEPOSIT));
        send(0, termsHash, COMMITMENT, 0);
    }

    function test_commit_locks_counts_and_numbers() public {
        vm.warp(T0 + TRAIN - 1);
        vm.expectEmit();
        emit ITaskMarket.ModelCommitted(taskId, 0, alice, COMMITMENT, 1, RECOVERY);
        send(0, termsHash, COMMITMENT, DEPOSIT);
        Entry memory entry = market.entryOf(taskId, 0, alice);
        assertEq(COMMITMENT, entry.digest, "digest");
        assertEq(1, entry.commitSeq, "commitSeq");
        assertTrue(entry.holdsDeposit && !entry.hasRevealed && !entry.qualifies && !entry.isStruck, "flags");
        assertEq(1, market.roundOf(taskId, 0).commits, "commits");
        (uint256 lockedWei,) = market.liabilities();
        assertEq(value(terms(2), 2) + DEPOSIT, lockedWei, "locked");
    }

    function test_replacement_with_value_reverts() public {
        send(0, termsHash, COMMITMENT, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongValue.selector, DEPOSIT, 0));
        send(0, termsHash, COMMITMENT, DEPOSIT);
    }

    function test_replacement_takes_a_new_number_and_no_deposit() public {
        send(0, termsHash, COMMITMENT, DEPOSIT);
        vm.prank(bob);
        market.commit{value: DEPOSIT}(taskId, 0, termsHash, COMMITMENT, RECOVERY);
        bytes32 second = keccak256("second");
        send(0, termsHash, second, 0);
        Entry memory entry = market.entryOf(taskId, 0, alice);
        assertEq(second, entry.digest, "digest");
        assertEq(3, entry.commitSeq, "commitSeq");
        assertEq(2, market.roundOf(taskId, 0).commits, "commits");
        (uint256 lockedWei,) = market.liabilities();
        assertEq(value(terms(2), 2) + 2 * DEPOSIT, lockedWei, "locked");
    }

    function send(uint16 round, bytes32 terms_, bytes32 commitment, uint256 valueWei) private {
        vm.prank(alice);
        market.commit{value: valueWei}(taskId, round, terms_, commitment, RECOVERY);
    }
}
