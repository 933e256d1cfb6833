//! `cargo boot run`.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use console::style;
use protocol::options::{Format, Options};

use super::args::BootArgs;
use super::job::Job;
use super::story::Story;
use super::view::View;
use super::{FAILED, INCOMPLETE, INTERRUPTED, NOT_TRIED, print, remedy, result};
use crate::accel::{Accel, Engine};
use crate::firmware::Firmware;
use crate::outcome::Outcome;
use crate::qemu;
use crate::run::{Boot, Ending};

/// Where gdb's users expect a QEMU.
const GDB_PORT: u16 = 1234;

/// Set by Ctrl-C.
pub(super) static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// What there is at the end of a boot.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) story: &'a Story,
    pub(super) outcome: &'a Outcome,
    pub(super) engine: Engine,
    /// Where text for people goes; `None`: nowhere.
    pub(super) view: Option<&'a View>,
}

impl Seen<'_> {
    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        if let Some(view) = self.view {
            view.say(line);
        }
    }
}

/// Boots an ELF, shows what it does, and returns the process's exit status.
pub(super) fn run(elf: &Path, args: &BootArgs, job: Job) -> anyhow::Result<u8> {
    run_then(elf, args, job, |_| Ok(()))
}

/// As [`run`], and does something with what the guest has told before the last lines are shown. If that
/// fails, the guest has not done what it was booted for: then so does the whole.
pub(super) fn run_then(
    elf: &Path,
    args: &BootArgs,
    job: Job,
    then: impl FnOnce(&Seen<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    check(elf, args, job)?;
    let mut boot = boot_with(elf, args, &args.options(job));
    let command = boot.command()?;
    let engine = boot.engine();
    let mut view = View::new(args.json, args.verbose, job);
    if args.verbose {
        view.say(&job.describe());
        view.say(&command);
    }
    if args.gdb {
        let port = free_port()?;
        boot = boot.gdb(port);
        let elf = elf.display();
        view.say("QEMU waits for a debugger; Ctrl-C here ends it. In another terminal:");
        view.say(&format!(
            "  gdb -ex 'target remote 127.0.0.1:{port}' '{elf}'"
        ));
    }
    catch_ctrl_c()?;
    if args.firmware == Firmware::Uefi {
        view.wait_for_firmware();
    }
    let ending = boot.watch(|line| view.see(line))?;
    let story = view.finish();
    let done = then(&Seen {
        story: &story,
        outcome: &ending.outcome,
        engine,
        view: Some(&view),
    });
    conclude(&view, args, &ending, &command);
    if args.json {
        let document = result::document(args, job, engine, &command, &ending, &story)?;
        print(&document)?;
    }
    if let Err(error) = done {
        eprintln!("{}: {error:#}", style("error").red());
        return Ok(FAILED);
    }
    Ok(match ending.outcome {
        Outcome::Passed => 0,
        Outcome::Interrupted => INTERRUPTED,
        Outcome::Incomplete { .. } => INCOMPLETE,
        Outcome::QemuRefused { .. } => NOT_TRIED,
        _ => FAILED,
    })
}

/// Refuses what could not do what it looks like.
pub(super) fn check(elf: &Path, args: &BootArgs, job: Job) -> anyhow::Result<()> {
    let usual = Options {
        format: Format::Json,
        ..Options::default()
    };
    let ends_in = |name| elf.extension().is_some_and(|it| it == name);
    match args.firmware {
        Firmware::Uefi if ends_in("iso") => {
            bail!("an ISO has a loader of its own: leave out --firmware uefi")
        }
        Firmware::Direct if ends_in("img") => {
            bail!("a stick needs firmware to boot it: --firmware uefi")
        }
        _ if (ends_in("img") || ends_in("iso")) && args.options(job) != usual => bail!(
            "{}: the options of the kernel on it are its own: leave out --seconds, --seed and the like, or write a stick \
             with others (cargo boot image --options)",
            elf.display()
        ),
        Firmware::Uefi if args.seed.is_some() => {
            bail!("--seed: firmware does not repeat a run; leave out --firmware uefi")
        }
        _ => {}
    }
    if let Some(option) = args
        .qemu_args
        .iter()
        .find(|it| *it == "-append" || *it == "-initrd")
    {
        bail!(
            "{}: the kernel reads its options from the ramdisk that `cargo boot` writes; see `cargo boot --help` \
             for theirs, such as --seconds",
            option.display()
        );
    }
    if args.seed.is_some() && args.accel == Accel::Kvm {
        bail!("--seed: only TCG can repeat a run; leave out --accel kvm");
    }
    match (args.deadline, job) {
        (Some(deadline), Job::Storm { seconds }) if deadline <= seconds => {
            bail!("--deadline {deadline}: the storm alone takes {seconds} s (--seconds)")
        }
        _ => Ok(()),
    }
}

/// A boot as the command line has it, with these options.
pub(super) fn boot_with(elf: &Path, args: &BootArgs, options: &Options) -> Boot {
    let mut boot = Boot::new(elf)
        .smp(&args.smp)
        .machine(args.machine)
        .firmware(args.firmware)
        .accel(args.accel)
        .options(options)
        .qemu_args(args.qemu_args.iter().cloned())
        .interrupt(&INTERRUPT);
    if let Some(mib) = args.memory {
        boot = boot.memory_mib(mib);
    }
    if let Some(seconds) = args.deadline {
        boot = boot.deadline(Duration::from_secs(seconds.into()));
    }
    if let Some(qemu) = &args.qemu {
        boot = boot.qemu(qemu);
    }
    boot
}

/// The last lines: the verdict and, if it is a bad one, what may help.
fn conclude(view: &View, args: &BootArgs, ending: &Ending, command: &str) {
    if ending.outcome.passed() {
        let (all, first) = (
            ending.elapsed.as_secs_f32(),
            ending.first_line.unwrap_or_default(),
        );
        let times = format!(
            "{all:.1} s, the first line after {:.2} s",
            first.as_secs_f32()
        );
        view.say(&format!("{} ({times})", style("passed").green()));
        return;
    }
    eprintln!("{}: {}", style("error").red(), ending.outcome);
    match &ending.outcome {
        Outcome::Interrupted => {}
        Outcome::QemuRefused { stderr } => advise("", stderr),
        Outcome::QemuDied { status, stderr } => advise(status, stderr),
        _ => {
            if !ending.stderr.trim().is_empty() {
                eprintln!("QEMU said: {}", ending.stderr.trim());
            }
            eprintln!("By hand: {command}");
        }
    }
    if ending.first_line.is_none() {
        distrust(args.qemu.as_deref());
    }
}

/// Before a guest is blamed that wrote nothing: is this a QEMU, and new enough?
fn distrust(qemu: Option<&Path>) {
    match qemu::find(qemu).and_then(|program| qemu::version(&program)) {
        Ok(version) if version < qemu::OLDEST => {
            eprintln!(
                "This is QEMU {version}; {} or later is needed.",
                qemu::OLDEST
            );
        }
        Ok(_) => {}
        Err(error) => eprintln!("Is it a QEMU? {error:#}"),
    }
}

fn advise(status: &str, stderr: &str) {
    if let Some(remedy) = remedy::remedy(status, stderr) {
        eprintln!("What to do: {remedy}");
    }
}

/// Only the first Ctrl-C waits for QEMU's end; the second ends this process at once, and QEMU with
/// it.
pub(super) fn catch_ctrl_c() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    })
    .context("cannot catch Ctrl-C")
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", GDB_PORT));
    let listener = listener.or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    Ok(listener
        .context("no free port for the debugger")?
        .local_addr()?
        .port())
}
