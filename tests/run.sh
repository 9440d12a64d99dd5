#!/usr/bin/env bash
# Runs every check of the crate, or the one part that is named: tests/run.sh [part]
# The last line is `N passed, N failed`; the exit code says failure when anything failed or when no test ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PARTS=(format lints rust docs features msrv frameworks client browser)
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

die() {
  echo "$*" >&2
  exit 1
}

# ensure COMMAND PACKAGE: installs a Debian package when its command is missing.
ensure() {
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || die "The command $1 is missing and there is no apt-get to install it with; please install $2."
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "The command $1 is missing; please install $2, or run this as root or with sudo."
    root=(sudo)
  fi
  echo "Installing $2 for the command $1"
  "${root[@]}" apt-get update -qq && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2" \
    || die "The command $1 is missing and apt-get could not install $2."
  command -v "$1" >/dev/null || die "The package $2 is installed but brought no command $1."
}

ensure_rust() {
  command -v cargo >/dev/null || die "The command cargo is missing; please install Rust 1.88 or newer with rustup."
  local component
  for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component" \
      || die "The Rust component $component is missing and rustup could not add it."
  done
  ensure cc build-essential
}

total() { awk '{ sum += $1 } END { print sum + 0 }'; }

# How many tests the log says passed and failed, of cargo's runner and of node's.
passes() { sed -nE 's/^test result: .* ([0-9]+) passed;.*/\1/p; s/^# pass ([0-9]+)$/\1/p' "$log" | total; }
failures() { sed -nE 's/^test result: .* ([0-9]+) failed;.*/\1/p; s/^# (fail|cancelled) ([0-9]+)$/\2/p' "$log" | total; }

# step HEADING COMMAND...: a failure that no test reports counts as one.
step() {
  local status=0 fails
  printf '\n== %s\n' "$1"
  "${@:2}" 2>&1 | tee "$log" || status=$?
  fails=$(failures)
  if [ "$status" -ne 0 ] && [ "$fails" -eq 0 ]; then fails=1; fi
  passed=$((passed + $(passes)))
  failed=$((failed + fails))
}

# tests HEADING COMMAND...: a step that must run at least one test.
tests() {
  local before=$((passed + failed))
  step "$@"
  if [ "$((passed + failed))" -eq "$before" ]; then
    echo "No test ran."
    failed=$((failed + 1))
  fi
}

features() {
  cargo metadata --no-deps --format-version 1 \
    | node -p 'Object.keys(JSON.parse(fs.readFileSync(0)).packages[0].features).filter((name) => name !== "default").join("\n")'
}

msrv() { cargo metadata --all-features --format-version 1 | node tests/msrv.mjs; }

client() {
  cd tests/client && npm ci && PRIMACRON_NODE=$node timeout 600 node --test --test-reporter=tap
}

browser() {
  cd tests/browser && npm ci && PRIMACRON_EXAMPLES=$examples CHROMIUM=$(command -v chromium) timeout 600 node --test --test-reporter=tap
}

part_format() { step "Format" cargo fmt --check; }
part_lints() { step "Lints" cargo clippy --all-targets --all-features -- -D warnings; }
part_rust() { tests "Rust tests" cargo test --all-features --no-fail-fast; }
part_docs() { RUSTDOCFLAGS="-D warnings" step "Docs" cargo doc --no-deps --all-features; }

part_features() {
  local feature names
  names=$(features)
  step "No feature" cargo clippy --no-default-features --lib -- -D warnings
  for feature in $names; do
    step "Feature $feature alone" cargo clippy --no-default-features --features "$feature" --lib -- -D warnings
  done
}

part_msrv() { step "Oldest Rust" msrv; }

# A package of its own: whoever works on the crate need not build other frameworks.
part_frameworks() {
  local manifest=(--manifest-path tests/frameworks/Cargo.toml)
  local there=("${manifest[@]}" --target-dir "$target")
  step "Format of the frameworks" cargo fmt "${manifest[@]}" --check
  step "Lints of the frameworks" cargo clippy "${there[@]}" --all-targets -- -D warnings
  tests "Frameworks" cargo test "${there[@]}" --no-fail-fast
}

# PRIMACRON_NODE names another program to test in place of the example.
part_client() {
  local node=${PRIMACRON_NODE:-$target/debug/examples/node}
  if [ -z "${PRIMACRON_NODE:-}" ]; then step "The server" cargo build --all-features --example node; fi
  tests "engine.io-client" client
}

# PRIMACRON_EXAMPLES names a folder with other programs to test in place of the examples.
part_browser() {
  local examples=${PRIMACRON_EXAMPLES:-$target/debug/examples}
  ensure chromium chromium
  if [ -z "${PRIMACRON_EXAMPLES:-}" ]; then
    step "The servers" cargo build --all-features --example node --example chat --example cluster
  fi
  tests "Chromium" browser
}

if [ "$#" -eq 0 ]; then set -- "${PARTS[@]}"; fi
for part in "$@"; do
  declare -F "part_$part" >/dev/null || die "There is no part $part; the parts are: ${PARTS[*]}."
done

ensure_rust
ensure node nodejs
ensure npm npm
ensure redis-server redis-server
target=$(cargo metadata --no-deps --format-version 1 | node -p 'JSON.parse(fs.readFileSync(0)).target_directory')
for part in "$@"; do "part_$part"; done

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
