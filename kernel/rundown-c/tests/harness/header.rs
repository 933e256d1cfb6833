//! Whether `include/rundown.h` declares what the sources define, no more and no less.

use std::collections::BTreeSet;
use std::fs;

use crate::library::{self, CARGO, cargo, succeed};
use crate::package;

pub(crate) fn declares_what_the_sources_define() {
    let header = fs::read_to_string(package().join("include/rundown.h")).expect("a header");
    let (header, sources) = (declarations(&header), declarations(&from_the_sources()));
    let sources: BTreeSet<String> = sources.into_iter().map(with_its_mark).collect();
    let missing: Vec<_> = sources.difference(&header).collect();
    let excess: Vec<_> = header.difference(&sources).collect();
    assert!(
        missing.is_empty() && excess.is_empty() && !header.is_empty(),
        "include/rundown.h lacks {missing:#?}\nand should not have {excess:#?}"
    );
}

/// Callers must look at whether protection was granted, and at every status but that of a close, of
/// which none is a failure.
fn with_its_mark(declaration: String) -> String {
    let is_status = declaration.starts_with("enum rundown_status rundown_");
    if is_status && !declaration.contains("_close (") || declaration.contains("_try_acquire") {
        return format!("RUNDOWN_MUST_USE {declaration}");
    }
    declaration
}

/// The declarations that cbindgen makes. It does not know what macros make, so it gets the sources
/// with all of them expanded.
fn from_the_sources() -> String {
    let folder = library::folder("expanded");
    let mut rustc = cargo(CARGO, "rustc");
    rustc.args(["--lib", "--target-dir"]).arg(&folder);
    let expanded = succeed(rustc.args(["--", "-Zunpretty=expanded"]));
    let source = folder.join("expanded.rs");
    fs::write(&source, expanded).expect("written");
    let config = cbindgen::Config::from_file(package().join("cbindgen.toml"));
    let builder = cbindgen::Builder::new().with_config(config.expect("cbindgen.toml"));
    let mut made = Vec::new();
    builder.with_src(source).generate().expect("declarations").write(&mut made);
    String::from_utf8(made).expect("UTF-8")
}

/// Each declaration, in one spelling: without comments and preprocessor lines, and with single
/// spaces between words and marks.
fn declarations(header: &str) -> BTreeSet<String> {
    let (mut words, mut hidden) = (String::new(), false);
    for line in header.lines().map(str::trim) {
        // Comments in this style, and what is for C++, stand on lines of their own.
        hidden |= line.starts_with("/*") || line.starts_with("#ifdef __cplusplus");
        if !hidden && !line.starts_with(['#', '/']) {
            words.push_str(line.split("//").next().unwrap_or_default());
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
