//! The README shows what is really there.

use std::{fs, path::Path};

const README: &str = include_str!("../README.md");
const STANDALONE: &str = include_str!("../examples/standalone.rs");
const MANIFEST: &str = include_str!("../Cargo.toml");

#[test]
fn the_smallest_server_is_the_example() {
    let (_, program) = STANDALONE.split_once("\n\n").unwrap();

    assert!(README.contains(&format!("```rust,no_run\n{program}```\n")));
    assert!(STANDALONE.lines().count() < 25);
}

#[test]
fn every_link_into_the_project_leads_somewhere() {
    let links = README.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    let local: Vec<&str> = links.filter(|link| !link.contains("://")).collect();

    assert!(local.len() > 4, "{local:?}");
    for link in local {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(fs::exists(&file).unwrap(), "{link} is not there");
    }
}

#[test]
fn every_feature_is_in_the_table() {
    let (_, features) = MANIFEST.split_once("[features]\n").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let names = features.lines().filter_map(|line| line.split_once(" = "));

    for (name, _) in names.filter(|(name, _)| !name.starts_with('#') && *name != "default") {
        assert!(README.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_oldest_rust_is_that_of_the_manifest() {
    let (_, version) = MANIFEST.split_once("rust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();

    assert!(README.contains(&format!("oldest Rust that works is {version}.")));
}
