//! `rundown = { git = "..." }`, with a repository made of the tracked files.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::user::{cargo, empty_crate, succeed};
use boot::workspace::copy;

#[test]
fn a_git_dependency_resolves_and_builds() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = folder.path().join("repository");
    copy("", &repository).expect("a copy");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let name = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        git.args(name).args(["-c", "commit.gpgsign=false"]);
        succeed(git.args(arguments).current_dir(&repository));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=taken"]);

    let user = folder.path().join("user");
    let url = format!("file://{}", repository.display());
    empty_crate(&user, &format!("rundown = {{ git = {url:?}, features = [\"alloc\"] }}"));
    // Not offline, since cargo then fetches no repository, not even this one. Nothing else is needed:
    // without the feature `std` the crate has no dependency.
    let home = cargo_home(folder.path());
    succeed(cargo(&user).args(["check", "--quiet"]).env("CARGO_HOME", home));
}

/// The user's own, except for its checkouts: those of a repository that is gone in a moment would stay
/// there for months.
fn cargo_home(folder: &Path) -> PathBuf {
    let users = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let home = folder.join("cargo-home");
    fs::create_dir(&home).expect("a folder");
    for entry in users.and_then(|users| users.read_dir().ok()).into_iter().flatten().flatten() {
        if entry.file_name() != "git" {
            symlink(entry.path(), home.join(entry.file_name())).expect("a link");
        }
    }
    home
}
