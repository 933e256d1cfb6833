//! The repository's files, as they are in the working tree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::user::succeed;

/// Root of the repository: around the package that cargo runs.
pub(crate) fn root() -> PathBuf {
    let built = || env!("CARGO_MANIFEST_DIR").into();
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built, PathBuf::from);
    // kernel/tools/taken
    let root = package.ancestors().nth(3).expect("three folders down");
    root.to_path_buf()
}

/// Copies the tracked files below `folder` (empty: all) into `to`, under their paths below `folder`.
pub(crate) fn copy(folder: &str, to: &Path) {
    let from = root().join(folder);
    let mut git = Command::new("git");
    let list = succeed(git.args(["ls-files", "-z"]).current_dir(&from));
    let mut copied = 0;
    for file in list.split_terminator('\0') {
        let source = from.join(file);
        // Deleted in the working tree, but not committed yet.
        if !source.exists() {
            continue;
        }
        let target = to.join(file);
        let parent = target.parent().expect("a file is in a folder");
        fs::create_dir_all(parent).expect("a folder");
        fs::copy(&source, &target).expect("a copy");
        copied += 1;
    }
    assert!(copied > 0, "no tracked files in {}", from.display());
}
