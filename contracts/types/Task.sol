// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What a round is waiting for. Warm phases end by time; cold ones are final (docs/protocol.md, section 3).
enum Phase {
    None, // no such task
    Training,
    Releasing,
    Revealing,
    Opening,
    Challenge,
    Nominating,
    Settled,
    Aborted,
    Void,
    Cancelled
}

/// @dev How a whole task ended; None while any of its rounds is warm.
enum Outcome {
    None,
    Settled,
    Aborted,
    Void,
    Cancelled
}

/// @dev Why a leader was struck.
enum Reason {
    None,
    Silent // did not open in time (P-51)
}

/// @dev What a locked amount is (see IMarketLens.locksOf).
enum LockKind {
    Bounty,
    Bond,
    Deposit
}

/// @dev What training costs, as the requester states it; miners recompute it from the manifest (P-80).
struct Workload {
    uint64 parameters;
    uint64 flopsPerSample; // forward pass
    uint64 samples;
    uint32 epochs;
    uint64 dataBytes;
    uint64 modelBytes;
}

/// @dev Everything fixed at posting (P-11). All members are static: abi.encode gives 20 words.
struct Terms {
    bytes32 manifestHash; // sha256 of the manifest's exact bytes
    bytes32 manifest; // locator: SHA2-256 digest of its IPFS CID
    Workload workload;
    uint32 trainSeconds;
    uint32 releaseSeconds;
    uint32 revealSeconds;
    uint32 openSeconds;
    uint32 challengeSeconds;
    uint32 minScorePpm;
    uint32 minGainPpm;
    uint32 tolerancePpm;
    uint96 bountyWei; // per round
    uint96 depositWei; // of every miner, per round
    uint96 bondWei; // of the requester, once
    uint16 royaltyBps;
}

/// @dev The preimage of a test commitment (P-13). 8 static words.
struct TestSet {
    bytes32 sealedLocator;
    bytes32 plaintextHash; // sha256
    bytes32 keyHash; // keccak256(testKey)
    uint40 samples; // n <= 2^32
    uint32 maxSampleScore; // M <= 2^24
    uint32 classes; // C
    uint16 metric; // 1 = top-1 classification
    bytes32 labelsRoot;
}

/// @dev What a miner binds its work to (P-31); hashed as the EIP-712 type TrainingProof.
struct TrainingProof {
    uint256 taskId;
    uint16 round;
    address miner;
    bytes32 modelHash; // sha256 of the safetensors file
    bytes32 sealedModel; // locator of the list of encrypted parts
    bytes32 sealKeyHash; // keccak256(sealKey)
    bytes32 watermarkRoot; // Merkle root over the one-time slot keys (P-90)
    bytes32 parentModel; // modelHash of a settled ledger model, or zero
}

/// @dev What a miner says its model scores (P-41). With the proof's digest it is the EIP-712 type ScoreClaim.
struct Claim {
    uint64 total; // sum of the per-sample scores
    bytes32 predictionsRoot; // M-5
    bytes32 predictions; // locator of the published predictions
}

/// @dev Stored facts of a task. Five slots; the terms themselves are in the TaskPosted event and in termsHash.
struct Task {
    // slot 0
    address requester;
    uint8 round; // the current round, from 0
    uint8 rounds;
    Outcome outcome;
    uint32 trainSeconds;
    uint32 releaseSeconds;
    // slot 1
    uint96 bountyWei;
    uint96 depositWei;
    uint32 revealSeconds;
    uint32 openSeconds;
    // slot 2
    uint96 bondWei;
    uint32 challengeSeconds;
    uint32 minScorePpm;
    uint32 minGainPpm;
    uint32 tolerancePpm;
    uint16 royaltyBps;
    // slot 3
    uint64 difficulty;
    uint40 postedAt;
    // slot 4
    bytes32 termsHash;
}

/// @dev Stored facts of a round. Four slots.
struct Round {
    // slot 0: window ends, 0 = the fact that starts the window is not written yet
    uint40 trainEnd;
    uint40 revealEnd;
    uint40 nominateEnd;
    uint40 challengeEnd;
    uint32 commits;
    // slot 1: the best claim known; the zero address = none
    address leader;
    uint64 leaderTotal;
    uint32 reveals;
    // slot 2: known from release on
    uint40 samples;
    uint32 maxSampleScore;
    uint32 classes;
    uint16 metric;
    // slot 3
    bytes32 testCommitment;
}

/// @dev Stored facts of one miner's entry in one round. Two slots.
struct Entry {
    // slot 0: the commitment until the reveal; from then on H(proofDigest, total, predictionsRoot, predictions)
    bytes32 digest;
    // slot 1
    uint64 commitSeq;
    uint64 total;
    bool holdsDeposit;
    bool hasRevealed;
    bool qualifies; // false again once displaced (P-33)
    bool isStruck;
}

/// @dev One block of the ledger of useful work (P-70). Its hash is H(all members in order).
struct BlockHeader {
    uint16 version;
    uint64 height; // from 0
    bytes32 previousHash; // of block 0: the registry's genesisHash
    uint256 taskId;
    uint16 round;
    bytes32 modelHash;
    bytes32 proofDigest;
    address miner;
    uint64 total;
    uint32 scorePpm;
    uint64 difficulty; // millionths of a bit
    uint128 cumulativeDifficulty; // informational
    uint40 timestamp;
    uint32 openTasks; // tasks not yet cold that this block did not select
}

/// @dev A settled (or, before that, opened) claim of a round, as the registry keeps it.
struct Winner {
    address miner; // zero until settled
    uint64 total;
    uint32 height;
    bytes32 modelHash;
    bytes32 proofDigest;
    bytes32 watermarkRoot;
    bytes32 parentModel;
}

/// @dev Who registered a watermark for a model, and when (by commit order).
struct Watermark {
    bytes32 root;
    address miner;
    uint64 commitSeq;
    uint256 taskId;
    uint16 round;
}

/// @dev Immutable parameters of a market (docs/protocol.md, section 12).
struct Params {
    uint16 feeBps;
    uint16 maxRoyaltyBps;
    uint32 minWindow;
    uint32 maxWindow;
    uint32 finalityGap;
    uint32 agingSeconds;
    uint32 weightComplexity; // ppm; the four weights sum to 1e6
    uint32 weightNetwork;
    uint32 weightData;
    uint32 weightQueue;
    address feeReceiver;
}

/// @dev One row of the ranked list (P-81).
struct RankedTask {
    uint256 taskId;
    uint256 rank;
    uint96 bountyWei;
    uint64 difficulty;
    uint40 postedAt;
    uint40 trainEnd;
    uint32 commits;
}

/// @dev One amount that is locked for an account, and the call that frees it.
struct Lock {
    LockKind kind;
    uint16 round;
    uint256 amountWei;
    uint40 freeAt; // earliest time the call can succeed; 0 = as soon as somebody else acts, see freedBy
    string freedBy; // the call, e.g. "reclaim(taskId, round, miner)"
}
