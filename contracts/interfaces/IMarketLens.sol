// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, Lock, Params, Phase, RankedTask, Terms, TrainingProof} from "../types/Task.sol";
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

    /// @notice What the market was deployed with.
    function params() external view returns (Params memory);

    /// @notice Difficulty the market would fix for this workload if it were posted now (P-80).
    function quoteDifficulty(Terms calldata terms) external view returns (uint64);

    /// @notice True iff the proof and claim are the ones revealed and the signature is the miner's (P-71).
    function verifyProof(TrainingProof calldata proof, Claim calldata claim, bytes calldata signature)
        external
        view
        returns (bool);

    /// @notice Every amount of this task that is locked for the account, and the call that frees it (P-71). Warning: of
    /// the bonds of disputes, only those about a test set or a round's present leader are found; a dispute of a claim
    /// that was struck is over, so its bond waits for pool.collectBond.
    function locksOf(uint256 taskId, address account) external view returns (Lock[] memory);

    /// @notice What an auditor has in the pool, active, pending and unbonding, and the call that moves it on.
    function stakesOf(address account) external view returns (Lock[] memory);
}
