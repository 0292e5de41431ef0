// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title SnapshotLib
/// @notice What a stake was at a past moment (P-54), and how many votes were resolved since (P-60). Both lists are in
/// order of time, so they are searched by halving: whoever makes one twice as long makes a search one step longer.
library SnapshotLib {
    struct Checkpoint {
        uint40 time;
        uint96 amountWei; // from then on
    }

    struct Trace {
        Checkpoint[] points;
    }

    /// @dev Six to a slot. Whoever keeps them keeps their number too, where writing it costs nothing more.
    struct Times {
        uint40[2 ** 40] times;
    }

    /// @dev Notes what the amount is from `time` on. Times must not fall; within a second the last amount holds.
    function push(Trace storage trace, uint40 time, uint96 amountWei) internal {
        uint256 count = trace.points.length;
        if (count != 0 && trace.points[count - 1].time == time) trace.points[count - 1].amountWei = amountWei;
        else trace.points.push(Checkpoint(time, amountWei));
    }

    /// @return amountWei the last one noted at or before `time`; zero before the first
    function amountAt(Trace storage trace, uint256 time) internal view returns (uint96 amountWei) {
        // INVARIANT: every point before `low` is at or before the time, every one from `high` on is after it
        uint256 low;
        uint256 high = trace.points.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (trace.points[middle].time <= time) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? 0 : trace.points[low - 1].amountWei;
    }

    /// @param count how many there are
    /// @return number of them after `time`
    function countAfter(Times storage list, uint256 count, uint256 time) internal view returns (uint256 number) {
        // INVARIANT: as above
        uint256 low;
        uint256 high = count;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (list.times[middle] <= time) low = middle + 1;
            else high = middle;
        }
        return count - low;
    }
}
