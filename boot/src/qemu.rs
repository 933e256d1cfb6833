//! QEMU's command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::accel::Engine;
use crate::firmware::Ovmf;
use crate::machine::MachineType;
use crate::run::Boot;
use crate::toolchain::on_path;
use crate::version::Version;

/// Oldest QEMU that has all that the command lines use. The youngest part is ACPI on microvm
/// (5.2); booting an ELF by its PVH note came with 4.0. Tried with 7.2.
pub const OLDEST: Version = Version { major: 5, minor: 2 };

const MISSING: &str = "\
qemu-system-x86_64 is not on the search path. What to do:
  Debian, Ubuntu:  sh boot/setup.sh   (or: apt-get install --no-install-recommends qemu-system-x86)
  Fedora:          dnf install qemu-system-x86-core
  Arch:            pacman -S qemu-system-x86
  macOS:           brew install qemu
  or name the program: --qemu PATH, or BOOT_QEMU=PATH in the environment";

/// Most CPUs that an xAPIC, with its 8-bit IDs, can address; QEMU's TCG has no other before 9.0.
const XAPIC_CPUS: u32 = 255;

/// The files that UEFI takes.
#[derive(Clone, Debug)]
pub(crate) struct Uefi {
    pub(crate) ovmf: Ovmf,
    /// A copy of the firmware's variables, which it writes to.
    pub(crate) variables: PathBuf,
    /// The image of a stick.
    pub(crate) stick: PathBuf,
}

/// The QEMU to use: the one named, else that of `BOOT_QEMU`, else the one on the search path.
pub fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named = named.map(Path::to_path_buf);
    match named.or_else(|| std::env::var_os("BOOT_QEMU").map(PathBuf::from)) {
        Some(path) if path.components().count() > 1 && !path.is_file() => {
            bail!("there is no QEMU at {}", path.display())
        }
        Some(path) => Ok(path),
        None => on_path("qemu-system-x86_64").context(MISSING),
    }
}

/// Asks a QEMU for its version.
pub fn version(qemu: &Path) -> anyhow::Result<Version> {
    let output = Command::new(qemu).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", qemu.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = Version::find(&text).filter(|_| text.contains("QEMU"));
    version.with_context(|| format!("{} does not say which QEMU it is", qemu.display()))
}

/// The arguments for QEMU: what `boot` asks for, by this engine, with these files.
pub(crate) fn arguments(
    boot: &Boot,
    engine: Engine,
    ramdisk: Option<&Path>,
    uefi: Option<&Uefi>,
) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: &dyn AsRef<OsStr>| {
        arguments.push(option.into());
        arguments.push(value.as_ref().to_os_string());
    };
    // More CPUs than the xAPIC can address need x2APIC, and interrupts that reach 32-bit IDs.
    let large = boot.machine == MachineType::Q35 && boot.smp.cpus() > XAPIC_CPUS;
    let details = match boot.machine {
        MachineType::Q35 if large => ",kernel-irqchip=split",
        MachineType::Q35 | MachineType::Pc => "",
        // ACPI for the list of CPUs. Timer, interrupt controller and clock as on any PC, so that
        // the kernel has one machine to know and not two.
        MachineType::Microvm => ",acpi=on,pit=on,pic=on,rtc=on",
    };
    add("-machine", &format!("{}{details}", boot.machine));
    add("-accel", &engine.to_string());
    match engine {
        // OVMF's APs wait by `mwait` where they can, which TCG does not implement: they would spin,
        // and take the time of all others.
        Engine::Tcg if uefi.is_some() => add("-cpu", &"max,-monitor"),
        Engine::Tcg => add("-cpu", &"max"),
        Engine::Kvm { native } => {
            // One that is not native was seen to offer a register (IA32_ARCH_CAPABILITIES) that it
            // then refuses, and QEMU 7.2 gives up.
            let model = if native { "host" } else { "host,arch-capabilities=off" };
            add("-cpu", &model);
            // A KVM that interprets kernel code would take minutes for SeaBIOS.
            if !native && boot.machine != MachineType::Microvm && uefi.is_none() {
                add("-bios", &"qboot.rom");
            }
        }
    }
    if large {
        add("-device", &"intel-iommu,intremap=on,eim=on");
    }
    add("-smp", &boot.smp.as_str());
    // The kernel itself, and stacks and an area for each CPU.
    let usual = boot.smp.cpus().saturating_mul(2).saturating_add(256);
    let memory = boot.memory_mib.unwrap_or(usual);
    add("-m", &format!("{memory}M"));
    load(&boot.elf, ramdisk, uefi, &mut add);
    add("-display", &"none");
    add("-serial", &"stdio");
    add("-device", &format!("isa-debug-exit,iobase={:#x},iosize=4,id=exit", protocol::exit::PORT));
    if let Some(seed) = boot.seed {
        // An instruction takes 2^shift ns, and all vCPUs take turns in one thread. With a shift of
        // 0, one run of three differed.
        add("-icount", &format!("shift={},sleep=off", 1 + seed % 7));
        // Else the guest's clock begins at the host's time.
        add("-rtc", &"base=2026-01-01,clock=vm");
    }
    if let Some(port) = boot.gdb {
        add("-gdb", &format!("tcp:127.0.0.1:{port}"));
        arguments.push("-S".into());
    }
    arguments.extend(["-nodefaults".into(), "-no-reboot".into()]);
    arguments.extend(boot.qemu_args.iter().cloned());
    arguments
}

/// Adds the arguments for the program that is booted, and for its source.
fn load(
    elf: &Path,
    ramdisk: Option<&Path>,
    uefi: Option<&Uefi>,
    add: &mut dyn FnMut(&str, &dyn AsRef<OsStr>),
) {
    if let Some(Uefi { ovmf, variables, stick }) = uefi {
        let flash = "if=pflash,format=raw";
        add("-drive", &format!("{flash},readonly=on,file={}", ovmf.code.display()));
        add("-drive", &format!("{flash},file={}", variables.display()));
        add("-drive", &format!("format=raw,file={}", stick.display()));
        add("-vga", &"std");
    } else if is_stick(elf) {
        // By the BIOS.
        add("-drive", &format!("format=raw,file={}", elf.display()));
        add("-vga", &"std");
    } else if is_iso(elf) {
        add("-cdrom", &elf);
    } else {
        add("-kernel", &elf);
        if let Some(ramdisk) = ramdisk {
            add("-initrd", &ramdisk);
        }
    }
}

/// A command line that does the same by hand: writes the ramdisk or the stick, then starts QEMU.
pub(crate) fn by_hand(qemu: &Path, boot: &Boot, engine: Engine, uefi: Option<&Uefi>) -> String {
    const FILE: &str = "options.txt";
    let word = |path: &Path| quote(&path.to_string_lossy());
    let ramdisk = boot.ramdisk.as_ref().map(|_| Path::new(FILE));
    let mut line = String::new();
    if let Some(bytes) = &boot.ramdisk {
        line = format!("printf '{}' > {FILE} && ", for_printf(bytes));
    }
    let mut uefi = uefi.cloned();
    if let Some(uefi) = &mut uefi {
        uefi.variables = "vars.fd".into();
        if is_stick(&boot.elf) {
            line.clear();
        } else {
            uefi.stick = "stick.img".into();
            let options = ramdisk.map_or(String::new(), |_| format!(" --options {FILE}"));
            let (elf, stick) = (word(&boot.elf), word(&uefi.stick));
            line += &format!("cargo boot image --kernel {elf}{options} --out {stick} && ");
        }
        line += &format!("cp {} {} && ", word(&uefi.ovmf.variables), word(&uefi.variables));
    }
    if boot.seed.is_some() {
        // As `child::keep_to_one_cpu`.
        line.push_str("taskset -c 0 ");
    }
    line.push_str(&word(qemu));
    for argument in arguments(boot, engine, ramdisk, uefi.as_ref()) {
        line.push(' ');
        line.push_str(&word(argument.as_ref()));
    }
    line
}

/// Whether it is the image of a stick, with a loader and its options on it, rather than an ELF.
pub(crate) fn is_stick(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "img")
}

/// Whether it is a disk that boots by a loader of its own.
pub(crate) fn is_iso(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "iso")
}

/// A format for `printf`, to stand between single quotes, that yields these bytes.
fn for_printf(bytes: &[u8]) -> String {
    let escaped = bytes.iter().map(|&byte| match byte {
        b'\n' => "\\n".to_string(),
        b'%' => "%%".to_string(),
        b'\\' | b'\'' | 0..=0x1f | 0x7f.. => format!("\\{byte:03o}"),
        _ => char::from(byte).to_string(),
    });
    escaped.collect()
}

/// A word for a shell.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
