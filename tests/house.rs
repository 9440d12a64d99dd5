//! The house rule: a file imports only from lower rooms, no circles; the protocol cores are pure; files are short.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The rooms of `src/`, from low to high. A room imports only from rooms before it; `lib.rs` is free.
const LOW_TO_HIGH: &[&str] = &[
    "engine",
    "websocket",
    "ids",
    "reach",
    "message",
    "validate",
    "error",
    "notice",
    "metrics",
    "spans",
    "config",
    "account",
    "gate",
    "redis",
    "condition",
    "presence",
    "bus",
    "connection",
    "router",
    "transport",
    "node",
    "relay",
    "respond",
    "client",
    "body",
    "publish",
    "shared",
    "future",
    "service",
    "layer",
    "cluster",
    "serve",
    "testing",
];

/// Rooms that use nothing of ours, no clock, no lock, no runtime.
const PURE: &[&str] = &["engine", "websocket"];

/// What a pure room does not mention.
const IMPURE: &[&str] = &["tokio", "http::", "Instant::now", "getrandom", "Mutex"];

/// The longest file, its tests aside.
const MAX_LINES: usize = 400;

#[test]
fn every_import_goes_downward() {
    assert_none(house().iter().flat_map(File::upward_arrows));
}

#[test]
fn the_protocol_cores_are_pure() {
    assert_none(house().iter().flat_map(File::impurities));
}

#[test]
fn no_file_is_too_long() {
    let too_long = |file: &File| {
        let lines = file.code.lines().count();
        (lines > MAX_LINES).then(|| format!("{}: {lines} lines", file.path.display()))
    };
    assert_none(house().iter().filter_map(too_long));
}

#[test]
fn an_import_from_a_higher_room_is_found() {
    for text in [
        "use crate::relay::Relay;",
        "use crate::{engine::Packet, relay::{Relay, Hop}};",
        "use crate::{\n    engine::Packet,\n    relay,\n};",
        "fn f() -> crate::relay::Relay { todo!() }",
        "pub(in crate::relay) struct X;",
        "use super::super::relay::Relay;",
        "use super::super::{relay};",
        "const QUOTE: char = '\"'; use crate::relay::Relay; const END: char = '\"';",
        "fn f<'a>(x: &'a str) -> crate::relay::Relay<'a> { todo!() }",
        "const PATTERN: &str = r#\"\"#; use crate::relay::Relay;",
        "mod inner { use crate::relay::Relay; }",
        "#[cfg(test)]\nmod tests;\nuse crate::relay::Relay;",
    ] {
        let found = File::of("bus/redis.rs", text).upward_arrows();
        assert_eq!(found, ["bus/redis.rs: bus uses relay"], "in {text}");
    }
}

#[test]
fn an_import_from_the_root_is_found() {
    let file = File::of("bus/redis.rs", "use crate::Message;");
    assert_eq!(file.upward_arrows(), ["bus/redis.rs: bus uses Message"]);
}

#[test]
fn a_room_that_the_table_lacks_is_found() {
    let file = File::of("cellar.rs", "use crate::engine::Packet;");
    assert_eq!(file.upward_arrows(), ["cellar.rs: cellar uses engine"]);
}

#[test]
fn imports_from_below_and_within_pass() {
    for text in [
        "use crate::engine::Packet;",
        "use crate::{bus::Entry, engine::{Packet, Payload}};",
        "use super::Entry;",
        "use super::memory::relay;",
        "//! [`Relay`](crate::relay::Relay)\n/// crate::relay\n// crate::relay\n/* crate::relay */",
        "const TEXT: &str = \"crate::relay \\\" crate::relay\";",
        "const TEXT: &str = r#\"\" crate::relay\"#;",
        "#[cfg(test)]\nmod tests { use crate::relay::Relay; fn f() { let _ = \"}\"; } }",
        "#[cfg(test)]\n#[expect(clippy::all, reason = \"x\")]\nmod tests {\n    use crate::relay::Relay;\n}\n",
    ] {
        assert_none(File::of("bus/redis.rs", text).upward_arrows());
    }
}

#[test]
fn a_pure_room_that_touches_the_world_is_found() {
    let touched = |path, text| File::of(path, text).impurities().len();

    assert_eq!(touched("engine/mod.rs", "use crate::engine::Packet;"), 1);
    assert_eq!(touched("engine/mod.rs", "use std::sync::Mutex;"), 1);
    assert_eq!(
        touched("websocket/frame.rs", "let now = Instant::now();"),
        1
    );
    assert_eq!(
        touched("websocket/frame.rs", "use super::super::engine::Packet;"),
        1
    );
    assert_eq!(
        touched("websocket/frame.rs", "// no tokio here\nuse super::Frame;"),
        0
    );
    assert_eq!(touched("bus/mod.rs", "use tokio::sync::mpsc;"), 0);
}

#[test]
fn test_modules_do_not_count_as_lines() {
    let file = File::of(
        "bus/mod.rs",
        "mod redis;\n#[cfg(test)]\nmod tests {\n\n\n}\nmod memory;\n",
    );
    assert_eq!(file.code.lines().count(), 3);
}

/// A file of `src/`, reduced to the code that users run.
struct File {
    path: PathBuf,
    code: String,
}

impl File {
    fn of(path: impl Into<PathBuf>, text: &str) -> Self {
        Self {
            path: path.into(),
            code: without_test_modules(&without_comments_and_strings(text)),
        }
    }

    /// The top-level module that this file is of; none for `lib.rs`.
    fn room(&self) -> Option<&str> {
        let first = self.path.iter().next()?.to_str()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib").then_some(room)
    }

    /// How many `super::` lead from here to the root of the crate.
    fn depth(&self) -> usize {
        let is_mod = self.path.file_name().is_some_and(|name| name == "mod.rs");
        self.path.iter().count() - usize::from(is_mod)
    }

    /// Names that follow the root of the crate, by `crate::` or by a chain of `super::`.
    fn arrows(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = heads_after(&self.code, "crate::").into_iter().collect();
        // In an inline module the same chain ends within the room, hence only rooms count.
        let climbed = heads_after(&self.code, &"super::".repeat(self.depth()));
        names.extend(climbed.into_iter().filter(|name| floor(name).is_some()));
        names
    }

    fn upward_arrows(&self) -> Vec<String> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        let goes_up = |to: &&str| *to != room && (floor(to).is_none() || floor(to) >= floor(room));
        let upward = self.arrows().into_iter().filter(goes_up);
        upward
            .map(|to| format!("{}: {room} uses {to}", self.path.display()))
            .collect()
    }

    fn impurities(&self) -> Vec<String> {
        if !self.room().is_some_and(|room| PURE.contains(&room)) {
            return Vec::new();
        }
        let words = IMPURE
            .iter()
            .copied()
            .filter(|word| self.code.contains(word));
        let found = words.chain(self.arrows());
        found
            .map(|what| format!("{}: mentions {what}", self.path.display()))
            .collect()
    }
}

fn floor(room: &str) -> Option<usize> {
    LOW_TO_HIGH.iter().position(|name| *name == room)
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Every file of `src/` that is not only compiled for tests.
fn house() -> Vec<File> {
    let mut files = Vec::new();
    collect(Path::new(""), &mut files).expect("src can be read");
    assert!(
        files.iter().any(|file| file.room().is_none()),
        "lib.rs is read"
    );
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path())?;
            files.push(File::of(path, &text));
        }
    }
    Ok(())
}

/// The names after each `root`, which a longer chain of `super::` may follow.
fn heads_after<'a>(code: &'a str, root: &str) -> Vec<&'a str> {
    let starts_word = |at: usize| !code[..at].ends_with(|c: char| is_name(c) || c == ':');
    let starts = code.match_indices(root).filter(|(at, _)| starts_word(*at));
    let paths = starts.map(|(at, _)| code[at + root.len()..].trim_start_matches("super::"));
    paths.flat_map(heads).collect()
}

/// The first name of a path, or of each path in a `{group}`.
fn heads(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![head(path)];
    };
    let mut heads = vec![head(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head(path: &str) -> &str {
    let path = path.trim_start();
    match path.find(|c| !is_name(c)) {
        Some(0) if path.starts_with('*') => "*",
        Some(end) => &path[..end],
        None => path,
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Keeps the line breaks of what it leaves out.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after_name = code.ends_with(is_name);
        match literal_or_comment(rest, after_name) {
            Some(length) => {
                let (left_out, tail) = rest.split_at(length);
                code.extend(left_out.chars().filter(|c| *c == '\n'));
                rest = tail;
            }
            None => {
                code.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment or literal that `text` starts with.
fn literal_or_comment(text: &str, after_name: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    if !after_name && let Some(length) = raw_string(text) {
        return Some(length);
    }
    match text.chars().next()? {
        '"' => quoted(text, '"'),
        // A lifetime has no second quote right after its first character.
        '\'' if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => {
            quoted(text, '\'')
        }
        _ => None,
    }
}

fn raw_string(text: &str) -> Option<usize> {
    let hashed = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let quoted = hashed.trim_start_matches('#');
    let hashes = &hashed[..hashed.len() - quoted.len()];
    let body = quoted.strip_prefix('"')?;
    let end = body.find(&format!("\"{hashes}"))? + 1 + hashes.len();
    Some(text.len() - body.len() + end)
}

fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let ends = |c: char| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    };
    text[1..].find(ends).map(|end| end + 2)
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_test_modules(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut kept = String::from(parts.next().unwrap_or_default());
    for part in parts {
        kept.push_str(&part[item_length(part)..]);
    }
    kept
}

/// The length of the item that `code` starts with: up to its semicolon or the end of its block.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, '}' | ';') {
            return at + 1;
        }
    }
    code.len()
}
