//! The program as a whole: exit status, and messages when something is wrong. QEMU is a script.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const FAKE_QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fake-qemu.sh");
const PASSED: &str = "echo '@event {\"Verdict\":{\"passed\":true,\"text\":\"fine\"}}'; exit 33";

/// Boots a guest that is a script for the fake QEMU.
fn boot(guest: &str, arguments: &str, change: impl FnOnce(&mut Command)) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("guest"), guest).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_boot"));
    command.args(["elf", "guest"]).args(arguments.split_whitespace());
    change(command.current_dir(folder.path()));
    command.output().expect("it runs")
}

#[track_caller]
fn ends(output: &Output, status: i32, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn the_exit_status_is_the_verdict() {
    let online = |online| {
        format!(
            "echo '@event {{\"Online\":{{\"online\":{online},\"enabled\":4,\"micros\":1}}}}'; {PASSED}"
        )
    };
    for (guest, status, said) in [
        (PASSED, 0, ""),
        (&*online(4), 0, ""),
        (&*online(3), 3, "incomplete: 3 of the 4 CPUs asked for are online"),
        ("echo started; exit 35", 1, "failed: started"),
        ("exit 0", 1, "the machine was reset"),
        ("echo 'qemu: invalid option' >&2; exit 1", 2, "What to do: the arguments after `--`"),
        ("echo linux kernel too old >&2; exit 1", 2, "What to do: an ELF"),
        ("echo Error while loading elf kernel >&2; exit 1", 2, "What to do: another ELF"),
        ("echo \"Parameter 'smp.a' is unexpected\" >&2; exit 1", 2, "the forms of --smp"),
    ] {
        let output = boot(guest, &format!("--smp 4 --qemu {FAKE_QEMU}"), |_| ());
        ends(&output, status, said);
    }
}

#[test]
fn a_broken_qemu_is_not_a_broken_guest() {
    ends(&boot("", "--qemu /bin/false", |_| ()), 2, "Is it a QEMU? /bin/false does not say");
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old-qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo QEMU emulator version 4.2.1\nexit 0\n";
    fs::write(&old, script).expect("written");
    fs::set_permissions(&old, Permissions::from_mode(0o755)).expect("ours");
    let output = boot("", &format!("--qemu {}", old.display()), |_| ());
    ends(&output, 1, "This is QEMU 4.2; 5.2 or later is needed.");
}

/// `/dev/full` takes nothing.
#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_shown_is_a_failure() {
    let output = boot(PASSED, &format!("--timeline --qemu {FAKE_QEMU}"), |_| ());
    ends(&output, 1, "the kernel has not reported when its CPUs started");
    let full = || File::options().write(true).open("/dev/full").expect("Linux has it");
    for arguments in ["", "--json"] {
        let output = boot(PASSED, &format!("{arguments} --qemu {FAKE_QEMU}"), |command| {
            command.stdout(full());
        });
        ends(&output, 2, "cannot write to standard output");
    }
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_boot"));
    let output = doctor.arg("doctor").stdout(full()).output().expect("it runs");
    ends(&output, 2, "cannot write to standard output");
}

#[test]
fn commands_that_it_prints_are_right_in_any_folder() {
    let output = boot("exit 0", &format!("--qemu {FAKE_QEMU}"), |_| ());
    let text = String::from_utf8_lossy(&output.stderr);
    let elf = text.split("-kernel ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(elf.is_some_and(|elf| Path::new(elf).is_absolute()), "{text}");
    // QEMU "waits for a debugger" and ends.
    let output = boot(PASSED, &format!("--gdb --qemu {FAKE_QEMU}"), |_| ());
    let text = String::from_utf8_lossy(&output.stdout);
    let elf = text.split("' /").nth(1).and_then(|rest| rest.lines().next());
    assert!(elf.is_some_and(|elf| elf.ends_with("/guest")), "{text}");
}
