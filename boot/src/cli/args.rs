//! What the subcommands that boot take on their command lines.

use std::ffi::OsString;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use protocol::options::{ApicMode, ClockSource, Fault, FaultKind, Options, Scenario, StartMode};

use super::job::Job;
use crate::accel::Accel;
use crate::firmware::Firmware;
use crate::machine::{Machine, Smp};

/// How to boot, and for how long.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) boot: BootArgs,
    /// Length of the storm.
    #[arg(long, default_value_t = Options::default().seconds,
          value_parser = clap::value_parser!(u32).range(bounds(Options::SECONDS)))]
    pub(super) seconds: u32,
    /// Instead of a storm: draw when each CPU was how far on its way from its first instruction to online,
    /// and who waited for whom [default: timeline.svg].
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "timeline.svg",
          conflicts_with = "seconds")]
    pub(super) timeline: Option<PathBuf>,
    /// Instead of a storm: run this scenario of the test guest (tests/kernels/src/suite).
    #[arg(long, value_name = "NAME", conflicts_with_all = ["seconds", "timeline"])]
    pub(super) scenario: Option<Scenario>,
}

/// How to boot, and how often.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("smp", |smp| smp
    .help("Most CPUs: a plain number")
    .long_help(None)
    .default_value("255")))]
pub(super) struct BringUpArgs {
    #[command(flatten)]
    pub(super) boot: BootArgs,
    /// Boots of each kind.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
}

/// What is to be on the stick.
#[derive(Args, Clone, Debug)]
pub(super) struct ImageArgs {
    /// The image, to be copied to a stick as a whole (`dd`).
    #[arg(long, value_name = "FILE", default_value = "stick.img")]
    pub(super) out: PathBuf,
    /// A file of options for the kernel, `key=value` lines; on the stick it is EFI/BOOT/options, and can be edited
    /// [default: a storm].
    #[arg(long, value_name = "FILE")]
    pub(super) options: Option<PathBuf>,
    /// Another kernel: its ELF [default: this workspace's].
    #[arg(long, value_name = "ELF")]
    pub(super) kernel: Option<PathBuf>,
}

/// Which runs to try.
#[derive(Args, Clone, Debug)]
pub(super) struct ExploreArgs {
    /// Seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", default_value = "0..100", value_parser = range)]
    pub(super) seeds: Range<u32>,
    /// Numbers of CPUs: each seed runs with each of them.
    #[arg(
        long,
        value_name = "N[,N..]",
        value_delimiter = ',',
        default_value = "2,8"
    )]
    pub(super) smp: Vec<u32>,
    /// A test guest's scenario (tests/kernels/src/suite) instead of the kernel's storm.
    #[arg(long, value_name = "NAME")]
    pub(super) scenario: Option<Scenario>,
    /// Length of the storm, in the guest's seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(bounds(Options::SECONDS)))]
    pub(super) seconds: u32,
    /// Runs at once [default: the host's CPUs].
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// Results, a line for each run; what is there already, of the same guest, is not run again [default:
    /// target/explore/GUEST.txt].
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// The QEMU to use [default: that of the variable BOOT_QEMU, else qemu-system-x86_64 on the search path].
    #[arg(long, value_name = "PATH")]
    pub(super) qemu: Option<PathBuf>,
}

/// How to boot.
#[derive(Args, Clone, Debug)]
pub(super) struct BootArgs {
    /// CPUs, in any form of QEMU's -smp: 8, or 9,sockets=3,cores=3,threads=1, or 4,maxcpus=8.
    #[arg(long, default_value = "4")]
    pub(super) smp: Smp,
    /// Engine: auto takes KVM where the CPU itself has virtualisation, else TCG.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) accel: Accel,
    /// Board.
    #[arg(long, value_enum, default_value = "q35")]
    pub(super) machine: Machine,
    /// What starts the kernel: QEMU itself, at once; or OVMF from a stick, as on a PC with UEFI, after 8 to 40 s.
    #[arg(long, value_enum, default_value = "direct")]
    pub(super) firmware: Firmware,
    /// Memory, as 512, 512M or 2G [default: what suits the number of CPUs].
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    pub(super) memory: Option<u32>,
    /// Give up after so many seconds [default: far more than a healthy run needs].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) deadline: Option<u32>,
    #[command(flatten)]
    pub(super) start: StartArgs,
    /// Make the run the same, to the byte, each time it has this seed: all CPUs take turns in one thread, and the
    /// clock counts instructions. Each seed is another interleaving.
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u32>,
    /// Wait for a debugger before the first instruction; print how to attach one. (One that stops the guest
    /// would change a run with a seed.)
    #[arg(long, conflicts_with = "seed")]
    pub(super) gdb: bool,
    /// Print the result as one JSON document on standard output, and all else on standard error.
    #[arg(long)]
    pub(super) json: bool,
    /// Show the tables and trees of CPUs in full, each second too, and the command line of QEMU.
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// The QEMU to use [default: that of the variable BOOT_QEMU, else qemu-system-x86_64 on the search path].
    #[arg(long, value_name = "PATH")]
    pub(super) qemu: Option<PathBuf>,
    /// More arguments for QEMU.
    #[arg(last = true, value_name = "QEMU ARGUMENTS")]
    pub(super) qemu_args: Vec<OsString>,
}

/// How the kernel is to start its CPUs.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct StartArgs {
    /// Start the CPUs all at once, by interrupts to everybody or to each; or one after the other.
    #[arg(long, value_name = "WAY", default_value = StartMode::Broadcast.name(),
          value_parser = one_of::<StartMode>(StartMode::names()))]
    pub(super) start: StartMode,
    /// How to speak to the local APICs; preset: find them switched to x2APIC, as some firmware leaves
    /// them.
    #[arg(long, value_name = "MODE", default_value = ApicMode::Auto.name(),
          value_parser = one_of::<ApicMode>(ApicMode::names()))]
    apic: ApicMode,
    /// Where to get the rate of the clock from: auto takes the first that there is.
    #[arg(long, value_name = "SOURCE", default_value = ClockSource::Auto.name(),
          value_parser = one_of::<ClockSource>(ClockSource::names()))]
    clock: ClockSource,
    /// Have something go wrong on purpose while the CPUs start, to see it told and survived: `real:2` is an
    /// invalid opcode on the CPU with APIC ID 2, in real mode; `panic`, without an ID, a panic on all that
    /// are started; `late:2:1000` has one sleep for so many milliseconds.
    #[arg(long, value_name = "KIND[:APIC ID]", value_parser = fault)]
    fault: Option<Fault>,
    /// After so many milliseconds without any CPU coming online, start those that are not once more, then give them up.
    #[arg(long, value_name = "MILLIS", default_value_t = Options::default().patience,
          value_parser = clap::value_parser!(u32).range(bounds(Options::PATIENCE)))]
    patience: u32,
    /// The pause between INIT and SIPI, in milliseconds [default: what the CPU needs: none, or 10].
    #[arg(long, value_name = "MILLIS",
          value_parser = clap::value_parser!(u32).range(bounds(Options::INIT_PAUSE)))]
    init_pause: Option<u32>,
}

impl BootArgs {
    /// What the kernel is told that is to do this job.
    pub(super) fn options(&self, job: Job) -> Options {
        Options {
            seed: self.seed,
            ..self.start.added_to(job.options())
        }
    }
}

impl StartArgs {
    /// Other options, with these.
    pub(super) fn added_to(self, options: Options) -> Options {
        let Self {
            start,
            apic,
            clock,
            fault,
            patience,
            init_pause,
        } = self;
        Options {
            start,
            apic,
            clock,
            fault,
            patience,
            init_pause,
            ..options
        }
    }
}

impl RunArgs {
    /// The job it asks for.
    pub(super) fn job(&self) -> Job {
        let seconds = self.seconds;
        self.scenario.map_or(Job::Storm { seconds }, Job::Scenario)
    }
}

/// Takes one of a few names, and shows them in the help.
fn one_of<T>(names: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = ()> + Clone + Send + Sync + 'static,
{
    let known = PossibleValuesParser::new(names.collect::<Vec<_>>());
    known.map(|name| {
        name.parse()
            .unwrap_or_else(|()| unreachable!("{name} is a name"))
    })
}

/// `A..B`, not empty.
fn range(text: &str) -> Result<Range<u32>, String> {
    let (first, last) = text.split_once("..").unwrap_or_default();
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first < last => Ok(first..last),
        _ => Err("expected two numbers, the second larger, such as 0..100".to_string()),
    }
}

fn bounds(range: RangeInclusive<u32>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

fn fault(text: &str) -> Result<Fault, String> {
    text.parse().map_err(|()| {
        let kinds = FaultKind::ALL.map(|(name, _)| name).join(", ");
        format!("expected a kind such as real, real:2 or late:2:1000 (memory and bsp: no APIC ID); kinds are {kinds}")
    })
}

/// `512`, `512M`, `2G` to MiB.
fn mebibytes(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let number = digits.parse::<u32>().ok();
    let size = number.and_then(|number| number.checked_mul(unit));
    let size = size.ok_or("expected a size such as 512, 512M or 2G")?;
    if size < LEAST_MEMORY {
        return Err(format!(
            "at least {LEAST_MEMORY} MiB: with less, the firmware never gets to the kernel, which could say so"
        ));
    }
    Ok(size)
}

/// MiB. Below this QEMU 7.2's firmware hangs; a little above it the kernel says what it lacks.
const LEAST_MEMORY: u32 = 2;

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn sizes() {
        for (text, mib) in [("512", 512), ("512M", 512), ("2G", 2048), ("1g", 1024)] {
            assert_eq!(mebibytes(text), Ok(mib));
        }
        for text in ["", "0", "1", "M", "1.5G", "4194304G", "2T"] {
            assert!(mebibytes(text).is_err(), "{text}");
        }
    }
}
