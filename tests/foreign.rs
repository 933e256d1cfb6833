//! `bringup` and `rundown` in two kernels that are not ours, each built outside of the repository,
//! as the crates are that it takes. The first is the one that `cargo boot new` writes, as it writes
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use boot::machine::Smp;
use boot::{Accel, Boot, Outcome, Report, toolchain, workspace};
use libtest_mimic::Trial;
use tempfile::NamedTempFile;
use tests::model;
use tests::shape::Shape;

/// By GRUB, in the lower half. (The other is started by `boot/direct`, on page tables of its own,
/// which are in use in both halves.)
const MULTIBOOT2: &str = "tests/foreign/multiboot2";

pub(crate) fn trials() -> Vec<Trial> {
    const SPARSE: &str = "9,sockets=3,cores=3,threads=1";
    let on = |smp: &'static str, memory: u32, ghost: Option<u32>| {
        let name = format!("foreign::smp_{}_{memory}_mib{}", cpus(smp), named(ghost));
        Trial::test(name, move || {
            let report = boot(by_template()?, smp, memory, ghost)?;
            let passed = Outcome::Passed;
            let checked = check(&report, smp, ghost, &passed);
            Ok(checked.and_then(|()| root_is_high(&report, memory > 4096))?)
        })
    };
    let by_grub = |smp: &'static str, ghost: Option<u32>| {
        let name = format!("foreign::grub_smp_{}{}", cpus(smp), named(ghost));
        let trial = Trial::test(name, move || {
            let iso = disk(ghost)?;
            let report = boot(iso.path(), smp, 512, None)?;
            // It does not speak this project's words, so there is nothing but its exit code.
            Ok(check(&report, smp, ghost, &Outcome::SilentExit)?)
        });
        trial.with_ignored_flag(!grub_is_there())
    };
    if !grub_is_there() {
        eprintln!("foreign::grub_* skipped: there is no grub-mkrescue (sh boot/setup.sh --tests)");
    }
    vec![
        on("2", 256, None),
        on(SPARSE, 256, None),
        // The page tables' root lies above 4 GiB.
        on(SPARSE, 6144, None),
        on(SPARSE, 256, Some(3)),
        on("64", 256, None),
        on("255", 512, None),
        by_grub("2", None),
        by_grub(SPARSE, None),
        by_grub(SPARSE, Some(3)),
        by_grub("64", None),
    ]
}

fn cpus(smp: &str) -> &str {
    smp.split(',').next().unwrap_or(smp)
}

fn named(ghost: Option<u32>) -> String {
    ghost.map_or_else(String::new, |id| format!("_ghost_{id}"))
}

fn boot(image: &Path, smp: &str, memory: u32, ghost: Option<u32>) -> Result<Report> {
    let boot = Boot::new(image).smp(smp.parse::<Smp>().expect("valid")).memory_mib(memory);
    let boot = boot.accel(Accel::Tcg).deadline(Duration::from_secs(120));
    match ghost {
        Some(id) => boot.ramdisk(id.to_string()),
        None => boot.no_ramdisk(),
    }
    .run()
}

fn root_is_high(report: &Report, is_high: bool) -> Result<()> {
    let root = after(report, "root: 0x").pop().context("no root")?;
    let root = u64::from_str_radix(root.trim(), 16)?;
    ensure!((root > u64::from(u32::MAX)) == is_high, "{root:#x}");
    Ok(())
}

/// The rest of each line that starts so.
fn after(report: &Report, start: &str) -> Vec<String> {
    let lines = report.lines.iter();
    let ends = lines.filter_map(|line| line.strip_prefix(start));
    ends.map(String::from).collect()
}

/// All CPUs came, by the IDs that the machine gives them, in their order; each used the object;
/// none is unaccounted for.
fn check(report: &Report, smp: &str, ghost: Option<u32>, outcome: &Outcome) -> Result<()> {
    let shape = Shape { ghost, ..Shape::of(smp) };
    compare(report, &shape, ghost, outcome)
        .with_context(|| format!("{}\n{:?}", report.lines.join("\n"), report.command))
}

fn compare(report: &Report, shape: &Shape, ghost: Option<u32>, outcome: &Outcome) -> Result<()> {
    ensure!(report.outcome == *outcome, "{}", report.outcome);
    let expected: Vec<String> = model::MAX
        .table(shape)
        .iter()
        .skip(1)
        .map(|cpu| format!("{}: APIC {}", cpu.index, cpu.apic_id))
        .collect();
    ensure!(after(report, "cpu ") == expected, "not {expected:?}");
    let missing: Vec<String> = ghost.iter().map(|id| format!("APIC {id}")).collect();
    ensure!(after(report, "missing: ") == missing, "not {missing:?}");
    let torn_down = format!("{} CPUs; torn down under {}", shape.cpus, shape.cpus - 1);
    ensure!(report.lines.contains(&torn_down), "not {torn_down}");
    Ok(())
}

/// The one that `cargo boot new` writes.
fn by_template() -> Result<&'static Path> {
    static BUILT: Built = OnceLock::new();
    elf(&BUILT, &["boot/direct", "boot/handover"], |folder, checkout| {
        let kernel = folder.join("my_kernel");
        boot::template::write(&kernel, checkout)?;
        Ok(kernel)
    })
}

type Built = OnceLock<Result<PathBuf, String>>;

/// The ELF of a kernel that `write` puts into a new folder, or into the checkout in it, which has
/// nothing but the two crates and `more`. Built when the first case asks for it.
fn elf(
    built: &'static Built,
    more: &[&str],
    write: impl FnOnce(&Path, &Path) -> Result<PathBuf>,
) -> Result<&'static Path> {
    let build = || -> Result<PathBuf> {
        // One at a time, of all threads and processes, from the writing on, as `build_foreign`
        // demands. The lock ends with the file.
        let guests = workspace::guest_target_dir();
        fs::create_dir_all(&guests)?;
        let lock = fs::File::create(guests.join("foreign.lock"))?;
        lock.lock().context("cannot lock the foreign kernels' build")?;
        let away = tempfile::tempdir()?;
        let checkout = away.path().join("checkout");
        for folder in ["kernel/bringup", "kernel/rundown"].iter().chain(more) {
            workspace::copy(folder, &checkout.join(folder))?;
        }
        let elf = boot::guest::build_foreign(&write(away.path(), &checkout)?, true)?;
        // In one step: another process may boot the one before.
        let kept = NamedTempFile::new_in(&guests)?;
        fs::copy(&elf, &kept)?;
        let path = guests.join(elf.file_name().context("a file")?);
        kept.persist(&path)?;
        Ok(path)
    };
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

fn grub_is_there() -> bool {
    toolchain::on_path("grub-mkrescue").is_some()
}

/// A disk by which GRUB starts the kernel, with the phantom CPU's APIC ID on its command line.
fn disk(ghost: Option<u32>) -> Result<NamedTempFile> {
    static BUILT: Built = OnceLock::new();
    let elf = elf(&BUILT, &[MULTIBOOT2], |_, checkout| Ok(checkout.join(MULTIBOOT2)))?;
    let files = tempfile::tempdir()?;
    let menu = files.path().join("boot/grub");
    fs::create_dir_all(&menu)?;
    fs::copy(elf, files.path().join("boot/kernel"))?;
    let ghost = ghost.map_or_else(String::new, |id| id.to_string());
    let entry = format!("menuentry kernel {{ multiboot2 /boot/kernel {ghost} }}");
    fs::write(menu.join("grub.cfg"), format!("set timeout=0\n{entry}\n"))?;
    let iso = tempfile::Builder::new().suffix(".iso").tempfile()?;
    let mut grub = Command::new("grub-mkrescue");
    let made = grub.arg("-o").args([iso.path(), files.path()]).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(iso)
}
