//! Makes the corpus of the tests: boots the firmware of every machine in `tests/corpus/machines.rs`
//! in QEMU and writes the MADT that is then in the machine's memory to `tests/corpus/NAME.madt`.
//!
//!     cargo run --package bringup --example corpus [-- NAME...]
//!
//! Those whose names begin with `kvm` need /dev/kvm, and `timeout` has to be there (coreutils). What
//! is in the files has been made by QEMU 7.2 (Debian 12).

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

#[path = "../tests/corpus/machines.rs"]
mod machines;

use machines::{Board, MACHINES, Machine};

/// QEMU's monitor writes this much of the machine's memory, which is all of it.
const MEMORY_MIB: usize = 64;

/// A KVM that interprets the firmware takes most of a minute for many CPUs.
const PATIENCE: Duration = Duration::from_secs(100);

fn main() -> ExitCode {
    let wanted: Vec<_> = env::args().skip(1).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut exit = ExitCode::SUCCESS;
    for machine in MACHINES {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == machine.name) {
            continue;
        }
        let written = madt_of(machine)
            .and_then(|madt| fs::write(folder.join(machine.name).with_extension("madt"), madt));
        match written {
            Ok(()) => println!("{}", machine.name),
            Err(error) => {
                eprintln!("{}: {error}", machine.name);
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

/// Boots the machine until there is a MADT in its memory.
fn madt_of(machine: &Machine) -> io::Result<Vec<u8>> {
    let dump = env::temp_dir().join(format!("{}.memory", machine.name));
    let mut qemu = start(machine)?;
    let found = wait_for_madt(&mut qemu, &dump);
    let killed = qemu.kill().and_then(|()| qemu.wait());
    // It may never have been written.
    let _ = fs::remove_file(&dump);
    killed.and(found)
}

fn wait_for_madt(qemu: &mut Child, dump: &PathBuf) -> io::Result<Vec<u8>> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(500));
        let monitor = qemu.stdin.as_mut().expect("piped");
        // The file has its size when it is closed: a part that is not filled is none to look at.
        writeln!(
            monitor,
            "pmemsave 0 {} \"{}\"",
            MEMORY_MIB << 20,
            dump.display()
        )?;
        monitor.flush()?;
        while fs::metadata(dump).map_or(0, |file| file.len()) < (MEMORY_MIB << 20) as u64 {
            if let Some(status) = qemu.try_wait()? {
                return Err(io::Error::other(format!("QEMU has ended: {status}")));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("QEMU does not write its memory"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        if let Some(madt) = find(&fs::read(dump)?) {
            return Ok(madt.to_vec());
        }
        fs::remove_file(dump)?;
    }
    Err(io::Error::other("no MADT in its memory"))
}

/// The first place with the signature, a possible length, and the right sum over that length.
fn find(memory: &[u8]) -> Option<&[u8]> {
    let places = memory.windows(8).enumerate();
    let mut tables = places.filter_map(|(at, start)| {
        let length = start.strip_prefix(b"APIC")?.try_into().ok()?;
        let table = memory
            .get(at..)?
            .get(..u32::from_le_bytes(length) as usize)?;
        let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        (table.len() >= 44 && sum == 0).then_some(table)
    });
    tables.next()
}

fn start(machine: &Machine) -> io::Result<Child> {
    let board = match machine.board {
        Board::Pc => "pc",
        Board::Q35 => "q35",
        Board::Microvm => "microvm,acpi=on",
        Board::MicrovmWithPit => "microvm,acpi=on,pit=on,pic=on,rtc=on",
        Board::MicrovmWithOneIoApic => "microvm,acpi=on,ioapic2=off",
        Board::Q35Kvm => "q35,kernel-irqchip=split",
    };
    let smp = &machine.smp;
    let places = smp.sockets * smp.dies * smp.cores * smp.threads;
    let mut command = Command::new("timeout");
    command
        .arg((PATIENCE.as_secs() + 10).to_string())
        .args([
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-monitor",
            "stdio",
        ])
        .args(["-machine", board, "-m", &format!("{MEMORY_MIB}M")])
        .arg("-smp")
        .arg(format!(
            "{},sockets={},dies={},cores={},threads={},maxcpus={places}",
            smp.enabled, smp.sockets, smp.dies, smp.cores, smp.threads
        ));
    if machine.board == Board::Q35Kvm {
        command
            .args(["-accel", "kvm", "-cpu", "host,-arch-capabilities"])
            .args(["-device", "intel-iommu,intremap=on,eim=on"])
            // Needs far fewer instructions than SeaBIOS, which counts where KVM interprets them.
            .args(["-bios", "qboot.rom"]);
    } else {
        command.args(["-accel", "tcg", "-cpu", "max"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}
