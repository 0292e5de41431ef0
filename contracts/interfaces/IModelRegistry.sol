// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockHeader, Watermark, Winner} from "../types/Task.sol";

/// @title IModelRegistry
/// @notice The ledger of useful work: its blocks, the winning models and their watermark roots. Holds no money.
interface IModelRegistry {
    event BlockAppended(uint64 indexed height, bytes32 indexed blockHash, uint256 indexed taskId, BlockHeader header);

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

    /// @notice Who earns the royalty of a round's opened claim: the miner that settled its parent, or zero (P-60).
    function royaltyReceiver(uint256 taskId, uint16 round) external view returns (address);
    /// @notice The settled winner of a round; the miner is zero until then.
    function winnerOf(uint256 taskId, uint16 round) external view returns (Winner memory);
    /// @notice The miner that settled this model, or zero; of several, the one with the lowest commitSeq.
    function minerOf(bytes32 modelHash) external view returns (address);
    /// @notice Watermark root, owner and commit order of a settled model; all zero if there is none.
    function watermarkOf(bytes32 modelHash) external view returns (Watermark memory);
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
