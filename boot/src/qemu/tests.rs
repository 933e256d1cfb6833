use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Setup, Uefi, arguments, by_hand, find, memory_for};
use crate::accel::Engine;
use crate::firmware::Ovmf;
use crate::machine::{Machine, Smp};

fn plain(smp: &Smp) -> Setup<'_> {
    Setup {
        elf: Path::new("kernel.elf"),
        ramdisk: None,
        machine: Machine::Q35,
        engine: Engine::Tcg,
        smp,
        memory_mib: 264,
        uefi: None,
        seed: None,
        gdb: None,
        extra: &[],
    }
}

fn line(setup: &Setup<'_>) -> String {
    arguments(setup).join(&OsString::from(" ")).into_string().expect("UTF-8")
}

#[test]
fn the_plain_case() {
    assert_eq!(
        line(&plain(&Smp::default())),
        "-machine q35 -accel tcg -cpu max -smp 4 -m 264M -kernel kernel.elf -display none \
         -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4,id=exit -nodefaults -no-reboot"
    );
}

fn with<'a>(smp: &'a Smp, change: impl FnOnce(&mut Setup<'a>)) -> Setup<'a> {
    let mut setup = plain(smp);
    change(&mut setup);
    setup
}

#[test]
fn each_setting_reaches_the_line() {
    let smp = |text: &str| text.parse::<Smp>().expect("valid");
    let (nine, four) = (smp("9,sockets=3,cores=3,threads=1"), smp("4"));
    let (most, many) = (smp("255"), smp("288"));
    let extra = ["-d".into(), "int".into()];
    let kvm = |native| Engine::Kvm { native };
    let large = "-machine q35,kernel-irqchip=split |-device intel-iommu,intremap=on,eim=on ";
    // What the line has, separated by bars, and what it has not.
    for (setup, parts, absent) in [
        (plain(&nine), "-smp 9,sockets=3,cores=3,threads=1 ", "gdb"),
        (with(&four, |it| it.machine = Machine::Pc), "-machine pc ", "q35"),
        (with(&four, |it| it.machine = Machine::Microvm), "-machine microvm,acpi=on,", "q35"),
        (with(&four, |it| it.ramdisk = Some(Path::new("r"))), " -initrd r ", "icount"),
        (with(&four, |it| it.gdb = Some(4321)), " -gdb tcp:127.0.0.1:4321 -S ", "icount"),
        (with(&four, |it| it.seed = Some(9)), " -icount shift=3,sleep=off |,clock=vm ", "gdb"),
        // The user's own arguments come last: QEMU takes the later of two.
        (with(&four, |it| it.extra = &extra), "-no-reboot -d int", "gdb"),
        // A KVM that interprets kernel code skips the slow firmware.
        (with(&four, |it| it.engine = kvm(true)), "-accel kvm -cpu host", "-bios"),
        (
            with(&four, |it| it.engine = kvm(false)),
            "-accel kvm -cpu host,arch-capabilities=off -bios qboot.rom",
            "tcg",
        ),
        (
            with(&four, |it| (it.engine, it.machine) = (kvm(false), Machine::Microvm)),
            "-accel kvm",
            "-bios",
        ),
        // More CPUs than an xAPIC addresses need interrupt remapping.
        (plain(&many), large, "kvm"),
        (with(&many, |it| it.engine = kvm(true)), large, "tcg"),
        (plain(&most), " -smp 255 ", "iommu"),
    ] {
        let text = line(&setup);
        assert!(parts.split('|').all(|part| text.contains(part)), "{parts}: {text}");
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

#[test]
fn the_line_by_hand_can_be_pasted_into_a_shell() {
    let smp = Smp::default();
    let (elf, ramdisk) = (Path::new("a b/it's"), Some(Path::new("/tmp/gone")));
    let setup = Setup { elf, ramdisk, ..plain(&smp) };
    let text = by_hand(Path::new("qemu"), &setup, Some(b"a=1\n100% it's\\\xff\n"));
    assert!(
        text.starts_with(r"printf 'a=1\n100%% it\047s\134\377\n' > options.txt && qemu -machine"),
        "{text}"
    );
    assert!(text.contains(r"-kernel 'a b/it'\''s' -initrd options.txt "), "{text}");
    assert!(!text.contains("/tmp/gone"), "{text}");
}

#[test]
fn by_uefi_it_boots_from_the_stick() {
    let smp = Smp::default();
    let uefi = Uefi {
        ovmf: Ovmf { code: "code.fd".into(), variables: "original.fd".into() },
        variables: "/tmp/copy".into(),
        stick: "/tmp/stick".into(),
    };
    let setup = Setup { uefi: Some(&uefi), ..plain(&smp) };
    let text = line(&setup);
    for part in [
        " -cpu max,-monitor ",
        " -drive if=pflash,format=raw,readonly=on,file=code.fd ",
        " -drive if=pflash,format=raw,file=/tmp/copy ",
        " -drive format=raw,file=/tmp/stick ",
        " -vga std ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("-kernel"), "{text}");
    let text = by_hand(Path::new("qemu"), &setup, Some(b"a=1\n"));
    let start = "printf 'a=1\\n' > options.txt && cargo boot image --kernel kernel.elf --options options.txt \
                 --out stick.img && cp original.fd vars.fd && qemu ";
    assert!(text.starts_with(start), "{text}");
    assert!(!text.contains("/tmp/"), "{text}");
    let (elf, stick) = (Path::new("my.img"), PathBuf::from("my.img"));
    let uefi = Uefi { stick, ..uefi.clone() };
    let uefi = Some(&uefi);
    let text = by_hand(Path::new("qemu"), &Setup { elf, uefi, ..setup }, Some(b""));
    assert!(text.starts_with("cp original.fd vars.fd && qemu "), "{text}");
    assert!(text.contains(",file=my.img "), "{text}");
}

#[test]
fn memory_grows_with_the_cpus_and_never_overflows() {
    assert_eq!(memory_for(1), 258);
    assert_eq!(memory_for(255), 766);
    assert_eq!(memory_for(u32::MAX), u32::MAX);
}

#[test]
fn a_qemu_that_is_named_but_missing_is_named_in_the_error() {
    let error = find(Some(Path::new("/no/such/qemu"))).expect_err("missing").to_string();
    assert!(error.contains("/no/such/qemu"), "{error}");
}

#[test]
fn a_program_that_is_no_qemu_has_no_version() {
    for program in ["/bin/true", "/bin/false"] {
        let error = super::version(Path::new(program)).expect_err("no QEMU").to_string();
        assert!(error.ends_with("does not say which QEMU it is"), "{error}");
    }
}
