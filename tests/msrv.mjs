// Reads `cargo metadata` from stdin and fails when a dependency that users build needs a newer Rust than we promise.
import { readFileSync } from "node:fs";

const { packages, resolve } = JSON.parse(readFileSync(0, "utf8"));
const byId = new Map(packages.map((one) => [one.id, one]));
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
const root = byId.get(resolve.root);

function built(id, seen = new Set()) {
  if (seen.has(id)) return seen;
  seen.add(id);
  for (const { pkg, dep_kinds } of nodes.get(id).deps) {
    if (dep_kinds.some(({ kind }) => kind !== "dev")) built(pkg, seen);
  }
  return seen;
}

const release = (version) => version.split(".").reduce((sum, part, place) => sum + Number(part) * 1000 ** (2 - place), 0);

const graph = [...built(root.id)].map((id) => byId.get(id));
const newer = graph.filter((one) => one.rust_version && release(one.rust_version) > release(root.rust_version));

for (const one of newer) console.error(`${one.name} ${one.version} needs Rust ${one.rust_version}`);
console.log(`${graph.length - 1} dependencies, ${newer.length} of them need more than Rust ${root.rust_version}`);
process.exitCode = newer.length === 0 ? 0 : 1;
