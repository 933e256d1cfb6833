//! The program `cargo boot`.
//!
//! Exit status: 0 only if the guest passed; 1 it failed; 2 it could not be tried: wrong usage, or
//! something is missing; 3 it passed, but a CPU that was asked for was not online; 130 Ctrl-C.

mod args;
mod bring_up;
mod check;
mod doctor;
mod explore;
mod refuse;
mod run;
mod screen;
mod story;
mod view;

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use protocol::options::Options;

use self::args::{BringUpArgs, ExploreArgs, ImageArgs, RunArgs};
use crate::guest::{SUITE, TEST_KERNELS};
use crate::outcome::Outcome;
use crate::{guest, image, template, workspace};

const FAILED: u8 = 1;
/// Clap uses the same number.
const NOT_TRIED: u8 = 2;
const INCOMPLETE: u8 = 3;
/// 128 and the number of the signal, as shells have it.
const INTERRUPTED: u8 = 130;

/// Boots the kernel in QEMU and watches a storm: all CPUs use an object that is torn down again
/// and again.
#[derive(Debug, Parser)]
#[command(
    name = "cargo boot",
    bin_name = "cargo boot",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the kernel and boot it (the default).
    Run(RunArgs),
    /// Measure how long it takes to start 1, 2, 4, ... and all CPUs, at once and one by one in turn.
    BringUp(BringUpArgs),
    /// Boot again and again, each time with another seed, so that the CPUs run interleaved in
    /// another way. Stops at the first run that does not pass and prints the line that repeats it;
    /// goes on where it was stopped.
    Explore(ExploreArgs),
    /// Show what was found on this machine, what was chosen and why, and what is missing.
    Doctor,
    /// Build the kernel and print its path.
    Build {
        /// The package to build: prints one path for each of its binaries. With `rundown-c`, that
        /// of the static library for C kernels.
        #[arg(long, default_value = "kernel")]
        package: String,
        /// Build only this binary of the package.
        #[arg(long, value_name = "NAME")]
        bin: Option<String>,
    },
    /// Write the image of a stick that a PC with UEFI boots the kernel from.
    Image(ImageArgs),
    /// Write your own kernel: it starts all CPUs by `bringup`, tears down an object by `rundown`.
    New {
        /// Its folder, which is not there yet; the last part is the kernel's name.
        path: PathBuf,
    },
    /// Run clippy and rustdoc on the crates that only run in the guest.
    Check,
    /// Boot a built ELF (`cargo run --target x86_64-unknown-none` does), or a kernel made by `new`.
    Elf {
        /// The ELF; or the folder of a kernel, which is built first.
        path: PathBuf,
        #[command(flatten)]
        run: RunArgs,
    },
}

/// Does what the command line says, and returns the process's exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(None, args),
        Command::Elf { path, run: args } => run::run(Some(&path), args),
        Command::BringUp(args) => bring_up::run(args),
        Command::Explore(args) => explore::run(&args),
        Command::New { path } => new(&path),
        Command::Doctor => doctor::doctor(),
        Command::Build { package, bin } => build(&package, bin.as_deref()),
        Command::Image(args) => stick(&args),
        Command::Check => check::check(),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        NOT_TRIED
    }))
}

/// The process's exit status for what came of a boot.
fn status(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::Interrupted => INTERRUPTED,
        Outcome::Incomplete { .. } => INCOMPLETE,
        Outcome::QemuRefused { .. } => NOT_TRIED,
        _ => FAILED,
    }
}

/// The ELF to boot: the one named, or built in the folder named; else this workspace's kernel or,
/// for a scenario, the guest of the tests.
fn kernel(named: Option<&Path>, qemu: Option<&Path>, options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(elf) = named.filter(|path| !path.is_dir()) {
        return Ok(elf.to_path_buf());
    }
    // Looked for before the build, which may take a minute the first time.
    crate::qemu::find(qemu)?;
    match named {
        Some(folder) => {
            refuse::foreign(folder, options)?;
            guest::build_foreign(folder, false)
        }
        None if options.scenario.is_some() => guest::build_one(TEST_KERNELS, SUITE),
        None => guest::build_one("kernel", "kernel"),
    }
}

/// Writes a line, or more, of what was asked for to standard output.
fn print(text: impl Display) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.context("cannot write to standard output")
}

fn build(package: &str, bin: Option<&str>) -> anyhow::Result<u8> {
    guest::build(package, bin)?.iter().try_for_each(|path| print(path.display()))?;
    Ok(0)
}

/// Writes a kernel of the user's own, and how to boot it.
fn new(path: &Path) -> anyhow::Result<u8> {
    template::write(path, workspace::root())?;
    let path = path.display();
    print(format_args!(
        "{path}: a kernel to begin with. To build and boot it, here:\n  cargo boot elf {path} --smp 8"
    ))?;
    Ok(0)
}

/// Writes the image of a stick.
fn stick(args: &ImageArgs) -> anyhow::Result<u8> {
    let options = match &args.options {
        Some(file) => fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => Options::template().to_string().into_bytes(),
    };
    let parsed = Options::parse(&options)
        .map_err(|why| anyhow!("the kernel would refuse these options: {why}"))?;
    let kernel = match &args.kernel {
        Some(elf) => elf.clone(),
        None => {
            refuse::stick(&parsed)?;
            guest::build_one("kernel", "kernel")?
        }
    };
    let loader = guest::build_loader(&kernel)?;
    image::write(&args.out, &[(image::LOADER, &loader), (image::OPTIONS, &options)])?;
    print(args.out.display())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, RunArgs};
    use crate::machine::MachineType;

    fn run_args(line: &str) -> RunArgs {
        let words = ["cargo boot"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("valid");
        match cli.command {
            None => cli.run,
            Some(Command::Run(run) | Command::Elf { run, .. }) => run,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_reach_the_kernel_with_and_without_a_subcommand() {
        for (line, text) in [
            ("", ""),
            ("--start serial --apic xapic --clock hpet", "start=serial\napic=xapic\nclock=hpet\n"),
            ("run --fault late:2:50 --seed 3", "fault=late:2:50\nseed=3\n"),
            ("elf k --start-timeout 7 --init-pause 0", "start-timeout=7\ninit-pause=0\n"),
        ] {
            let boot = run_args(line).boot;
            assert_eq!((boot.smp.as_str(), boot.machine), ("4", MachineType::Q35));
            assert_eq!(boot.kernel.0.to_string(), format!("format=json\n{text}"));
        }
        let args = run_args("--machine pc -- -d int");
        assert_eq!(args.boot.qemu_args, ["-d", "int"], "QEMU's");
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for (line, part) in [
            ("--smp many", "4,maxcpus=8"),
            ("--seconds 0", "from 1 to 86400"),
            ("--smp -1", "4,maxcpus=8"),
            ("--seed -1", "from 0 to 4294967295"),
            ("--timeline --seconds 5", "--timeline"),
            ("--timeline --scenario ipi", "--timeline"),
            ("--scenario ipi --seconds 5", "--seconds"),
            ("--seed 1 --gdb", "--gdb"),
            ("--accel hax", "auto, tcg, kvm"),
            ("--start late", "broadcast, each, serial"),
            ("--fault fire:2", "real, protected, write"),
            ("--scenario race", "similar value exists: 'races'"),
            ("--scenario nope", "silent_exit"),
            ("--machine mac", "q35, pc, microvm"),
            ("--memory 1.5G", "512M"),
            ("--deadline 0", "from 1 to 4294967295"),
            ("--smp 2 doctor", "doctor"),
            ("bring-up --rounds 0", "from 1 to 1000"),
            ("bring-up --scenario ipi", "runs none"),
            ("bring-up --seed 1", "counts instructions"),
            ("bring-up --seconds 5", "no storm"),
            ("explore --smp 2,0", "from 1 to 4294967295"),
            ("explore --seeds 4..4", "0..100"),
            ("explore --seed 1", "--seeds A..B"),
            ("explore --scenario ipi --seconds 1", "--seconds"),
            ("explore --jobs 0", "from 1 to 1000"),
        ] {
            let line = [vec!["cargo boot"], line.split(' ').collect()].concat();
            let error = Cli::try_parse_from(line).expect_err("invalid");
            assert_eq!(error.exit_code(), i32::from(super::NOT_TRIED));
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
}
