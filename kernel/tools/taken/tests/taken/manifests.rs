//! The manifests of the crates to take say by themselves what the workspace's other packages inherit.

use std::fs;

use toml::Table;

use boot::workspace::root;

const CRATES: [&str; 5] =
    ["kernel/rundown", "kernel/rundown-c", "kernel/bringup", "boot/direct", "boot/handover"];

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
            assert_eq!(own["package"][key], workspace["package"][key], "{folder}: {key}");
        }
        for (tool, lints) in workspace["lints"].as_table().expect("lints") {
            for (lint, level) in lints.as_table().expect("lints") {
                let level_here = own["lints"][tool].get(lint);
                // Cfgs of `rundown`, which the others have no use for.
                let expected = level_here.is_none() && lint == "unexpected_cfgs";
                assert!(expected || level_here == Some(level), "{folder}: {lint}");
            }
        }
    }
}

fn text(folder: &str) -> String {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest")
}

fn manifest(folder: &str) -> Table {
    text(folder).parse().expect("TOML")
}
