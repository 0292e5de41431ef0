// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title PayoutLib
/// @notice Who gets what when a round ends (P-20, P-21, P-60). Parts always sum to the whole.
library PayoutLib {
    uint256 internal constant BPS = 1e4;

    /// @notice Splits a settled round's bounty; rounding stays with the winner.
    /// Assumes: feeBps + royaltyBps <= BPS (immutables: 5 % and 20 % at most).
    function settlement(uint256 bountyWei, uint256 feeBps, uint256 royaltyBps, bool hasParent)
        internal
        pure
        returns (uint256 paidWei, uint256 feeWei, uint256 royaltyWei)
    {
        feeWei = mulBpsDown(bountyWei, feeBps);
        if (hasParent) royaltyWei = mulBpsDown(bountyWei, royaltyBps);
        paidWei = bountyWei - feeWei - royaltyWei;
    }

    /// @notice Splits an aborted task's bond: half to the committers in equal shares, the rest to the pool.
    /// @param committers of the aborted round that were not struck; if there is none, the pool gets all
    function abortion(uint256 bondWei, uint256 committers) internal pure returns (uint256 shareWei, uint256 restWei) {
        if (committers == 0) return (0, bondWei);
        shareWei = bondWei / 2 / committers;
        restWei = bondWei - shareWei * committers;
    }

    /// @notice Splits the deposit of a refuted claim: a third to the refuter, the rest to the pool (M-6).
    function refutation(uint256 depositWei) internal pure returns (uint256 refuterWei, uint256 restWei) {
        refuterWei = depositWei / 3;
        restWei = depositWei - refuterWei;
    }

    /// @notice Deposits of a round whose commitments were never revealed.
    function unrevealed(uint256 depositWei, uint256 commits, uint256 reveals) internal pure returns (uint256) {
        return (commits - reveals) * depositWei;
    }

    function mulBpsDown(uint256 amountWei, uint256 bps) internal pure returns (uint256) {
        return amountWei * bps / BPS;
    }
}
