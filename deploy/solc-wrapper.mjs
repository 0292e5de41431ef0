#!/usr/bin/env node
// npm's solc is JavaScript; tools that drive a compiler expect an executable. This one answers the two
// requests they make: `--version` and `--standard-json` (input on stdin, output on stdout).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const solc = createRequire(import.meta.url)("solc");
const flags = process.argv.slice(2);

if (flags.includes("--version")) {
  console.log(`solc, the solidity compiler\nVersion: ${solc.version()}`);
} else if (flags.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error(`solc-wrapper: expected --version or --standard-json, got: ${flags.join(" ") || "nothing"}`);
  process.exitCode = 1;
}
