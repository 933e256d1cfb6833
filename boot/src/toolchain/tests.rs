use std::path::{Path, PathBuf};

use super::{Found, Linker, Toolchain, choose, probe};
use crate::version::Version;
use crate::workspace::{TARGET, UEFI_TARGET};

fn toolchain(home: &str, minor: u32) -> Toolchain {
    Toolchain {
        cargo: Path::new(home).join("cargo"),
        rustc: Path::new(home).join("rustc"),
        version: Version { major: 1, minor },
        has_target: false,
        has_sources: false,
        rust_lld: Some(Path::new(home).join("rust-lld")),
    }
}

/// A rustup toolchain without anything, and a Debian one with sources but without LLD.
fn debian_machine() -> Found {
    let distribution = Toolchain { has_sources: true, rust_lld: None, ..toolchain("/usr/bin", 96) };
    Found {
        target: TARGET,
        active: Some(toolchain("/rustup", 95)),
        distribution: Some(distribution),
        lld_link: Some("/usr/bin/lld-link".into()),
        ld_lld: Some("/usr/bin/ld.lld".into()),
        gnu_ld: Some("/usr/bin/ld".into()),
    }
}

fn with_active(change: impl FnOnce(&mut Toolchain)) -> Found {
    let mut found = debian_machine();
    change(found.active.as_mut().expect("has one"));
    found
}

#[test]
fn the_target_comes_first_then_the_sources_then_the_distribution() {
    let usr = "not the active toolchain, rustc 1.95 (/rustup/rustc): has neither the target nor the sources";
    type Change = fn(&mut Toolchain);
    let rows: [(Change, &str, bool, &str); 4] = [
        (
            |it| (it.has_target, it.has_sources) = (true, true),
            "/rustup/rustc",
            false,
            "it has the target",
        ),
        (|it| it.has_sources = true, "/rustup/rustc", true, "sources"),
        (|_| (), "/usr/bin/rustc", true, usr),
        (
            |it| (it.has_target, it.version.minor) = (true, 94),
            "/usr/bin/rustc",
            true,
            "older than 1.95; the distribution's, rustc 1.96 (/usr/bin/rustc)",
        ),
    ];
    for (change, rustc, build_std, why) in rows {
        let choice = choose(&with_active(change)).expect("can build");
        assert_eq!((choice.toolchain.rustc, choice.build_std), (PathBuf::from(rustc), build_std));
        assert_eq!(choice.linker.is_some(), rustc == "/usr/bin/rustc");
        assert!(choice.reason.contains(why), "{}", choice.reason);
    }
}

#[test]
fn a_missing_linker_is_borrowed_in_a_fixed_order() {
    let linker = |found: &Found| choose(found).expect("can link").linker;
    let named = |path: &str, flavor| Some(Linker { path: path.into(), flavor });

    let mut found = debian_machine();
    assert_eq!(linker(&found), named("/rustup/rust-lld", "ld.lld"));
    found.active = None;
    assert_eq!(linker(&found), named("/usr/bin/ld.lld", "ld.lld"));
    found.ld_lld = None;
    assert_eq!(linker(&found), named("/usr/bin/ld", "ld"));
    found.gnu_ld = None;
    let text = choose(&found).expect_err("cannot link").to_string();
    assert!(text.contains("no linker"), "{text}");
}

/// UEFI's files are of Windows' format, which GNU's linker for Linux does not know.
#[test]
fn for_uefi_gnu_ld_is_no_linker() {
    let mut found = debian_machine();
    found.target = UEFI_TARGET;
    found.active = None;
    let linker = choose(&found).expect("can link").linker.expect("borrowed");
    assert_eq!((linker.path, linker.flavor), ("/usr/bin/lld-link".into(), "lld-link"));
    found.lld_link = None;
    let text = choose(&found).expect_err("cannot link").to_string();
    assert!(text.contains("lld-link"), "{text}");
    assert!(text.contains(UEFI_TARGET), "{text}");
}

#[test]
fn without_any_the_remedy_is_told_for_rustup_and_for_debian() {
    let found = Found { active: Some(toolchain("/rustup", 95)), ..Found::default() };
    let text = choose(&found).expect_err("cannot build").to_string();
    for part in [
        "/rustup/rustc",
        "the distribution's: not found",
        "rustup target add x86_64-unknown-none",
        "sh boot/setup.sh",
        "rustc-web",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn each_builds_in_a_folder_of_its_own() {
    let folders =
        [("/a", 95), ("/a", 96), ("/b", 95)].map(|(home, minor)| toolchain(home, minor).folder());
    assert!(folders[0].starts_with("rustc-1.95-"), "{}", folders[0]);
    assert!(folders[0] != folders[1] && folders[0] != folders[2]);
}

#[test]
fn the_toolchain_that_built_this_test_is_found() {
    let active = probe(TARGET).active.expect("cargo runs the tests");
    assert!(active.cargo.is_file() && active.rustc.is_file());
    assert!(active.version >= super::OLDEST);
}
