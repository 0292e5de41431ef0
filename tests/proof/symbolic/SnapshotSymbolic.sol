// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SnapshotLib} from "../../../contracts/libraries/SnapshotLib.sol";
import {Symbolic} from "./Symbolic.sol";

/// @dev Traces of three points at any moments in order.
contract SnapshotSymbolic is Symbolic {
    using SnapshotLib for SnapshotLib.Trace;

    SnapshotLib.Trace private _trace;
    SnapshotLib.Times private _list;

    /// @dev SYM-SNAPSHOT-1: halving finds what a walk over all points finds: the last amount at or before the moment.
    function check_halving_is_a_walk(uint40[3] calldata times, uint96[3] calldata amounts, uint40 time) external {
        vm.assume(times[0] < times[1]);
        vm.assume(times[1] < times[2]);
        uint96 expected;
        for (uint256 i; i < 3; ++i) {
            _trace.points.push(SnapshotLib.Checkpoint(times[i], amounts[i]));
            if (times[i] <= time) expected = amounts[i];
        }
        assert(_trace.amountAt(time) == expected);
    }

    /// @dev SYM-SNAPSHOT-2: halving counts what a walk counts: the times after the moment.
    function check_counting_is_a_walk(uint40[3] calldata times, uint40 time) external {
        vm.assume(times[0] <= times[1]);
        vm.assume(times[1] <= times[2]);
        uint256 expected;
        for (uint256 i; i < 3; ++i) {
            _list.times[i] = times[i];
            if (times[i] > time) ++expected;
        }
        assert(SnapshotLib.countAfter(_list, 3, time) == expected);
    }

    /// @dev SYM-SNAPSHOT-3: what is noted holds from its moment on and changes no moment before it; two notes within one
    /// second make one point.
    function check_a_note_changes_no_past(uint40 first, uint40 second, uint96 early, uint96 late, uint40 time)
        external
    {
        vm.assume(first <= second);
        _trace.push(first, early);
        uint96 before = _trace.amountAt(time);
        _trace.push(second, late);
        assert(_trace.points.length == (first == second ? 1 : 2));
        assert(_trace.amountAt(time) == (time < second ? before : late));
    }
}
