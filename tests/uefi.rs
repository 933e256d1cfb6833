//! Boots by UEFI: OVMF starts `BOOTX64.EFI` from a stick, as a PC would.
//!
//! OVMF takes 8 to 40 s each time, so `cargo test` runs the first two cases; the others by
//!
//! ```sh
//! cargo test --package tests -- uefi --include-ignored
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use boot::toolchain::on_path;
use boot::{Machine, Outcome, Report, guest, image};
use protocol::event::Event;
use protocol::storm::CpuLine;
use tests::judge::{log_has, others_were_stopped, panicked, trouble_is, unfit};
use tests::{Case, events};

pub(crate) fn cases() -> Vec<Case> {
    let storm = |smp: &str| {
        let case = Case::kernel(smp, 1).uefi();
        let shape = case.shape();
        case.also(move |report| all_online(report, shape.cpus))
    };
    let panic = Case::new("panic_ap", "4").uefi().named("panic_on_an_ap");
    let panic = panic.screen(|text| {
        on_screen(
            text,
            &[
                "[CPU 3] PANIC",
                "on purpose, on the last CPU",
                "[CPU 3]     at 0xffffffff8",
            ],
        )
    });
    let shown = Case::kernel("4", 1).uefi().named("on_the_screen");
    let shown = shown.screen(|text| {
        let online = "[CPU 0] 4 of 4 CPUs online after";
        on_screen(
            text,
            &[
                online,
                CpuLine::HEADER,
                "cache-aware  ",
                "0 violations: PASSED\n\nPASSED\n",
            ],
        )
    });
    let mut cases = vec![
        storm("4"),
        panic.also(|report| {
            panicked(report, "on purpose, on the last CPU", 3)?;
            trouble_is(report, &["CPU 3", "in test panics_on_the_last_cpu"])?;
            others_were_stopped(report)
        }),
        shown.rare(),
        storm("1").rare(),
        storm("9,sockets=3,cores=3,threads=1").rare(),
        storm("64").rare(),
        storm("4").on(Machine::Pc).rare(),
        // ACPI's timer tells the time.
        storm("4")
            .named("no_pit_no_hpet")
            .qemu(["-machine", "pit=off,hpet=off"])
            .rare(),
        storm("4")
            .named("memory_6_gib")
            .memory_mib(6144)
            .also(has_6_gib)
            .rare(),
        // OVMF's APs wait by `mwait`, which TCG takes for a loop.
        storm("32")
            .named("spinning_aps_smp_32")
            .qemu(["-cpu", "max"])
            .rare(),
        // The only one is elsewhere, so there is no verdict in words.
        storm("4")
            .named("no_serial_port")
            .qemu(["-global", "isa-serial.iobase=0x2f8"])
            .expecting(|report| {
                ensure!(report.outcome == Outcome::SilentExit, "{}", report.outcome);
                Ok(())
            })
            .rare(),
        storm("4")
            .named("no_screen")
            .qemu(["-vga", "none"])
            .expecting(|report| unfit(report, &["no screen", "NOT_FOUND"]))
            .rare(),
        storm("1")
            .named("no_options")
            .stick(|elf, _, to| image::write(to, &[(image::LOADER, &guest::build_loader(elf)?)]))
            .expecting(|report| unfit(report, &["no options", "EFI\\BOOT\\options"]))
            .rare(),
    ];
    if on_path("grub-mkstandalone").is_some() && Path::new("/usr/lib/grub/x86_64-efi").exists() {
        for smp in ["4", "64"] {
            let name = format!("from_grubs_menu_smp_{smp}");
            cases.push(storm(smp).named(&name).stick(grub).rare());
        }
    } else {
        eprintln!(
            "uefi::from_grubs_menu skipped: there is no GRUB for UEFI (sh boot/setup.sh --tests)"
        );
    }
    cases
}

/// The loader started a kernel whose CPUs are all online.
fn all_online(report: &Report, cpus: u32) -> Result<()> {
    log_has(report, &["uefi: starts the kernel"])?;
    tests::cpus::are_online(report, cpus, cpus)?;
    Ok(())
}

/// All these, and the kernel's last line.
fn on_screen(text: &str, words: &[&str]) -> Result<()> {
    for word in words.iter().chain([&"done: switch off or press reset"]) {
        ensure!(text.contains(word), "there is no {word:?}");
    }
    Ok(())
}

/// What lies above 4 GiB is the kernel's, too.
fn has_6_gib(report: &Report) -> Result<()> {
    let mut memory = events!(report, Event::Hello { memory_kib, .. } => *memory_kib);
    let mib = memory.next().context("no hello")? >> 10;
    ensure!(mib > 6000, "{mib} MiB");
    Ok(())
}

/// A stick that starts GRUB, whose menu has the loader in a folder of its own.
fn grub(elf: &Path, options: &str, to: &Path) -> Result<()> {
    const MENU: &str = "set timeout=0
menuentry rundown {
    search --file --set=root /EFI/rundown/kernel.efi
    chainloader /EFI/rundown/kernel.efi
}
";
    let folder = tempfile::tempdir()?;
    let (menu, grub) = (
        folder.path().join("grub.cfg"),
        folder.path().join("grub.efi"),
    );
    fs::write(&menu, MENU)?;
    let made = Command::new("grub-mkstandalone")
        .args(["--format=x86_64-efi", "--output"])
        .arg(&grub)
        .args([
            "--modules=part_gpt fat search search_fs_file chain normal",
            "--install-modules=normal",
            "--themes=",
            "--locales=",
            "--fonts=",
        ])
        .arg(format!("boot/grub/grub.cfg={}", menu.display()))
        .output()?;
    ensure!(
        made.status.success(),
        "grub-mkstandalone: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let (grub, loader) = (fs::read(grub)?, guest::build_loader(elf)?);
    image::write(
        to,
        &[
            (image::LOADER, &grub),
            ("EFI/rundown/kernel.efi", &loader),
            ("EFI/rundown/options", options.as_bytes()),
        ],
    )
}
