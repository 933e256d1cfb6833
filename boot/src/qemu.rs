//! QEMU's command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::accel::Engine;
use crate::firmware::Ovmf;
use crate::machine::{Machine, Smp};
use crate::toolchain::on_path;
use crate::version::Version;

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Oldest QEMU that has all that the command lines use. The youngest part is ACPI on microvm
/// (5.2); booting an ELF by its PVH note came with 4.0. Tried with 7.2.
pub const OLDEST: Version = Version { major: 5, minor: 2 };

/// What to do where QEMU is missing.
pub const REMEDY: &str = "\
Debian, Ubuntu:  sh boot/setup.sh   (or: apt-get install --no-install-recommends qemu-system-x86)
Fedora:          dnf install qemu-system-x86-core
Arch:            pacman -S qemu-system-x86
macOS:           brew install qemu
or name the program: --qemu PATH, or BOOT_QEMU=PATH in the environment";

/// Environment variable that names the QEMU to use, for tests, too.
const VARIABLE: &str = "BOOT_QEMU";

/// Most CPUs that an xAPIC, with its 8-bit IDs, can address; QEMU's TCG has no other before 9.0.
const XAPIC_CPUS: u32 = 255;

/// Everything that the command line depends on.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) elf: &'a Path,
    pub(crate) ramdisk: Option<&'a Path>,
    pub(crate) machine: Machine,
    pub(crate) engine: Engine,
    pub(crate) smp: &'a Smp,
    pub(crate) memory_mib: u32,
    /// The stick to boot from by UEFI, instead of the ELF.
    pub(crate) uefi: Option<&'a Uefi>,
    /// Makes the run the same each time, and another one for each seed.
    pub(crate) seed: Option<u32>,
    /// Port on which QEMU waits for a debugger before the first instruction.
    pub(crate) gdb: Option<u16>,
    pub(crate) extra: &'a [OsString],
}

/// What UEFI takes.
#[derive(Clone, Debug)]
pub(crate) struct Uefi {
    pub(crate) ovmf: Ovmf,
    /// A copy of the firmware's variables, which it writes to.
    pub(crate) variables: PathBuf,
    /// The image of a stick.
    pub(crate) stick: PathBuf,
}

/// The QEMU to use: the one named, else that of `BOOT_QEMU`, else the one on the search path.
///
/// # Errors
///
/// There is none; says where to get it.
pub fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named = named.map(Path::to_path_buf);
    match named.or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from)) {
        Some(path) if path.components().count() > 1 && !path.is_file() => {
            bail!("there is no QEMU at {}", path.display())
        }
        Some(path) => Ok(path),
        None => on_path(PROGRAM).with_context(|| {
            let remedy = REMEDY.replace('\n', "\n  ");
            format!("{PROGRAM} is not on the search path. What to do:\n  {remedy}")
        }),
    }
}

/// Asks a QEMU for its version.
///
/// # Errors
///
/// It does not start, or does not say.
pub fn version(qemu: &Path) -> anyhow::Result<Version> {
    let output = Command::new(qemu).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", qemu.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = Version::find(&text).filter(|_| text.contains("QEMU"));
    version.with_context(|| format!("{} does not say which QEMU it is", qemu.display()))
}

/// Memory that suits a number of CPUs: the kernel itself, and stacks and an area for each of them.
#[must_use]
pub(crate) fn memory_for(cpus: u32) -> u32 {
    256_u32.saturating_add(cpus.saturating_mul(2))
}

/// The arguments for QEMU.
pub(crate) fn arguments(setup: &Setup<'_>) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: &dyn AsRef<OsStr>| {
        arguments.push(option.into());
        arguments.push(value.as_ref().to_os_string());
    };
    // More CPUs than the xAPIC can address need x2APIC, and interrupts that reach 32-bit IDs.
    let large = setup.machine == Machine::Q35 && setup.smp.cpus() > XAPIC_CPUS;
    add("-machine", &board(setup.machine, large));
    add("-accel", &setup.engine.name());
    match setup.engine {
        // OVMF's APs wait by `mwait` where they can, which TCG does not implement: they would spin, and take the time
        // of all others.
        Engine::Tcg if setup.uefi.is_some() => add("-cpu", &"max,-monitor"),
        Engine::Tcg => add("-cpu", &"max"),
        Engine::Kvm { native } => {
            // One that is not native was seen to offer a register (IA32_ARCH_CAPABILITIES) that it then
            // refuses, and QEMU 7.2 gives up.
            let model = if native { "host" } else { "host,arch-capabilities=off" };
            add("-cpu", &model);
            // A KVM that interprets kernel code would take minutes for SeaBIOS.
            if !native && setup.machine != Machine::Microvm && setup.uefi.is_none() {
                add("-bios", &"qboot.rom");
            }
        }
    }
    if large {
        add("-device", &"intel-iommu,intremap=on,eim=on");
    }
    add("-smp", &setup.smp.as_str());
    add("-m", &format!("{}M", setup.memory_mib));
    load(setup, &mut add);
    add("-display", &"none");
    add("-serial", &"stdio");
    add("-device", &format!("isa-debug-exit,iobase={:#x},iosize=4,id=exit", protocol::exit::PORT));
    if let Some(seed) = setup.seed {
        // An instruction takes 2^shift ns, and all vCPUs take turns in one thread. With a shift of 0, one run of
        // three differed.
        add("-icount", &format!("shift={},sleep=off", 1 + seed % 7));
        // Else the guest's clock begins at the host's time.
        add("-rtc", &"base=2026-01-01,clock=vm");
    }
    if let Some(port) = setup.gdb {
        add("-gdb", &format!("tcp:127.0.0.1:{port}"));
        arguments.push("-S".into());
    }
    arguments.extend(["-nodefaults".into(), "-no-reboot".into()]);
    arguments.extend(setup.extra.iter().cloned());
    arguments
}

/// What is booted, and from what.
fn load(setup: &Setup<'_>, add: &mut dyn FnMut(&str, &dyn AsRef<OsStr>)) {
    let is_disk = is_iso(setup.elf);
    if let Some(uefi) = setup.uefi {
        let Uefi { ovmf, variables, stick } = uefi;
        let flash = "if=pflash,format=raw";
        add("-drive", &format!("{flash},readonly=on,file={}", ovmf.code.display()));
        add("-drive", &format!("{flash},file={}", variables.display()));
        add("-drive", &format!("format=raw,file={}", stick.display()));
        add("-vga", &"std");
    } else if is_stick(setup.elf) {
        // By the BIOS.
        add("-drive", &format!("format=raw,file={}", setup.elf.display()));
        add("-vga", &"std");
    } else {
        add(if is_disk { "-cdrom" } else { "-kernel" }, &setup.elf);
        if let Some(ramdisk) = setup.ramdisk.filter(|_| !is_disk) {
            add("-initrd", &ramdisk);
        }
    }
}

fn board(machine: Machine, large: bool) -> String {
    let details = match machine {
        Machine::Q35 if large => ",kernel-irqchip=split",
        Machine::Q35 | Machine::Pc => "",
        // ACPI for the list of CPUs. Timer, interrupt controller and clock as on any PC, so that
        // the kernel has one machine to know and not two.
        Machine::Microvm => ",acpi=on,pit=on,pic=on,rtc=on",
    };
    format!("{machine}{details}")
}

/// A command line that does the same by hand: writes the ramdisk or the stick, then starts QEMU.
pub(crate) fn by_hand(qemu: &Path, setup: &Setup<'_>, ramdisk: Option<&[u8]>) -> String {
    const FILE: &str = "options.txt";
    let mut line = String::new();
    if let Some(bytes) = ramdisk {
        line = format!("printf '{}' > {FILE} && ", for_printf(bytes));
    }
    let mut uefi = setup.uefi.cloned();
    if let Some(uefi) = &mut uefi {
        let word = |path: &Path| quote(&path.to_string_lossy());
        uefi.variables = "vars.fd".into();
        if is_stick(setup.elf) {
            line.clear();
        } else {
            uefi.stick = "stick.img".into();
            let options = ramdisk.map_or(String::new(), |_| format!(" --options {FILE}"));
            line.push_str(&format!(
                "cargo boot image --kernel {}{options} --out {} && ",
                word(setup.elf),
                word(&uefi.stick),
            ));
        }
        let (from, to) = (word(&uefi.ovmf.variables), word(&uefi.variables));
        line.push_str(&format!("cp {from} {to} && "));
    }
    let setup =
        Setup { ramdisk: ramdisk.map(|_| Path::new(FILE)), uefi: uefi.as_ref(), ..setup.clone() };
    if setup.seed.is_some() {
        // As `child::keep_to_one_cpu`.
        line.push_str("taskset -c 0 ");
    }
    line.push_str(&quote(&qemu.to_string_lossy()));
    for argument in arguments(&setup) {
        line.push(' ');
        line.push_str(&quote(&argument.to_string_lossy()));
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
