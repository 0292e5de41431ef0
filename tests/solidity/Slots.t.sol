// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "../../contracts/libraries/Errors.sol";
import {SlotReveal, Watermark} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// revealSlot (P-94)
/// ├── given a settled model
/// │   ├── when key and path lead to its watermark root: anyone may call; it should tell and keep when (burnt from then on)
/// │   ├── when a commit follows: the kept number should be below the commit's
/// │   ├── it should accept every slot from 1 on of trees of 2, 4 and 8 keys, each once
/// │   ├── when the slot was revealed already, or is slot 0: it should revert with the number it was revealed at
/// │   ├── when key, slot or a sibling is another: it should revert with both roots
/// │   ├── when the slot lies beyond the path's tree: it should revert with the limit
/// │   └── when the path is longer than three or empty: it should revert, even if it leads to the root
/// ├── given two models with one root: the slot of each should be revealed on its own
/// ├── given a model that an earlier commit settles again: the slots of the new root should be free
/// └── given a model that is unknown, opened only, or the runner-up: it should revert
contract SlotsTest is Scenario {
    event SlotRevealed(
        bytes32 indexed modelHash,
        uint256 indexed taskId,
        uint16 round,
        address miner,
        uint32 slot,
        bytes32 key,
        uint64 commitSeq
    );

    // ---------------------------------------------------------------- given a settled model

    function test_revealSlot_by_anyone_tells_and_keeps_when() public {
        Work memory w = settledTree(ALICE, "a", 2);
        bytes32 model = w.proof.modelHash;
        assertNotRevealed(model, 1);
        vm.warp(block.timestamp + 77);
        vm.expectEmit();
        emit SlotRevealed(model, 1, 0, alice, 1, keyOf("a", 1), 1);
        reveal(w, "a", 1, 2);
        SlotReveal memory found = registry.slotOf(model, 1);
        assertEq(block.timestamp, found.revealedAt, "revealedAt");
        assertEq(1, found.commitSeq, "commitSeq");
        assertNotRevealed(model, 0);
    }

    function test_revealSlot_is_before_every_later_commit() public {
        Work memory w = settledTree(ALICE, "a", 4);
        Work memory later = work(BOB, post(1), 0, 800, "b");
        reveal(w, "a", 1, 4);
        commit(later);
        reveal(w, "a", 2, 4);
        uint64 committed = entryOf(later).commitSeq;
        assertTrue(registry.slotOf(w.proof.modelHash, 1).commitSeq < committed, "burnt for the later commit");
        assertTrue(registry.slotOf(w.proof.modelHash, 2).commitSeq >= committed, "fresh for it");
    }

    function test_revealSlot_of_every_slot_once() public {
        for (uint256 slots = 2; slots <= 8; slots *= 2) {
            string memory model = vm.toString(slots);
            Work memory w = settledTree(ALICE, model, slots);
            for (uint32 slot = 1; slot < slots; ++slot) {
                reveal(w, model, slot, slots);
                expectRevealed(w.proof.modelHash, slot, w.proof.taskId);
                reveal(w, model, slot, slots);
            }
        }
    }

    function test_revealSlot_zero_reverts() public {
        Work memory w = settledTree(ALICE, "a", 2);
        expectRevealed(w.proof.modelHash, 0, 0);
        reveal(w, "a", 0, 2);
    }

    function test_revealSlot_with_another_key_or_sibling_reverts() public {
        Work memory w = settledTree(ALICE, "a", 4);
        bytes32[] memory path = pathOf("a", 1, 4);
        bytes32 other = keyOf("a", 2);
        expectWrongPath(rootOf(other, 1, path), w.proof.watermarkRoot);
        registry.revealSlot(w.proof.modelHash, 1, other, path);
        path[1] = bytes32(uint256(path[1]) ^ 1);
        expectWrongPath(rootOf(keyOf("a", 1), 1, path), w.proof.watermarkRoot);
        registry.revealSlot(w.proof.modelHash, 1, keyOf("a", 1), path);
        assertNotRevealed(w.proof.modelHash, 1);
    }

    function test_revealSlot_as_another_slot_reverts() public {
        Work memory w = settledTree(ALICE, "a", 4);
        bytes32[] memory path = pathOf("a", 1, 4);
        expectWrongPath(rootOf(keyOf("a", 1), 3, path), w.proof.watermarkRoot);
        registry.revealSlot(w.proof.modelHash, 3, keyOf("a", 1), path);
    }

    function test_revealSlot_beyond_the_tree_reverts() public {
        // a leaf for slot 5 where slot 1 belongs: a miner can commit to that, but not reveal it
        Work memory w = work(ALICE, post(1), 0, 900, "a");
        bytes32 key = keyOf("a", 5);
        w.slotPath[0] = leafOf(key, 5);
        rootAndSettle(w);
        bytes32[] memory path = new bytes32[](1);
        path[0] = leafOf(w.slotKey, 0);
        assertEq(w.proof.watermarkRoot, rootOf(key, 5, path), "it leads to the root");
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_SlotOutOfRange.selector, 5, 2));
        registry.revealSlot(w.proof.modelHash, 5, key, path);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, bytes32("slotPath"), 0, 1));
        registry.revealSlot(w.proof.modelHash, 1, key, new bytes32[](0));
    }

    function test_revealSlot_with_a_long_path_reverts() public {
        // slots 0 to 3 on the left, where slot 0 can be opened; on the right a deeper tree
        Work memory w = work(ALICE, post(1), 0, 900, "a");
        bytes32[] memory path = new bytes32[](4);
        (path[0], path[1], path[2]) = ("slot 8", "slots 10, 11", "slots 12 to 15");
        w.slotKey = keyOf("a", 0);
        bytes32[] memory left = pathOf("a", 0, 4);
        path[3] = rootOf(w.slotKey, 0, left);
        w.slotPath = new bytes32[](3);
        (w.slotPath[0], w.slotPath[1]) = (left[0], left[1]);
        bytes32[] memory right = new bytes32[](3);
        (right[0], right[1], right[2]) = (path[0], path[1], path[2]);
        w.slotPath[2] = rootOf(keyOf("a", 9), 9, right);
        rootAndSettle(w);
        assertEq(w.proof.watermarkRoot, rootOf(keyOf("a", 9), 9, path), "it leads to the root");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AboveMaximum.selector, bytes32("slotPath"), 4, 3));
        registry.revealSlot(w.proof.modelHash, 9, keyOf("a", 9), path);
    }

    function testFuzz_revealSlot_needs_the_committed_key(bytes32 key, uint32 slot, bytes32 sibling) public {
        Work memory w = settledTree(ALICE, "a", 2);
        bytes32[] memory path = pathOf("a", 1, 2);
        vm.assume(key != keyOf("a", 1) || slot != 1 || sibling != path[0]);
        path[0] = sibling;
        (bool done,) = address(registry).call(abi.encodeCall(registry.revealSlot, (w.proof.modelHash, slot, key, path)));
        assertTrue(!done, "only the committed key at its slot");
    }

    // ---------------------------------------------------------------- given several models

    function test_revealSlot_of_two_models_with_one_root() public {
        Work memory first = settledTree(ALICE, "a", 2);
        Work memory second = work(BOB, post(1), 0, 900, "b");
        (second.slotKey, second.slotPath) = (first.slotKey, first.slotPath);
        rootAndSettle(second);
        bytes32[] memory path = pathOf("a", 1, 2);
        registry.revealSlot(second.proof.modelHash, 1, keyOf("a", 1), path);
        assertNotRevealed(first.proof.modelHash, 1);
        registry.revealSlot(first.proof.modelHash, 1, keyOf("a", 1), path);
        assertTrue(registry.slotOf(first.proof.modelHash, 1).revealedAt != 0, "nobody can take it away");
    }

    function test_revealSlot_after_an_earlier_commit_settled_the_model() public {
        Work memory earlier = tree(BOB, post(1), "same", 2);
        commit(earlier);
        Work memory quick = tree(ALICE, post(1), "same", 2);
        commit(quick);
        toRelease(quick.proof.taskId);
        release(earlier.proof.taskId);
        release(quick.proof.taskId);
        reveal(quick);
        reveal(earlier);
        toRevealEnd(quick.proof.taskId);
        open(quick);
        open(earlier);
        toEnd(quick.proof.taskId);
        advance(quick.proof.taskId);
        assertEq(alice, registry.watermarkOf(quick.proof.modelHash).miner, "first settled");
        reveal(quick, "same", 1, 2);
        advance(earlier.proof.taskId);
        Watermark memory mark = registry.watermarkOf(quick.proof.modelHash);
        assertEq(bob, mark.miner, "first committed");
        assertNotRevealed(quick.proof.modelHash, 1);
        reveal(earlier, "same", 1, 2);
        assertTrue(registry.slotOf(quick.proof.modelHash, 1).revealedAt != 0, "the slot of the new root");
    }

    function test_revealSlot_of_a_model_that_is_not_settled_reverts() public {
        Work memory w = tree(ALICE, post(1), "a", 2);
        Work memory second = tree(BOB, w.proof.taskId, "b", 2);
        second.claim.total = 800;
        bind(second);
        expectUnknown(w.proof.modelHash);
        reveal(w, "a", 1, 2);
        commit(second);
        released(w);
        reveal(second);
        reveal(w);
        toRevealEnd(w.proof.taskId);
        open(w);
        expectUnknown(w.proof.modelHash);
        reveal(w, "a", 1, 2);
        toEnd(w.proof.taskId);
        advance(w.proof.taskId);
        reveal(w, "a", 1, 2);
        expectUnknown(second.proof.modelHash);
        reveal(second, "b", 1, 2);
    }

    // ---------------------------------------------------------------- help

    /// @dev A claim over a tree of so many slot keys.
    function tree(uint256 privateKey, uint256 taskId, string memory model, uint256 slots)
        private
        view
        returns (Work memory w)
    {
        w = work(privateKey, taskId, 0, 900, model);
        w.slotKey = keyOf(model, 0);
        w.slotPath = pathOf(model, 0, slots);
        w.proof.watermarkRoot = slotRoot(w.slotKey, w.slotPath);
        bind(w);
    }

    function settledTree(uint256 privateKey, string memory model, uint256 slots) private returns (Work memory w) {
        w = tree(privateKey, post(1), model, slots);
        settled(w);
    }

    function rootAndSettle(Work memory w) private {
        w.proof.watermarkRoot = slotRoot(w.slotKey, w.slotPath);
        bind(w);
        settled(w);
    }

    function reveal(Work memory w, string memory model, uint32 slot, uint256 slots) private {
        vm.prank(keeper);
        registry.revealSlot(w.proof.modelHash, slot, keyOf(model, slot), pathOf(model, slot, slots));
    }

    function keyOf(string memory model, uint256 slot) private pure returns (bytes32) {
        return keccak256(abi.encode(model, "slot", slot));
    }

    function leafOf(bytes32 key, uint32 slot) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), key, slot));
    }

    /// @dev Siblings of a slot, from the leaf up.
    function pathOf(string memory model, uint32 slot, uint256 slots) private pure returns (bytes32[] memory path) {
        bytes32[] memory level = new bytes32[](slots);
        for (uint32 k; k < slots; ++k) {
            level[k] = leafOf(keyOf(model, k), k);
        }
        uint256 depth;
        while (1 << depth < slots) ++depth;
        path = new bytes32[](depth);
        for (uint256 i; i < depth; ++i) {
            path[i] = level[(slot >> i) ^ 1];
            for (uint256 k; k < slots >> (i + 1); ++k) {
                level[k] = keccak256(abi.encodePacked(uint8(1), level[2 * k], level[2 * k + 1]));
            }
        }
    }

    function rootOf(bytes32 key, uint32 slot, bytes32[] memory path) private pure returns (bytes32 node) {
        node = leafOf(key, slot);
        for (uint256 i; i < path.length; ++i) {
            (bytes32 left, bytes32 right) = (slot >> i) & 1 == 0 ? (node, path[i]) : (path[i], node);
            node = keccak256(abi.encodePacked(uint8(1), left, right));
        }
    }

    function assertNotRevealed(bytes32 model, uint32 slot) private view {
        SlotReveal memory found = registry.slotOf(model, slot);
        assertEq(0, found.revealedAt, "revealedAt");
        assertEq(0, found.commitSeq, "commitSeq");
    }

    function expectRevealed(bytes32 model, uint256 slot, uint256 commitSeq) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_SlotAlreadyRevealed.selector, model, slot, commitSeq));
    }

    function expectUnknown(bytes32 model) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_UnknownModel.selector, model));
    }

    function expectWrongPath(bytes32 given, bytes32 expected) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_WrongSlotPath.selector, given, expected));
    }
}
