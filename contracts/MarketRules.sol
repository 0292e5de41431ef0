// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarketRules} from "./interfaces/IMarketRules.sol";
import {BoundsLib} from "./libraries/BoundsLib.sol";
import {DifficultyLib} from "./libraries/DifficultyLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";
import {Claim, Params, Terms, TestSet, Workload} from "./types/Task.sol";

/// @title MarketRules
/// @notice The market makes its own in its constructor, so that bounds, difficulty and stateless checks do not count
/// against the market's code size. Holds no state and no money.
contract MarketRules is IMarketRules {
    uint16 private immutable FEE_BPS;
    uint16 private immutable MAX_ROYALTY_BPS;
    uint32 private immutable MIN_WINDOW;
    uint32 private immutable MAX_WINDOW;
    uint32 private immutable FINALITY_GAP;
    uint32 private immutable AGING_SECONDS;
    uint32 private immutable WEIGHT_COMPLEXITY;
    uint32 private immutable WEIGHT_NETWORK;
    uint32 private immutable WEIGHT_DATA;
    uint32 private immutable WEIGHT_QUEUE;
    uint32 private immutable MAX_CHALLENGE;
    uint32 private immutable VOTE_SECONDS;
    address private immutable POOL;

    constructor(Params memory params_) {
        BoundsLib.checkParams(params_);
        FEE_BPS = params_.feeBps;
        MAX_ROYALTY_BPS = params_.maxRoyaltyBps;
        MIN_WINDOW = params_.minWindow;
        MAX_WINDOW = params_.maxWindow;
        FINALITY_GAP = params_.finalityGap;
        AGING_SECONDS = params_.agingSeconds;
        WEIGHT_COMPLEXITY = params_.weightComplexity;
        WEIGHT_NETWORK = params_.weightNetwork;
        WEIGHT_DATA = params_.weightData;
        WEIGHT_QUEUE = params_.weightQueue;
        MAX_CHALLENGE = params_.maxChallenge;
        VOTE_SECONDS = params_.voteSeconds;
        POOL = params_.pool;
    }

    /// @inheritdoc IMarketRules
    function admit(Terms calldata terms, uint256 rounds, uint256 queue) external view returns (uint64 difficulty) {
        BoundsLib.checkTerms(terms, rounds, MIN_WINDOW, MAX_WINDOW, MAX_CHALLENGE, MAX_ROYALTY_BPS);
        difficulty = difficultyOf(terms.workload, queue);
        // ranking divides by it
        if (difficulty == 0) revert Errors.Market_BelowMinimum("difficulty", 0, 1);
    }

    /// @inheritdoc IMarketRules
    function difficultyOf(Workload calldata workload, uint256 queue) public view returns (uint64) {
        return
            DifficultyLib.difficultyDown(WEIGHT_COMPLEXITY, WEIGHT_NETWORK, WEIGHT_DATA, WEIGHT_QUEUE, workload, queue);
    }

    /// @inheritdoc IMarketRules
    function checkTestSet(TestSet calldata testSet, bytes32 testKey, bytes32 commitment) external pure {
        bytes32 given = ProofLib.testCommitment(testSet);
        if (given != commitment) revert Errors.Market_WrongTestSet(given, commitment);
        bytes32 keyHash = keccak256(abi.encode(testKey));
        if (keyHash != testSet.keyHash) revert Errors.Market_WrongTestKey(keyHash, testSet.keyHash);
        BoundsLib.checkTestSet(testSet);
    }

    /// @inheritdoc IMarketRules
    function checkClaim(
        bytes32 separator,
        bytes32 proofDigest,
        Claim calldata claim,
        bytes32 hTop,
        uint256 samples,
        uint256 maxSampleScore,
        address miner,
        bytes calldata signature
    ) external view {
        uint256 maximum = samples * maxSampleScore;
        if (claim.total > maximum) revert Errors.Market_TotalTooHigh(claim.total, maximum);
        bytes32 root = MerkleLib.predictionsRoot(proofDigest, samples, hTop, claim.total);
        if (root != claim.predictionsRoot) revert Errors.Market_WrongPredictionsRoot(claim.predictionsRoot, root);
        _checkSignature(ProofLib.claimDigest(separator, proofDigest, claim), miner, signature);
    }

    function _checkSignature(bytes32 digest, address miner, bytes calldata signature) private view {
        if (SignatureLib.isValid(miner, digest, signature)) return;
        (address signer, bool isWellFormed) = SignatureLib.recover(digest, signature);
        // what a contract takes for a signature is its own matter
        if (!isWellFormed && miner.code.length == 0) revert Errors.Market_MalformedSignature(signature.length);
        revert Errors.Market_WrongSigner(signer, miner);
    }

    /// @inheritdoc IMarketRules
    function params() external view returns (Params memory) {
        return Params({
            feeBps: FEE_BPS,
            maxRoyaltyBps: MAX_ROYALTY_BPS,
            minWindow: MIN_WINDOW,
            maxWindow: MAX_WINDOW,
            finalityGap: FINALITY_GAP,
            agingSeconds: AGING_SECONDS,
            weightComplexity: WEIGHT_COMPLEXITY,
            weightNetwork: WEIGHT_NETWORK,
            weightData: WEIGHT_DATA,
            weightQueue: WEIGHT_QUEUE,
            maxChallenge: MAX_CHALLENGE,
            voteSeconds: VOTE_SECONDS,
            pool: POOL
        });
    }
}
