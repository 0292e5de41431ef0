// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Params, Terms, TestSet, Workload} from "../types/Task.sol";
import {Errors} from "./Errors.sol";

/// @title BoundsLib
/// @notice Every bound on what a deployer, a requester or a test set may ask for (P-12, M-1, section 12).
library BoundsLib {
    uint256 internal constant MAX_ROUNDS = 16;
    uint256 internal constant MAX_TOLERANCE_PPM = 20_000;
    uint256 internal constant MAX_SAMPLES = 2 ** 32;
    uint256 internal constant MAX_SAMPLE_SCORE = 2 ** 24;
    uint256 internal constant MAX_FEE_BPS = 500;
    uint256 internal constant MAX_ROYALTY_BPS = 2_000;
    uint256 internal constant MAX_WINDOW = 90 days;
    uint256 internal constant MAX_AGING = 365 days;
    /// @dev A deposit or bond is at least the bounty divided by this.
    uint256 internal constant SHARE_DIVISOR = 10;
    uint256 private constant PPM = 1e6;

    /// @param rounds number of test commitments
    function checkTerms(
        Terms calldata terms,
        uint256 rounds,
        uint256 minWindow,
        uint256 maxWindow,
        uint256 maxChallenge,
        uint256 maxRoyaltyBps
    ) internal pure {
        _within("rounds", rounds, 1, MAX_ROUNDS);
        _checkWorkload(terms.workload);
        _within("trainSeconds", terms.trainSeconds, minWindow, maxWindow);
        _within("releaseSeconds", terms.releaseSeconds, minWindow, maxWindow);
        _within("revealSeconds", terms.revealSeconds, minWindow, maxWindow);
        _within("openSeconds", terms.openSeconds, minWindow, maxWindow);
        _within("challengeSeconds", terms.challengeSeconds, minWindow, maxChallenge);
        _within("minScorePpm", terms.minScorePpm, 0, PPM);
        _within("minGainPpm", terms.minGainPpm, 0, PPM);
        _within("tolerancePpm", terms.tolerancePpm, 0, MAX_TOLERANCE_PPM);
        uint256 bountyWei = terms.bountyWei;
        _atLeast("bountyWei", bountyWei, 1);
        _within("depositWei", terms.depositWei, divUp(bountyWei, SHARE_DIVISOR), bountyWei);
        _within("bondWei", terms.bondWei, divUp(bountyWei * rounds, SHARE_DIVISOR), bountyWei * rounds);
        _within("royaltyBps", terms.royaltyBps, 0, maxRoyaltyBps);
    }

    function _checkWorkload(Workload calldata workload) private pure {
        _atLeast("parameters", workload.parameters, 1);
        _atLeast("flopsPerSample", workload.flopsPerSample, 1);
        _atLeast("samples", workload.samples, 1);
        _atLeast("epochs", workload.epochs, 1);
        _atLeast("dataBytes", workload.dataBytes, 1);
        _atLeast("modelBytes", workload.modelBytes, 1);
    }

    /// @dev What the arithmetic of scores relies on (M-1). Classes and metric are not bounded: refutations use them as they
    /// are (M-6), so a miner compares them with the manifest before it reveals.
    function checkTestSet(TestSet calldata testSet) internal pure {
        _within("samples", testSet.samples, 1, MAX_SAMPLES);
        _within("maxSampleScore", testSet.maxSampleScore, 1, MAX_SAMPLE_SCORE);
    }

    /// @dev A path of one to three siblings: two, four or eight slots (P-90).
    function checkSlotPath(bytes32[] calldata slotPath) internal pure {
        _within("slotPath", slotPath.length, 1, 3);
    }

    function checkParams(Params memory params) internal pure {
        _checkParam("feeBps", params.feeBps, 0, MAX_FEE_BPS);
        _checkParam("maxRoyaltyBps", params.maxRoyaltyBps, 0, MAX_ROYALTY_BPS);
        _checkParam("maxWindow", params.maxWindow, 1, MAX_WINDOW);
        _checkParam("minWindow", params.minWindow, 1, params.maxWindow);
        _checkParam("finalityGap", params.finalityGap, 0, params.maxWindow);
        _checkParam("agingSeconds", params.agingSeconds, 1, MAX_AGING);
        uint256 weights =
            uint256(params.weightComplexity) + params.weightNetwork + params.weightData + params.weightQueue;
        _checkParam("weights", weights, PPM, PPM);
        _checkParam("maxChallenge", params.maxChallenge, params.minWindow, params.maxWindow);
        _checkParam("voteSeconds", params.voteSeconds, params.minWindow, params.maxWindow);
        _checkParam("pool", uint160(params.pool), 1, type(uint160).max);
    }

    function divUp(uint256 a, uint256 b) internal pure returns (uint256) {
        return (a + b - 1) / b;
    }

    function _within(bytes32 term, uint256 given, uint256 minimum, uint256 maximum) private pure {
        _atLeast(term, given, minimum);
        if (given > maximum) revert Errors.Market_AboveMaximum(term, given, maximum);
    }

    function _atLeast(bytes32 term, uint256 given, uint256 minimum) private pure {
        if (given < minimum) revert Errors.Market_BelowMinimum(term, given, minimum);
    }

    function _checkParam(bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum) private pure {
        if (given < minimum || given > maximum) {
            revert Errors.Params_OutOfBounds(parameter, given, minimum, maximum);
        }
    }
}
