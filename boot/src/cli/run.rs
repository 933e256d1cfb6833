//! `cargo boot run`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use console::style;
use protocol::options::{Job, Options};

use super::args::{BootArgs, KernelArgs, RunArgs};
use super::view::View;
use super::{FAILED, INTERRUPTED, print, remedy, result, status, timeline};
use crate::accel::Accel;
use crate::firmware::Firmware;
use crate::outcome::Outcome;
use crate::qemu;
use crate::run::{Boot, Report};

/// Where gdb's users expect a QEMU.
const GDB_PORT: u16 = 1234;

/// Set by Ctrl-C.
pub(super) static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Boots an ELF, shows what it does, and returns the process's exit status.
pub(super) fn run(elf: &Path, args: RunArgs) -> anyhow::Result<u8> {
    let RunArgs { boot: mut args, timeline, explain } = args;
    if timeline.is_some() {
        args.kernel.0.job = Job::Timeline;
    }
    let args = &args;
    check(elf, args)?;
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
    let drawn = timeline.map_or(Ok(String::new()), |file| {
        timeline::draw(&story, &ending.outcome, args, engine, &file)
    });
    if let Ok(text) = &drawn {
        view.say(text);
    }
    conclude(&view, args, &ending, &command);
    if args.json {
        let document = result::document(args, engine, &command, &ending, &story)?;
        print(&document)?;
    }
    if let Err(error) = drawn {
        eprintln!("{}: {error:#}", style("error").red());
        return Ok(FAILED);
    }
    Ok(status(&ending.outcome))
}

fn refuse(refused: bool, why: &'static str) -> anyhow::Result<()> {
    ensure!(!refused, why);
    Ok(())
}

/// Refuses what could not do what it looks like.
pub(super) fn check(elf: &Path, args: &BootArgs) -> anyhow::Result<()> {
    let options = args.kernel.0;
    let KernelArgs(usual) = KernelArgs::default();
    let ends_in = |name| elf.extension().is_some_and(|it| it == name);
    let (is_stick, is_iso) = (ends_in("img"), ends_in("iso"));
    let is_uefi = args.firmware == Firmware::Uefi;
    let is_told =
        |names: &[&str]| args.qemu_args.iter().any(|it| names.iter().any(|name| it == name));
    let is_storm = options.job == Job::Storm && options.scenario.is_none();
    let too_short = |deadline| is_storm && deadline <= options.seconds;
    refuse(is_iso && is_uefi, "an ISO has a loader of its own: leave out --firmware uefi")?;
    refuse(is_stick && !is_uefi, "a stick needs firmware to boot it: --firmware uefi")?;
    refuse(
        (is_stick || is_iso) && options != usual,
        "the options of the kernel on a disk are its own: leave out --seconds, --seed and the like, or write a stick with \
             others (cargo boot image --options)",
    )?;
    refuse(
        is_uefi && options.seed.is_some(),
        "--seed: firmware does not repeat a run; leave out --firmware uefi",
    )?;
    refuse(
        is_told(&["-append", "-initrd"]),
        "-append, -initrd: the kernel reads its options from the ramdisk that `cargo boot` writes; see `cargo boot --help` \
             for theirs, such as --seconds",
    )?;
    refuse(
        args.accel == Accel::Kvm && options.seed.is_some(),
        "--seed: only TCG can repeat a run; leave out --accel kvm",
    )?;
    refuse(
        args.deadline.is_some_and(too_short),
        "--deadline: the storm alone takes as long (--seconds)",
    )?;
    refuse(
        options.scenario.is_some() && options.seconds != usual.seconds,
        "--seconds: a scenario takes the time that its tests need; leave it out",
    )?;
    refuse(
        options.scenario.is_some() && options.job != Job::Storm,
        "--scenario: neither --timeline nor bring-up runs one; leave it out",
    )?;
    refuse(
        options.job == Job::Timeline && args.smp.cpus() < 2,
        "--timeline: with one CPU there is nothing to draw: --smp 2 or more",
    )?;
    if options.job == Job::BringUp {
        check_bring_up(args)?;
    }
    Ok(())
}

/// The same for what only bring-up cannot do.
fn check_bring_up(args: &BootArgs) -> anyhow::Result<()> {
    let options = args.kernel.0;
    refuse(
        args.smp.as_str().parse::<u32>().is_err(),
        "--smp: bring-up boots many numbers of CPUs up to this one, so it must be a plain number",
    )?;
    refuse(
        options.seed.is_some(),
        "--seed: times of a run that counts instructions say nothing; leave it out",
    )?;
    refuse(
        options.seconds != Options::default().seconds,
        "--seconds: bring-up has no storm; leave it out",
    )?;
    refuse(
        args.gdb,
        "--gdb: there are many boots here and no one to debug; `cargo boot --gdb` has one",
    )
}

/// A boot as the command line has it.
pub(super) fn boot_with(elf: &Path, args: &BootArgs) -> anyhow::Result<Boot> {
    let mut boot = Boot::new(whole(elf)?)
        .smp(&args.smp)
        .machine(args.machine)
        .firmware(args.firmware)
        .accel(args.accel)
        .options(&args.kernel.0)
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
    Ok(boot)
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
            eprintln!("This is QEMU {version}; {} or later is needed.", qemu::OLDEST);
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
    Ok(listener.context("no free port for the debugger")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use protocol::options::Job;

    use super::check;
    use crate::cli::{Cli, Command};

    #[test]
    fn what_could_not_do_what_it_looks_like_is_refused() {
        for (line, part) in [
            ("elf a.iso --firmware uefi", "loader of its own"),
            ("elf a.img", "needs firmware"),
            ("elf a.iso --seconds 6", "options of the kernel on a disk"),
            ("elf a.img --firmware uefi --seed 1", "options of the kernel on a disk"),
            ("elf k --firmware uefi --seed 1", "firmware does not repeat"),
            ("elf k -- -append seconds=1", "--seconds"),
            ("elf k -- -initrd file", "--seconds"),
            ("elf k --seed 1 --accel kvm", "only TCG"),
            ("elf k --deadline 5", "the storm alone"),
            ("elf k --deadline 6", ""),
            ("elf k --scenario ipi --deadline 5", ""),
            ("elf k --scenario ipi --seconds 6", "its tests need"),
            ("elf k --scenario ipi --timeline", "runs one"),
            ("bring-up --scenario ipi", "runs one"),
            ("elf k --timeline --smp 1", "nothing to draw"),
            ("elf k --timeline --deadline 1", ""),
            ("bring-up --smp 4,maxcpus=8", "plain number"),
            ("bring-up --seed 1", "counts instructions"),
            ("bring-up --seconds 6", "no storm"),
            ("bring-up --gdb", "no one to debug"),
            ("bring-up", ""),
        ] {
            let words = ["cargo boot"].into_iter().chain(line.split(' '));
            let (elf, args) = match Cli::try_parse_from(words).expect(line).command {
                Some(Command::Elf { path, run }) => {
                    let mut boot = run.boot;
                    boot.kernel.0.job = run.timeline.map_or(Job::Storm, |_| Job::Timeline);
                    (path, boot)
                }
                Some(Command::BringUp(args)) => {
                    let mut boot = args.boot;
                    boot.kernel.0.job = Job::BringUp;
                    (Path::new("k").to_path_buf(), boot)
                }
                other => panic!("{other:?}"),
            };
            let refused = check(&elf, &args).err().map_or(String::new(), |why| why.to_string());
            assert!(
                refused.is_empty() == part.is_empty() && refused.contains(part),
                "{line}: {refused}"
            );
        }
    }
}
