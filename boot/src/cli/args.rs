//! The command lines of the subcommands that boot.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

use clap::builder::{ArgPredicate, PossibleValuesParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use protocol::options::{Format, Key, Options};

use crate::accel::Accel;
use crate::firmware::Firmware;
use crate::guest;
use crate::machine::{MachineType, Smp};

/// How to boot, and what to do then.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) boot: BootArgs,
    /// Instead of a storm: draw each CPU's progress from its first instruction to online, and who
    /// waited for whom [default: timeline.svg].
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "timeline.svg",
          conflicts_with_all = ["seconds", "scenario"])]
    pub(super) timeline: Option<PathBuf>,
    /// Say below the tables what their columns are.
    #[arg(long)]
    pub(super) explain: bool,
}

/// How to boot, and how often.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("smp", |smp| smp
    .help("Most CPUs: a plain number")
    .long_help(None)
    .default_value("255")),
    mut_arg("gdb", |gdb| gdb.hide(true)),
    mut_arg("seconds", refused("bring-up has no storm; leave it out")),
    mut_arg("seed", refused("times of a run that counts instructions say nothing; leave it out")),
    mut_arg("scenario", refused("bring-up runs none; leave it out")))]
pub(super) struct BringUpArgs {
    #[command(flatten)]
    pub(super) boot: BootArgs,
    /// Boots of each kind.
    #[arg(long, default_value_t = 3, value_parser = number::<1000>)]
    pub(super) rounds: u32,
}

/// The contents of the stick.
#[derive(Args, Clone, Debug)]
pub(super) struct ImageArgs {
    /// The image, to be copied to a stick as a whole (`dd`).
    #[arg(long, value_name = "FILE", default_value = "stick.img")]
    pub(super) out: PathBuf,
    /// A file of options for the kernel, `key=value` lines; on the stick it is EFI/BOOT/options,
    /// and can be edited [default: all of them as comments, which is a storm].
    #[arg(long, value_name = "FILE")]
    pub(super) options: Option<PathBuf>,
    /// Another kernel: its ELF [default: this workspace's].
    #[arg(long, value_name = "ELF")]
    pub(super) kernel: Option<PathBuf>,
}

/// Which runs to try.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("seconds", |seconds| seconds
    .default_value("1")
    .default_value_if("scenario", ArgPredicate::IsPresent, None)),
    mut_arg("seed", refused("there are many here: --seeds A..B")))]
pub(super) struct ExploreArgs {
    /// Seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", default_value = "0..100", value_parser = range)]
    pub(super) seeds: Range<u32>,
    /// Numbers of CPUs: each seed runs with each of them.
    #[arg(long, value_name = "N[,N..]", value_delimiter = ',', default_value = "2,8",
          value_parser = number::<{ u32::MAX }>)]
    pub(super) smp: Vec<u32>,
    #[command(flatten)]
    pub(super) kernel: KernelArgs,
    /// Runs in parallel [default: the host's CPUs].
    #[arg(long, value_name = "N", value_parser = number::<1000>)]
    pub(super) jobs: Option<u32>,
    /// Results, a line for each run; runs of the same guest that it already has are not repeated
    /// [default: target/explore/GUEST.txt].
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// The QEMU to use [default: variable BOOT_QEMU, else qemu-system-x86_64 on the search path].
    #[arg(long, value_name = "PATH")]
    pub(super) qemu: Option<PathBuf>,
}

/// How to boot.
#[derive(Args, Clone, Debug)]
pub(super) struct BootArgs {
    /// CPUs, in any form of QEMU's -smp: 8, or 9,sockets=3,cores=3,threads=1, or 4,maxcpus=8.
    #[arg(long, default_value = "4", allow_negative_numbers = true)]
    pub(super) smp: Smp,
    /// Engine: auto takes KVM where the CPU itself has virtualisation, else TCG.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) accel: Accel,
    /// Board.
    #[arg(long, value_enum, default_value = "q35")]
    pub(super) machine: MachineType,
    /// Start the kernel by QEMU itself, or by OVMF from a stick, as a UEFI PC does (8 to 40 s).
    #[arg(long, value_enum, default_value = "direct")]
    pub(super) firmware: Firmware,
    /// Memory, as 512, 512M or 2G [default: what suits the number of CPUs].
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    pub(super) memory: Option<u32>,
    /// Give up after this many seconds [default: far more than a healthy run needs].
    #[arg(long, value_name = "SECONDS", value_parser = number::<{ u32::MAX }>)]
    pub(super) deadline: Option<u32>,
    #[command(flatten)]
    pub(super) kernel: KernelArgs,
    /// Wait for a debugger before the first instruction; print how to attach one. (One that stops
    /// the guest would change a run with a seed.)
    #[arg(long, conflicts_with = "seed")]
    pub(super) gdb: bool,
    /// Print the result as one JSON document on standard output, and all else on standard error.
    #[arg(long)]
    pub(super) json: bool,
    /// Show the tables and trees of CPUs in full, each second too, and the command line of QEMU.
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// The QEMU to use [default: variable BOOT_QEMU, else qemu-system-x86_64 on the search path].
    #[arg(long, value_name = "PATH")]
    pub(super) qemu: Option<PathBuf>,
    /// More arguments for QEMU.
    #[arg(last = true, value_name = "QEMU ARGUMENTS")]
    pub(super) qemu_args: Vec<OsString>,
}

/// The kernel's options, but for those that follow from the command.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelArgs(pub(super) Options);

impl KernelArgs {
    fn keys() -> impl Iterator<Item = &'static Key> {
        let all = Options::KEYS.iter();
        all.filter(|key| !["format", "job"].contains(&key.name))
    }
}

impl Args for KernelArgs {
    fn augment_args(command: Command) -> Command {
        command.args(Self::keys().map(|key| {
            let arg = Arg::new(key.name).long(key.name).value_name("VALUE");
            let arg = arg.allow_negative_numbers(true);
            let arg = if key.name == "scenario" {
                // Takes the time that its tests need. The parser shows all of them, and the one
                // that was meant.
                let arg = arg.help(key.about()).conflicts_with("seconds");
                arg.value_parser(PossibleValuesParser::new(guest::scenarios()))
            } else {
                let expected = format!("expected {}", key.expected());
                arg.help(format!("{} Expects {}", key.about(), key.expected())).value_parser(
                    move |text: &str| match key.set(&mut Options::default(), text) {
                        Some(()) => Ok(text.to_string()),
                        None => Err(expected.clone()),
                    },
                )
            };
            let default = key.value(&Options::default()).to_string();
            if default.is_empty() { arg } else { arg.default_value(default) }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Their values if none is given.
impl Default for KernelArgs {
    fn default() -> Self {
        Self(Options { format: Format::Json, ..Options::default() })
    }
}

impl FromArgMatches for KernelArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in Self::keys() {
            let text = matches.get_one::<String>(key.name);
            // Checked by the parser of its argument.
            let _ = text.map(|text| key.set(&mut self.0, text));
        }
        Ok(())
    }
}

/// Has a command refuse an option that it shares with others.
fn refused(why: &'static str) -> impl FnOnce(Arg) -> Arg {
    move |arg| arg.hide(true).default_value(None).value_parser(move |_: &str| Err::<String, _>(why))
}

/// A number from 1 on.
fn number<const MOST: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

/// `A..B`, not empty.
fn range(text: &str) -> Result<Range<u32>, String> {
    let (first, last) = text.split_once("..").unwrap_or_default();
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first < last => Ok(first..last),
        _ => Err("expected two numbers, the second larger, such as 0..100".to_string()),
    }
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
    use clap::Parser;

    use super::mebibytes;
    use crate::cli::{Cli, Command};

    #[test]
    fn an_explored_storm_is_short() {
        for (line, seconds) in [("", 1), ("--seconds 5", 5), ("--scenario ipi", 5)] {
            let words = ["cargo boot", "explore"].into_iter().chain(line.split_whitespace());
            let command = Cli::try_parse_from(words).expect(line).command;
            let Some(Command::Explore(args)) = command else { panic!("{command:?}") };
            assert_eq!(args.kernel.0.seconds, seconds, "{line}");
        }
    }

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
