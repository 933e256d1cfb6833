//! The manifests of the crates to take say by themselves what the workspace's other packages inherit.

use std::fs;

use toml::{Table, Value};

use boot::workspace::root;

const CRATES: [&str; 5] = [
    "kernel/rundown",
    "kernel/rundown-c",
    "kernel/bringup",
    "boot/direct",
    "boot/handover",
];

#[test]
fn nothing_is_inherited() {
    for folder in CRATES {
        let inherits = text(folder).contains("workspace = true");
        assert!(!inherits, "{folder}/Cargo.toml inherits from the workspace");
    }
}

#[test]
fn what_the_workspace_says_is_the_same_there() {
    let workspace = &manifest("")["workspace"];
    for folder in CRATES {
        let own = manifest(folder);
        for key in ["version", "edition", "license"] {
            assert_eq!(
                own["package"][key], workspace["package"][key],
                "{folder}: {key}"
            );
        }
        for (tool, lints) in workspace["lints"].as_table().expect("lints") {
            for (lint, level) in lints.as_table().expect("lints") {
                let level_here = own["lints"][tool].get(lint);
                // Cfgs of `rundown`, which the others have no use for.
                let expected = level_here.is_none() && lint == "unexpected_cfgs";
                assert!(expected || level_here == Some(level), "{folder}: {lint}");
            }
        }
        let versions = &workspace["dependencies"];
        for (name, dependency) in dependencies(&own) {
            let Some(shared) = versions.get(&name).and_then(version) else {
                continue;
            };
            assert_eq!(version(&dependency), Some(shared), "{folder}: {name}");
        }
    }
}

fn text(folder: &str) -> String {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest")
}

fn manifest(folder: &str) -> Table {
    text(folder).parse().expect("TOML")
}

/// All dependencies, also of one target, also for development.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let kinds = tables.flat_map(|table| {
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        kinds
            .into_iter()
            .filter_map(|kind| table.get(kind)?.as_table())
    });
    kinds
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .filter(|(name, value)| {
            // The crate itself, for its tests.
            !(name == "rundown" && value.get("version").is_none())
        })
        .collect()
}

fn version(dependency: &Value) -> Option<&str> {
    let version = dependency.get("version").unwrap_or(dependency);
    version.as_str()
}
