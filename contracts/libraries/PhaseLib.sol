// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Outcome, Phase, Round, Task} from "../types/Task.sol";

/// @title PhaseLib
/// @notice Facts and the clock give the phase (docs/protocol.md, section 3). Nothing here is stored.
/// Windows are [start, end): at its end a window is over. It reads storage as late as it can, because most calls
/// need only a slot or two of it.
library PhaseLib {
    /// @param round the task's current round
    /// @param time seconds, unix
    /// @param finalityGap seconds between the last commit and the earliest release (P-40)
    /// @return phase None if there is no such task
    /// @return due the phase's time is up and advance() writes what follows
    /// @return endsAt when the phase's time is up; 0 if it is cold
    function phaseOf(Task storage task, Round storage round, uint256 time, uint256 finalityGap)
        internal
        view
        returns (Phase phase, bool due, uint40 endsAt)
    {
        if (task.requester == address(0)) return (Phase.None, false, 0);
        Outcome outcome = task.outcome;
        if (outcome != Outcome.None) return (coldPhase(outcome), false, 0);

        uint40 revealEnd = round.revealEnd;
        if (revealEnd == 0) return _beforeRelease(task, round, time, finalityGap);
        if (time < revealEnd) return (Phase.Revealing, false, revealEnd);

        endsAt = round.challengeEnd;
        if (endsAt != 0) return (Phase.Challenge, time >= endsAt, endsAt);

        uint40 nominateEnd = round.nominateEnd;
        if (time < nominateEnd) return (Phase.Nominating, false, nominateEnd);
        if (round.leader == address(0)) {
            return nominateEnd == 0 ? (Phase.Revealing, true, revealEnd) : (Phase.Nominating, true, nominateEnd);
        }
        uint256 openFrom = nominateEnd > revealEnd ? nominateEnd : revealEnd;
        endsAt = uint40(openFrom + task.openSeconds);
        return (Phase.Opening, time >= endsAt, endsAt);
    }

    /// @dev Training and Releasing: the only phases whose ends follow from the terms alone.
    function _beforeRelease(Task storage task, Round storage round, uint256 time, uint256 finalityGap)
        private
        view
        returns (Phase, bool, uint40)
    {
        uint40 trainEnd = round.trainEnd;
        if (time < trainEnd) return (Phase.Training, false, trainEnd);
        if (round.commits == 0) return (Phase.Training, true, trainEnd);
        uint40 releaseEnd = uint40(trainEnd + finalityGap + task.releaseSeconds);
        return (Phase.Releasing, time >= releaseEnd, releaseEnd);
    }

    /// @dev Both enums end with Settled, Aborted, Void, Cancelled in this order.
    function coldPhase(Outcome outcome) internal pure returns (Phase) {
        return Phase(uint8(outcome) + uint8(Phase.Settled) - uint8(Outcome.Settled));
    }

    /// @dev A round is cold once a later one has begun or the whole task has ended.
    function isCold(Task storage task, uint256 index) internal view returns (bool) {
        return index < task.round || task.outcome != Outcome.None;
    }
}
