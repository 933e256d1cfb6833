use std::path::{Path, PathBuf};

use super::{Found, Linker, Toolchain, choose};
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
fn debian_machine(change: impl FnOnce(&mut Toolchain)) -> Found {
    let mut active = toolchain("/rustup", 95);
    change(&mut active);
    let distribution = Toolchain { has_sources: true, rust_lld: None, ..toolchain("/usr/bin", 96) };
    Found {
        target: TARGET,
        active: Some(active),
        distribution: Some(distribution),
        linkers: vec![named("/usr/bin/ld.lld", "ld.lld"), named("/usr/bin/ld", "ld")],
    }
}

#[test]
fn the_target_comes_first_then_the_sources_then_the_distribution() {
    let usr = "not the active toolchain, rustc 1.95 (/rustup/rustc): has neither the target nor the sources";
    let old = "older than 1.95; the distribution's, rustc 1.96 (/usr/bin/rustc)";
    // Whether it has the target and the sources, and its version.
    for (has_target, has_sources, minor, rustc, build_std, why) in [
        (true, true, 95, "/rustup/rustc", false, "it has the target"),
        (false, true, 95, "/rustup/rustc", true, "sources"),
        (false, false, 95, "/usr/bin/rustc", true, usr),
        (true, false, 94, "/usr/bin/rustc", true, old),
    ] {
        let found = debian_machine(|it| {
            (it.has_target, it.has_sources, it.version.minor) = (has_target, has_sources, minor);
        });
        let choice = choose(&found).expect("can build");
        assert_eq!((choice.toolchain.rustc, choice.build_std), (PathBuf::from(rustc), build_std));
        assert_eq!(choice.linker.is_some(), rustc == "/usr/bin/rustc");
        assert!(choice.reason.contains(why), "{}", choice.reason);
    }
}

fn named(path: &str, flavor: &'static str) -> Linker {
    Linker { path: path.into(), flavor }
}

#[test]
fn a_missing_linker_is_borrowed_in_a_fixed_order() {
    let mut found = debian_machine(|_| ());
    let linker = |found: &Found| choose(found).expect("can link").linker;
    assert_eq!(linker(&found), Some(named("/rustup/rust-lld", "ld.lld")));
    found.target = UEFI_TARGET;
    assert_eq!(linker(&found), Some(named("/rustup/rust-lld", "lld-link")));
    found.active = None;
    assert_eq!(linker(&found), Some(named("/usr/bin/ld.lld", "ld.lld")));
    found.linkers.clear();
    let text = choose(&found).expect_err("cannot link").to_string();
    assert!(
        text.contains("no linker (rust-lld, lld-link)") && text.contains(UEFI_TARGET),
        "{text}"
    );
}

#[test]
fn without_any_the_error_has_the_remedy_for_rustup_and_for_debian() {
    let found = Found { active: Some(toolchain("/rustup", 95)), ..Found::default() };
    let text = choose(&found).expect_err("cannot build").to_string();
    for part in
        ["/rustup/rustc", "the distribution's: not found", "rustup target add", "boot/setup.sh"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}
