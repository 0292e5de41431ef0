// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {PoolPlayer} from "./PoolPlayer.sol";

/// @dev Any moves by anybody. Two contracts inherit it, because contracts are played in parallel.
abstract contract PoolPlay is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    PoolPlayer internal player;

    function setUp() public {
        player = new PoolPlayer();
        player.setUp();
    }

    /// @dev Read by the test runner.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// @dev Read by the test runner.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(player);
        bytes4[] memory moves = new bytes4[](5);
        moves[0] = PoolPlayer.playTask.selector;
        moves[1] = PoolPlayer.playStakes.selector;
        moves[2] = PoolPlayer.playMoney.selector;
        moves[3] = PoolPlayer.playStray.selector;
        moves[4] = PoolPlayer.playTime.selector;
        targets[0].selectors = moves;
    }
}

/// @dev That nobody's ways out are closed, ever (docs/invariants.md).
contract PoolExitInvariantsTest is PoolPlay {
    function invariant_everybody_can_leave_by_time_alone() public {
        player.checkExit();
    }
}

/// @dev What must hold of market and pool together (docs/invariants.md).
contract PoolInvariantsTest is PoolPlay {
    /// @dev Shown with -vvv.
    event Reached(string name, uint256 times);

    function invariant_the_books_agree() public {
        player.checkMoney();
        player.checkStakes();
        player.checkPast();
        player.checkCases();
        player.checkCold();
        player.checkWinners();
    }

    /// @dev So many moves by one seed reach whatever the rules know: every call, ruling and end.
    function test_play_reaches_every_call_ruling_and_end() public {
        for (uint256 i; i < 1500; ++i) {
            play(i % 8, uint256(keccak256(abi.encode("play", i))));
        }
        player.checkMoney();
        player.checkStakes();
        player.checkCases();
        player.checkExit();
        assertReached(
            ["post", "cancel", "commit", "release", "reveal", "nominate", "open", "advance", "reclaim", "settled"]
        );
        assertReached(
            [
                "void",
                "void with a fee",
                "not released",
                "impeached",
                "silent",
                "withheld",
                "voted",
                "refute",
                "refute a leader",
                "resolve"
            ]
        );
        assertReached(
            [
                "stake",
                "activate",
                "unstake",
                "finishUnstake",
                "collectFees",
                "claimDividends",
                "dividends cut",
                "impeach",
                "dispute",
                "demand"
            ]
        );
        assertReached(
            [
                "answer",
                "closeDemand",
                "commitVote",
                "commitVote (copied)",
                "revealVote",
                "ballot not opened",
                "collectVote",
                "collectVote (moot)",
                "recoverVote",
                "collectBond"
            ]
        );
        assertReached(
            [
                "ruling: Repeat",
                "ruling: NoQuorum",
                "ruling: Split",
                "ruling: Stands",
                "ruling: Stands (test set)",
                "ruling: Falls",
                "ruling: Falls (test set)",
                "withdraw from the market",
                "send on from the market",
                "withdraw from the pool"
            ]
        );
    }

    function play(uint256 move, uint256 seed) private {
        if (move < 4) player.playTask(seed);
        else if (move == 4) player.playStakes(seed);
        else if (move == 5) player.playMoney(seed);
        else if (move == 6) player.playStray(seed);
        else player.playTime(seed);
    }

    function assertReached(string[10] memory names) private {
        for (uint256 i; i < names.length; ++i) {
            uint256 count = player.counts(names[i]);
            emit Reached(names[i], count);
            assertTrue(count != 0, string.concat("never reached: ", names[i]));
        }
    }
}
