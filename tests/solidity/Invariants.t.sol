// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {Player} from "./Player.sol";

/// @dev What must hold after any sequence of moves by anybody (docs/protocol.md, P-4 and P-62).
contract InvariantsTest is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Player private player;

    function setUp() public {
        player = new Player();
        player.setUp();
    }

    /// @dev Read by the test runner.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// @dev Read by the test runner. Moves that begin something are listed more often.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(player);
        bytes4[] memory moves = new bytes4[](12);
        moves[0] = Player.playPost.selector;
        moves[1] = Player.playCancel.selector;
        moves[2] = Player.playCommit.selector;
        moves[3] = Player.playRelease.selector;
        moves[4] = Player.playReveal.selector;
        moves[5] = Player.playNominate.selector;
        moves[6] = Player.playOpen.selector;
        moves[7] = Player.playAdvance.selector;
        moves[8] = Player.playReclaim.selector;
        moves[9] = Player.playWithdraw.selector;
        moves[10] = Player.playWait.selector;
        moves[11] = Player.playWaitForEnd.selector;
        targets[0].selectors = moves;
    }

    /// @dev Together, because a play costs more than what is checked after each of its moves.
    function invariant_the_books_agree() public {
        player.checkSolvent();
        player.checkCold();
        player.checkWinners();
    }

    function invariant_everybody_can_leave_by_time_alone() public {
        player.checkLocks();
        player.checkExit();
    }
}
