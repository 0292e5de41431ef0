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
    VotingCommit,
    VotingReveal,
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
    Silent, // did not open in time (P-51)
    Refuted, // its own predictions prove it false (M-6)
    Withheld, // a demanded prediction was not shown in time (M-7)
    Voted // auditors found it false (P-55)
}

/// @dev What a round's auditors vote on.
enum Vote {
    None,
    TestSet, // an impeachment (P-45)
    Claim // a dispute of the opened claim (P-52)
}

/// @dev What one ballot says (P-54).
enum Verdict {
    None,
    Stands,
    Falls,
    Unavailable // counts as Falls, but gives up only a tenth of its lock if it loses
}

/// @dev What a whole vote says (P-54, P-55).
enum Ruling {
    None, // not resolved
    Repeat, // no quorum the first time: the vote is held once more at double length
    Stands,
    Falls,
    Split, // as much for as against: what was disputed stands and nobody is slashed
    NoQuorum // nor the second time: what was disputed stands
}

/// @dev What a refutation proved (M-6).
enum Fault {
    None,
    WrongScore, // s is not (p = y ? 1 : 0) under the committed label
    OutOfRange, // s > M, or p >= C
    WrongSum, // sums on the path do not add up, or exceed M x the real leaves below them
    Padding // a leaf at or beyond n is not padding
}

/// @dev What a locked amount is (see IMarketLens.locksOf).
enum LockKind {
    Bounty,
    Bond,
    Deposit,
    Stake,
    PendingStake,
    UnbondingStake,
    DisputeBond
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
    uint40 voteStart; // of a repeated vote; 0 = the first vote starts when Revealing or Challenge ends
    Vote vote; // None = nothing is disputed
    uint16 openDemands; // against the leader
    // slot 1: the best claim known; the zero address = none
    address leader;
    uint64 leaderTotal;
    uint32 reveals;
    // slot 2: the first four are known from release on
    uint40 samples;
    uint32 maxSampleScore;
    uint32 classes;
    uint16 metric;
    uint40 demandEnd; // until when open demands can be answered, or the last answer be refuted before a settlement
    uint32 strikes;
    bool isFeeDue; // a leader was struck by a vote, so a void costs the fee (P-20)
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

/// @dev When the key of a watermark slot was published (P-94). One slot; all zero if it was not.
struct SlotReveal {
    uint64 commitSeq; // the market's last one at that moment: the slot is burnt for models committed after it
    uint40 revealedAt;
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
    uint32 maxChallenge; // seconds; no task may ask for a longer challenge
    uint32 voteSeconds; // of each half of a vote, committing and revealing; twice that when it is repeated
    address pool; // the AuditorPool: earns fees and may strike
}

/// @dev Immutable parameters of an auditor pool (docs/protocol.md, section 12).
struct PoolParams {
    uint32 activationSeconds; // at least the longest challenge (P-56)
    uint32 unbondingSeconds; // at least the longest whole dispute with its repeat (P-56)
    uint16 lockBps; // share of a ballot's weight that it risks (P-54)
    uint96 demandBondWei; // above the answer's gas (M-7)
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

/// @dev One auditor's stake. Three slots.
struct Stake {
    // slot 0
    uint96 activeWei; // earns and votes
    uint96 pendingWei; // becomes active by activate() from readyAt on
    uint40 readyAt;
    uint24 ballots; // collected from first votes since the last dividend
    // slot 1
    uint96 accruedWei; // dividends before they are weighed by participation
    uint160 paidIndex; // dividend index up to which accruedWei counts
    // slot 2
    uint96 unbondingWei; // leaves by finishUnstake() from freeAt on
    uint40 freeAt;
    uint40 countedFrom; // votes resolved after this moment count for participation (P-60)
}

/// @dev One dispute of a claim, or the impeachment of a round's test set, as views tell it; AuditorPool.Dispute and Count are
/// what is stored. caseId = H(taskId, round, subject).
struct Case {
    uint96 bondWei; // of each filer
    uint32 filers;
    uint40 voteStart; // of the present attempt
    uint40 snapshotAt; // weights are the stakes of this moment (P-54)
    uint8 attempt; // 0, or 1 for the repeat
    Ruling ruling;
    uint16 grounds; // union of all filers' (P-52); 0 for an impeachment
    uint64 taskId;
    uint16 round;
    address subject; // the miner whose claim is disputed; zero = the test set
    uint96 filerPotWei; // what is left for the filers of an upheld dispute, beside their bonds
    uint32 filersLeft;
}

/// @dev The ballots of one vote, counted by what they risk: lock = weight x lockBps; as views tell it.
/// disputeId = H(caseId, attempt).
struct Tally {
    uint96 committedWei;
    uint96 standsWei;
    uint96 fallsWei;
    uint96 unavailableWei;
    uint96 potWei; // what is left for the winners, beside their own locks
    uint96 winnersWei; // locks of the winners that have not collected yet
}

/// @dev Names a revealed claim and gives what its hash binds: checked against what the market stores.
struct ClaimRef {
    TrainingProof proof;
    Claim claim;
    bytes32 hTop; // top hash of the prediction tree (M-5)
}

/// @dev A leaf of the prediction tree (M-3).
struct PredictionLeaf {
    uint256 prediction;
    uint256 score;
}

/// @dev One level of a path in the prediction tree, from the leaf up: what the parent's hash binds (M-4).
struct SumNode {
    bytes32 hash; // of the sibling
    uint256 sum; // of the sibling, as the parent states it
    uint256 ownSum; // of the node on the path, as the parent states it
}

/// @dev A label of the test set, proved against the round's test commitment (M-2).
struct LabelProof {
    TestSet testSet; // samples = 0: no label is given
    uint256 label;
    bytes32[] path; // siblings from the leaf up
}
