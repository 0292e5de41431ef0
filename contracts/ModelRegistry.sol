// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {BoundsLib} from "./libraries/BoundsLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {BlockHeader, SlotReveal, Watermark, Winner} from "./types/Task.sol";

/// @title ModelRegistry
/// @notice Hash-linked blocks, one per settled round. Only block hashes are stored; the rest is in the event.
/// Assumes: the market calls append once per settled round, after recordOpening of the winning claim.
contract ModelRegistry is IModelRegistry {
    uint16 private constant VERSION = 1;

    /// @dev Who revealed a model with the lowest commitSeq so far.
    struct Owner {
        // one slot
        address miner;
        uint64 commitSeq; // zero: nobody
    }

    /// @dev Where a model was settled; of several rounds, the one with the lowest commitSeq.
    struct Origin {
        // one slot
        uint128 taskId; // not zero: ids are sequential from 1
        uint16 round;
        uint64 commitSeq;
    }

    struct Head {
        // one slot; never zero, so that appending the first block costs no more than any other
        bool isSet;
        uint64 blocks;
        uint128 cumulativeDifficulty;
    }

    /// @inheritdoc IModelRegistry
    address public immutable market;
    /// @inheritdoc IModelRegistry
    bytes32 public immutable genesisHash;

    Head private _head;
    mapping(uint256 height => bytes32) private _blockHashes;
    mapping(uint256 taskId => mapping(uint256 round => Winner)) private _winners;
    mapping(bytes32 modelHash => Owner) private _owners;
    mapping(bytes32 modelHash => Origin) private _origins;
    /// @dev By origin, not by model: a settlement of an earlier commit brings another root.
    mapping(uint256 taskId => mapping(uint256 round => mapping(uint256 slot => SlotReveal))) private _slots;

    /// @param market_ address the market has or will get (precomputed from the deployer's nonce)
    constructor(address market_) {
        if (market_ == address(0)) revert Errors.Market_ZeroAddress();
        market = market_;
        _head.isSet = true;
        genesisHash = keccak256(abi.encode(bytes32("DLBC"), block.chainid, address(this)));
    }

    /// @inheritdoc IModelRegistry
    function recordReveal(
        uint256 taskId,
        uint16 round,
        address miner,
        uint64 commitSeq,
        bytes32 modelHash,
        bytes32 parentModel
    ) external returns (bool isEligible) {
        // Check
        _checkMarket();
        // zero means "no model", as a parent
        if (modelHash == 0) return false;
        // Effect
        if (!_takeOwnership(modelHash, miner, commitSeq)) return false;
        if (round != 0) return parentModel == _winners[taskId][round - 1].modelHash;
        return parentModel == 0 || minerOf(parentModel) != address(0);
    }

    /// @dev A model's bytes are public once its leader opens, so whoever copies them commits later than the owner.
    function _takeOwnership(bytes32 modelHash, address miner, uint64 commitSeq) private returns (bool) {
        Owner storage owner = _owners[modelHash];
        if (owner.commitSeq != 0 && owner.commitSeq < commitSeq) return owner.miner == miner;
        owner.miner = miner;
        owner.commitSeq = commitSeq;
        return true;
    }

    /// @inheritdoc IModelRegistry
    function recordOpening(
        uint256 taskId,
        uint16 round,
        bytes32 modelHash,
        bytes32 proofDigest,
        bytes32 watermarkRoot,
        bytes32 parentModel
    ) external {
        // Check
        _checkMarket();
        // Effect
        Winner storage winner = _winners[taskId][round];
        winner.modelHash = modelHash;
        winner.proofDigest = proofDigest;
        winner.watermarkRoot = watermarkRoot;
        // a later round's parent is the previous winner, which is stored already
        if (round == 0) winner.parentModel = parentModel;
    }

    /// @inheritdoc IModelRegistry
    function append(
        uint256 taskId,
        uint16 round,
        address miner,
        uint64 commitSeq,
        uint64 total,
        uint32 scorePpm,
        uint64 difficulty,
        uint32 openTasks
    ) external returns (bytes32 hash) {
        // Check
        _checkMarket();
        // Effect
        Winner storage winner = _winners[taskId][round];
        bytes32 modelHash = winner.modelHash;
        BlockHeader memory header;
        header.version = VERSION;
        header.height = _head.blocks;
        header.previousHash = _headHash();
        header.taskId = taskId;
        header.round = round;
        header.modelHash = modelHash;
        header.proofDigest = winner.proofDigest;
        header.miner = miner;
        header.total = total;
        header.scorePpm = scorePpm;
        header.difficulty = difficulty;
        header.cumulativeDifficulty = _head.cumulativeDifficulty + difficulty;
        header.timestamp = uint40(block.timestamp);
        header.openTasks = openTasks;
        hash = ProofLib.blockHash(header);

        _blockHashes[header.height] = hash;
        _head.blocks = header.height + 1;
        _head.cumulativeDifficulty = header.cumulativeDifficulty;
        winner.miner = miner;
        winner.total = total;
        // Assumes: fewer than 2^32 blocks; each costs a bounty and 200,000 gas
        winner.height = uint32(header.height);
        Origin storage origin = _origins[modelHash];
        if (origin.taskId == 0 || commitSeq < origin.commitSeq) {
            _origins[modelHash] = Origin({taskId: uint128(taskId), round: round, commitSeq: commitSeq});
        }
        emit BlockAppended(header.height, hash, taskId, header);
    }

    /// @inheritdoc IModelRegistry
    function revealSlot(bytes32 modelHash, uint32 slot, bytes32 key, bytes32[] calldata path) external {
        // Check
        Origin memory origin = _origins[modelHash];
        if (origin.taskId == 0) revert Errors.Registry_UnknownModel(modelHash);
        SlotReveal storage reveal = _slots[origin.taskId][origin.round][slot];
        if (slot == 0 || reveal.revealedAt != 0) {
            revert Errors.Registry_SlotAlreadyRevealed(modelHash, slot, reveal.commitSeq);
        }
        // in a deeper tree one slot could have a key at every depth, and its owner choose the one that fits a suspect best
        BoundsLib.checkSlotPath(path);
        if (slot >> path.length != 0) revert Errors.Registry_SlotOutOfRange(slot, 1 << path.length);
        Winner storage winner = _winners[origin.taskId][origin.round];
        bytes32 root = MerkleLib.slotRoot(key, slot, path);
        if (root != winner.watermarkRoot) revert Errors.Registry_WrongSlotPath(root, winner.watermarkRoot);
        (,, uint256 commits) = ITaskMarket(market).counters();
        // Effect
        // the market counts commits in 64 bits
        reveal.commitSeq = uint64(commits);
        reveal.revealedAt = uint40(block.timestamp);
        emit SlotRevealed(modelHash, origin.taskId, origin.round, winner.miner, slot, key, uint64(commits));
    }

    /// @inheritdoc IModelRegistry
    function royaltyReceiver(uint256 taskId, uint16 round) external view returns (address) {
        return minerOf(_parentOf(taskId, round));
    }

    /// @inheritdoc IModelRegistry
    function winnerOf(uint256 taskId, uint16 round) external view returns (Winner memory winner) {
        winner = _winners[taskId][round];
        if (winner.modelHash != 0) winner.parentModel = _parentOf(taskId, round);
    }

    /// @inheritdoc IModelRegistry
    function minerOf(bytes32 modelHash) public view returns (address) {
        Origin storage origin = _origins[modelHash];
        return _winners[origin.taskId][origin.round].miner;
    }

    /// @inheritdoc IModelRegistry
    function watermarkOf(bytes32 modelHash) external view returns (Watermark memory) {
        Origin memory origin = _origins[modelHash];
        Winner storage winner = _winners[origin.taskId][origin.round];
        return Watermark({
            root: winner.watermarkRoot,
            miner: winner.miner,
            commitSeq: origin.commitSeq,
            taskId: origin.taskId,
            round: origin.round
        });
    }

    /// @inheritdoc IModelRegistry
    function slotOf(bytes32 modelHash, uint32 slot) external view returns (SlotReveal memory) {
        Origin memory origin = _origins[modelHash];
        return _slots[origin.taskId][origin.round][slot];
    }

    /// @inheritdoc IModelRegistry
    function verifyBlock(BlockHeader calldata header) external view returns (bool) {
        return header.height < _head.blocks && _blockHashes[header.height] == ProofLib.blockHash(header);
    }

    /// @inheritdoc IModelRegistry
    function blockHash(uint256 height) external view returns (bytes32) {
        if (height >= _head.blocks) revert Errors.Registry_UnknownBlock(height, _head.blocks);
        return _blockHashes[height];
    }

    /// @inheritdoc IModelRegistry
    function head() external view returns (uint64 blocks, bytes32 headHash, uint128 cumulativeDifficulty) {
        return (_head.blocks, _headHash(), _head.cumulativeDifficulty);
    }

    /// @dev Zero is no model, and minerOf(0) is zero: a zero modelHash is never eligible.
    function _parentOf(uint256 taskId, uint16 round) private view returns (bytes32) {
        return round == 0 ? _winners[taskId][0].parentModel : _winners[taskId][round - 1].modelHash;
    }

    function _headHash() private view returns (bytes32) {
        uint64 blocks = _head.blocks;
        return blocks == 0 ? genesisHash : _blockHashes[blocks - 1];
    }

    function _checkMarket() private view {
        if (msg.sender != market) revert Errors.Registry_NotMarket(msg.sender, market);
    }
}
