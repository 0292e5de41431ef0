// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ruling, Verdict} from "../types/Task.sol";

/// @title TallyLib
/// @notice What a vote says, and which ballots won it (P-54, P-55). Ballots count by what they risk.
/// Assumes: the amounts fit uint96, so that no product overflows.
library TallyLib {
    uint256 private constant BPS = 1e4;
    /// @dev A losing Unavailable gives up its lock divided by this.
    uint256 private constant TENTH = 10;

    /// @param standsWei locks of the revealed ballots, by verdict
    /// @param snapshotWei active stake of all auditors at the snapshot
    /// @param lockBps share of its weight that a ballot locks
    /// @param attempt 0, or 1 for the repeat
    /// @return never None
    function rulingOf(
        uint256 standsWei,
        uint256 fallsWei,
        uint256 unavailableWei,
        uint256 snapshotWei,
        uint256 lockBps,
        uint256 attempt
    ) internal pure returns (Ruling) {
        uint256 againstWei = fallsWei + unavailableWei;
        uint256 revealedWei = standsWei + againstWei;
        if (!hasQuorum(revealedWei, snapshotWei, lockBps)) return attempt == 0 ? Ruling.Repeat : Ruling.NoQuorum;
        if (againstWei > standsWei) return Ruling.Falls;
        return standsWei > againstWei ? Ruling.Stands : Ruling.Split;
    }

    /// @dev A third of what all stake at the snapshot would have locked.
    function hasQuorum(uint256 revealedWei, uint256 snapshotWei, uint256 lockBps) internal pure returns (bool) {
        return revealedWei != 0 && snapshotWei != 0 && revealedWei * BPS * 3 >= snapshotWei * lockBps;
    }

    /// @dev It shares the pot.
    function hasWon(Ruling ruling, Verdict verdict) internal pure returns (bool) {
        if (ruling == Ruling.Stands) return verdict == Verdict.Stands;
        return ruling == Ruling.Falls && verdict != Verdict.Stands;
    }

    /// @dev What a ballot does not get back. What one voter could not fetch, another could: a losing Unavailable gives up
    /// a tenth, enough that saying it unseen does not pay.
    function lossDown(Ruling ruling, Verdict verdict, uint256 lockWei) internal pure returns (uint256) {
        if (ruling == Ruling.Falls) return verdict == Verdict.Stands ? lockWei : 0;
        if (ruling != Ruling.Stands || verdict == Verdict.Stands) return 0;
        return verdict == Verdict.Unavailable ? lockWei / TENTH : lockWei;
    }
}
