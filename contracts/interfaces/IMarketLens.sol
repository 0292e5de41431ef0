// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lock, Phase, RankedTask} from "../types/Task.sol";
import {ITaskMarket} from "./ITaskMarket.sol";

/// @title IMarketLens
/// @notice Stateless views over a market, for lists and for "what is locked, and which call frees it".
interface IMarketLens {
    function market() external view returns (ITaskMarket);

    /// @notice Tasks in Training among ids firstId .. firstId + count - 1, best rank first (P-81).
    function rankedTasks(uint256 firstId, uint256 count) external view returns (RankedTask[] memory);

    /// @notice Phases of ids firstId .. firstId + count - 1, clipped to the tasks that exist.
    function phases(uint256 firstId, uint256 count)
        external
        view
        returns (Phase[] memory phase, bool[] memory due, uint40[] memory endsAt);

    /// @notice Every amount of this task that is locked for the account, and the call that frees it (P-71).
    function locksOf(uint256 taskId, address account) external view returns (Lock[] memory);
}
