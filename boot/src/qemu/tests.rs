use std::ffi::OsString;
use std::path::Path;

use super::{Uefi, arguments, by_hand, find};
use crate::accel::Engine;
use crate::firmware::Ovmf;
use crate::machine::{MachineType, Smp};
use crate::run::Boot;

fn on(smp: &str) -> Boot {
    Boot::new("kernel.elf").smp(smp.parse::<Smp>().expect("valid"))
}

fn line(boot: &Boot, engine: Engine, uefi: Option<&Uefi>) -> String {
    let arguments = arguments(boot, engine, Some(Path::new("r")), uefi);
    arguments.join(&OsString::from(" ")).into_string().expect("UTF-8")
}

#[test]
fn each_setting_reaches_the_line() {
    let (tcg, kvm) = (Engine::Tcg, |native| Engine::Kvm { native });
    assert_eq!(
        line(&on("4"), tcg, None),
        "-machine q35 -accel tcg -cpu max -smp 4 -m 264M -kernel kernel.elf -initrd r -display none \
         -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4,id=exit -nodefaults -no-reboot"
    );
    let large = "-machine q35,kernel-irqchip=split |-device intel-iommu,intremap=on,eim=on ";
    let mut seeded = on("4");
    seeded.seed = Some(9);
    // Parts that the line has, separated by bars, and one that it has not.
    for (boot, engine, parts, absent) in [
        (on("9,sockets=3,cores=3,threads=1"), tcg, "-smp 9,sockets=3,cores=3,threads=1 ", "gdb"),
        (on("4").machine(MachineType::Pc), tcg, "-machine pc ", "q35"),
        (on("4").machine(MachineType::Microvm), tcg, "-machine microvm,acpi=on,", "q35"),
        (on("4").gdb(4321), tcg, " -gdb tcp:127.0.0.1:4321 -S ", "icount"),
        (seeded, tcg, " -icount shift=3,sleep=off |,clock=vm ", "gdb"),
        // The user's own arguments come last: QEMU takes the later of two.
        (on("4").qemu_args(["-d", "int"]), tcg, "-no-reboot -d int", "gdb"),
        // A KVM that interprets kernel code skips the slow firmware.
        (on("4"), kvm(true), "-accel kvm -cpu host", "-bios"),
        (on("4"), kvm(false), " -cpu host,arch-capabilities=off -bios qboot.rom", "tcg"),
        (on("4").machine(MachineType::Microvm), kvm(false), "-accel kvm", "-bios"),
        // More CPUs than an xAPIC addresses need interrupt remapping.
        (on("288"), kvm(true), large, "tcg"),
        (on("255"), tcg, " -smp 255 ", "iommu"),
    ] {
        let text = line(&boot, engine, None);
        assert!(parts.split('|').all(|part| text.contains(part)), "{parts}: {text}");
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

#[test]
fn the_line_by_hand_can_be_pasted_into_a_shell() {
    let boot = Boot::new("a b/it's").ramdisk(b"a=1\n100% it's\\\xff\n");
    let text = by_hand(Path::new("qemu"), &boot, Engine::Tcg, None);
    let start = r"printf 'a=1\n100%% it\047s\134\377\n' > options.txt && qemu -machine";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains(r"-kernel 'a b/it'\''s' -initrd options.txt "), "{text}");
}

#[test]
fn by_uefi_it_boots_from_the_stick() {
    let uefi = Uefi {
        ovmf: Ovmf { code: "code.fd".into(), variables: "original.fd".into() },
        variables: "/tmp/copy".into(),
        stick: "/tmp/stick".into(),
    };
    let boot = on("4").ramdisk("a=1\n");
    let text = line(&boot, Engine::Tcg, Some(&uefi));
    for part in [
        " -cpu max,-monitor ",
        " -drive if=pflash,format=raw,readonly=on,file=code.fd ",
        " -drive if=pflash,format=raw,file=/tmp/copy ",
        " -drive format=raw,file=/tmp/stick -vga std ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("-kernel"), "{text}");
    let text = by_hand(Path::new("qemu"), &boot, Engine::Tcg, Some(&uefi));
    let start = "printf 'a=1\\n' > options.txt && cargo boot image --kernel kernel.elf --options options.txt \
                 --out stick.img && cp original.fd vars.fd && qemu ";
    assert!(text.starts_with(start) && !text.contains("/tmp/"), "{text}");
    let uefi = Uefi { stick: "my.img".into(), ..uefi };
    let text = by_hand(Path::new("qemu"), &boot.elf("my.img"), Engine::Tcg, Some(&uefi));
    assert!(text.starts_with("cp original.fd vars.fd && qemu "), "{text}");
    assert!(text.contains(",file=my.img "), "{text}");
}

#[test]
fn what_is_no_qemu_is_named_in_the_error() {
    let error = find(Some(Path::new("/no/such/qemu"))).expect_err("missing").to_string();
    assert!(error.contains("/no/such/qemu"), "{error}");
    let error = super::version(Path::new("/bin/true")).expect_err("no QEMU").to_string();
    assert!(error.ends_with("does not say which QEMU it is"), "{error}");
}
