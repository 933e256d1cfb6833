//! CPUs go offline and come back, and are plugged in, while others use and tear down objects.

use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use kernel::cpu::{self, CpuIndex};
use kernel::platform::Halt;
use kernel::smp::{self, OfflineError, StartError};
use kernel::testing::{self, Test};
use kernel::{barrier, ipi, timer};
use rundown::{CloseOutcome, Rundown, Variant, WaitOutcome};
use test_kernels::{Device, apic, leaked, next, only_those_online_work, tests};
use x86_64::instructions::hlt;
use x86_64::registers::model_specific::Msr;

pub(crate) fn tests() -> &'static [Test] {
    if cpu::possible() > cpu::enabled() {
        return tests! {
            named {
                "a_cpu_that_is_not_plugged_in_is_silent" => |_| a_cpu_that_is_not_plugged_in_is_silent(),
                "a_cpu_is_plugged_in" => |_| a_cpu_is_plugged_in(),
                "it_is_a_cpu_like_any_other" => |_| every_cpu_leaves_and_comes_back(),
                "it_counts::plain" => |_| references_outlive_their_cpu(test_kernels::plain),
                "it_counts::cache_aware" => |_| references_outlive_their_cpu(test_kernels::cache_aware),
                "it_counts::per_cpu" => |_| references_outlive_their_cpu(test_kernels::per_cpu),
            }
        };
    }
    tests! {
        each {
            references_outlive_their_cpu,
            used_by_interrupts_meanwhile,
        }
        once {
            what_is_illegal_is_refused,
            a_cpu_that_is_busy_stays,
            every_cpu_leaves_and_comes_back,
            barriers_do_not_wait_for_it,
            barriers_that_did_not_ask_it_are_answered,
            calls_are_run_or_refused,
            it_comes_back_as_the_bsp_is,
            nmis_run_no_handler_there,
        }
    }
}

fn aps() -> impl Iterator<Item = CpuIndex> {
    (1..cpu::enabled() as u32).map(CpuIndex::new)
}

/// Takes it out. One that its host keeps from running for so long that it is given up is asked
/// again.
fn take_out(cpu: CpuIndex) {
    loop {
        match smp::offline(cpu) {
            Err(OfflineError::Silent) => {}
            left => return left.expect("it is online"),
        }
    }
}

/// Brings it back, and sees that it stays: after each call it looks whether it is to leave.
fn bring_back(cpu: CpuIndex) {
    smp::online(cpu).expect("it comes back");
    for _ in 0..100 {
        assert!(ipi::try_call(cpu, &|| {}).is_ok(), "{cpu} has left again");
    }
}

fn what_is_illegal_is_refused() {
    let beyond = CpuIndex::new(cpu::possible() as u32);
    assert_eq!(smp::offline(CpuIndex::BSP), Err(OfflineError::Bsp));
    assert_eq!(smp::offline(beyond), Err(OfflineError::NotOnline));
    assert_eq!(smp::online(beyond), Err(StartError::NotListed));
    assert_eq!(smp::online(CpuIndex::BSP), Err(StartError::AlreadyOnline));
    for cpu in aps() {
        assert_eq!(smp::online(cpu), Err(StartError::AlreadyOnline));
        take_out(cpu);
        assert_eq!(smp::offline(cpu), Err(OfflineError::NotOnline));
        assert_eq!(ipi::try_call(cpu, &|| panic!("run")), Err(ipi::NotOnline));
        bring_back(cpu);
    }
}

/// It is in a handler for longer than it has to leave. After that the request is forgotten.
fn a_cpu_that_is_busy_stays() {
    const VECTOR: u8 = 0x72;
    static BUSY: AtomicBool = AtomicBool::new(false);
    static IN_IT: AtomicBool = AtomicBool::new(false);
    let Some(cpu) = aps().next() else {
        return;
    };
    testing::set_handler(
        VECTOR,
        Some(|_, _| {
            apic::end_of_interrupt();
            IN_IT.store(true, Ordering::Relaxed);
            // Interrupts are off: it sleeps until an NMI.
            while BUSY.load(Ordering::Relaxed) {
                hlt();
            }
            IN_IT.store(false, Ordering::Relaxed);
        }),
    );
    BUSY.store(true, Ordering::Relaxed);
    apic::send(cpu, VECTOR);
    while !IN_IT.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    assert_eq!(smp::offline(cpu), Err(OfflineError::Silent));
    BUSY.store(false, Ordering::Relaxed);
    // Again, since the first may come between its look and its sleep.
    while IN_IT.load(Ordering::Relaxed) {
        ipi::nmi(cpu);
    }
    for _ in 0..100 {
        assert!(ipi::try_call(cpu, &|| {}).is_ok(), "{cpu} has left");
    }
    only_those_online_work();
}

/// A CPU that starts takes over the BSP's PAT. Where its firmware forbids NX (Intel's only), it
/// allows it: its first write to EFER would fault. (TCG keeps both through an INIT, and uses
/// neither.)
fn it_comes_back_as_the_bsp_is() {
    const PAT: u32 = 0x277;
    const MISC_ENABLE: u32 = 0x1a0;
    const NX_FORBIDDEN: u64 = 1 << 34;
    // SAFETY: QEMU's CPUs have both.
    let read = |register| unsafe { Msr::new(register).read() };
    let is_intel = __cpuid(0).ebx == u32::from_le_bytes(*b"Genu");
    let pat = read(PAT);
    for cpu in aps() {
        ipi::call(cpu, &|| {
            for (register, change) in [(PAT, 1 << 56), (MISC_ENABLE, NX_FORBIDDEN)] {
                // SAFETY: nothing uses the last entry of the PAT, and TCG does not look at the
                // other.
                unsafe { Msr::new(register).write(read(register) ^ change) };
            }
        });
        take_out(cpu);
        bring_back(cpu);
        ipi::call(cpu, &|| {
            assert_eq!(read(PAT), pat, "{cpu}");
            let is_forbidden = read(MISC_ENABLE) & NX_FORBIDDEN != 0;
            assert_eq!(is_forbidden, !is_intel, "{cpu}");
        });
    }
}

fn every_cpu_leaves_and_comes_back() {
    let all = cpu::count();
    let others: Vec<CpuIndex> = cpu::online().skip(1).collect();
    for _ in 0..2 {
        for &cpu in &others {
            take_out(cpu);
            assert!(!cpu::is_online(cpu));
            assert_eq!(cpu::count(), all - 1);
            only_those_online_work();
            bring_back(cpu);
            only_those_online_work();
        }
    }
    // All of them at once.
    for &cpu in &others {
        take_out(cpu);
    }
    assert_eq!(cpu::count(), 1);
    only_those_online_work();
    for &cpu in others.iter().rev() {
        bring_back(cpu);
    }
    assert_eq!(cpu::count(), all);
    only_those_online_work();
}

/// References that were taken on a CPU that has left are released elsewhere, while it is away and
/// after it has come back; the object drains when the last of them is gone, not before.
fn references_outlive_their_cpu<V: Variant>(new: fn() -> Rundown<V>) {
    let object = new();
    let others: Vec<CpuIndex> = cpu::online().skip(1).collect();
    for &cpu in &others {
        let taken = AtomicU32::new(0);
        smp::run_on_each(&|me| {
            if me == cpu {
                for _ in 0..3 {
                    assert!(object.acquire().is_ok());
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), 3);
        take_out(cpu);
        assert_eq!(object.racy_held(), 3);
        // SAFETY: one of the three above.
        unsafe { object.release() };
        assert_eq!(object.close(), CloseOutcome::Closed);
        assert!(object.acquire().is_err());
        // SAFETY: the second.
        unsafe { object.release() };
        assert!(object.try_wait().is_err(), "drained with one still held");
        bring_back(cpu);
        smp::run_on_each(&|me| {
            assert!(object.acquire().is_err(), "{me} is granted after the close");
            if me == cpu {
                // SAFETY: the third.
                unsafe { object.release() };
            }
        });
        assert_eq!(object.wait(&Halt), WaitOutcome::Drained);
        assert!(object.reinit().is_ok());
    }
    assert_eq!(object.racy_held(), 0);
}

/// The timer interrupts of all CPUs use an object, and keep references from one to the next, which
/// another CPU may have taken; meanwhile CPUs leave and come back, and the object is torn down.
fn used_by_interrupts_meanwhile<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const ROUNDS: u64 = 4;
    let device = leaked(Device::new(new()));
    let uses: &AtomicU64 = leaked(AtomicU64::new(0));
    test_kernels::set_on_tick(leaked(|| {
        // One pocket for all: takes what any CPU has left, if there is something.
        device.release_one(CpuIndex::BSP);
        if device.fill_pocket(CpuIndex::BSP) {
            uses.fetch_add(1, Ordering::Relaxed);
        }
    }));
    smp::run_on_each(&|_| test_kernels::start_ticking());
    let uses = || uses.load(Ordering::Relaxed);
    for round in 0..ROUNDS {
        let before = uses();
        Halt.until(&mut || uses() > before);
        for cpu in aps() {
            take_out(cpu);
            if round % 2 == 1 {
                // While it is away. The others' next ticks release what is in the pocket.
                assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
                device.tear_down(|| smp::online(cpu).expect("it comes back"));
            } else {
                smp::online(cpu).expect("it comes back");
            }
        }
        // Those that came back have no timer any more.
        smp::run_on_each(&|_| test_kernels::start_ticking());
    }
    assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
    smp::run_on_each(&|_| timer::stop());
    assert_eq!(device.rundown.racy_held(), 0);
}

/// The timer interrupts of one CPU do this meanwhile, every so often that the rest gets on with it,
/// even where virtual CPUs wait for their turn.
fn on_ticks_of(cpu: CpuIndex, work: fn()) {
    const PERIOD: Duration = Duration::from_millis(50);
    smp::run_on_each(&|me| {
        if me == cpu {
            timer::start(PERIOD, work);
        }
    });
}

/// Another CPU calls barriers in its timer interrupts, all the while; so does this one.
fn barriers_do_not_wait_for_it() {
    for cpu in aps() {
        on_ticks_of(next(cpu), barrier::all);
        let mut silent = 0;
        for _ in 0..3 {
            take_out(cpu);
            let answered = barrier::racy_answered(cpu);
            barrier::all();
            silent += u32::from(barrier::racy_answered(cpu) == answered);
            smp::online(cpu).expect("it comes back");
            barrier::all();
        }
        // It answers the NMI of a barrier that began before it left, if that comes late.
        assert!(silent > 0, "it answers each time");
        smp::run_on_each(&|_| timer::stop());
    }
}

/// A CPU comes online while another one is at a barrier, and waits for a third. It answers,
/// although it has not been asked, before the caller looks at it.
fn barriers_that_did_not_ask_it_are_answered() {
    static DEAF: AtomicBool = AtomicBool::new(false);
    static BEGUN: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicBool = AtomicBool::new(false);
    let [deaf, caller, comer] = [1, 2, 3].map(CpuIndex::new);
    if !cpu::is_online(comer) {
        return;
    }
    on_ticks_of(caller, || {
        if DEAF.load(Ordering::Relaxed) && !BEGUN.swap(true, Ordering::Relaxed) {
            barrier::all();
            ENDED.store(true, Ordering::Relaxed);
            ipi::wake(CpuIndex::BSP);
        }
    });
    // Further NMIs, which would make it answer, wait for the end of the handler.
    ipi::set_nmi_handler(Some(|| {
        DEAF.store(true, Ordering::Relaxed);
        while DEAF.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
    }));
    take_out(comer);
    let answered = barrier::racy_answered(comer);
    let calls = barrier::statistics().calls;
    ipi::nmi(deaf);
    while barrier::statistics().calls == calls {
        core::hint::spin_loop();
    }
    smp::online(comer).expect("it comes back");
    while barrier::racy_answered(comer) == answered {
        core::hint::spin_loop();
    }
    assert!(!ENDED.load(Ordering::Relaxed), "{deaf} has answered");
    DEAF.store(false, Ordering::Relaxed);
    Halt.until(&mut || ENDED.load(Ordering::Relaxed));
    smp::run_on_each(&|_| timer::stop());
    ipi::set_nmi_handler(None);
}

/// Another CPU calls functions on the one that leaves and comes back: each call is run there, or
/// refused.
fn calls_are_run_or_refused() {
    static VICTIM: AtomicU32 = AtomicU32::new(0);
    static RUN: AtomicU64 = AtomicU64::new(0);
    static DONE: AtomicU64 = AtomicU64::new(0);
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    fn call_it() {
        let victim = CpuIndex::new(VICTIM.load(Ordering::Relaxed));
        let called = ipi::try_call(victim, &|| {
            assert_eq!(cpu::current(), victim);
            RUN.fetch_add(1, Ordering::Relaxed);
        });
        match called {
            Ok(()) => DONE.fetch_add(1, Ordering::Relaxed),
            Err(ipi::NotOnline) => REFUSED.fetch_add(1, Ordering::Relaxed),
        };
        // The CPU that waits for that sleeps.
        ipi::wake(CpuIndex::BSP);
    }
    for cpu in aps() {
        VICTIM.store(cpu.get() as u32, Ordering::Relaxed);
        on_ticks_of(next(cpu), call_it);
        for _ in 0..3 {
            let refused = REFUSED.load(Ordering::Relaxed);
            take_out(cpu);
            Halt.until(&mut || REFUSED.load(Ordering::Relaxed) > refused);
            let done = DONE.load(Ordering::Relaxed);
            smp::online(cpu).expect("it comes back");
            Halt.until(&mut || DONE.load(Ordering::Relaxed) > done);
        }
        smp::run_on_each(&|_| timer::stop());
    }
    assert_eq!(RUN.load(Ordering::Relaxed), DONE.load(Ordering::Relaxed));
}

/// An NMI's handler does not run on a CPU that has left: barriers pass over it, so the handler
/// might use what has been torn down.
fn nmis_run_no_handler_there() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    ipi::set_nmi_handler(Some(|| {
        RUNS.fetch_add(1, Ordering::Relaxed);
    }));
    for (cpu, before) in aps().zip(0..) {
        take_out(cpu);
        ipi::nmi(cpu);
        smp::online(cpu).expect("it comes back");
        assert_eq!(RUNS.load(Ordering::Relaxed), before, "{cpu} has run it");
        ipi::nmi(cpu);
        while RUNS.load(Ordering::Relaxed) == before {
            core::hint::spin_loop();
        }
    }
    ipi::set_nmi_handler(None);
}

fn first_pluggable() -> CpuIndex {
    CpuIndex::new(cpu::enabled() as u32)
}

fn a_cpu_that_is_not_plugged_in_is_silent() {
    assert_eq!(smp::online(first_pluggable()), Err(StartError::Silent));
    assert!(!cpu::is_online(first_pluggable()));
    only_those_online_work();
}

/// The host plugs it in when this test has started.
fn a_cpu_is_plugged_in() {
    let cpu = first_pluggable();
    loop {
        match smp::online(cpu) {
            Ok(()) => break,
            Err(error) => assert_eq!(error, StartError::Silent),
        }
    }
    assert!(cpu::is_online(cpu));
    only_those_online_work();
}
