//! Refuses command lines that would not do what they appear to ask for.

use std::path::Path;

use anyhow::{bail, ensure};
use protocol::options::{Job, Options};

use super::args::{BootArgs, KernelArgs};
use crate::accel::Accel;
use crate::firmware::Firmware;
use crate::qemu;

/// The first row that holds is the reason.
fn first<const N: usize>(rows: [(bool, &'static str); N]) -> anyhow::Result<()> {
    match rows.into_iter().find(|(holds, _)| *holds) {
        Some((_, why)) => bail!(why),
        None => Ok(()),
    }
}

/// A boot, or many, of the kernel or disk named, else of this workspace's kernel.
pub(super) fn boot(named: Option<&Path>, args: &BootArgs) -> anyhow::Result<()> {
    let options = args.kernel.0;
    let KernelArgs(usual) = KernelArgs::default();
    let (is_stick, is_iso) = (named.is_some_and(qemu::is_stick), named.is_some_and(qemu::is_iso));
    let is_uefi = args.firmware == Firmware::Uefi;
    let names_a_ramdisk = args.qemu_args.iter().any(|it| it == "-append" || it == "-initrd");
    let is_storm = options.job == Job::Storm && options.scenario.is_none();
    let too_short = |deadline| is_storm && deadline <= options.seconds;
    first([
        (is_iso && is_uefi, "an ISO has a loader of its own: leave out --firmware uefi"),
        (is_stick && !is_uefi, "a stick needs firmware to boot it: --firmware uefi"),
        (
            (is_stick || is_iso) && options != usual,
            "the options of the kernel on a disk are its own: leave out --seconds, --seed and the like, or write a stick \
             with others (cargo boot image --options)",
        ),
        (
            is_uefi && options.seed.is_some(),
            "--seed: firmware does not repeat a run; leave out --firmware uefi",
        ),
        (
            names_a_ramdisk,
            "-append, -initrd: the kernel reads its options from the ramdisk that `cargo boot` writes; see \
             `cargo boot --help` for theirs, such as --seconds",
        ),
        (
            args.accel == Accel::Kvm && options.seed.is_some(),
            "--seed: only TCG can repeat a run; leave out --accel kvm",
        ),
        (
            args.deadline.is_some_and(too_short),
            "--deadline: the storm alone takes as long (--seconds)",
        ),
        (
            options.job == Job::Timeline && args.smp.cpus() < 2,
            "--timeline: with one CPU there is nothing to draw: --smp 2 or more",
        ),
    ])?;
    if options.job != Job::BringUp {
        return Ok(());
    }
    first([
        (
            args.smp.as_str().parse::<u32>().is_err(),
            "--smp: bring-up boots many numbers of CPUs up to this one, so it must be a plain number",
        ),
        (
            args.gdb,
            "--gdb: there are many boots here and no one to debug; `cargo boot --gdb` has one",
        ),
    ])
}

/// The kernel in `folder`, which is not this workspace's.
pub(super) fn foreign(folder: &Path, options: &Options) -> anyhow::Result<()> {
    // A seed is QEMU's, not the kernel's.
    let options = Options { seed: None, ..*options };
    ensure!(
        options == KernelArgs::default().0,
        "{}: a kernel of your own does not know the options of this one: leave out --seconds, --fault and the like",
        folder.display()
    );
    Ok(())
}

/// These options for a kernel on a stick.
pub(super) fn stick(options: &Options) -> anyhow::Result<()> {
    let mut set = Options::KEYS.iter().filter(|key| !key.is_default(options));
    match set.find(|key| key.only_qemu) {
        Some(key) => bail!("{}: for runs in QEMU, not for a stick; leave it out", key.name),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protocol::options::{Job, Options};

    use crate::cli::args::RunArgs;
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
            ("elf k --timeline --smp 1", "nothing to draw"),
            ("elf k --timeline --deadline 1", ""),
            ("bring-up --smp 4,maxcpus=8", "plain number"),
            ("bring-up --gdb", "no one to debug"),
            ("bring-up", ""),
        ] {
            let words = ["cargo boot"].into_iter().chain(line.split(' '));
            let done = match Cli::try_parse_from(words).expect(line).command {
                Some(Command::Elf { path, run: RunArgs { mut boot, timeline, .. } }) => {
                    boot.kernel.0.job = timeline.map_or(Job::Storm, |_| Job::Timeline);
                    super::boot(Some(&path), &boot)
                }
                Some(Command::BringUp(mut args)) => {
                    args.boot.kernel.0.job = Job::BringUp;
                    super::boot(None, &args.boot)
                }
                other => panic!("{other:?}"),
            };
            let refused = done.err().map_or(String::new(), |why| why.to_string());
            assert!(
                refused.is_empty() == part.is_empty() && refused.contains(part),
                "{line}: {refused}"
            );
        }
    }

    #[test]
    fn a_stick_takes_what_a_pc_has_a_use_for() {
        for (options, refused) in
            [("job=report\nformat=json", false), ("seed=1", true), ("scenario=ipi", true)]
        {
            let options = Options::parse(options.as_bytes()).expect("valid");
            assert_eq!(super::stick(&options).is_err(), refused, "{options}");
        }
    }
}
