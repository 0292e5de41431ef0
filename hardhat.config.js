import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 256);
const invariantRuns = Number(process.env.INVARIANT_RUNS ?? 16);
const invariantDepth = Number(process.env.INVARIANT_DEPTH ?? 100);

/** The same settings as client/dlbc/adapters/chain/compile.py: bytecode must agree. */
export default {
  solidity: {
    compilers: [
      {
        version: "0.8.37",
        path: require.resolve("solc/soljson.js"),
        settings: {
          optimizer: { enabled: true, runs: 200 },
          evmVersion: "cancun",
          metadata: { bytecodeHash: "none", appendCBOR: false },
        },
      },
    ],
  },
  paths: { sources: "./contracts", tests: { solidity: "./tests/solidity" } },
  test: {
    solidity: {
      fuzz: { runs: fuzzRuns, seed: "0xd1bc" },
      invariant: { runs: invariantRuns, depth: invariantDepth, failOnRevert: true },
      fsPermissions: { readDirectory: ["tests/vectors"], readFile: ["tests/vectors"] },
    },
  },
};
