//! A copy of the workspace that may be broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::list::{self, Mutant};

/// A copy, in a folder that is its own; builds go into folders beside it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    /// Makes the copy in `folder` like the original. A file that is the same already stays untouched, so that
    /// cargo need not build it again.
    pub(crate) fn ready(original: &Path, folder: &Path) -> Result<Self> {
        let root = folder.join("tree");
        // Cargo joins the configurations of all folders above the one it starts in: below the original, with a
        // copy of it, each linker argument would come twice.
        let configured = root.starts_with(original);
        let mut wanted = BTreeSet::new();
        collect(original, Path::new(""), &mut wanted)?;
        wanted.retain(|file| !(configured && file.starts_with(".cargo")));
        let mut present = BTreeSet::new();
        collect(&root, Path::new(""), &mut present)?;
        for file in present.difference(&wanted) {
            fs::remove_file(root.join(file))?;
        }
        for file in &wanted {
            let from = original.join(file);
            let mut content =
                fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
            if file == Path::new("Cargo.toml") {
                content = incremental(String::from_utf8(content)?).into_bytes();
            }
            write_if_changed(&root.join(file), &content)?;
        }
        Ok(Self { root })
    }

    /// Breaks the copy; it is whole again when the returned value is gone.
    pub(crate) fn apply(&self, mutant: &Mutant) -> Result<Applied> {
        let file = mutant.file(&self.root);
        let original = list::read(&file)?;
        fs::write(&file, mutant.apply(&original)?)?;
        Ok(Applied { file, original })
    }

    /// Where what is built with these compiler flags goes.
    pub(crate) fn builds(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }
}

/// A mutant in place.
#[derive(Debug)]
pub(crate) struct Applied {
    file: PathBuf,
    original: String,
}

impl Drop for Applied {
    fn drop(&mut self) {
        // If this fails, the next mutant is built on top of this one: nothing to carry on with.
        if let Err(error) = fs::write(&self.file, &self.original) {
            panic!("cannot restore {}: {error}", self.file.display());
        }
    }
}

/// The files below `base`, without those of builds and of git.
fn collect(base: &Path, folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let here = base.join(folder);
    if !here.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&here).with_context(|| format!("reading {}", here.display()))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if !entry.path().is_dir() {
            files.insert(path);
        } else if !["target", ".git"]
            .iter()
            .any(|name| entry.file_name() == *name)
        {
            collect(base, &path, files)?;
        }
    }
    Ok(())
}

fn write_if_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, content).with_context(|| format!("writing {}", file.display()))
}

/// The workspace's manifest with incremental release builds, as guests and models are: a third of the time.
fn incremental(manifest: String) -> String {
    manifest.replace(
        "[profile.release]\n",
        "[profile.release]\nincremental = true\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_like_the_original_and_touches_no_more_than_it_must() {
        let folder = tempfile::tempdir().expect("a folder");
        let original = folder.path().join("original");
        let write = |file: &str, text: &str| {
            write_if_changed(&original.join(file), text.as_bytes()).expect("written");
        };
        write("Cargo.toml", "[profile.release]\ndebug = true\n");
        write("src/lib.rs", "one");
        write("src/gone.rs", "");
        write(".cargo/config.toml", "[build]");
        write("target/built", "");
        let copy = Tree::ready(&original, &folder.path().join("copy")).expect("a copy");
        let text = |file: &str| fs::read_to_string(copy.root.join(file)).ok();
        let manifest = "[profile.release]\nincremental = true\ndebug = true\n";
        assert_eq!(text("Cargo.toml").as_deref(), Some(manifest));
        assert!(text(".cargo/config.toml").is_some() && text("target/built").is_none());

        let changed = |file: &str| {
            fs::metadata(copy.root.join(file))
                .and_then(|it| it.modified())
                .ok()
        };
        let before = changed("src/lib.rs");
        fs::remove_file(original.join("src/gone.rs")).expect("removed");
        fs::write(copy.root.join("src/new.rs"), "left by a killer").expect("written");
        Tree::ready(&original, &folder.path().join("copy")).expect("the same copy");
        assert_eq!((text("src/gone.rs"), text("src/new.rs")), (None, None));
        assert_eq!(changed("src/lib.rs"), before);

        let below = Tree::ready(&original, &original.join("target/copy")).expect("a copy below");
        assert!(!below.root.join(".cargo/config.toml").exists());
    }
}
