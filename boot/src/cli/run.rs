//! `cargo boot run`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use console::style;
use protocol::options::Job;

use super::args::{BootArgs, RunArgs};
use super::story::Story;
use super::view::View;
use super::{FAILED, INTERRUPTED, kernel, print, refuse, status};
use crate::accel::Engine;
use crate::firmware::Firmware;
use crate::outcome::Outcome;
use crate::qemu;
use crate::run::{Boot, Report};
use crate::timeline::Timeline;

/// Where gdb's users expect a QEMU.
const GDB_PORT: u16 = 1234;

/// A part of what QEMU says, and the remedy. The first that fits counts.
const KNOWN: &str = "\
requires kernel irqchip and X2APIC => more than 255 CPUs need KVM (--accel kvm), or a QEMU whose TCG has x2APIC (9.0)
The max CPUs supported by machine => fewer CPUs: --smp with at most the number it names
Invalid CPU topology => sockets times cores times threads must be the CPUs, or maxcpus, which are no fewer
Invalid parameter => `cargo boot --help` shows the forms of --smp
Parameter 'smp. => `cargo boot --help` shows the forms of --smp
Could not access KVM => --accel tcg, or become a member of the group kvm
failed to initialize kvm => --accel tcg, or become a member of the group kvm
KVM => --accel tcg
unsupported machine type => a QEMU that has this board: --machine q35, or a newer QEMU
cannot set up guest memory => less memory: --memory 256M
linux kernel too old => an ELF, which this file is not
while loading elf kernel => another ELF: this one is cut short, or not for x86-64
without PVH ELF Note => an ELF that was built with this workspace, or a newer QEMU
invalid option => the arguments after `--` must be options of this QEMU";

/// Set by Ctrl-C.
pub(super) static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Boots the kernel named, or this workspace's, shows its progress, returns the exit status.
pub(super) fn run(named: Option<&Path>, args: RunArgs) -> anyhow::Result<u8> {
    let RunArgs { boot: mut args, timeline, explain } = args;
    if timeline.is_some() {
        args.kernel.0.job = Job::Timeline;
    }
    let args = &args;
    refuse::boot(named, args)?;
    let elf = &kernel(named, args.qemu.as_deref(), &args.kernel.0)?;
    let mut boot = boot_with(elf, args)?;
    let command = boot.command()?;
    let engine = boot.engine();
    let mut view = View::new(args, explain);
    if args.verbose {
        view.say(&command);
    }
    if args.gdb {
        let port = free_port()?;
        boot = boot.gdb(port);
        let elf = qemu::quote(&whole(elf)?.to_string_lossy());
        view.say("QEMU waits for a debugger; Ctrl-C here ends it. In another terminal:");
        view.say(&format!("  gdb -ex 'target remote 127.0.0.1:{port}' {elf}"));
    }
    catch_ctrl_c()?;
    if args.firmware == Firmware::Uefi {
        view.wait_for_firmware();
    }
    let ending = boot.watch(|line| view.see(line))?;
    let story = view.finish();
    let drawn = timeline
        .map_or(Ok(String::new()), |file| draw(&story, &ending.outcome, args, engine, &file));
    if let Ok(text) = &drawn {
        view.say(text);
    }
    conclude(&view, args, &ending, &command);
    if args.json {
        let document = story.document(args, engine, &command, &ending)?;
        print(&document)?;
    }
    if ending.outcome.passed() {
        view.screen.check()?;
    }
    if let Err(error) = drawn {
        eprintln!("{}: {error:#}", style("error").red());
        return Ok(FAILED);
    }
    Ok(status(&ending.outcome))
}

/// Draws how the CPUs of a boot started, and returns the text that goes with it. A boot in which
/// CPUs were missing is drawn, too: that is when people want to know.
fn draw(
    story: &Story,
    outcome: &Outcome,
    args: &BootArgs,
    engine: Engine,
    file: &Path,
) -> anyhow::Result<String> {
    let way = args.kernel.0.start;
    let Some(timeline) = Timeline::new(way, story.steps, &story.stamps) else {
        ensure!(
            !outcome.passed(),
            "the kernel has not reported when its CPUs started: is it this workspace's, built from the same sources? \
             (Event `Steps`: {}, events `Stamps`: {})",
            u32::from(story.steps.is_some()),
            story.stamps.len()
        );
        return Ok(String::new());
    };
    let online = story.online.map_or("?".to_string(), |online| online.to_string());
    let about = format!("Start of {online} CPUs ({}, QEMU {}, {engine})", way.name(), args.machine);
    fs::write(file, timeline.svg(&about))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("\n{timeline}Drawn in {}", file.display()))
}

/// A boot as the command line has it.
pub(super) fn boot_with(elf: &Path, args: &BootArgs) -> anyhow::Result<Boot> {
    Ok(Boot::new(whole(elf)?)
        .qemu(args.qemu.clone())
        .smp(args.smp.clone())
        .machine(args.machine)
        .firmware(args.firmware)
        .accel(args.accel)
        .memory_mib(args.memory)
        .deadline(args.deadline.map(|seconds| Duration::from_secs(seconds.into())))
        .options(&args.kernel.0)
        .qemu_args(args.qemu_args.iter().cloned())
        .interrupt(&INTERRUPT))
}

/// The whole path of a kernel, so that commands with it are right in any folder.
pub(super) fn whole(elf: &Path) -> anyhow::Result<PathBuf> {
    elf.canonicalize().with_context(|| format!("there is no kernel at {}", elf.display()))
}

/// The last lines: the verdict and, if it is a bad one, what may help.
fn conclude(view: &View, args: &BootArgs, ending: &Report, command: &str) {
    if ending.outcome.passed() {
        let (all, first) = (ending.elapsed.as_secs_f32(), ending.first_line.unwrap_or_default());
        let times = format!("{all:.1} s, the first line after {:.2} s", first.as_secs_f32());
        view.say(&format!("{} ({times})", style("passed").green()));
        return;
    }
    eprintln!("{}: {}", style("error").red(), ending.outcome);
    match &ending.outcome {
        Outcome::Interrupted => {}
        outcome @ (Outcome::QemuRefused { .. } | Outcome::QemuDied { .. }) => advise(outcome),
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
            eprintln!("This is QEMU {version}; {} or later is needed.", qemu::OLDEST);
        }
        Ok(_) => {}
        Err(error) => eprintln!("Is it a QEMU? {error:#}"),
    }
}

/// Shows what to do about a QEMU that ended in this way, if it is a known one.
pub(super) fn advise(outcome: &Outcome) {
    let (status, stderr) = match outcome {
        Outcome::QemuRefused { stderr } => ("", stderr),
        Outcome::QemuDied { status, stderr } => (&**status, stderr),
        _ => return,
    };
    let mut known = KNOWN.lines().filter_map(|line| line.split_once(" => "));
    let remedy = match known.find(|(said, _)| stderr.contains(said)) {
        _ if status.contains("SIGKILL") => {
            "if the system ran out of memory: fewer CPUs (255 take 1.2 GiB, 64 far less)"
        }
        Some((_, remedy)) => remedy,
        None => return,
    };
    eprintln!("What to do: {remedy}");
}

/// The first Ctrl-C waits for QEMU's end; the second kills this process, and QEMU with it.
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
    Ok(listener.context("no free port for the debugger")?.local_addr()?.port())
}
