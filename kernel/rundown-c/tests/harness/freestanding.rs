//! The archive for bare metal, linked with a C kernel's half and a driver, and without any library; and what
//! the machine code shows.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive::{self, Library};
use crate::compiler::{Compiler, package, succeed};

pub(crate) fn trials() -> Vec<Trial> {
    type Case = fn(&Path) -> Result<()>;
    let cases: [(&str, Case); 3] = [
        ("the_librarys_memcpy_is_weak", library_memcpy_is_weak),
        ("the_kernels_memcpy_wins", own_memcpy_wins),
        ("uses_general_registers_only", general_registers_only),
    ];
    let linked = cases.map(|(name, case)| {
        Trial::ignorable_test(format!("freestanding::{name}"), move || {
            let Some(archive) = Library::BareMetal.archive()? else {
                return Ok(Completion::ignored_with(
                    "no toolchain here has x86_64-unknown-none, or the sources to build it",
                ));
            };
            case(&archive)?;
            Ok(Completion::Completed)
        })
    });
    let calls = ["rundown_", "rundown_ref_"];
    let calls =
        calls.map(|prefix| ["acquire", "acquire_held", "release"].map(|it| prefix.to_owned() + it));
    let tagged = calls.into_iter().flatten().map(|call| {
        Trial::test(format!("tags::cost_nothing::{call}"), move || Ok(tags_cost_nothing(&call)?))
    });
    linked.into_iter().chain(tagged).collect()
}

/// Links as a kernel does that lives in the top 2 GiB; the whole archive, used or not. The linker
/// fails if anything is undefined.
fn link(name: &str, own: &str, archive: &Path) -> Result<PathBuf> {
    let folder = archive::folder("kernel").join(name);
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("kernel");
    let mut command = Command::new("ld");
    command.args(["-static", "-nostdlib", "-n"]);
    command.args(["-Ttext=0xffffffff80200000", "-e", "kernel_entry"]);
    std::fs::write(folder.join("own.c"), own)?;
    let tests = package().join("tests/c");
    for source in [tests.join("freestanding.c"), tests.join("driver.c"), folder.join("own.c")] {
        command.arg(compile(&source, &folder)?);
    }
    command.arg("--whole-archive").arg(archive);
    succeed(command.arg("-o").arg(&program))?;
    Ok(program)
}

/// Compiles as a kernel does.
fn compile(source: &Path, folder: &Path) -> Result<PathBuf> {
    let stem = source.file_stem().context("a source has a name")?;
    let object = folder.join(stem).with_extension("o");
    let mut command = Compiler::GCC.command();
    command.args(["-ffreestanding", "-fno-stack-protector", "-fno-pic"]);
    command.args(["-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only"]);
    // Else a `memcpy` of the kernel's own is compiled to a call of `memcpy`.
    command.arg("-fno-tree-loop-distribute-patterns");
    // Pool tags are four characters.
    command.arg("-Wno-multichar").arg("-c").arg(source);
    succeed(command.arg("-o").arg(&object))?;
    Ok(object)
}

/// How `memcpy` is in the symbol table of a kernel: once.
fn memcpy(program: &Path) -> Result<String> {
    let symbols = succeed(Command::new("nm").arg(program))?;
    let mut found = symbols.lines().filter(|line| line.ends_with(" memcpy"));
    let one = found.next().context("no memcpy")?;
    ensure!(found.next().is_none(), "two of them");
    Ok(one.to_owned())
}

fn library_memcpy_is_weak(archive: &Path) -> Result<()> {
    let found = memcpy(&link("bare", "", archive)?)?;
    ensure!(found.contains(" W "), "{found}");
    Ok(())
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
    let found = memcpy(&link("own_memcpy", OWN, archive)?)?;
    // Defined, and not weak.
    ensure!(found.contains(" T "), "{found}");
    Ok(())
}

/// An interrupt handler of a kernel does not save the others.
fn general_registers_only(archive: &Path) -> Result<()> {
    let code = disassemble(&link("registers", "", archive)?)?;
    // Guards against a disassembler that showed nothing.
    function(&code, "rundown_release")?;
    let others = ["%xmm", "%ymm", "%zmm", "%mm", "%st"];
    let is_other = |line: &&str| others.iter().any(|register| line.contains(register));
    let vector = code.lines().find(is_other);
    ensure!(vector.is_none(), "{vector:?}");
    Ok(())
}

/// Where diagnosis is off, a call with a tag is, instruction by instruction, the one without.
fn tags_cost_nothing(call: &str) -> Result<()> {
    let code = disassemble(&Library::Host.archive()?.context("no cargo")?)?;
    let (without, with) = (format!("{call}_many"), format!("{call}_tagged"));
    let same = function(&code, &without)? == function(&code, &with)?;
    ensure!(same, "{with} is longer, or another");
    Ok(())
}

fn disassemble(file: &Path) -> Result<String> {
    let mut objdump = Command::new("objdump");
    objdump.args(["-d", "--no-show-raw-insn", "--no-addresses"]);
    succeed(objdump.arg(file))
}

/// A function's instructions, without what is relative to its place.
fn function(code: &str, name: &str) -> Result<Vec<String>> {
    let start = format!("<{name}>:\n");
    let (_, rest) = code.split_once(&start).with_context(|| format!("no {name}"))?;
    let (body, _) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let instructions = body.lines().map(|line| {
        let line = line.split(['<', '#']).next().unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let instructions: Vec<_> = instructions.collect();
    ensure!(!instructions.is_empty(), "{name} is empty");
    Ok(instructions)
}
