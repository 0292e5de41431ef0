// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Params, Terms, Workload} from "../types/Task.sol";

/// @title IMarketRules
/// @notice What a market was deployed with: its parameters, the bounds of terms, the difficulty of a workload.
/// Immutable and stateless.
interface IMarketRules {
    /// @notice Reverts with the term, the given value and the limit unless every term is within its bounds (P-12).
    /// @param rounds number of test commitments
    /// @param queue tasks not yet cold, the new one included
    /// @return difficulty fixed for the task; never zero
    function admit(Terms calldata terms, uint256 rounds, uint256 queue) external view returns (uint64 difficulty);

    /// @notice Difficulty of a workload behind such a queue (P-80).
    function difficultyOf(Workload calldata workload, uint256 queue) external view returns (uint64);

    function params() external view returns (Params memory);
}
