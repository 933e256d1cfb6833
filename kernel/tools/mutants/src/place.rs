//! Where things are.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};

/// A workspace with the crate to break, and where to work on copies of it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Root of the workspace.
    pub(crate) root: PathBuf,
    /// The crate's folder, relative to the root.
    pub(crate) member: PathBuf,
    /// A folder that is ours alone: copies, builds, logs.
    pub(crate) work: PathBuf,
}

impl Place {
    /// The workspace that this program belongs to.
    pub(crate) fn here() -> Self {
        let mutants = here();
        // kernel/tools/mutants
        let root = mutants.ancestors().nth(3).unwrap_or(&mutants).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
            || root.join("target"),
            // A relative one is relative to where cargo was started, as we were.
            |outer| env::current_dir().unwrap_or_default().join(outer),
        );
        Self {
            member: PathBuf::from("kernel/rundown"),
            work: target.join("mutants"),
            root,
        }
    }

    /// The crate's folder.
    pub(crate) fn package(&self) -> PathBuf {
        self.root.join(&self.member)
    }

    /// The page with the table of mutants.
    pub(crate) fn mutants_page(&self) -> PathBuf {
        self.root.join("docs/mutants.md")
    }

    /// Where output of builds and killers is kept for the reader.
    pub(crate) fn logs(&self) -> PathBuf {
        self.work.join("log")
    }
}

/// The files of the list of mutants, by name.
pub(crate) fn list_files() -> Result<Vec<PathBuf>> {
    let folder = here().join("list");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let file = entry?.path();
        files.extend(Some(file).filter(|file| file.extension().is_some_and(|it| it == "toml")));
    }
    files.sort();
    Ok(files)
}

/// This package's folder: as cargo says now, rather than when it was built, since two checkouts may
/// share a target folder.
fn here() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}
