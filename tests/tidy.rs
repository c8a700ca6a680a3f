//! The house rules that a machine can check: dependency arrows, file headers, ASCII sources, the
//! places where a library may appear, and bans.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which of our crates each crate may use. Arrows point down only (ARCHITECTURE.md draws them).
const ARROWS: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("proto", &[]),
    ("template", &[]),
    ("disk", &["model"]),
    ("tsdb", &["disk", "model"]),
    ("logstore", &["disk", "model"]),
    ("tracestore", &["disk", "model"]),
    ("query", &["model", "template"]),
    ("rules", &["model", "query", "template"]),
    ("alertmanager", &["model", "template"]),
    ("collector", &["model", "proto"]),
    ("api", &["alertmanager", "model", "proto", "query", "rules"]),
    ("benches", &["model", "proto"]),
    (
        "signalbox",
        &[
            "alertmanager",
            "api",
            "collector",
            "disk",
            "logstore",
            "model",
            "proto",
            "query",
            "rules",
            "template",
            "tracestore",
            "tsdb",
        ],
    ),
];

/// Libraries that belong to few crates: crate name -> crates that may use it.
const HOMES: [(&str, &[&str]); 6] = [
    ("rocksdb", &["disk"]),
    ("tantivy", &["logstore", "tracestore"]),
    ("axum", &["api", "collector"]),
    ("hyper", &["benches", "collector"]),
    ("anyhow", &["benches", "signalbox"]),
    ("clap", &["benches", "signalbox"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder(name: &str) -> PathBuf {
    if name == "signalbox" { root().to_owned() } else { root().join(name) }
}

/// The names under `[dependencies]` of a crate, without dev-dependencies.
fn dependencies(name: &str) -> BTreeSet<String> {
    let path = folder(name).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut section = String::new();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
        } else if section == "dependencies" && !line.starts_with('#') {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            if end > 0 {
                found.insert(line[..end].to_owned());
            }
        }
    }
    found
}

/// All Rust files of ours, generated ones apart.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ARROWS
        .iter()
        .flat_map(|(name, _)| ["src", "tests", "benches"].map(|part| folder(name).join(part)))
        .collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() && !path.ends_with("proto/src/generated") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

#[test]
fn dependency_arrows_are_those_of_the_design() {
    let ours: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest");
    for name in ours.keys().filter(|name| **name != "signalbox") {
        assert!(manifest.contains(&format!("\"{name}\"")), "{name} is not a member");
    }
    for (name, allowed) in &ours {
        for dependency in dependencies(name) {
            let is_ours = ours.contains_key(dependency.as_str());
            assert!(
                !is_ours || allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}; it may use {allowed:?}"
            );
        }
    }
}

#[test]
fn libraries_stay_in_their_homes() {
    for (library, homes) in HOMES {
        for (name, _) in ARROWS {
            assert!(
                homes.contains(&name) || !dependencies(name).contains(library),
                "{library} belongs to {homes:?}, not to {name}"
            );
        }
    }
    let naming: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.starts_with(root().join("disk")))
        .filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("rocksdb::")))
        .collect();
    assert_eq!(naming, [root().join("disk/src/kv.rs")], "only kv.rs names rocksdb");
}

#[test]
fn files_open_with_what_they_are_and_are_ascii() {
    let mut problems = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("a text file");
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if !text.starts_with("//!") {
            problems.push(format!("{shown}: opens without //!"));
        }
        for (number, line) in text.lines().enumerate() {
            if !line.is_ascii() {
                problems.push(format!("{shown}:{}: not ASCII", number + 1));
            }
            if line.trim_end() != line {
                problems.push(format!("{shown}:{}: trailing blanks", number + 1));
            }
        }
        if path.ends_with("mod.rs") && !shown.starts_with("tests/") {
            problems.push(format!("{shown}: use {{name}}.rs beside the folder"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn nothing_is_left_open() {
    // Joined here, so that this file does not find itself.
    let bans =
        [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"], ["X", "XX"]];
    let mut problems = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("a text file");
        for ban in bans {
            let ban = ban.concat();
            if text.contains(&ban) {
                problems.push(format!("{}: {ban}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn crates_forbid_unsafe_through_the_shared_lints() {
    for (name, _) in ARROWS {
        let manifest =
            std::fs::read_to_string(folder(name).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has its own lints");
    }
}

#[test]
fn every_folder_of_the_house_is_there() {
    for name in [
        "model",
        "proto",
        "disk",
        "collector",
        "tsdb",
        "logstore",
        "tracestore",
        "query",
        "template",
        "rules",
        "alertmanager",
        "api",
        "dashboards",
        "deploy",
        "benches",
        "docs",
        "tests",
    ] {
        assert!(root().join(name).is_dir(), "{name}/ is missing");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"]
    {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{document}: {e}"));
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let is_here = !target.is_empty() && !target.contains("://");
            let folder = path.parent().unwrap_or(root());
            if is_here && !folder.join(target).exists() {
                problems.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(problems.is_empty(), "dead links: {}", problems.join(", "));
}
