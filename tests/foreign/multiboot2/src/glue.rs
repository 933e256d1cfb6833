//! The services of this kernel for `bringup`.

use bringup::*;

use crate::{enter, memory, nanos};

struct Foreign;

// SAFETY: the functions called do as the trait demands; the first 4 GiB are identity-mapped.
unsafe impl Kernel for Foreign {
    fn nanos(&self) -> u64 {
        nanos()
    }
    fn low_pages(&self) -> Option<u64> {
        memory::take_low(LOW_PAGES as u64 * 4096)
    }
    fn virt(&self, physical: u64) -> *mut u8 {
        physical as *mut u8
    }
    fn stack(&self, cpu: CpuIndex) -> Option<*mut u8> {
        memory::stack(cpu.get())
    }
    fn enter(&'static self, arrival: Arrival) -> ! {
        enter(arrival)
    }
}

static CPUS: Starter<Foreign, 256> = Starter::new(Foreign);

/// Starts all CPUs that the firmware lists as enabled, and a `ghost`, if any, which it does not.
pub fn start_all(rsdp: u64, ghost: Option<u32>) -> (LocalApic, usize) {
    // SAFETY: all of the first 4 GiB is mapped, and the firmware's tables do not change.
    let is_mapped = |at: u64, len| at.checked_add(len as u64).is_some_and(|end| end <= 1 << 32);
    let read = |at, len| is_mapped(at, len).then(|| unsafe { core::slice::from_raw_parts(at as *const u8, len) });
    let tables = Tables::new(rsdp, read).expect("ACPI tables");
    // SAFETY: ring 0, on a PC.
    let apic = unsafe { LocalApic::find(|physical| physical as *mut u8) };
    let madt = tables.find(b"APIC").and_then(Madt::parse).expect("a MADT");
    let listed = madt.cpus().filter(|cpu| cpu.state == CpuState::Enabled).map(|cpu| cpu.apic_id);
    let map = CpuMap::new(listed.chain(ghost.map(ApicId::new)), [], apic.id()).expect("a MADT of this machine");
    // SAFETY: no other CPU runs.
    let (apic, _) = unsafe { apic.fit(apic.facts(&map, tables.find(b"DMAR"))) };
    CPUS.prepare(apic, &map).expect("low memory");
    CPUS.start(|cpu| cpu.is_enabled, &Plan::default(), &mut Steps::default()).expect("prepared");
    for cpu in CPUS.progress().filter(|cpu| cpu.state != SlotState::Online) {
        println!("missing: {}", cpu.apic_id);
    }
    (apic, CPUS.progress().filter(|cpu| cpu.state == SlotState::Online).count())
}
