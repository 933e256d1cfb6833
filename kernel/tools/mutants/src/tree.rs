//! A copy of the workspace that may be broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::list::{self, Mutant};

/// A copy, in a folder that is its own; builds go into folders beside it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    /// Makes the copy in `folder` like the original, as far as git knows its files. A file that is
    /// the same already stays untouched, so that cargo need not build it again.
    pub(crate) fn ready(original: &Path, folder: &Path) -> Result<Self> {
        let (root, copied) = (folder.join("tree"), folder.join("files"));
        let files =
            git(original, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        for old in fs::read_to_string(&copied).unwrap_or_default().split_terminator('\0') {
            if !original.join(old).exists() && root.join(old).exists() {
                fs::remove_file(root.join(old))?;
            }
        }
        // Cargo joins the configurations of all folders above the one it starts in: below the
        // original, with a copy of it, each linker argument would come twice.
        let configured = root.starts_with(original);
        for file in files.split_terminator('\0') {
            let from = original.join(file);
            // Some that git lists may be deleted.
            if !from.is_file() || (configured && file.starts_with(".cargo/")) {
                continue;
            }
            let content = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
            let to = root.join(file);
            if !fs::read(&to).is_ok_and(|present| present == content) {
                fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
                fs::write(&to, content).with_context(|| format!("writing {}", to.display()))?;
            }
        }
        // Guests and models are release builds: incremental ones take a third of the time.
        fs::create_dir_all(folder.join(".cargo"))?;
        fs::write(folder.join(".cargo/config.toml"), "profile.release.incremental = true\n")?;
        fs::write(copied, files)?;
        Ok(Self { root })
    }

    /// Does something in the copy while it is broken.
    pub(crate) fn broken<T>(&self, mutant: &Mutant, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let file = mutant.file(&self.root);
        let original = list::read(&file)?;
        fs::write(&file, mutant.apply(&original)?)?;
        let result = act();
        // If this fails, the next mutant is built on top of this one: nothing to carry on with.
        fs::write(&file, original).expect("the file was written before");
        result
    }
}

/// Git's answer in this folder.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(folder).output();
    let output = output.context("starting git")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}
