// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PhaseLib} from "../../../contracts/libraries/PhaseLib.sol";
import {Outcome, Phase, Round, Task} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

/// @dev Every fact of task and round is symbolic; moments are below 2^39 seconds (the year 19,391).
contract PhaseSymbolic is Symbolic {
    uint256 private constant LATEST = 2 ** 39;

    struct At {
        uint40 time;
        uint32 finalityGap;
        uint32 voteSeconds;
    }

    Task private _task;
    Round private _round;

    /// @dev SYM-PHASE-1: whatever the clock and the other facts say, a task that ended is in the phase of its outcome, and
    /// due for nothing: a cold phase is never left.
    function check_cold_phases_are_final(Task calldata task, Round calldata round, At calldata at) external {
        vm.assume(task.requester != address(0) && task.outcome != Outcome.None);
        store(task, round);
        (Phase phase, bool due, uint40 endsAt) =
            PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        assert(phase >= Phase.Settled && !due && endsAt == 0);
        assert(phase == PhaseLib.coldPhase(task.outcome));
    }

    /// @dev SYM-PHASE-2: phases are total: any facts of a task that has not ended give a warm phase, without a revert.
    function check_phases_are_total(Task calldata task, Round calldata round, At calldata at) external {
        live(task, round, at);
        try this.phaseOf(at) returns (Phase phase, bool, uint40) {
            assert(phase >= Phase.Training && phase <= Phase.Nominating);
        } catch {
            assert(false);
        }
    }

    /// @dev SYM-PHASE-3: a warm phase is due exactly from its end on: windows are [start, end).
    function check_due_is_from_the_end_on(Task calldata task, Round calldata round, At calldata at) external {
        live(task, round, at);
        (, bool due, uint40 endsAt) = PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        assert(due == (at.time >= endsAt));
    }

    /// @dev SYM-PHASE-4: neither settlement nor a verdict is due while a demand can still be answered.
    function check_demands_come_first(Task calldata task, Round calldata round, At calldata at) external {
        live(task, round, at);
        (Phase phase, bool due,) = PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        vm.assume(due && (phase == Phase.Challenge || phase == Phase.VotingReveal));
        assert(round.openDemands == 0 || at.time >= round.demandEnd);
    }

    /// @dev SYM-PHASE-5: time alone leads from Training to Releasing at trainEnd, and never back or further.
    function check_training_ends_at_trainEnd(Task calldata task, Round calldata round, At calldata at) external {
        live(task, round, at);
        vm.assume(round.revealEnd == 0);
        (Phase phase, bool due,) = PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        if (at.time < round.trainEnd) assert(phase == Phase.Training && !due);
        else if (round.commits == 0) assert(phase == Phase.Training && due);
        else assert(phase == Phase.Releasing);
    }

    /// @dev SYM-PHASE-6: only an opened claim is challenged or voted on, and only a leader is waited for.
    function check_opening_needs_a_leader(Task calldata task, Round calldata round, At calldata at) external {
        live(task, round, at);
        (Phase phase,,) = PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        if (phase == Phase.Challenge) assert(round.challengeEnd != 0);
        if (phase == Phase.Opening) assert(round.leader != address(0) && round.challengeEnd == 0);
        if (phase == Phase.Nominating) assert(round.nominateEnd != 0 && round.challengeEnd == 0);
    }

    /// @dev SYM-PHASE-7: both halves of a vote are equally long, and those of a repeat twice as long.
    function check_vote_windows(uint40 first, uint40 repeat, uint32 voteSeconds) external pure {
        vm.assume(first < LATEST && repeat < LATEST);
        (uint40 start, uint40 commitEnd, uint40 revealEnd) = PhaseLib.voteWindows(first, repeat, voteSeconds);
        assert(start == (repeat == 0 ? first : repeat));
        assert(commitEnd - start == revealEnd - commitEnd);
        assert(commitEnd - start == (repeat == 0 ? uint256(voteSeconds) : 2 * uint256(voteSeconds)));
    }

    /// @dev SYM-PHASE-8: a round is cold iff a later one has begun or the task has ended; a task that nobody posted is in no
    /// phase.
    function check_rounds_turn_cold(Task calldata task, Round calldata round, At calldata at, uint8 index) external {
        store(task, round);
        assert(PhaseLib.isCold(_task, index) == (index < task.round || task.outcome != Outcome.None));
        (Phase phase,,) = PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
        assert((phase == Phase.None) == (task.requester == address(0)));
    }

    function phaseOf(At calldata at) external view returns (Phase, bool, uint40) {
        return PhaseLib.phaseOf(_task, _round, at.time, at.finalityGap, at.voteSeconds);
    }

    function live(Task calldata task, Round calldata round, At calldata at) private {
        vm.assume(task.requester != address(0) && task.outcome == Outcome.None);
        vm.assume(at.time < LATEST && round.trainEnd < LATEST && round.revealEnd < LATEST);
        vm.assume(round.nominateEnd < LATEST && round.challengeEnd < LATEST && round.voteStart < LATEST);
        store(task, round);
    }

    function store(Task calldata task, Round calldata round) private {
        _task = task;
        _round = round;
    }
}
