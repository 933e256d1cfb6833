//! A kernel of the user's own, to begin with: `cargo boot new`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, absolute};

use anyhow::{Context, ensure};

macro_rules! files {
    ($($file:literal)*) => {
        [$(($file, include_str!(concat!("../../tests/foreign/loader_api/", $file)))),*]
    };
}

/// A kernel that is tested here, and built elsewhere by its tests: names and contents.
const FILES: [(&str, &str); 9] = files! {
    ".cargo/config.toml" ".gitignore" "Cargo.lock" "Cargo.toml" "build.rs" "rustfmt.toml" "src/glue.rs" "src/main.rs" "src/memory.rs"
};

/// Its package's name, and the checkout as seen from there.
const NAME: &str = "\"foreign\"";
const CHECKOUT: &str = "../../..";

/// Names that cargo or rustc have other uses for.
const RESERVED: &str = "alloc build core deps examples incremental std test";

/// Writes a kernel to `folder`, named like it, which takes its crates from `checkout`.
///
/// # Errors
///
/// The name is not a package's, the folder exists or is within the checkout, or cannot be written.
pub fn write(folder: &Path, checkout: &Path) -> anyhow::Result<()> {
    let name = folder.file_name().and_then(OsStr::to_str);
    let name = name.filter(|name| can_be_a_name(name)).with_context(|| {
        format!(
            "{}: not a name for a kernel: an ASCII letter, then letters, digits, - and _; and no name of a crate that it \
             uses, or that means something to cargo",
            folder.display()
        )
    })?;
    let cannot = || format!("cannot create {}", folder.display());
    let around = absolute(folder)?;
    let around = around.parent().context("a folder is in another one")?;
    let around = around.canonicalize().with_context(cannot)?;
    let checkout = checkout.canonicalize()?;
    ensure!(
        !around.starts_with(&checkout),
        "{}: choose a folder outside of {}, whose settings for cargo would hold there, too",
        folder.display(),
        checkout.display()
    );
    let plain = |path: &&str| !path.contains(['"', '\\']);
    let checkout = checkout.to_str().filter(plain);
    let checkout = checkout.context("the path of this checkout cannot stand in a manifest")?;
    fs::create_dir(folder).with_context(cannot)?;
    for (file, text) in FILES {
        let file = folder.join(file);
        let text = text.replace(NAME, &format!("{name:?}"));
        fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        fs::write(&file, text.replace(CHECKOUT, checkout)).with_context(cannot)?;
    }
    Ok(())
}

fn can_be_a_name(name: &str) -> bool {
    let is_used = |(_, text): &(&str, &str)| text.contains(&format!("name = {name:?}"));
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        && RESERVED.split(' ').all(|it| it != name)
        && !FILES.iter().any(is_used)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{FILES, write};
    use crate::workspace;

    #[test]
    fn every_file_has_the_new_name_and_the_way_to_the_checkout() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let kernel = folder.path().join("my-kernel");
        write(&kernel, workspace::root()).expect("written");
        let read = |file: &str| fs::read_to_string(kernel.join(file)).expect("written");
        let manifest = read("Cargo.toml");
        assert!(manifest.contains("name = \"my-kernel\""), "{manifest}");
        let bringup = workspace::root().join("kernel/bringup");
        assert!(manifest.contains(&format!("{bringup:?}")), "{manifest}");
        for (file, _) in FILES {
            assert!(!read(file).contains("../") && !read(file).contains("foreign"), "{file}");
        }
        let again = write(&kernel, workspace::root()).expect_err("there");
        assert!(format!("{again:#}").contains("exists"), "{again:#}");
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_the_reason() {
        let root = workspace::root();
        for (path, part) in [
            ("1st", "not a name"),
            ("a b", "not a name"),
            ("", "not a name"),
            ("x/..", "not a name"),
            ("test", "not a name"),
            ("rundown", "not a name"),
            ("none/mine", "cannot create none/mine"),
            (root.join("mine").to_str().expect("UTF-8"), "outside of"),
        ] {
            let error = write(Path::new(path), root).expect_err("refused");
            assert!(format!("{error:#}").contains(part), "{path}: {error:#}");
            assert!(!Path::new(path).exists() || path.is_empty() || path == "x/..");
        }
    }
}
