import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 256);

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
      invariant: { runs: Math.max(16, Math.floor(fuzzRuns / 16)), depth: 100, failOnRevert: true },
      fsPermissions: { readDirectory: ["tests/vectors"], readFile: ["tests/vectors"] },
    },
  },
};
