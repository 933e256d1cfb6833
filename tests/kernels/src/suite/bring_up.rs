//! Every CPU is up, knows who it is, and has what it needs for itself.

use alloc::vec::Vec;
use core::arch::x86_64::__cpuid_count;
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::Machine;
use kernel::cpu::{self, ApicId, CpuIndex};
use kernel::smp;
use kernel::testing::Test;
use test_kernels::{Barrier, EachCpu, only_those_online_work, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            only_those_online_work,
            every_cpu_has_the_apic_id_of_its_index,
            no_two_cpus_share_a_stack,
        }
        named {
            "indices_are_dense_and_apic_ids_distinct" => indices_are_dense_and_apic_ids_distinct,
        }
    }
}

/// Indices are dense over the CPUs that are listed; those that did not start keep theirs.
fn indices_are_dense_and_apic_ids_distinct(machine: &'static Machine) {
    let missing = &machine.bring_up.missing;
    assert_eq!(cpu::enabled(), cpu::count() + missing.len());
    let listed = (0..).map(CpuIndex::new).take(cpu::enabled());
    let expected = listed.clone().filter(|&cpu| !missing.contains(&cpu::apic_id(cpu)));
    assert!(cpu::online().eq(expected), "{:?}", cpu::online().collect::<Vec<_>>());
    assert_eq!(cpu::online().count(), cpu::count());
    let mut ids: Vec<_> = listed.map(|cpu| cpu::apic_id(cpu).get()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), cpu::enabled(), "an APIC ID is there twice");
}

fn every_cpu_has_the_apic_id_of_its_index() {
    smp::run_on_each(&|me| assert_eq!(cpu::apic_id(me), initial_apic_id()));
}

/// This CPU's APIC ID by CPUID: the hardware's, whatever the kernel believes.
/// (Intel SDM Vol. 2A, CPUID: leaf 0xB EDX is the x2APIC ID, leaf 1 EBX 31:24 the initial APIC ID.)
fn initial_apic_id() -> ApicId {
    let leaf_b = (__cpuid_count(0, 0).eax >= 0xb).then(|| __cpuid_count(0xb, 0));
    match leaf_b {
        Some(leaf) if leaf.ebx != 0 => ApicId::new(leaf.edx),
        _ => ApicId::new(__cpuid_count(1, 0).ebx >> 24),
    }
}

fn no_two_cpus_share_a_stack() {
    let places = EachCpu::new(|| AtomicUsize::new(0));
    let all_wrote = Barrier::for_all();
    smp::run_on_each(&|me| {
        let mine = AtomicUsize::new(me.get());
        places[me].store(&raw const mine as usize, Ordering::Relaxed);
        all_wrote.wait();
        assert_eq!(black_box(&mine).load(Ordering::Relaxed), me.get(), "stack overwritten");
        all_wrote.wait();
    });
    let mut places: Vec<_> = cpu::online().map(|cpu| places[cpu].load(Ordering::Relaxed)).collect();
    places.sort_unstable();
    for pair in places.windows(2) {
        assert!(pair[1] - pair[0] >= 4096, "stacks {:#x} and {:#x}", pair[0], pair[1]);
    }
}
