// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Outcome, Phase, Round, Task, Vote} from "../types/Task.sol";

/// @title PhaseLib
/// @notice Facts and the clock give the phase (docs/protocol.md, section 3). Nothing here is stored.
/// Windows are [start, end): at its end a window is over. It reads storage as late as it can, because most calls
/// need only a slot or two of it.
library PhaseLib {
    /// @param round the task's current round
    /// @param time seconds, unix
    /// @param finalityGap seconds between the last commit and the earliest release (P-40)
    /// @param voteSeconds seconds of each half of a vote
    /// @return phase None if there is no such task
    /// @return due the phase's time is up and advance() writes what follows
    /// @return endsAt when the phase's time is up; 0 if it is cold
    function phaseOf(Task storage task, Round storage round, uint256 time, uint256 finalityGap, uint256 voteSeconds)
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
        if (round.vote == Vote.TestSet) return _voting(round, time, revealEnd, voteSeconds);

        (phase, due, endsAt) = _afterReveal(task, round, time, revealEnd, voteSeconds);
        // a demand that was not answered in time: whatever the leader waits for, it is struck (M-7)
        if (round.openDemands != 0 && !due) {
            uint40 demandEnd = round.demandEnd;
            if (time >= demandEnd) return (phase, true, demandEnd);
        }
    }

    /// @dev Opening, Challenge, the vote on a claim, and Nominating.
    function _afterReveal(Task storage task, Round storage round, uint256 time, uint40 revealEnd, uint256 voteSeconds)
        private
        view
        returns (Phase, bool, uint40)
    {
        uint40 endsAt = round.challengeEnd;
        if (endsAt != 0) {
            if (time < endsAt) return (Phase.Challenge, false, endsAt);
            if (round.vote == Vote.Claim) return _voting(round, time, endsAt, voteSeconds);
            return _waitForDemands(round, Phase.Challenge, time, endsAt);
        }
        uint40 nominateEnd = round.nominateEnd;
        if (time < nominateEnd) return (Phase.Nominating, false, nominateEnd);
        if (round.leader == address(0)) {
            return nominateEnd == 0 ? (Phase.Revealing, true, revealEnd) : (Phase.Nominating, true, nominateEnd);
        }
        uint256 openFrom = nominateEnd > revealEnd ? nominateEnd : revealEnd;
        endsAt = uint40(openFrom + task.openSeconds);
        return (Phase.Opening, time >= endsAt, endsAt);
    }

    /// @dev A vote starts when the window before it ends; a repeated one when the first was found to lack a quorum, and
    /// at double length (P-55).
    function _voting(Round storage round, uint256 time, uint40 firstStart, uint256 voteSeconds)
        private
        view
        returns (Phase, bool, uint40)
    {
        (, uint40 commitEnd, uint40 voteEnd) = voteWindows(firstStart, round.voteStart, voteSeconds);
        if (time < commitEnd) return (Phase.VotingCommit, false, commitEnd);
        return _waitForDemands(round, Phase.VotingReveal, time, voteEnd);
    }

    /// @dev Neither settlement nor a verdict comes before every demand is answered or overdue, and what was shown could be
    /// refuted (P-58).
    function _waitForDemands(Round storage round, Phase phase, uint256 time, uint40 endsAt)
        private
        view
        returns (Phase, bool, uint40)
    {
        uint40 demandEnd = round.demandEnd;
        if (demandEnd > endsAt) endsAt = demandEnd;
        return (phase, time >= endsAt, endsAt);
    }

    /// @param firstStart when the window before the vote ends
    /// @param repeatStart when the repeated vote started; 0 = this is the first vote
    function voteWindows(uint40 firstStart, uint40 repeatStart, uint256 voteSeconds)
        internal
        pure
        returns (uint40 start, uint40 commitEnd, uint40 revealEnd)
    {
        start = repeatStart == 0 ? firstStart : repeatStart;
        uint256 length = repeatStart == 0 ? voteSeconds : 2 * voteSeconds;
        commitEnd = uint40(start + length);
        revealEnd = uint40(start + 2 * length);
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
