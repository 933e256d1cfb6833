//! The rig itself: guests that fail in every manner are reported as what they are, never as passed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use boot::Report;
use protocol::event::Event;
use tests::Case;
use tests::judge::{log_has, others_were_stopped, trouble_is, unfit};

/// A case's name, its guest, its machine, what came of it, and words of the report.
const FAILING: &str = "
panic_on_the_bsp panic_bsp 2 panicked | CPU 0 | on purpose, on the BSP | in test panics_on_the_bsp | 1 of 3 tests missed
panic_on_an_ap panic_ap 4 panicked | CPU 3 | on purpose, on the last CPU | in test panics_on_the_last_cpu
panic_on_an_ap_with_sparse_apic_ids panic_ap 9,sockets=3,cores=3,threads=1 panicked | CPU 8 (APIC ID 10) | on the last CPU
panic_everywhere panic_everywhere 8 panicked | panicked in test panics_on_every_cpu: | on purpose, on CPU
page_fault_on_an_ap page_fault 2 panicked | CPU 1 | exception 14 (Page) | 0xffffffff0badc0d8
stack_overflow_on_an_ap stack_overflow 2 panicked | CPU 1 | stack overflow | in test recurses_for_ever
hang_in_the_guests_own_time hang 2 reset | reset | in test never_ends
hang hang 2 hang | hang | deadline of 8 s | in test never_ends
triple_fault triple_fault 2 reset | reset | triple fault | in test faults_three_times
power_off power_off 2 reset | switched off | in test switches_off
silent_exit silent_exit 2 silent-exit | never said
missed_test missed_test 2 failed | 1 of 3 tests passed | in test leaves | 1 of 3 tests missed
unknown_exit_code wrong_exit 2 unknown-exit | 0x3f
failed_without_a_panic failed 2 failed | failed
qemu_refuses bring_up 2 qemu-refused | -no-such-option
";

pub(crate) fn cases() -> Vec<Case> {
    let failing = FAILING.trim().lines().map(|line| {
        let mut words = line.split(" | ");
        let row: Vec<_> = words.next().unwrap_or_default().split(' ').collect();
        let [name, guest, smp, outcome] = row[..] else { panic!("{line}") };
        let words: Vec<_> = words.collect();
        let case = Case::new(guest, smp).named(name);
        let case = match name {
            // By the watchdog of runs with a seed: interrupts are off.
            "hang_in_the_guests_own_time" => case.seeded(6).named(name).qemu(["-device", "ib700"]),
            "hang" => case.deadline(Duration::from_secs(8)),
            "qemu_refuses" => case.qemu(["-no-such-option"]),
            _ => case,
        };
        case.expecting(move |report| {
            ensure!(report.outcome.name() == outcome, "{}", report.outcome);
            trouble_is(report, &words)?;
            if outcome == "panicked" {
                others_were_stopped(report)?;
                let is_panic = |event: &&Event<'_>| matches!(event, Event::Panic { .. });
                let panics = report.events.iter().filter(is_panic).count();
                ensure!(panics == 1, "{panics} panics are reported");
            }
            match name {
                "page_fault_on_an_ap" => {
                    log_has(report, &["rip", "rsp", "rflags", "cr3", "rax"])?;
                    backtrace(report, ".read_volatile()")
                }
                "panic_on_an_ap" => backtrace(report, "panic!(\"on purpose, on the last CPU"),
                _ => Ok(()),
            }
        })
    });
    let cases = failing.chain(unfit_options()).chain(unfit_machines());
    cases.collect()
}

/// The backtrace names function, file and line that has `part`, on its way from the CPU's entry.
fn backtrace(report: &Report, part: &str) -> Result<()> {
    let source = include_str!("kernels/src/suite/doomed.rs");
    let number = source.lines().position(|line| line.contains(part));
    let number = number.context("it is not in the source")? + 1;
    let place = format!("(tests/kernels/src/suite/doomed.rs:{number})");
    let is_there = |line: &String| line.contains(" suite::doomed::") && line.ends_with(&place);
    ensure!(report.lines.iter().any(is_there), "no line of the backtrace has {place}");
    let is_frame = |line: &&String| line.contains("    at 0xffffffff8");
    let mut frames = report.lines.iter().filter(is_frame);
    let outermost = frames.next_back().context("no backtrace")?;
    ensure!(outermost.contains("bringup_"), "it does not end where the CPU starts: {outermost}");
    Ok(())
}

/// Options that the kernel does not understand: said with the line, the text and what is allowed.
fn unfit_options() -> impl Iterator<Item = Case> {
    let cases: [(&str, &[u8], &[&str]); 4] = [
        (
            "unknown_option",
            b"seconds=1\ncolour=red\n",
            &["line 2", "colour=red", "seconds", "format"],
        ),
        ("malformed_option", b"seconds\n", &["line 1", "seconds"]),
        ("option_out_of_range", b"seconds=0\n", &["line 1", "seconds=0", "86400"]),
        ("option_not_utf8", b"# \xff\n", &["line 1", "UTF-8"]),
    ];
    cases.into_iter().map(|(name, ramdisk, words)| {
        Case::new("bring_up", "2").named(name).ramdisk(ramdisk).expecting(move |report| {
            unfit(report, &[])?;
            log_has(report, words)
        })
    })
}

/// Machines on which the kernel cannot run: said on the serial port, long before there is a kernel.
fn unfit_machines() -> impl Iterator<Item = Case> {
    let guest = |name: &str| Case::new("bring_up", "1").named(name);
    let no_start_info = guest("no_start_info").alone("no_start_info");
    let cases: [(Case, &[&str]); 6] = [
        (guest("too_little_memory").boot(|boot| boot.memory_mib(4)), &["too little memory"]),
        (guest("no_local_apic").qemu(["-cpu", "max,-apic"]), &["no local APIC", "-cpu max"]),
        (guest("no_long_mode").qemu(["-cpu", "qemu32"]), &["no long mode", "-cpu max"]),
        (guest("no_cpuid").qemu(["-cpu", "486"]), &["no long mode", "-cpu max"]),
        (no_start_info, &["no start_info", "PVH loader"]),
        (guest("no_execute_disable").qemu(["-cpu", "max,nx=off"]), &["not executable", "-cpu max"]),
    ];
    cases.into_iter().map(|(case, words)| case.expecting(|report| unfit(report, words)))
}
