//! The compiler's output for the crate, and its errors for programs that use it wrongly.
#![cfg(not(rundown_loom))]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler, about to write into the folder of these tests.
fn rustc(source: &Path, output: &Path) -> Command {
    let mut rustc = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
    rustc.args(["--edition", "2024", "-o"]).args([output, source]);
    rustc
}

/// Compiles the crate itself, with all that is in it whatever a program uses.
fn compile_the_crate(output: &Path, arguments: &[&str]) {
    let mut rustc = rustc(&in_package("src/lib.rs"), output);
    rustc.args(["--crate-type", "lib", "--crate-name", "rundown", "--cap-lints", "allow"]);
    let status = rustc.args(arguments).status();
    assert!(status.expect("rustc is where cargo is").success());
}

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Each error is on a line that names it (`//~`), and each that is named comes.
#[test]
fn safe_code_cannot_break_the_promises() {
    let library = temporary("librundown.rmeta");
    compile_the_crate(&library, &["--emit", "metadata", "--cfg", "feature=\"alloc\""]);
    for program in ["must_not.rs", "must_use.rs"] {
        let source = in_package("tests/compile").join(program);
        let mut compiler = rustc(&source, &temporary("none.rmeta"));
        compiler.args(["--emit", "metadata", "--error-format", "short", "--extern"]);
        compiler.arg(format!("rundown={}", library.display()));
        let output = compiler.output().expect("rustc is where cargo is");
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = std::fs::read_to_string(&source).expect("it is there");
        check(program, &text, &output);
    }
}

fn check(program: &str, text: &str, output: &str) {
    // `path:line:column: error[code]: message`
    let error = |line: &str| {
        let (_, place) = line.split_once(&format!("{program}:"))?;
        let (number, message) = place.split_once(':')?;
        let number: usize = number.parse().ok()?;
        message.contains("error").then(|| (number, message.to_owned()))
    };
    let errors: Vec<(usize, String)> = output.lines().filter_map(error).collect();
    let mut named = 0;
    for (index, line) in text.lines().enumerate() {
        let here = || errors.iter().filter(|(number, _)| *number == index + 1);
        let expected = line.split_once("//~ ").map(|(_, expected)| expected);
        named += usize::from(expected.is_some());
        let comes = match expected {
            Some(expected) => here().any(|(_, message)| message.contains(expected)),
            None => here().next().is_none(),
        };
        assert!(comes, "{program}:{}: {expected:?}, but\n{output}", index + 1);
    }
    assert!(named > 0, "{program} names no errors");
}

/// The section `rundown_restart` is in programs that use the sequences of `gs`, and in no other.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn the_crate_itself_has_no_restart_section() {
    let object = temporary("rundown.o");
    compile_the_crate(&object, &["-Ccodegen-units=1", "-Copt-level=1", "--emit", "obj"]);
    let object = std::fs::read(object).expect("just written");
    // By the names of its sections.
    let has = |name: &[u8]| object.windows(name.len()).any(|bytes| bytes == name);
    assert!(has(b".text") && has(b".bss"));
    assert!(!has(b"rundown_restart"));
}
