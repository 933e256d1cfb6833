//! Faults while CPUs start, by the option `fault`: reported, the CPU left out, the rest goes on.

use alloc::vec::Vec;
use core::time::Duration;

use kernel::Machine;
use kernel::cpu::ApicId;
use kernel::platform::Halt;
use kernel::smp::{self, Event, StartError};
use kernel::testing::Test;
use kernel::{clock, cpu, ipi, timer};
use protocol::options::FaultKind;
use test_kernels::{after, only_those_online_work, tests};

use crate::races::only_the_last_release_drains;

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        named {
            "it_is_reported" => it_is_reported,
            "the_rest_goes_on" => |_| the_rest_goes_on(),
            "uninvited_cpus_park" => uninvited_cpus_park,
            "it_may_be_tried_again" => it_may_be_tried_again,
        }
    }
}

/// The CPUs that something has happened to, in the order in which it was seen.
fn seen(of: fn(Event) -> Option<ApicId>) -> Vec<ApicId> {
    smp::events().into_iter().filter_map(of).collect()
}

fn faults() -> Vec<ApicId> {
    seen(|event| if let Event::Faulted(fault) = event { Some(fault.apic_id) } else { None })
}

fn came_late() -> Vec<ApicId> {
    seen(|event| if let Event::Late(id) = event { Some(id) } else { None })
}

fn not_listed() -> Vec<ApicId> {
    seen(|event| if let Event::Unlisted(id) = event { Some(id) } else { None })
}

/// The host checks that exactly the CPUs are missing that an option keeps from starting.
fn it_is_reported(machine: &'static Machine) {
    let fault = machine.options.fault.map(|fault| fault.kind);
    let bring_up = &machine.bring_up;
    for id in &bring_up.missing {
        let faults = faults().into_iter().filter(|faulted| faulted == id);
        // Once per start. A CPU that is late, missing or never started records no fault.
        let is_innocent = fault.is_none_or(|kind| kind.is_a_delay() || kind == FaultKind::Memory);
        let expected = if is_innocent { 0 } else { 2 };
        assert_eq!(faults.count(), expected, "{id}");
    }
    if let Some(fault) = machine.options.fault
        && fault.kind == FaultKind::Once
    {
        let others = cpu::map().iter_enabled().skip(1).map(|(_, id)| id.get());
        let mut expected: Vec<u32> = others.filter(|id| fault.is_for(*id)).collect();
        let mut faulted: Vec<u32> = faults().into_iter().map(ApicId::get).collect();
        expected.sort_unstable();
        faulted.sort_unstable();
        assert_eq!(faulted, expected);
    }
    if !fault.is_some_and(FaultKind::is_a_delay) {
        assert_eq!(came_late(), [], "started twice");
    }
    // All virtual CPUs read the same counter.
    for (cpu, clock) in &bring_up.clocks {
        let lags = fault == Some(FaultKind::Tsc) && cpu.get() == 3;
        let ahead = if lags { -(clock::hz() as i64) } else { 0 };
        assert_eq!(clock.is_off(), lags, "{cpu}: {clock:?}");
        assert!((clock.least..=clock.most).contains(&ahead), "{cpu}: {clock:?}");
    }
    assert_eq!(bring_up.clocks.len(), cpu::count() - 1);
}

/// All online CPUs take interrupts and run work, and an object that they all use is torn down.
fn the_rest_goes_on() {
    they_take_interrupts();
    only_those_online_work();
    only_the_last_release_drains(test_kernels::plain);
    only_the_last_release_drains(test_kernels::cache_aware);
    only_the_last_release_drains(test_kernels::per_cpu);
}

/// The second INIT and SIPI to others have not reset them.
fn they_take_interrupts() {
    /// Against a hang only.
    const LIMIT: Duration = Duration::from_secs(10);
    let limit = after(LIMIT);
    for cpu in cpu::online().skip(1) {
        let taken = ipi::wakes_taken(cpu);
        ipi::wake(cpu);
        while ipi::wakes_taken(cpu) == taken {
            assert!(clock::nanos() < limit, "{cpu} takes no interrupts");
            core::hint::spin_loop();
        }
    }
}

/// CPUs that come too late, or that no table lists, are seen, and are not used.
fn uninvited_cpus_park(machine: &'static Machine) {
    /// With a tick of 1 ms: more than a virtual CPU is kept from running by others.
    const LOOKS: u32 = 250;
    let options = &machine.options;
    let is_late = options.fault.is_some_and(|fault| fault.kind.is_a_delay());
    let missing = machine.bring_up.missing.iter().copied();
    let expected_late: Vec<ApicId> = missing.filter(|_| is_late).collect();
    let hidden = options.hide.map(ApicId::new);
    let all_here = || {
        for id in &expected_late {
            let cpu = cpu::map().index_of(*id).expect("it is listed");
            ipi::wake(cpu);
            let taken = ipi::wakes_taken(cpu);
            assert_eq!(taken, 0, "{cpu} was given up, and takes interrupts");
        }
        came_late().len() >= expected_late.len()
            && not_listed().len() >= usize::from(hidden.is_some())
    };
    // They come when they come; the ticks make this CPU look again.
    timer::start(Duration::from_millis(1), || {});
    // A CPU that has reported, and does not park, gets the time to take one of those interrupts.
    let mut looks = 0..if expected_late.is_empty() { 0 } else { LOOKS };
    Halt.until(&mut || all_here() && looks.next().is_none());
    timer::stop();
    assert_eq!(came_late(), expected_late);
    assert!(not_listed().into_iter().eq(hidden), "{:?}", not_listed());
    the_rest_goes_on();
}

/// A CPU that was late comes when started again; one that faults each time does so again.
fn it_may_be_tried_again(machine: &'static Machine) {
    let fault = machine.options.fault.map(|fault| fault.kind);
    for id in machine.bring_up.missing.iter().take(2) {
        let cpu = cpu::map().index_of(*id).expect("it is listed");
        match fault {
            Some(FaultKind::Late | FaultKind::Slow) => {
                smp::online(cpu).expect("its time has come");
                assert!(cpu::is_online(cpu));
            }
            Some(FaultKind::Memory) => {
                let refused = smp::online(cpu);
                assert!(matches!(refused, Err(StartError::Refused(_))), "{refused:?}");
            }
            None => assert_eq!(smp::online(cpu), Err(StartError::Silent)),
            _ => assert_eq!(smp::online(cpu), Err(StartError::Faulted)),
        }
    }
    the_rest_goes_on();
}
