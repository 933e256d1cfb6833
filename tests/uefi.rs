//! Boots by firmware: OVMF starts `BOOTX64.EFI` from a stick, as PCs do; and `bootloader`'s stages.
//!
//! OVMF takes 8 to 40 s each time, so `cargo test` runs the first two cases; the others by
//!
//! ```sh
//! cargo test --package tests -- uefi:: --include-ignored
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Error, Result, ensure};
use boot::toolchain::on_path;
use boot::{Action, Firmware, MachineType, Report, Trigger, guest, image, workspace};
use bootloader_api::BootloaderConfig;
use object::{LittleEndian, Object, ObjectSection, read::elf::ElfFile64};
use protocol::event::Event;
use protocol::storm::CpuLine;
use serde_json::Value;
use tests::Case;
use tests::case::MakeStick;
use tests::judge::{log_has, others_were_stopped, unfit};

pub(crate) fn cases() -> Vec<Case> {
    let usual = [
        storm("4").also(|report| log_has(report, &["uefi: starts the kernel"])),
        Case::new("panic_ap", "4")
            .uefi()
            .named("panic_on_an_ap_on_the_screen")
            .screen(["[CPU 3] PANIC", "on purpose, on the last CPU", "[CPU 3]     at 0xffffffff8"])
            .also(others_were_stopped),
    ];
    let mut rare = vec![
        storm("1"),
        storm("9,sockets=3,cores=3,threads=1"),
        storm("64"),
        storm("4").on(MachineType::Pc),
        // ACPI's timer is the only clock.
        storm("4").named("no_pit_no_hpet").qemu(["-machine", "pit=off,hpet=off"]),
        storm("4").named("memory_6_gib").boot(|boot| boot.memory_mib(6144)).also(has_6_gib),
        // OVMF's APs wait by `mwait`, which TCG takes for a loop.
        storm("32").named("spinning_aps_smp_32").qemu(["-cpu", "max"]),
        on_the_screen("1280x800"),
    ];
    rare.extend(refusals());
    if on_path("grub-mkstandalone").is_some() && Path::new("/usr/lib/grub/x86_64-efi").exists() {
        for smp in ["4", "64"] {
            let name = format!("from_grubs_menu_smp_{smp}");
            rare.push(storm(smp).named(&name).stick(grub));
        }
        // 32 MiB of pixels.
        let uhd = on_the_screen("3840x2160").stick(grub_uhd);
        rare.push(uhd.qemu(["-global", "VGA.vgamem_mb=64"]));
    } else {
        eprintln!("uefi::from_grubs_menu_* skipped: no GRUB for UEFI (sh boot/setup.sh --tests)");
    }
    if Path::new("/usr/lib/rustlib/src/rust/library").exists() {
        rare.extend(bootloader_crate());
    } else {
        eprintln!("uefi::bootloader_* skipped: no rust-web-src (see tests/bootloader/build)");
    }
    let rare = rare.into_iter().map(Case::rare);
    usual.into_iter().chain(rare).collect()
}

/// A storm on a machine whose CPUs all come online.
fn storm(smp: &str) -> Case {
    let case = Case::kernel(smp, 1).uefi();
    let cpus = case.shape().cpus;
    case.also(move |report| tests::cpus::are_online(report, cpus, cpus).map(drop))
}

/// A storm whose log and verdict are on a screen of this size.
fn on_the_screen(size: &'static str) -> Case {
    storm("4").named(&format!("on_the_screen_{size}")).screen([
        size,
        "[CPU 0] 4 of 4 CPUs online after",
        CpuLine::HEADER,
        "cache-aware  ",
        "0 violations: PASSED\n\nPASSED\n",
    ])
}

/// Faults that the loader finds and reports. (OVMF leaves LA57 off: see `handover::check_paging`.)
fn refusals() -> impl Iterator<Item = Case> {
    let named = |name| Case::kernel("1", 1).uefi().named(name);
    let refused =
        |name, words: &'static [&str]| named(name).expecting(move |report| unfit(report, words));
    let load_error = Trigger::Log("Load Error".to_owned());
    [
        refused("no_screen", &["no screen", "NOT_FOUND"]).qemu(["-vga", "none"]),
        refused("no_execute_disable", &["not executable"]).qemu(["-cpu", "max,-monitor,nx=off"]),
        refused("too_little_memory", &["too little memory", "OUT_OF_RESOURCES"]).stick(huge_stack),
        // Without an exit device, it returns to the firmware, which says so.
        named("no_options")
            .stick(|elf, _, to| image::write(to, &[(image::LOADER, &guest::build_loader(elf)?)]))
            .qemu(["-set", "device.exit.iobase=0xf8"])
            .boot(|boot| boot.act(Action::qmp(load_error, "quit", Value::Null)))
            .expecting(|report| {
                log_has(report, &["no options", "EFI\\BOOT\\options", "Load Error"])
            }),
    ]
    .into_iter()
}

/// By the stages of the unmodified `bootloader` crate, for a BIOS and for UEFI.
fn bootloader_crate() -> impl Iterator<Item = Case> {
    const STAGES: [(&str, MakeStick); 2] = [
        ("bios", |elf, options, to| stages("bios", elf, options, to)),
        ("uefi", |elf, options, to| stages("uefi", elf, options, to)),
    ];
    let with = |case: Case, (name, make): (&str, MakeStick), what: &str| {
        let case = case.named(&format!("bootloader_{name}_{what}"));
        let case = case.stick(make).boot(|boot| boot.memory_mib(512));
        if name == "bios" { case.boot(|boot| boot.firmware(Firmware::Direct)) } else { case }
    };
    let storms = STAGES.into_iter().flat_map(move |stage| {
        ["1", "4", "64"].map(|smp| with(storm(smp), stage, &format!("smp_{smp}")))
    });
    // The sizes that the stages choose with this much memory of the card's.
    let screens = [
        (0, "640x400", "VGA.vgamem_mb=1"),
        (0, "1280x720", "VGA.vgamem_mb=16"),
        (1, "1280x800", "VGA.vgamem_mb=16"),
    ];
    let screens = screens.map(|(stage, size, memory)| {
        let case = with(storm("4"), STAGES[stage], size);
        case.screen([size, "\nPASSED\n"]).qemu(["-global", memory])
    });
    storms.chain(screens)
}

/// Memory above 4 GiB is the kernel's, too.
fn has_6_gib(report: &Report) -> Result<()> {
    let memory = report.events.iter().find_map(|event| match event {
        Event::Hello { memory_kib, .. } => Some(*memory_kib),
        _ => None,
    });
    let mib = memory.context("no hello")? >> 10;
    ensure!(mib > 6000, "{mib} MiB");
    Ok(())
}

/// A stick with a kernel that wants a first stack of 4 GiB.
fn huge_stack(elf: &Path, options: &str, to: &Path) -> Result<()> {
    let mut bytes = fs::read(elf)?;
    let file = ElfFile64::<LittleEndian>::parse(&*bytes)?;
    let section = file.section_by_name(".bootloader-config");
    let section = section.context("no configuration")?;
    let at = section.file_range().context("not in the file")?.0 as usize;
    let mut config = BootloaderConfig::deserialize(section.data()?).map_err(Error::msg)?;
    config.kernel_stack_size = 4 << 30;
    let config = config.serialize();
    bytes[at..][..config.len()].copy_from_slice(&config);
    let folder = tempfile::tempdir()?;
    let elf = folder.path().join("huge_stack");
    fs::write(&elf, bytes)?;
    let loader = guest::build_loader(&elf)?;
    let options = (image::OPTIONS, options.as_bytes());
    image::write(to, &[(image::LOADER, &*loader), options])
}

/// A stick that starts GRUB, whose menu has the loader in a folder of its own.
fn grub(elf: &Path, options: &str, to: &Path) -> Result<()> {
    grub_after("", elf, options, to)
}

/// As [`grub`], which leaves the screen in a mode that OVMF does not choose by itself.
fn grub_uhd(elf: &Path, options: &str, to: &Path) -> Result<()> {
    const MODE: &str = "loadfont ascii
set gfxmode=3840x2160
terminal_output gfxterm
";
    grub_after(MODE, elf, options, to)
}

fn grub_after(commands: &str, elf: &Path, options: &str, to: &Path) -> Result<()> {
    const MENU: &str = "set timeout=0
menuentry rundown {
    search --file --set=root /EFI/rundown/kernel.efi
    chainloader /EFI/rundown/kernel.efi
}
";
    let folder = tempfile::tempdir()?;
    let [menu, grub] = ["grub.cfg", "grub.efi"].map(|name| folder.path().join(name));
    fs::write(&menu, format!("{commands}{MENU}"))?;
    let mut make = Command::new("grub-mkstandalone");
    make.args(["--format=x86_64-efi", "--install-modules=normal"])
        .arg("--modules=part_gpt fat search search_fs_file chain normal font gfxterm efi_gop")
        .args(["--themes=", "--locales=", "--fonts=ascii", "--output"])
        .arg(&grub)
        .arg(format!("boot/grub/grub.cfg={}", menu.display()));
    succeeds(make)?;
    let (grub, loader) = (fs::read(grub)?, guest::build_loader(elf)?);
    let files: [(&str, &[u8]); 3] = [
        (image::LOADER, &grub),
        ("EFI/rundown/kernel.efi", &loader),
        ("EFI/rundown/options", options.as_bytes()),
    ];
    image::write(to, &files)
}

/// A disk with the `bootloader` crate's stages for this firmware.
fn stages(firmware: &str, elf: &Path, options: &str, to: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ramdisk = folder.path().join("options");
    fs::write(&ramdisk, options)?;
    let mut build = workspace::clean_command("bash");
    build.arg("tests/bootloader/build");
    build.args([elf, &ramdisk, folder.path()]);
    succeeds(build)?;
    fs::copy(folder.path().join(format!("{firmware}.img")), to)?;
    Ok(())
}

fn succeeds(mut command: Command) -> Result<()> {
    let output = command.output();
    let output = output.with_context(|| format!("{:?}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
