// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarketRules} from "./interfaces/IMarketRules.sol";
import {BoundsLib} from "./libraries/BoundsLib.sol";
import {DifficultyLib} from "./libraries/DifficultyLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {Params, Terms, Workload} from "./types/Task.sol";

/// @title MarketRules
/// @notice The market makes its own in its constructor, so that bounds and difficulty do not count against the
/// market's code size. Holds no state and no money.
contract MarketRules is IMarketRules {
    uint16 private immutable FEE_BPS;
    uint16 private immutable MAX_ROYALTY_BPS;
    uint32 private immutable MIN_WINDOW;
    uint32 private immutable MAX_WINDOW;
    uint32 private immutable FINALITY_GAP;
    uint32 private immutable AGING_SECONDS;
    uint32 private immutable WEIGHT_COMPLEXITY;
    uint32 private immutable WEIGHT_NETWORK;
    uint32 private immutable WEIGHT_DATA;
    uint32 private immutable WEIGHT_QUEUE;
    uint32 private immutable MAX_CHALLENGE;
    uint32 private immutable VOTE_SECONDS;
    address private immutable POOL;

    constructor(Params memory params_) {
        BoundsLib.checkParams(params_);
        FEE_BPS = params_.feeBps;
        MAX_ROYALTY_BPS = params_.maxRoyaltyBps;
        MIN_WINDOW = params_.minWindow;
        MAX_WINDOW = params_.maxWindow;
        FINALITY_GAP = params_.finalityGap;
        AGING_SECONDS = params_.agingSeconds;
        WEIGHT_COMPLEXITY = params_.weightComplexity;
        WEIGHT_NETWORK = params_.weightNetwork;
        WEIGHT_DATA = params_.weightData;
        WEIGHT_QUEUE = params_.weightQueue;
        MAX_CHALLENGE = params_.maxChallenge;
        VOTE_SECONDS = params_.voteSeconds;
        POOL = params_.pool;
    }

    /// @inheritdoc IMarketRules
    function admit(Terms calldata terms, uint256 rounds, uint256 queue) external view returns (uint64 difficulty) {
        BoundsLib.checkTerms(terms, rounds, MIN_WINDOW, MAX_WINDOW, MAX_CHALLENGE, MAX_ROYALTY_BPS);
        difficulty = difficultyOf(terms.workload, queue);
        // ranking divides by it
        if (difficulty == 0) revert Errors.Market_BelowMinimum("difficulty", 0, 1);
    }

    /// @inheritdoc IMarketRules
    function difficultyOf(Workload calldata workload, uint256 queue) public view returns (uint64) {
        return
            DifficultyLib.difficultyDown(WEIGHT_COMPLEXITY, WEIGHT_NETWORK, WEIGHT_DATA, WEIGHT_QUEUE, workload, queue);
    }

    /// @inheritdoc IMarketRules
    function params() external view returns (Params memory) {
        return Params({
            feeBps: FEE_BPS,
            maxRoyaltyBps: MAX_ROYALTY_BPS,
            minWindow: MIN_WINDOW,
            maxWindow: MAX_WINDOW,
            finalityGap: FINALITY_GAP,
            agingSeconds: AGING_SECONDS,
            weightComplexity: WEIGHT_COMPLEXITY,
            weightNetwork: WEIGHT_NETWORK,
            weightData: WEIGHT_DATA,
            weightQueue: WEIGHT_QUEUE,
            maxChallenge: MAX_CHALLENGE,
            voteSeconds: VOTE_SECONDS,
            pool: POOL
        });
    }
}
