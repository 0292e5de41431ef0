// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "../../contracts/libraries/Errors.sol";
import {Ruling, Vote} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// @title PoolActor
/// @dev A plain address plays the auditor pool: what only the pool may do, as one-line calls.
abstract contract PoolActor is Scenario {
    function callVote(uint256 taskId, Vote vote) internal {
        vm.prank(treasury);
        market.callVote(taskId, vote);
    }

    function conclude(uint256 taskId, Ruling ruling) internal returns (uint256 potWei) {
        vm.prank(treasury);
        return market.conclude(taskId, ruling);
    }

    function strike(Work memory entry, address refuter) internal {
        vm.prank(treasury);
        market.strike(entry.proof.taskId, entry.proof.round, entry.proof.miner, refuter);
    }

    function noteDemand(Work memory entry) internal returns (uint40 demandEnd) {
        vm.prank(treasury);
        return market.noteDemand(entry.proof.taskId, entry.proof.round, entry.proof.miner);
    }

    function noteAnswer(Work memory entry) internal {
        vm.prank(treasury);
        market.noteAnswer(entry.proof.taskId, entry.proof.round, entry.proof.miner);
    }

    // ---------------------------------------------------------------- longer stretches

    /// @dev Revealed, with its test set impeached.
    function impeached(Work memory entry) internal {
        released(entry);
        reveal(entry);
        callVote(entry.proof.taskId, Vote.TestSet);
    }

    /// @dev Opened and disputed.
    function disputed(Work memory entry) internal {
        opened(entry);
        callVote(entry.proof.taskId, Vote.Claim);
    }

    /// @dev From the window before a vote to the vote's end.
    function toVoteEnd(uint256 taskId) internal {
        toEnd(taskId); // Revealing or Challenge
        toEnd(taskId); // VotingCommit
        toEnd(taskId); // VotingReveal
    }

    // ---------------------------------------------------------------- refusals

    function expectNotPool(address given) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotPool.selector, given, treasury));
    }

    function expectUnknownTask(uint256 taskId) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, taskId));
    }
}
