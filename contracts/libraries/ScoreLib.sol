// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ScoreLib
/// @notice Which scores qualify and which of two claims is better (P-42, P-43). Exact integers; nothing overflows for
/// n <= 2^32 samples of at most M <= 2^24 each.
library ScoreLib {
    uint256 internal constant PPM = 1e6;

    /// @dev floor(total * 1e6 / (n * M)): the score as ledger blocks show it (M-1).
    function scorePpmDown(uint256 total, uint256 samples, uint256 maxSampleScore) internal pure returns (uint32) {
        // total <= n * M by the check at reveal, so the quotient is at most 1e6
        return uint32(total * PPM / (samples * maxSampleScore));
    }

    /// @dev The least score that qualifies in a later round: the previous winner's plus the gain, at most everything.
    function requiredPpm(uint256 minScorePpm, uint256 previousPpm, uint256 minGainPpm) internal pure returns (uint256) {
        uint256 gained = previousPpm + minGainPpm;
        if (gained > PPM) gained = PPM;
        return gained > minScorePpm ? gained : minScorePpm;
    }

    function reaches(uint256 total, uint256 required, uint256 samples, uint256 maxSampleScore)
        internal
        pure
        returns (bool)
    {
        return total * PPM >= required * samples * maxSampleScore;
    }

    /// @dev Higher total, then earlier commit.
    function beats(uint256 total, uint256 commitSeq, uint256 otherTotal, uint256 otherCommitSeq)
        internal
        pure
        returns (bool)
    {
        return total > otherTotal || (total == otherTotal && commitSeq < otherCommitSeq);
    }
}
