// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BoundsLib} from "../../../contracts/libraries/BoundsLib.sol";
import {Params, Terms, TestSet} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

contract BoundsSymbolic is Symbolic {
    /// @dev SYM-BOUNDS-1: a test set is accepted iff it has 1 to 2^32 samples of 1 to 2^24 points.
    function check_test_sets(TestSet calldata testSet) external view {
        bool isAccepted = true;
        try this.checkTestSet(testSet) {}
        catch {
            isAccepted = false;
        }
        bool hasSamples = testSet.samples >= 1 && testSet.samples <= 2 ** 32;
        assert(isAccepted == (hasSamples && testSet.maxSampleScore >= 1 && testSet.maxSampleScore <= 2 ** 24));
    }

    /// @dev SYM-BOUNDS-2: parameters that are accepted keep fee and royalty below a quarter, windows in order and weights
    /// whole.
    function check_params(Params calldata params) external pure {
        BoundsLib.checkParams(params);
        assert(params.feeBps <= 500 && params.maxRoyaltyBps <= 2000);
        assert(params.minWindow >= 1 && params.minWindow <= params.maxWindow && params.maxWindow <= 90 days);
        assert(params.minWindow <= params.maxChallenge && params.maxChallenge <= params.maxWindow);
        assert(params.minWindow <= params.voteSeconds && params.voteSeconds <= params.maxWindow);
        uint256 weights = uint256(params.weightComplexity) + params.weightNetwork;
        assert(weights + params.weightData + params.weightQueue == 1e6);
        assert(params.agingSeconds != 0 && params.pool != address(0) && params.finalityGap <= params.maxWindow);
    }

    /// @dev SYM-BOUNDS-3: terms that are accepted keep every window, score and amount within its bounds.
    function check_terms(Terms calldata terms, uint8 rounds, uint32 least, uint32 most, uint32 challenge)
        external
        pure
    {
        BoundsLib.checkTerms(terms, rounds, least, most, challenge, 2000);
        assert(rounds >= 1 && rounds <= 16);
        assert(terms.trainSeconds >= least && terms.trainSeconds <= most);
        assert(terms.releaseSeconds >= least && terms.releaseSeconds <= most);
        assert(terms.revealSeconds >= least && terms.revealSeconds <= most);
        assert(terms.openSeconds >= least && terms.openSeconds <= most);
        assert(terms.challengeSeconds >= least && terms.challengeSeconds <= challenge);
        assert(terms.minScorePpm <= 1e6 && terms.minGainPpm <= 1e6 && terms.tolerancePpm <= 20_000);
        assert(terms.bountyWei >= 1 && terms.royaltyBps <= 2000);
        assert(uint256(terms.depositWei) * 10 >= terms.bountyWei && terms.depositWei <= terms.bountyWei);
    }

    function checkTestSet(TestSet calldata testSet) external pure {
        BoundsLib.checkTestSet(testSet);
    }
}
