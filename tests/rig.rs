//! The rig itself: guests that fail in every manner are reported as what they are, never as passed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use boot::Outcome;
use protocol::event::Event;
use tests::Case;
use tests::judge::{log_has, others_were_stopped, panicked, trouble_is, unfit};

fn main() -> ExitCode {
    let mut cases = vec![
        Case::new("panic_bsp", "2")
            .named("panic_on_the_bsp")
            .expecting(|report| {
                panicked(report, "on purpose, on the BSP", 0)?;
                trouble_is(
                    report,
                    &["CPU 0", "in test panics_on_the_bsp", "1 of 3 tests missed"],
                )
            }),
        Case::new("panic_ap", "4")
            .named("panic_on_an_ap")
            .expecting(|report| {
                panicked(report, "on purpose, on the last CPU", 3)?;
                trouble_is(report, &["CPU 3", "in test panics_on_the_last_cpu"])?;
                others_were_stopped(report)
            }),
        // CPU 8 is APIC ID 10 here: both names must be right.
        Case::new("panic_ap", "9,sockets=3,cores=3,threads=1")
            .named("panic_on_an_ap_with_sparse_apic_ids")
            .expecting(|report| {
                panicked(report, "on purpose, on the last CPU", 8)?;
                trouble_is(report, &["CPU 8 (APIC ID 10)"])?;
                others_were_stopped(report)
            }),
        Case::new("panic_everywhere", "8")
            .named("panic_everywhere")
            .expecting(|report| {
                let panics = report
                    .events
                    .iter()
                    .filter(|event| matches!(event, Event::Panic { .. }));
                ensure!(panics.count() == 1, "not exactly one panic is reported");
                trouble_is(
                    report,
                    &[
                        "panicked in test panics_on_every_cpu: ",
                        "on purpose, on CPU ",
                    ],
                )
            }),
        Case::new("page_fault", "2")
            .named("page_fault_on_an_ap")
            .expecting(|report| {
                trouble_is(
                    report,
                    &["CPU 1", "exception 14 (Page)", "0xffffffff0badc0d8"],
                )?;
                log_has(
                    report,
                    &["rip", "rsp", "rflags", "cr3", "rax", "    at 0xffffffff8"],
                )
            }),
        Case::new("stack_overflow", "2")
            .named("stack_overflow_on_an_ap")
            .expecting(|report| {
                trouble_is(
                    report,
                    &["CPU 1", "stack overflow", "in test recurses_for_ever"],
                )
            }),
        // By the watchdog of runs with a seed: interrupts are off.
        Case::new("hang", "2")
            .named("hang_in_the_guests_own_time")
            .options(|options| options.seed = Some(6))
            .qemu(["-device", "ib700"])
            .expecting(|report| {
                ensure!(report.outcome == Outcome::Reset, "{}", report.outcome);
                log_has(report, &["test never_ends ..."])
            }),
        Case::new("hang", "2")
            .named("hang")
            .deadline(Duration::from_secs(8))
            .expecting(|report| {
                ensure!(
                    matches!(report.outcome, Outcome::Hang { .. }),
                    "{}",
                    report.outcome
                );
                trouble_is(report, &["hang", "deadline of 8 s", "in test never_ends"])
            }),
        Case::new("triple_fault", "2")
            .named("triple_fault")
            .expecting(|report| {
                ensure!(report.outcome == Outcome::Reset, "{}", report.outcome);
                trouble_is(
                    report,
                    &["reset", "triple fault", "in test faults_three_times"],
                )
            }),
        Case::new("power_off", "2")
            .named("power_off")
            .expecting(|report| {
                ensure!(report.outcome == Outcome::Reset, "{}", report.outcome);
                trouble_is(report, &["switched off", "in test switches_off"])
            }),
        Case::new("silent_exit", "2")
            .named("silent_exit")
            .expecting(|report| {
                ensure!(report.outcome == Outcome::SilentExit, "{}", report.outcome);
                trouble_is(report, &["never said"])
            }),
        Case::new("missed_test", "2")
            .named("missed_test")
            .expecting(|report| {
                ensure!(
                    matches!(report.outcome, Outcome::Failed { .. }),
                    "{}",
                    report.outcome
                );
                trouble_is(
                    report,
                    &[
                        "1 of 3 tests passed",
                        "in test leaves",
                        "1 of 3 tests missed",
                    ],
                )
            }),
        Case::new("wrong_exit", "2")
            .named("unknown_exit_code")
            .expecting(|report| {
                ensure!(
                    report.outcome == Outcome::UnknownExit { value: 0x3f },
                    "{}",
                    report.outcome
                );
                trouble_is(report, &["0x3f"])
            }),
        Case::new("failed", "2")
            .named("failed_without_a_panic")
            .expecting(|report| {
                ensure!(
                    matches!(report.outcome, Outcome::Failed { .. }),
                    "{}",
                    report.outcome
                );
                trouble_is(report, &["failed"])
            }),
        Case::new("bring_up", "2")
            .named("qemu_refuses")
            .qemu(["-no-such-option"])
            .expecting(|report| {
                let refused = matches!(report.outcome, Outcome::QemuRefused { .. });
                ensure!(refused, "{}", report.outcome);
                trouble_is(report, &["-no-such-option"])
            }),
    ];
    cases.extend(unfit_options());
    cases.extend(unfit_machines());
    tests::main("rig", cases)
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
        (
            "option_out_of_range",
            b"seconds=0\n",
            &["line 1", "seconds=0", "86400"],
        ),
        ("option_not_utf8", b"# \xff\n", &["line 1", "UTF-8"]),
    ];
    cases.into_iter().map(|(name, ramdisk, words)| {
        Case::new("bring_up", "2")
            .named(name)
            .ramdisk(ramdisk)
            .expecting(move |report| {
                unfit(report, &[])?;
                log_has(report, words)
            })
    })
}

/// Machines on which the kernel cannot run: said on the serial port, long before there is a kernel.
fn unfit_machines() -> impl Iterator<Item = Case> {
    let guest = || Case::new("bring_up", "1");
    [
        guest()
            .named("too_little_memory")
            .memory_mib(4)
            .expecting(|report| unfit(report, &["too little memory"])),
        guest()
            .named("no_local_apic")
            .qemu(["-cpu", "max,-apic"])
            .expecting(|report| unfit(report, &["no local APIC", "-cpu max"])),
        guest()
            .named("no_long_mode")
            .qemu(["-cpu", "qemu32"])
            .expecting(|report| unfit(report, &["no long mode", "-cpu max"])),
        guest()
            .named("no_cpuid")
            .qemu(["-cpu", "486"])
            .expecting(|report| unfit(report, &["no long mode", "-cpu max"])),
        Case::new("no_start_info", "1")
            .named("no_start_info")
            .expecting(|report| unfit(report, &["no start_info", "PVH loader"])),
        guest()
            .named("no_execute_disable")
            .qemu(["-cpu", "max,nx=off"])
            .expecting(|report| unfit(report, &["not executable", "-cpu max"])),
    ]
    .into_iter()
}
