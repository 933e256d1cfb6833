//! Whether `include/rundown.h` declares what the sources define, no more and no less.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Error, Result, ensure};

use crate::archive;
use crate::compiler::{package, succeed};
use crate::toolchain::Toolchain;

pub(crate) fn declares_what_the_sources_define() -> Result<()> {
    let header = fs::read_to_string(package().join("include/rundown.h"))?;
    let (header, sources) = (declarations(&header), declarations(&from_the_sources()?));
    let missing: Vec<_> = sources.difference(&header).collect();
    let excess: Vec<_> = header.difference(&sources).collect();
    ensure!(
        missing.is_empty() && excess.is_empty() && !header.is_empty(),
        "include/rundown.h lacks {missing:#?}\nand should not have {excess:#?}"
    );
    Ok(())
}

/// The declarations that cbindgen makes. It does not know what macros make, so it gets the sources with
/// all of them expanded.
fn from_the_sources() -> Result<String> {
    let folder = archive::folder("expanded");
    fs::create_dir_all(&folder)?;
    let mut rustc = Toolchain::active()?.cargo("rustc");
    rustc.args(["--lib", "--target-dir"]).arg(&folder);
    // Lets a released compiler take the -Z flag; no source here uses an unstable feature.
    rustc.env("RUSTC_BOOTSTRAP", "1");
    let expanded = succeed(rustc.args(["--", "-Zunpretty=expanded"]))?;
    let source = folder.join("expanded.rs");
    fs::write(&source, expanded)?;
    let config = cbindgen::Config::from_file(package().join("cbindgen.toml"));
    let bindings = cbindgen::Builder::new()
        .with_config(config.map_err(Error::msg).context("cbindgen.toml")?)
        .with_src(source)
        .generate()
        .context("cbindgen")?;
    let mut made = Vec::new();
    bindings.write(&mut made);
    Ok(String::from_utf8(made)?)
}

/// Each declaration, in one spelling: without comments and preprocessor lines, and with single spaces
/// between words and marks.
fn declarations(header: &str) -> BTreeSet<String> {
    let (mut words, mut hidden) = (String::new(), false);
    for line in header.lines().map(str::trim) {
        // Comments in this style, and what is for C++, stand on lines of their own.
        hidden |= line.starts_with("/*") || line.starts_with("#ifdef __cplusplus");
        if !hidden && !line.starts_with(['#', '/']) {
            words.push_str(line);
            words.push(' ');
        }
        hidden &= !line.ends_with("*/") && !line.starts_with("#endif");
    }
    for mark in ["(", ")", "*", ",", ";", "{", "}", "[", "]"] {
        words = words.replace(mark, &format!(" {mark} "));
    }
    let mut all = BTreeSet::new();
    let (mut one, mut depth) = (Vec::new(), 0);
    for word in words.split_whitespace() {
        one.push(word);
        depth += i32::from(word == "{") - i32::from(word == "}");
        if word == ";" && depth == 0 {
            all.insert(one.join(" "));
            one.clear();
        }
    }
    all
}
