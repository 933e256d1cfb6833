//! Every CPU is up, knows who it is, and has what it needs for itself.

use alloc::vec::Vec;
use core::arch::x86_64::__cpuid_count;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use kernel::Machine;
use kernel::cpu::{self, ApicId, CpuIndex};
use kernel::testing::Test;
use kernel::{interrupts, smp};
use test_kernels::{Barrier, PerCpu, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            the_bsp_has_index_0,
            work_is_done_once_by_every_cpu,
            every_cpu_has_the_apic_id_of_its_index,
            no_two_cpus_share_a_stack,
            all_cpus_run_at_once,
        }
        named {
            "indices_are_dense_and_apic_ids_distinct" => indices_are_dense_and_apic_ids_distinct,
        }
    }
}

fn the_bsp_has_index_0() {
    assert_eq!(cpu::current().get(), 0);
    assert!(interrupts::enabled(), "interrupts are disabled on the BSP");
    assert!(!interrupts::in_handler(), "the BSP believes itself in a handler");
}

/// Indices are dense over the CPUs that are listed; those that did not start keep theirs.
fn indices_are_dense_and_apic_ids_distinct(machine: &'static Machine) {
    let missing = &machine.bring_up.missing;
    assert_eq!(cpu::listed(), cpu::count() + missing.len());
    let listed = (0..).map(CpuIndex::new).take(cpu::listed());
    let expected = listed.clone().filter(|&cpu| !missing.contains(&cpu::apic_id(cpu)));
    assert!(cpu::online().eq(expected), "{:?}", cpu::online().collect::<Vec<_>>());
    assert_eq!(cpu::online().count(), cpu::count());
    let mut ids: Vec<_> = listed.map(|cpu| cpu::apic_id(cpu).get()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), cpu::listed(), "an APIC ID is there twice");
}

fn work_is_done_once_by_every_cpu() {
    const ROUNDS: u32 = 5;
    let runs = PerCpu::new(|| AtomicU32::new(0));
    for _ in 0..ROUNDS {
        smp::run_on_each(&|me| {
            assert_eq!(cpu::current(), me);
            assert!(interrupts::enabled(), "interrupts are disabled");
            assert!(!interrupts::in_handler(), "not in thread context");
            runs[me].fetch_add(1, Ordering::Relaxed);
        });
    }
    for cpu in cpu::online() {
        assert_eq!(runs[cpu].load(Ordering::Relaxed), ROUNDS, "{cpu}");
    }
}

fn every_cpu_has_the_apic_id_of_its_index() {
    smp::run_on_each(&|me| assert_eq!(cpu::apic_id(me), initial_apic_id()));
}

/// This CPU's APIC ID by CPUID: what the hardware gave it, whatever the kernel believes.
/// (Intel SDM Vol. 2A, CPUID: leaf 0xB EDX is the x2APIC ID, leaf 1 EBX 31:24 the initial APIC ID.)
fn initial_apic_id() -> ApicId {
    let leaf_b = (__cpuid_count(0, 0).eax >= 0xb).then(|| __cpuid_count(0xb, 0));
    match leaf_b {
        Some(leaf) if leaf.ebx != 0 => ApicId::new(leaf.edx),
        _ => ApicId::new(__cpuid_count(1, 0).ebx >> 24),
    }
}

fn no_two_cpus_share_a_stack() {
    let places = PerCpu::new(|| AtomicUsize::new(0));
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

fn all_cpus_run_at_once() {
    // No CPU passes a barrier unless all CPUs are in the same call: one after the other would hang.
    let barrier = Barrier::for_all();
    let passed = AtomicUsize::new(0);
    smp::run_on_each(&|_| {
        for round in 1..=10 {
            barrier.wait();
            passed.fetch_add(1, Ordering::Relaxed);
            barrier.wait();
            assert_eq!(passed.load(Ordering::Relaxed), round * cpu::count());
            barrier.wait();
        }
    });
}
