// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockHeader, SlotReveal, Watermark, Winner} from "../types/Task.sol";

/// @title IModelRegistry
/// @notice The ledger of useful work: its blocks, the winning models and their watermark roots. Holds no money.
interface IModelRegistry {
    event BlockAppended(uint64 indexed height, bytes32 indexed blockHash, uint256 indexed taskId, BlockHeader header);
    /// @param miner who settled the model; the slot's payload binds taskId, round and miner (P-90)
    /// @param commitSeq the market's last one: the slot is burnt for models committed after it (P-94)
    event SlotRevealed(
        bytes32 indexed modelHash,
        uint256 indexed taskId,
        uint16 round,
        address miner,
        uint32 slot,
        bytes32 key,
        uint64 commitSeq
    );

    /// @notice Keeps whose model it is: over the whole market, the miner that revealed it with the lowest commitSeq
    /// (P-33). Market only.
    /// @return isEligible the claim may win its round: the model is this miner's, and the parent is a settled model or
    /// zero (round 0), or the previous round's winner (later rounds) (P-31)
    function recordReveal(
        uint256 taskId,
        uint16 round,
        address miner,
        uint64 commitSeq,
        bytes32 modelHash,
        bytes32 parentModel
    ) external returns (bool isEligible);

    /// @notice Keeps what the market needs to settle an opened claim later. Market only.
    function recordOpening(
        uint256 taskId,
        uint16 round,
        bytes32 modelHash,
        bytes32 proofDigest,
        bytes32 watermarkRoot,
        bytes32 parentModel
    ) external;

    /// @notice Appends the block of a settled round (P-70). Market only.
    function append(
        uint256 taskId,
        uint16 round,
        address miner,
        uint64 commitSeq,
        uint64 total,
        uint32 scorePpm,
        uint64 difficulty,
        uint32 openTasks
    ) external returns (bytes32 blockHash);

    /// @notice Publishes the key of one more watermark slot of a settled model, as evidence that another model is its
    /// copy (P-94). By anyone who holds the key; once per slot.
    /// Warning: this burns the slot. Who reads the key can remove that mark from models committed later; against those
    /// committed before, it counts for ever.
    /// Warning: only a settled model is known here. Whoever opened and was struck, or came second, has no slot to reveal.
    /// @param slot from 1 to 7; slot 0 was revealed by the opening already
    /// @param path at most three siblings from the leaf up: keccak256(0x00, key, slot) leads to the model's root (P-90)
    function revealSlot(bytes32 modelHash, uint32 slot, bytes32 key, bytes32[] calldata path) external;

    /// @notice Who earns the royalty of a round's opened claim: the miner that settled its parent, or zero (P-60).
    function royaltyReceiver(uint256 taskId, uint16 round) external view returns (address);
    /// @notice The settled winner of a round; the miner is zero until then.
    function winnerOf(uint256 taskId, uint16 round) external view returns (Winner memory);
    /// @notice The miner that settled this model, or zero; of several, the one with the lowest commitSeq.
    function minerOf(bytes32 modelHash) external view returns (address);
    /// @notice Watermark root, owner and commit order of a settled model; all zero if there is none.
    function watermarkOf(bytes32 modelHash) external view returns (Watermark memory);
    /// @notice When a slot of a settled model was published by revealSlot; all zero if it was not, and for slot 0.
    function slotOf(bytes32 modelHash, uint32 slot) external view returns (SlotReveal memory);
    /// @notice True iff this is exactly the block stored at its height.
    function verifyBlock(BlockHeader calldata header) external view returns (bool);
    function blockHash(uint256 height) external view returns (bytes32);
    /// @return blocks number of blocks; the next one has this height
    /// @return headHash hash of the last block, or genesisHash
    /// @return cumulativeDifficulty of all blocks
    function head() external view returns (uint64 blocks, bytes32 headHash, uint128 cumulativeDifficulty);
    /// @notice H("DLBC", chainId, this registry): what block 0 links to.
    function genesisHash() external view returns (bytes32);
    function market() external view returns (address);
}
