// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title VotePayoutLib
/// @notice Who gets what after a vote (P-45, P-54, P-55). Parts always sum to the whole.
/// Assumes: the amounts fit uint96, so that no product overflows.
library VotePayoutLib {
    /// @dev The bond of a dispute or impeachment is the bounty divided by this, and what a disputed leader gets of a
    /// bond when nobody came to vote is the bond divided by it.
    uint256 private constant TENTH = 10;

    /// @param bountyWei of a round; not zero
    function bondUp(uint256 bountyWei) internal pure returns (uint256) {
        return (bountyWei + TENTH - 1) / TENTH;
    }

    /// @notice A struck claim: a third of the deposit is the filers', the rest and the losers' locks are the voters'.
    /// A test set that falls: all of the forfeited half of the requester's bond is the voters'.
    function falls(uint256 forfeitWei, uint256 losersWei, bool isClaim)
        internal
        pure
        returns (uint256 filersWei, uint256 votersWei)
    {
        if (isClaim) filersWei = forfeitWei / 3;
        votersWei = forfeitWei - filersWei + losersWei;
    }

    /// @notice Half of all bonds to whom was wronged, the rest and the losers' locks to the voters.
    function stands(uint256 bondsWei, uint256 losersWei)
        internal
        pure
        returns (uint256 defendantWei, uint256 votersWei)
    {
        defendantWei = bondsWei / 2;
        votersWei = bondsWei - defendantWei + losersWei;
    }

    /// @notice Nobody came to vote: a tenth of a bond is the disputed leader's. An impeachment costs nothing then.
    function noQuorum(uint256 bondWei, bool isClaim) internal pure returns (uint256 defendantWei, uint256 filerWei) {
        if (isClaim) defendantWei = bondWei / TENTH;
        filerWei = bondWei - defendantWei;
    }

    /// @notice The next part of a pot that is shared by weight. Whoever comes last takes all that is left, so that the
    /// pot pays out exactly.
    /// @param weight of the one that collects now; not zero
    /// @param weights of all that have not collected, this one included
    function shareDown(uint256 potWei, uint256 weight, uint256 weights) internal pure returns (uint256) {
        return potWei * weight / weights;
    }
}
