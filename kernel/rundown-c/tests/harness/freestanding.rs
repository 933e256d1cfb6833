//! The archive for bare metal, linked with a C kernel's half and a driver, and without any library;
//! and what the machine code shows.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Trial};

use crate::library::{self, BARE_METAL, HOST, succeed};
use crate::{compile, package};

pub(crate) fn trials() -> Vec<Trial> {
    let linked =
        Trial::ignorable_test("freestanding::links_and_uses_general_registers_only", || {
            let Some(archive) = &*BARE_METAL else {
                let reason =
                    "no toolchain here has x86_64-unknown-none, or the sources to build it";
                return Ok(Completion::ignored_with(reason));
            };
            links_and_uses_general_registers_only(archive);
            Ok(Completion::Completed)
        });
    let tags = Trial::test("freestanding::tags_cost_nothing", || {
        tags_cost_nothing();
        Ok(())
    });
    vec![linked, tags]
}

/// The linker fails if anything is undefined. `memcpy` is the library's as long as the kernel has
/// none of its own. An interrupt handler of a kernel saves general registers only.
fn links_and_uses_general_registers_only(archive: &Path) {
    let kernel = link(archive);
    let symbols = succeed(Command::new("nm").arg(&kernel));
    let memcpy: Vec<_> = symbols.lines().filter(|line| line.ends_with(" memcpy")).collect();
    assert!(matches!(*memcpy, [symbol] if symbol.contains(" W ")), "one weak symbol: {memcpy:?}");
    let code = disassemble(&kernel);
    // Guards against a disassembler that showed nothing.
    function(&code, "rundown_release");
    let others = ["%xmm", "%ymm", "%zmm", "%mm", "%st"];
    let vector = code.lines().find(|line| others.iter().any(|register| line.contains(register)));
    assert_eq!(vector, None);
}

/// Links as a kernel does that lives in the top 2 GiB; the whole archive, used or not.
fn link(archive: &Path) -> PathBuf {
    let folder = library::folder("kernel");
    let program = folder.join("kernel");
    let mut linker = Command::new("ld");
    linker.args(["-static", "-nostdlib", "-n"]);
    linker.args(["-Ttext=0xffffffff80200000", "-e", "kernel_entry"]);
    let object = folder.join("kernel.o");
    let mut gcc = compile("gcc", &["-std=c11", "-ffreestanding", "-fno-stack-protector"]);
    gcc.args(["-fno-pic", "-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only", "-c"]);
    gcc.arg(package().join("tests/c/freestanding.c"));
    succeed(gcc.arg("-o").arg(&object));
    linker.arg(object).arg("--whole-archive").arg(archive);
    succeed(linker.arg("-o").arg(&program));
    program
}

/// Where diagnosis is off, a call with a tag is, instruction by instruction, the one without.
fn tags_cost_nothing() {
    let code = disassemble(&HOST);
    for variant in ["rundown_", "rundown_ref_"] {
        for call in ["acquire", "acquire_held", "release"] {
            let [without, with] =
                ["many", "tagged"].map(|form| function(&code, &format!("{variant}{call}_{form}")));
            assert_eq!(without, with, "{variant}{call}");
        }
    }
}

fn disassemble(file: &Path) -> String {
    let mut objdump = Command::new("objdump");
    succeed(objdump.args(["-d", "--no-show-raw-insn", "--no-addresses"]).arg(file))
}

/// A function's instructions, without what is relative to its place.
fn function(code: &str, name: &str) -> Vec<String> {
    let (_, rest) = code.split_once(&format!("<{name}>:\n")).expect(name);
    let (body, _) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let instructions = body.lines().map(|line| {
        let line = line.split(['<', '#']).next().unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let instructions: Vec<_> = instructions.collect();
    assert!(!instructions.is_empty(), "{name} is empty");
    instructions
}
