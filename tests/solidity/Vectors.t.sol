// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    BlockHeader,
    Claim,
    Outcome,
    Phase,
    Round,
    Task,
    Terms,
    TestSet,
    TrainingProof,
    Vote,
    Workload
} from "../../contracts/types/Task.sol";
import {Harness} from "./Harness.sol";
import {VectorReader} from "./VectorReader.sol";

/// @dev Solidity gives what tests/vectors/protocol.json says; Python is held to the same file.
contract VectorsTest is VectorReader {
    Harness private harness;

    function setUp() public override {
        super.setUp();
        harness = new Harness();
    }

    function test_terms_hash() public {
        section = "terms";
        Terms[] memory terms = _terms();
        uint256[] memory counts = _uints("testCommitmentCounts");
        bytes32[] memory commitments = _words("testCommitments");
        bytes32[] memory expected = _words("termsHash");
        uint256 next;
        for (uint256 i; i < expected.length; ++i) {
            bytes32[] memory own = _slice(commitments, next, counts[i]);
            next += counts[i];
            assertEq(expected[i], harness.termsHash(terms[i], own), _case("termsHash", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_testCommitment_and_keyHash() public {
        section = "testSets";
        TestSet[] memory sets = _testSets();
        bytes32[] memory keys = _words("testKey");
        bytes32[] memory expected = _words("testCommitment");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.commitmentOfTest(sets[i]), _case("testCommitment", i));
            assertEq(sets[i].keyHash, keccak256(abi.encode(keys[i])), _case("keyHash", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_proof_digests_and_commitments() public {
        section = "proofs";
        TrainingProof[] memory proofs = _proofs();
        bytes32[] memory separators = _words("domainSeparator");
        bytes32[] memory salts = _words("salt");
        bytes32[] memory digests = _words("proofDigest");
        bytes32[] memory commitments = _words("commitment");
        for (uint256 i; i < digests.length; ++i) {
            assertEq(digests[i], harness.proofDigest(separators[i], proofs[i]), _case("proofDigest", i));
            assertEq(commitments[i], harness.commitment(digests[i], salts[i]), _case("commitment", i));
        }
        assertEq(24, digests.length, "cases");
    }

    function test_domain_separators() public {
        section = "proofs";
        uint256[] memory chainIds = _uints("chainId");
        address[] memory markets = _addresses("market");
        bytes32[] memory expected = _words("domainSeparator");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.domainSeparator(chainIds[i], markets[i]), _case("domainSeparator", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_claims_and_signatures() public {
        section = "proofs";
        Claim[] memory claims = _claims();
        bytes32[] memory separators = _words("domainSeparator");
        bytes32[] memory digests = _words("proofDigest");
        bytes32[] memory hashes = _words("claimHash");
        bytes32[] memory expected = _words("scoreClaimDigest");
        bytes[] memory signatures = _bytes("signature");
        address[] memory miners = _addresses("miner");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(hashes[i], harness.claimHash(digests[i], claims[i]), _case("claimHash", i));
            bytes32 digest = harness.claimDigest(separators[i], digests[i], claims[i]);
            assertEq(expected[i], digest, _case("scoreClaimDigest", i));
            (address signer, bool isWellFormed) = harness.recover(digest, signatures[i]);
            assertTrue(isWellFormed, _case("signature", i));
            assertEq(miners[i], signer, _case("signer", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_slot_roots() public {
        section = "slots";
        uint256[] memory index = _uints("index");
        bytes32[] memory keys = _words("key");
        uint256[] memory counts = _uints("pathCounts");
        bytes32[] memory paths = _words("paths");
        bytes32[] memory expected = _words("root");
        uint256 next;
        for (uint256 i; i < expected.length; ++i) {
            bytes32[] memory path = _slice(paths, next, counts[i]);
            next += counts[i];
            assertEq(expected[i], harness.slotRoot(keys[i], uint32(index[i]), path), _case("slotRoot", i));
        }
        assertEq(14, expected.length, "cases");
    }

    function test_predictions_roots() public {
        section = "predictions";
        bytes32[] memory digests = _words("proofDigest");
        uint256[] memory counts = _uints("counts");
        uint256[] memory totals = _uints("total");
        bytes32[] memory hTops = _words("hTop");
        bytes32[] memory expected = _words("root");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(
                expected[i],
                harness.predictionsRoot(digests[i], counts[i], hTops[i], totals[i]),
                _case("predictionsRoot", i)
            );
        }
        assertEq(13, expected.length, "cases");
    }

    function test_block_hashes() public {
        section = "blocks";
        BlockHeader[] memory headers = _headers();
        bytes32[] memory expected = _words("blockHash");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.blockHash(headers[i]), _case("blockHash", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_scores() public {
        section = "scores";
        uint256[] memory totals = _uints("total");
        uint256[] memory samples = _uints("samples");
        uint256[] memory maxima = _uints("maxSampleScore");
        uint256[] memory required = _uints("requiredPpm");
        uint256[] memory expected = _uints("scorePpm");
        bool[] memory meets = _bools("meets");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.scorePpm(totals[i], samples[i], maxima[i]), _case("scorePpm", i));
            assertEq(meets[i], harness.reaches(totals[i], required[i], samples[i], maxima[i]), _case("meets", i));
        }
        assertEq(96, expected.length, "cases");
    }

    function test_log2() public {
        section = "log2";
        uint256[] memory n = _uints("n");
        uint256[] memory d = _uints("d");
        uint256[] memory expected = _uints("log2Millionths");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.log2Down(n[i], d[i]), _case("log2", i));
        }
        assertEq(163, expected.length, "cases");
    }

    function test_difficulties() public {
        section = "difficulties";
        Workload[] memory workloads = _workloads();
        uint256[] memory queues = _uints("queue");
        uint256[] memory complexity = _uints("weightComplexity");
        uint256[] memory network = _uints("weightNetwork");
        uint256[] memory data = _uints("weightData");
        uint256[] memory queue = _uints("weightQueue");
        uint256[] memory expected = _uints("difficulty");
        for (uint256 i; i < expected.length; ++i) {
            uint256[4] memory weights = [complexity[i], network[i], data[i], queue[i]];
            assertEq(expected[i], harness.difficulty(weights, workloads[i], queues[i]), _case("difficulty", i));
        }
        assertEq(128, expected.length, "cases");
    }

    function test_ranks() public {
        section = "ranks";
        uint256[] memory bounties = _uints("bountyWei");
        uint256[] memory waited = _uints("waitedSeconds");
        uint256[] memory aging = _uints("agingSeconds");
        uint256[] memory difficulties = _uints("difficulty");
        uint256[] memory expected = _uints("rank");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(expected[i], harness.rank(bounties[i], waited[i], aging[i], difficulties[i]), _case("rank", i));
        }
        assertEq(128, expected.length, "cases");
    }

    function test_phases() public {
        section = "phases";
        (Task[] memory tasks, Round[] memory rounds) = _facts();
        uint256[] memory times = _uints("time");
        uint256[] memory gaps = _uints("finalityGap");
        uint256[] memory expected = _uints("phase");
        bool[] memory dues = _bools("due");
        uint256[] memory ends = _uints("endsAt");
        for (uint256 i; i < expected.length; ++i) {
            (Phase phase, bool due, uint40 endsAt) = harness.phase(tasks[i], rounds[i], times[i], gaps[i], 0);
            assertEq(expected[i], uint256(phase), _case("phase", i));
            assertEq(dues[i], due, _case("due", i));
            assertEq(ends[i], endsAt, _case("endsAt", i));
        }
        assertEq(210, expected.length, "cases");
    }

    function test_voting_phases() public {
        section = "votingPhases";
        address[] memory requesters = _addresses("requester");
        uint256[] memory opens = _uints("openSeconds");
        Round[] memory rounds = new Round[](requesters.length);
        _roundFacts(rounds);
        _votingFacts(rounds);
        Task memory task;
        task.releaseSeconds = 5; // of the few cases that are not released; no column has it
        for (uint256 i; i < rounds.length; ++i) {
            task.requester = requesters[i];
            task.openSeconds = uint32(opens[i]);
            assertVotingPhase(task, rounds[i], i);
        }
        assertEq(272, rounds.length, "cases");
    }

    function assertVotingPhase(Task memory task, Round memory round, uint256 i) private {
        (Phase phase, bool due, uint40 endsAt) =
            harness.phase(task, round, _uints("time")[i], 0, _uints("voteSeconds")[i]);
        assertEq(_uints("phase")[i], uint256(phase), _case("phase", i));
        assertEq(_bools("due")[i], due, _case("due", i));
        assertEq(_uints("endsAt")[i], endsAt, _case("endsAt", i));
    }

    function test_settlements() public {
        section = "settlements";
        uint256[] memory bounties = _uints("bountyWei");
        uint256[] memory fees = _uints("feeBps");
        uint256[] memory royalties = _uints("royaltyBps");
        bool[] memory parents = _bools("hasParent");
        uint256[] memory paid = _uints("paidWei");
        uint256[] memory feeWei = _uints("feeWei");
        uint256[] memory royaltyWei = _uints("royaltyWei");
        for (uint256 i; i < paid.length; ++i) {
            (uint256 a, uint256 b, uint256 c) = harness.settlement(bounties[i], fees[i], royalties[i], parents[i]);
            assertEq(paid[i], a, _case("paidWei", i));
            assertEq(feeWei[i], b, _case("feeWei", i));
            assertEq(royaltyWei[i], c, _case("royaltyWei", i));
        }
        assertEq(48, paid.length, "cases");
    }

    function test_abortions() public {
        section = "abortions";
        uint256[] memory bonds = _uints("bondWei");
        uint256[] memory commits = _uints("commits");
        uint256[] memory shares = _uints("shareWei");
        uint256[] memory rests = _uints("restWei");
        for (uint256 i; i < bonds.length; ++i) {
            (uint256 shareWei, uint256 restWei) = harness.abortion(bonds[i], commits[i]);
            assertEq(shares[i], shareWei, _case("shareWei", i));
            assertEq(rests[i], restWei, _case("restWei", i));
        }
        assertEq(32, bonds.length, "cases");
    }

    // ---------------------------------------------------------------- the tables

    function _terms() private view returns (Terms[] memory terms) {
        bytes32[] memory hashes = _words("manifestHash");
        terms = new Terms[](hashes.length);
        bytes32[] memory manifests = _words("manifest");
        Workload[] memory workloads = _workloads();
        for (uint256 i; i < terms.length; ++i) {
            terms[i].manifestHash = hashes[i];
            terms[i].manifest = manifests[i];
            terms[i].workload = workloads[i];
        }
        _termSeconds(terms);
        _termShares(terms);
        _termMoney(terms);
    }

    function _termSeconds(Terms[] memory terms) private view {
        uint256[] memory train = _uints("trainSeconds");
        uint256[] memory release = _uints("releaseSeconds");
        uint256[] memory reveal = _uints("revealSeconds");
        uint256[] memory open = _uints("openSeconds");
        uint256[] memory challenge = _uints("challengeSeconds");
        for (uint256 i; i < terms.length; ++i) {
            terms[i].trainSeconds = uint32(train[i]);
            terms[i].releaseSeconds = uint32(release[i]);
            terms[i].revealSeconds = uint32(reveal[i]);
            terms[i].openSeconds = uint32(open[i]);
            terms[i].challengeSeconds = uint32(challenge[i]);
        }
    }

    function _termShares(Terms[] memory terms) private view {
        uint256[] memory minScore = _uints("minScorePpm");
        uint256[] memory minGain = _uints("minGainPpm");
        uint256[] memory tolerance = _uints("tolerancePpm");
        uint256[] memory royalty = _uints("royaltyBps");
        for (uint256 i; i < terms.length; ++i) {
            terms[i].minScorePpm = uint32(minScore[i]);
            terms[i].minGainPpm = uint32(minGain[i]);
            terms[i].tolerancePpm = uint32(tolerance[i]);
            terms[i].royaltyBps = uint16(royalty[i]);
        }
    }

    function _termMoney(Terms[] memory terms) private view {
        uint256[] memory bounty = _uints("bountyWei");
        uint256[] memory deposit = _uints("depositWei");
        uint256[] memory bond = _uints("bondWei");
        for (uint256 i; i < terms.length; ++i) {
            terms[i].bountyWei = uint96(bounty[i]);
            terms[i].depositWei = uint96(deposit[i]);
            terms[i].bondWei = uint96(bond[i]);
        }
    }

    function _workloads() private view returns (Workload[] memory workloads) {
        uint256[] memory parameters = _uints("parameters");
        uint256[] memory flops = _uints("flopsPerSample");
        uint256[] memory samples = _uints("samples");
        uint256[] memory epochs = _uints("epochs");
        uint256[] memory data = _uints("dataBytes");
        uint256[] memory model = _uints("modelBytes");
        workloads = new Workload[](parameters.length);
        for (uint256 i; i < workloads.length; ++i) {
            workloads[i] = Workload(
                uint64(parameters[i]),
                uint64(flops[i]),
                uint64(samples[i]),
                uint32(epochs[i]),
                uint64(data[i]),
                uint64(model[i])
            );
        }
    }

    function _testSets() private view returns (TestSet[] memory sets) {
        bytes32[] memory sealed_ = _words("sealedLocator");
        bytes32[] memory plaintext = _words("plaintextHash");
        bytes32[] memory keyHash = _words("keyHash");
        uint256[] memory samples = _uints("samples");
        uint256[] memory maxima = _uints("maxSampleScore");
        uint256[] memory classes = _uints("classes");
        uint256[] memory metric = _uints("metric");
        bytes32[] memory labels = _words("labelsRoot");
        sets = new TestSet[](sealed_.length);
        for (uint256 i; i < sets.length; ++i) {
            sets[i].sealedLocator = sealed_[i];
            sets[i].plaintextHash = plaintext[i];
            sets[i].keyHash = keyHash[i];
            sets[i].samples = uint40(samples[i]);
            sets[i].maxSampleScore = uint32(maxima[i]);
            sets[i].classes = uint32(classes[i]);
            sets[i].metric = uint16(metric[i]);
            sets[i].labelsRoot = labels[i];
        }
    }

    function _proofs() private view returns (TrainingProof[] memory proofs) {
        uint256[] memory taskId = _uints("taskId");
        uint256[] memory round = _uints("round");
        address[] memory miner = _addresses("miner");
        bytes32[] memory model = _words("modelHash");
        bytes32[] memory sealedModel = _words("sealedModel");
        bytes32[] memory sealKeyHash = _words("sealKeyHash");
        bytes32[] memory watermark = _words("watermarkRoot");
        bytes32[] memory parent = _words("parentModel");
        proofs = new TrainingProof[](taskId.length);
        for (uint256 i; i < proofs.length; ++i) {
            proofs[i].taskId = taskId[i];
            proofs[i].round = uint16(round[i]);
            proofs[i].miner = miner[i];
            proofs[i].modelHash = model[i];
            proofs[i].sealedModel = sealedModel[i];
            proofs[i].sealKeyHash = sealKeyHash[i];
            proofs[i].watermarkRoot = watermark[i];
            proofs[i].parentModel = parent[i];
        }
    }

    function _claims() private view returns (Claim[] memory claims) {
        uint256[] memory total = _uints("total");
        bytes32[] memory root = _words("predictionsRoot");
        bytes32[] memory predictions = _words("predictions");
        claims = new Claim[](total.length);
        for (uint256 i; i < claims.length; ++i) {
            claims[i] = Claim(uint64(total[i]), root[i], predictions[i]);
        }
    }

    function _headers() private view returns (BlockHeader[] memory headers) {
        uint256[] memory version = _uints("version");
        headers = new BlockHeader[](version.length);
        uint256[] memory height = _uints("height");
        bytes32[] memory previous = _words("previousHash");
        uint256[] memory taskId = _uints("taskId");
        uint256[] memory round = _uints("round");
        bytes32[] memory model = _words("modelHash");
        bytes32[] memory digest = _words("proofDigest");
        for (uint256 i; i < headers.length; ++i) {
            headers[i].version = uint16(version[i]);
            headers[i].height = uint64(height[i]);
            headers[i].previousHash = previous[i];
            headers[i].taskId = taskId[i];
            headers[i].round = uint16(round[i]);
            headers[i].modelHash = model[i];
            headers[i].proofDigest = digest[i];
        }
        _headersRest(headers);
    }

    function _headersRest(BlockHeader[] memory headers) private view {
        address[] memory miner = _addresses("miner");
        uint256[] memory total = _uints("total");
        uint256[] memory score = _uints("scorePpm");
        uint256[] memory difficulty = _uints("difficulty");
        uint256[] memory cumulative = _uints("cumulativeDifficulty");
        uint256[] memory timestamp = _uints("timestamp");
        uint256[] memory openTasks = _uints("openTasks");
        for (uint256 i; i < headers.length; ++i) {
            headers[i].miner = miner[i];
            headers[i].total = uint64(total[i]);
            headers[i].scorePpm = uint32(score[i]);
            headers[i].difficulty = uint64(difficulty[i]);
            headers[i].cumulativeDifficulty = uint128(cumulative[i]);
            headers[i].timestamp = uint40(timestamp[i]);
            headers[i].openTasks = uint32(openTasks[i]);
        }
    }

    function _facts() private view returns (Task[] memory tasks, Round[] memory rounds) {
        address[] memory requester = _addresses("requester");
        uint256[] memory outcome = _uints("outcome");
        uint256[] memory release = _uints("releaseSeconds");
        uint256[] memory open = _uints("openSeconds");
        tasks = new Task[](requester.length);
        rounds = new Round[](requester.length);
        for (uint256 i; i < tasks.length; ++i) {
            tasks[i].requester = requester[i];
            tasks[i].outcome = Outcome(outcome[i]);
            tasks[i].releaseSeconds = uint32(release[i]);
            tasks[i].openSeconds = uint32(open[i]);
        }
        _roundFacts(rounds);
    }

    function _roundFacts(Round[] memory rounds) private view {
        uint256[] memory trainEnd = _uints("trainEnd");
        uint256[] memory revealEnd = _uints("revealEnd");
        uint256[] memory nominateEnd = _uints("nominateEnd");
        uint256[] memory challengeEnd = _uints("challengeEnd");
        uint256[] memory commits = _uints("commits");
        address[] memory leader = _addresses("leader");
        for (uint256 i; i < rounds.length; ++i) {
            rounds[i].trainEnd = uint40(trainEnd[i]);
            rounds[i].revealEnd = uint40(revealEnd[i]);
            rounds[i].nominateEnd = uint40(nominateEnd[i]);
            rounds[i].challengeEnd = uint40(challengeEnd[i]);
            rounds[i].commits = uint32(commits[i]);
            rounds[i].leader = leader[i];
        }
    }

    function _votingFacts(Round[] memory rounds) private view {
        uint256[] memory vote = _uints("vote");
        uint256[] memory voteStart = _uints("voteStart");
        uint256[] memory openDemands = _uints("openDemands");
        uint256[] memory demandEnd = _uints("demandEnd");
        for (uint256 i; i < rounds.length; ++i) {
            rounds[i].vote = Vote(vote[i]);
            rounds[i].voteStart = uint40(voteStart[i]);
            rounds[i].openDemands = uint16(openDemands[i]);
            rounds[i].demandEnd = uint40(demandEnd[i]);
        }
    }
}
