//! The services of this kernel for `bringup`.

use bringup::*;

use crate::{enter, memory, nanos};

struct ThisKernel;

// SAFETY: the functions called here do as the trait demands.
unsafe impl Kernel for ThisKernel {
    fn nanos(&self) -> u64 {
        nanos()
    }
    fn low_pages(&self) -> Option<u64> {
        memory::take_low(LOW_PAGES as u64 * 4096)
    }
    fn virt(&self, physical: u64) -> *mut u8 {
        memory::virt(physical)
    }
    fn stack(&self, cpu: CpuIndex) -> Option<*mut u8> {
        memory::stack(cpu.get())
    }
    fn report(&self, event: Event) {
        println!("{event}");
    }
    fn enter(&'static self, arrival: Arrival) -> ! {
        enter(arrival)
    }
}

static CPUS: Starter<ThisKernel, 256> = Starter::new(ThisKernel);

/// Starts all CPUs that the firmware lists as enabled, and a `ghost`, if any, which it does not.
pub fn start_all(rsdp: u64, ghost: Option<u32>) -> (LocalApic, usize) {
    // At least the first 4 GiB are mapped, where firmware has its tables.
    let is_mapped = |at: u64, len| at.checked_add(len as u64).is_some_and(|end| end <= 1 << 32);
    // SAFETY: mapped, and the firmware's tables do not change.
    let read = |at, len| is_mapped(at, len).then(|| unsafe { core::slice::from_raw_parts(memory::virt(at), len) });
    let tables = Tables::new(rsdp, read).expect("ACPI tables");
    // SAFETY: ring 0, on a PC.
    let apic = unsafe { LocalApic::find(memory::map_uncached) };
    let madt = tables.find(b"APIC").and_then(Madt::parse).expect("a MADT");
    let listed = madt.cpus().filter(|cpu| cpu.state == CpuState::Enabled).map(|cpu| cpu.apic_id);
    let listed = listed.chain(ghost.map(ApicId::new));
    let map = CpuMap::new(listed, [], apic.id()).expect("a MADT of this machine");
    // SAFETY: no other CPU runs.
    let (apic, _) = unsafe { apic.fit(apic.facts(&map, tables.find(b"DMAR"))) };
    CPUS.prepare(apic, &map).expect("low memory");
    CPUS.start(|cpu| cpu.is_enabled, &Plan::default(), &mut Steps::default()).expect("prepared");
    for cpu in CPUS.progress().filter(|cpu| cpu.state != SlotState::Online) {
        println!("missing: {}", cpu.apic_id);
    }
    (apic, CPUS.progress().filter(|cpu| cpu.state == SlotState::Online).count())
}
