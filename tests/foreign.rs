//! `bringup` and `rundown` in a kernel that is not ours: `tests/foreign/loader_api`, copied out of
//! the repository together with the crates that it takes, and built there. It has page tables of
//! its own, in use in both halves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use boot::{Accel, Boot, Outcome};
use libtest_mimic::{Arguments, Trial};
use tests::model;
use tests::shape::Shape;

const KERNEL: &str = "tests/foreign/loader_api";

fn main() -> ExitCode {
    let on = |smp: &'static str, memory: u32, ghost: Option<u32>| {
        let ghost_name = ghost.map_or_else(String::new, |id| format!("_ghost_{id}"));
        let cpus = smp.split(',').next().unwrap_or(smp);
        let name = format!("foreign::smp_{cpus}_{memory}_mib{ghost_name}");
        Trial::test(name, move || Ok(run(smp, memory, ghost)?))
    };
    let trials = vec![
        on("2", 256, None),
        on("9,sockets=3,cores=3,threads=1", 256, None),
        // The page tables' root lies above 4 GiB.
        on("9,sockets=3,cores=3,threads=1", 6144, None),
        on("9,sockets=3,cores=3,threads=1", 256, Some(3)),
        on("64", 256, None),
        on("255", 512, None),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(smp: &str, memory: u32, ghost: Option<u32>) -> Result<()> {
    let elf = elf()?;
    let boot = Boot::new(elf).smp(smp).memory_mib(memory).accel(Accel::Tcg);
    let boot = boot.deadline(Duration::from_secs(120));
    let boot = match ghost {
        Some(id) => boot.ramdisk(id.to_string()),
        None => boot.no_ramdisk(),
    };
    let report = boot.run()?;
    let shape = Shape {
        ghost,
        ..Shape::of(smp)
    };
    check(&report, &shape, memory, ghost)
        .with_context(|| format!("{}\n{}", report.lines.join("\n"), report.command))
}

/// All CPUs came, by the IDs that the machine gives them, in their order; each used the object;
/// none is unaccounted for.
fn check(report: &boot::Report, shape: &Shape, memory: u32, ghost: Option<u32>) -> Result<()> {
    // It does not speak this project's words, so there is nothing but its exit code.
    ensure!(report.outcome == Outcome::SilentExit, "{}", report.outcome);
    let after = |start: &str| {
        let lines = report.lines.iter();
        lines
            .filter_map(|line| line.strip_prefix(start).map(String::from))
            .collect::<Vec<_>>()
    };
    let root = after("root: 0x").pop().context("no root")?;
    let root = u64::from_str_radix(root.trim(), 16)?;
    ensure!((root > u64::from(u32::MAX)) == (memory > 4096), "{root:#x}");
    let expected: Vec<String> = model::MAX
        .table(shape)
        .iter()
        .skip(1)
        .map(|cpu| format!("{}: APIC {}", cpu.index, cpu.apic_id))
        .collect();
    ensure!(after("cpu ") == expected, "not {expected:?}");
    let missing: Vec<String> = ghost.iter().map(|id| format!("APIC {id}")).collect();
    ensure!(after("missing: ") == missing, "not {missing:?}");
    let torn_down = format!("{} CPUs; torn down under {}", shape.cpus, shape.cpus - 1);
    ensure!(report.lines.contains(&torn_down), "not {torn_down}");
    Ok(())
}

/// The kernel's ELF; built when the first case asks for it.
fn elf() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    let away = tempfile::tempdir()?;
    for folder in [KERNEL, "kernel/bringup", "kernel/rundown", "boot/pvh"] {
        copy(folder, &away.path().join(folder))?;
    }
    // What does not change from one copy to the next is not built again.
    let target = boot::workspace::guest_target_dir().join("foreign");
    boot::guest::build_foreign(&away.path().join(KERNEL), &target)
}

/// Copies the tracked files of a folder.
fn copy(folder: &str, to: &Path) -> Result<()> {
    let from = boot::workspace::root().join(folder);
    let list = Command::new("git")
        .arg("ls-files")
        .current_dir(&from)
        .output()?;
    let list = String::from_utf8(list.stdout)?;
    ensure!(!list.is_empty(), "no tracked files in {folder}");
    for file in list.lines().filter(|file| from.join(file).exists()) {
        let target = to.join(file);
        fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        fs::copy(from.join(file), target)?;
    }
    Ok(())
}
