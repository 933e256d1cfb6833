//! The section `rundown_restart` is in programs that use the sequences of `gs`, and in no other.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(rundown_loom)))]

use std::path::Path;
use std::process::Command;

/// The crate in one object, with all that is in it whatever a program uses.
#[test]
fn the_crate_itself_does_not_have_it() {
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rundown.o");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let compiled = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"))
        .args(["--crate-type", "lib", "--crate-name", "rundown"])
        .args(["--edition", "2024", "--cap-lints", "allow"])
        .args(["-Ccodegen-units=1", "-Copt-level=1", "--emit", "obj", "-o"])
        .args([&object, &source])
        .status()
        .expect("rustc is where cargo is");
    assert!(compiled.success());
    let names = section_names(&std::fs::read(object).expect("just written"));
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    assert!(has(".text") && has(".bss"), "{names:?}");
    assert!(!has("rundown_restart"), "{names:?}");
}

/// Of an ELF-64 file (gABI, "Section Header").
fn section_names(file: &[u8]) -> Vec<String> {
    let number = |at: usize, bytes: usize| {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(&file[at..at + bytes]);
        usize::try_from(u64::from_le_bytes(number)).expect("within the file")
    };
    let (headers, size) = (number(0x28, 8), number(0x3a, 2));
    let (count, with_names) = (number(0x3c, 2), number(0x3e, 2));
    let names = number(headers + with_names * size + 0x18, 8);
    (0..count)
        .map(|section| {
            let name = &file[names + number(headers + section * size, 4)..];
            let end = name.iter().position(|&byte| byte == 0).expect("its end");
            String::from_utf8_lossy(&name[..end]).into_owned()
        })
        .collect()
}
