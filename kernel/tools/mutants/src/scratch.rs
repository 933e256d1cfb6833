//! A copy that may be broken: of the crate, in a small workspace of its own; or of the whole
//! workspace, for what boots a kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::list::Mutant;
use crate::place::Place;

/// A copy.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Root of the copied workspace.
    pub(crate) root: PathBuf,
    /// What mutants name files relative to: the copied crate, or the root.
    pub(crate) package: PathBuf,
}

impl Scratch {
    /// A copy of the whole workspace. Otherwise like [`ready`](Self::ready).
    pub(crate) fn whole(place: &Place) -> Result<Self> {
        let root = place.work.join("whole").join("tree");
        // Cargo joins the configurations of all folders above where it is started: below the original,
        // with a copy of it, each linker argument would come twice.
        let configured = root.starts_with(&place.root);
        mirror(&place.root, &root, Scope::All { configured })?;
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).context("reading the copy's Cargo.toml")?;
        write_if_changed(&manifest, incremental(&text)?.as_bytes())?;
        Ok(Self {
            package: root.clone(),
            root,
        })
    }

    /// The copy of the crate with this number, made like the original. What is the same already stays untouched,
    /// so that cargo need not build it again.
    pub(crate) fn ready(place: &Place, number: usize) -> Result<Self> {
        let root = place.work.join(format!("copy-{number}"));
        let package = root.join("tree").join(&place.member);
        let root = root.join("tree");
        mirror(&place.package(), &package, Scope::OnePackage)?;
        let manifest = fs::read_to_string(place.root.join("Cargo.toml"))
            .context("reading the workspace's Cargo.toml")?;
        let manifest = small_workspace(&manifest, place)?;
        write_if_changed(&root.join("Cargo.toml"), manifest.as_bytes())?;
        // The same versions, and no look at the registry. Cargo drops the entries that the copy has
        // no use for, so the file is only written when there is none.
        let (lock, copied) = (place.root.join("Cargo.lock"), root.join("Cargo.lock"));
        if lock.exists() && newer(&lock, &copied) {
            fs::copy(&lock, &copied).context("copying Cargo.lock")?;
        }
        Ok(Self { root, package })
    }

    /// Breaks the copy; it is whole again when the returned value is gone.
    pub(crate) fn apply(&self, mutant: &Mutant) -> Result<Applied> {
        let file = self.package.join(&mutant.file);
        let original = fs::read_to_string(&file)
            .with_context(|| format!("the mutant no longer applies: {}", mutant.file))?;
        let broken = mutant
            .patch()
            .apply(&original)
            .with_context(|| format!("the mutant no longer applies: {}", mutant.file))?;
        fs::write(&file, broken)?;
        Ok(Applied { file, original })
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
        // If this fails, the next mutant's killer is not built from what was proven: nothing to
        // carry on with.
        if let Err(error) = fs::write(&self.file, &self.original) {
            panic!("cannot restore {}: {error}", self.file.display());
        }
    }
}

/// Which files are copied, besides that builds' and git's never are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those of one package, without packages inside it.
    OnePackage,
    /// All; without cargo's configuration if the copy is `configured` by that of the original.
    All { configured: bool },
}

/// Makes `to` like `from`. What is the same already stays untouched.
fn mirror(from: &Path, to: &Path, scope: Scope) -> Result<()> {
    let mut wanted = BTreeSet::new();
    collect(from, Path::new(""), scope, &mut wanted)?;
    for file in &wanted {
        write_if_changed(&to.join(file), &read(&from.join(file))?)?;
    }
    // What is there and should not be: also a configuration, from when the copy had one.
    let scope = match scope {
        Scope::All { .. } => Scope::All { configured: false },
        Scope::OnePackage => scope,
    };
    let mut present = BTreeSet::new();
    collect(to, Path::new(""), scope, &mut present)?;
    for file in present.difference(&wanted) {
        fs::remove_file(to.join(file))?;
    }
    Ok(())
}

/// The files below `base`.
fn collect(base: &Path, folder: &Path, scope: Scope, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let here = base.join(folder);
    if !here.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&here).with_context(|| format!("reading {}", here.display()))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let full = entry.path();
        if !full.is_dir() {
            files.insert(path);
            continue;
        }
        let inner = scope == Scope::OnePackage && full.join("Cargo.toml").exists();
        let skipped = ["target", ".git"]
            .iter()
            .any(|name| entry.file_name() == *name);
        let configuration =
            scope == Scope::All { configured: true } && entry.file_name() == ".cargo";
        if !inner && !skipped && !configuration {
            collect(base, &path, scope, files)?;
        }
    }
    Ok(())
}

fn newer(file: &Path, than: &Path) -> bool {
    let time = |path| fs::metadata(path).and_then(|data| data.modified()).ok();
    time(file) > time(than)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
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

/// The manifest of a workspace whose release builds, as guests are, reuse what a mutant leaves as it is: they
/// then take a third of the time.
fn incremental(manifest: &str) -> Result<String> {
    let mut manifest: Table = manifest.parse().context("in the workspace's Cargo.toml")?;
    let mut inner = &mut manifest;
    for key in ["profile", "release"] {
        let value = inner.entry(key).or_insert_with(|| Table::new().into());
        inner = value
            .as_table_mut()
            .with_context(|| format!("Cargo.toml: `{key}` is no table"))?;
    }
    inner.insert("incremental".into(), true.into());
    Ok(toml::to_string(&manifest)?)
}

/// The manifest of a workspace whose only member is the crate, with all that members may inherit.
fn small_workspace(manifest: &str, place: &Place) -> Result<String> {
    let whole: Table = manifest.parse().context("in the workspace's Cargo.toml")?;
    let member = place.member.to_string_lossy().into_owned();
    let mut workspace = Table::new();
    for key in ["resolver", "package", "dependencies", "lints"] {
        let value = whole.get("workspace").and_then(|table| table.get(key));
        if let Some(value) = value {
            workspace.insert(key.into(), value.clone());
        }
    }
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        for dependency in dependencies.iter_mut().map(|(_, value)| value) {
            if let Some(Value::String(path)) = dependency.get_mut("path")
                && *path != member
            {
                // Not copied; used where it is.
                *path = place.root.join(&*path).to_string_lossy().into_owned();
            }
        }
    }
    workspace.insert("members".into(), Value::Array(vec![member.into()]));
    let mut small = Table::from_iter([("workspace".into(), Value::Table(workspace))]);
    if let Some(Value::Table(profiles)) = whole.get("profile") {
        let mut profiles = profiles.clone();
        for (_, profile) in profiles.iter_mut() {
            if let Value::Table(profile) = profile {
                // Of packages that are not here; and nobody debugs a mutant.
                profile.remove("package");
                profile.insert("debug".into(), false.into());
            }
        }
        small.insert("profile".into(), Value::Table(profiles));
    }
    Ok(toml::to_string(&small)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [workspace]
        resolver = "3"
        members = ["tool", "kernel/rundown"]
        default-members = ["tool"]

        [workspace.package]
        version = "1.2.3"

        [workspace.dependencies]
        loom = "0.7"
        rundown = { path = "kernel/rundown", version = "1.2.3" }
        tool = { path = "tool" }

        [workspace.lints.rust]
        missing_docs = "warn"

        [profile.dev.package.tool]
        opt-level = 1

        [profile.release]
        debug = true
        overflow-checks = true
    "#;

    #[test]
    fn the_small_workspace_has_what_the_crate_inherits() {
        let place = Place {
            root: "/root".into(),
            member: "kernel/rundown".into(),
            work: "/work".into(),
        };
        let small = small_workspace(MANIFEST, &place).expect("a manifest");
        let small: Table = small.parse().expect("TOML");
        let workspace = &small["workspace"];
        assert_eq!(workspace["members"][0].as_str(), Some("kernel/rundown"));
        assert_eq!(workspace.get("default-members"), None);
        assert_eq!(workspace["package"]["version"].as_str(), Some("1.2.3"));
        let dependencies = &workspace["dependencies"];
        assert_eq!(dependencies["loom"].as_str(), Some("0.7"));
        assert_eq!(
            dependencies["rundown"]["path"].as_str(),
            Some("kernel/rundown")
        );
        assert_eq!(dependencies["tool"]["path"].as_str(), Some("/root/tool"));
        assert_eq!(
            workspace["lints"]["rust"]["missing_docs"].as_str(),
            Some("warn")
        );
        let profile = &small["profile"];
        assert_eq!(profile["dev"].get("package"), None);
        assert_eq!(profile["release"]["overflow-checks"].as_bool(), Some(true));
        assert_eq!(profile["release"]["debug"].as_bool(), Some(false));
    }

    #[test]
    fn a_copy_follows_its_original() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place {
            root: folder.path().join("real"),
            member: "a".into(),
            work: folder.path().join("work"),
        };
        let write = |file: &str, text: &str| {
            write_if_changed(&place.root.join(file), text.as_bytes()).expect("written");
        };
        write("Cargo.toml", MANIFEST);
        write("a/src/lib.rs", "one");
        write("a/src/gone.rs", "gone");
        write("a/inner/Cargo.toml", "not part of the crate");
        write("a/target/x", "not part of the crate");
        let copy = Scratch::ready(&place, 0).expect("a copy");
        let text = |file: &str| fs::read_to_string(copy.package.join(file)).ok();
        assert_eq!(text("src/lib.rs").as_deref(), Some("one"));
        assert!(text("src/gone.rs").is_some());
        assert_eq!((text("inner/Cargo.toml"), text("target/x")), (None, None));

        write("a/src/lib.rs", "two");
        fs::remove_file(place.root.join("a/src/gone.rs")).expect("removed");
        fs::write(copy.package.join("src/new.rs"), "left by a killer").expect("written");
        Scratch::ready(&place, 0).expect("the same copy");
        assert_eq!(text("src/lib.rs").as_deref(), Some("two"));
        assert_eq!((text("src/gone.rs"), text("src/new.rs")), (None, None));

        write(".cargo/config.toml", "[build]");
        let whole = Scratch::whole(&place).expect("another copy");
        let text = |file: &str| fs::read_to_string(whole.package.join(file)).ok();
        assert_eq!(text("a/src/lib.rs").as_deref(), Some("two"));
        let manifest: Table = text("Cargo.toml")
            .and_then(|text| text.parse().ok())
            .expect("TOML");
        let release = &manifest["profile"]["release"];
        assert_eq!(release["incremental"].as_bool(), Some(true));
        assert_eq!(release["overflow-checks"].as_bool(), Some(true));
        assert_eq!(
            manifest["workspace"]["resolver"].as_str(),
            Some("3"),
            "the rest is as it was"
        );
        assert!(text("a/inner/Cargo.toml").is_some() && text("a/target/x").is_none());
        assert!(text(".cargo/config.toml").is_some());

        let below = Place {
            work: place.root.join("target"),
            ..place
        };
        let configuration = below.work.join("whole/tree/.cargo/config.toml");
        write_if_changed(&configuration, b"from an earlier version").expect("written");
        Scratch::whole(&below).expect("a copy below its original");
        assert!(!configuration.exists());
    }
}
