// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TallyLib} from "../../../contracts/libraries/TallyLib.sol";
import {Ruling, Verdict} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

contract TallySymbolic is Symbolic {
    struct Votes {
        uint96 standsWei;
        uint96 fallsWei;
        uint96 unavailableWei;
        uint96 snapshotWei;
        uint16 lockBps;
        uint8 attempt;
    }

    /// @dev SYM-TALLY-1: every vote that is counted has a ruling.
    function check_every_vote_has_a_ruling(Votes calldata votes) external pure {
        assert(counted(votes) != Ruling.None);
    }

    /// @dev SYM-TALLY-8: asking for the quorum never reverts, below 2^100 wei revealed and 2^96 at the snapshot.
    function check_quorum_never_reverts(uint104 revealedWei, uint96 snapshotWei, uint16 lockBps) external view {
        vm.assume(revealedWei < 2 ** 100);
        try this.hasQuorum(revealedWei, snapshotWei, lockBps) returns (bool) {}
        catch {
            assert(false);
        }
    }

    /// @dev SYM-TALLY-2: Falls has more than half against the claim, Stands more than half for it, Split neither.
    function check_falls_and_stands_exclude_each_other(Votes calldata votes) external pure {
        Ruling ruling = counted(votes);
        uint256 against = uint256(votes.fallsWei) + votes.unavailableWei;
        uint256 revealed = against + votes.standsWei;
        bool most = against * 2 > revealed;
        bool least = uint256(votes.standsWei) * 2 > revealed;
        if (ruling == Ruling.Falls) assert(most && !least);
        if (ruling == Ruling.Stands) assert(least && !most);
        if (ruling == Ruling.Split) assert(!least && !most);
    }

    /// @dev SYM-TALLY-3: more revealed weight never loses a quorum, and more stake at the snapshot never gains one.
    function check_quorum_is_monotonic(uint96 revealed, uint96 more, uint96 snapshot, uint96 less, uint16 lockBps)
        external
        pure
    {
        vm.assume(more >= revealed && less <= snapshot && less != 0 && lockBps <= 1e4);
        vm.assume(TallyLib.hasQuorum(revealed, snapshot, lockBps));
        assert(TallyLib.hasQuorum(more, snapshot, lockBps));
        assert(TallyLib.hasQuorum(revealed, less, lockBps));
    }

    /// @dev SYM-TALLY-4: without a quorum the first vote is repeated and the second is over; with one, never.
    function check_no_quorum_repeats_once(Votes calldata votes) external pure {
        Ruling ruling = counted(votes);
        uint256 revealed = uint256(votes.fallsWei) + votes.unavailableWei + votes.standsWei;
        bool hasQuorum = TallyLib.hasQuorum(revealed, votes.snapshotWei, votes.lockBps);
        assert((ruling == Ruling.Repeat) == (!hasQuorum && votes.attempt == 0));
        assert((ruling == Ruling.NoQuorum) == (!hasQuorum && votes.attempt != 0));
    }

    /// @dev SYM-TALLY-5: nothing revealed, or no stake at the snapshot, is no quorum.
    function check_nothing_is_no_quorum(uint96 amount, uint16 lockBps) external pure {
        assert(!TallyLib.hasQuorum(0, amount, lockBps));
        assert(!TallyLib.hasQuorum(amount, 0, lockBps));
    }

    /// @dev SYM-TALLY-6: no ballot both wins and loses, none loses more than its lock, Unavailable a tenth at most, and
    /// without a ruling for a side none wins or loses.
    function check_winners_and_losers_exclude_each_other(Ruling ruling, Verdict verdict, uint88 lockWei) external pure {
        bool hasWon = TallyLib.hasWon(ruling, verdict);
        uint256 lostWei = TallyLib.lossDown(ruling, verdict, lockWei);
        assert(!hasWon || lostWei == 0);
        assert(lostWei <= lockWei);
        if (ruling != Ruling.Stands && ruling != Ruling.Falls) assert(!hasWon && lostWei == 0);
        if (verdict == Verdict.Unavailable) assert(lostWei * 10 <= lockWei);
    }

    /// @dev SYM-TALLY-7: one more ballot for what won does not change what won.
    function check_a_ballot_for_the_winner_keeps_it(Votes calldata votes, uint96 more) external pure {
        Ruling ruling = counted(votes);
        vm.assume(ruling == Ruling.Falls || ruling == Ruling.Stands);
        bool doesFall = ruling == Ruling.Falls;
        vm.assume(uint256(more) + (doesFall ? votes.fallsWei : votes.standsWei) < 2 ** 96);
        Ruling after_ = TallyLib.rulingOf(
            votes.standsWei + (doesFall ? 0 : more),
            votes.fallsWei + (doesFall ? more : 0),
            votes.unavailableWei,
            votes.snapshotWei,
            votes.lockBps,
            votes.attempt
        );
        assert(after_ == ruling);
    }

    function hasQuorum(uint256 revealedWei, uint256 snapshotWei, uint256 lockBps) external pure returns (bool) {
        return TallyLib.hasQuorum(revealedWei, snapshotWei, lockBps);
    }

    function counted(Votes calldata votes) private pure returns (Ruling) {
        return TallyLib.rulingOf(
            votes.standsWei, votes.fallsWei, votes.unavailableWei, votes.snapshotWei, votes.lockBps, votes.attempt
        );
    }
}
