//! The archive for bare metal, linked with a C kernel's half, and without any library.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive;
use crate::compiler::{Compiler, package, succeed};

pub(crate) fn trials() -> Vec<Trial> {
    type Case = fn(&Path) -> Result<()>;
    let cases: [(&str, Case); 3] = [
        ("links_without_any_library", |archive| {
            link("plain", &[], archive).map(drop)
        }),
        ("the_kernels_memcpy_wins", own_memcpy_wins),
        ("uses_general_registers_only", general_registers_only),
    ];
    let trial = |(name, case): (&str, Case)| {
        Trial::ignorable_test(format!("freestanding::{name}"), move || {
            let Some(archive) = archive::bare_metal()? else {
                return Ok(Completion::ignored_with(
                    "no toolchain here has x86_64-unknown-none, or the sources to build it",
                ));
            };
            case(&archive)?;
            Ok(Completion::Completed)
        })
    };
    cases.into_iter().map(trial).collect()
}

/// Links as a kernel does that lives in the top 2 GiB; the whole archive, used or not. The linker
/// fails if anything is undefined.
fn link(name: &str, objects: &[PathBuf], archive: &Path) -> Result<PathBuf> {
    let folder = archive::folder("freestanding");
    let program = folder.join(name);
    let mut command = Command::new("ld");
    command.args(["-static", "-nostdlib", "-n"]);
    command.args(["-Ttext=0xffffffff80200000", "-e", "kernel_entry"]);
    command.arg(compile(&format!("{name}_entry"), &source(), &[])?);
    command.args(objects);
    command.arg("--whole-archive").arg(archive);
    command.arg("-o").arg(&program);
    succeed(&mut command)?;
    Ok(program)
}

fn source() -> PathBuf {
    package().join("tests/c/freestanding.c")
}

/// Compiles as a kernel does.
fn compile(name: &str, source: &PathBuf, flags: &[&str]) -> Result<PathBuf> {
    let folder = archive::folder("freestanding");
    std::fs::create_dir_all(&folder)?;
    let object = folder.join(name).with_extension("o");
    let mut command = Compiler::GCC.command();
    command.args(["-ffreestanding", "-fno-stack-protector", "-fno-pic"]);
    command.args(["-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only"]);
    command
        .args(flags)
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(&object);
    succeed(&mut command)?;
    Ok(object)
}

/// A kernel that has a `memcpy` of its own gets no second one.
fn own_memcpy_wins(archive: &Path) -> Result<()> {
    const OWN: &str = "\
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t size);
void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}
";
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("own.c");
    std::fs::write(&source, OWN)?;
    let own = compile(
        "own",
        &source,
        &["-fno-builtin", "-fno-tree-loop-distribute-patterns"],
    )?;
    let symbols = succeed(Command::new("nm").arg(link("own_memcpy", &[own], archive)?))?;
    let found: Vec<_> = symbols
        .lines()
        .filter(|line| line.ends_with(" memcpy"))
        .collect();
    // `T`: defined, and not weak.
    ensure!(
        matches!(found[..], [one] if one.contains(" T ")),
        "memcpy is {found:?}"
    );
    Ok(())
}

/// An interrupt handler of a kernel does not save the others.
fn general_registers_only(archive: &Path) -> Result<()> {
    let mut disassemble = Command::new("objdump");
    disassemble
        .args(["-d", "--no-show-raw-insn"])
        .arg(link("registers", &[], archive)?);
    let code = succeed(&mut disassemble)?;
    // Guards against a disassembler that showed nothing.
    ensure!(
        code.contains("<rundown_release>:"),
        "no code in the archive"
    );
    let vector = code.lines().find(|line| {
        ["%xmm", "%ymm", "%zmm", "%mm", "%st"]
            .iter()
            .any(|register| line.contains(register))
    });
    ensure!(vector.is_none(), "{vector:?}");
    Ok(())
}
