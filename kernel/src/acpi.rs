//! The firmware's tables: which CPUs there are, and which counters.

use core::{ptr::NonNull, slice};

use ::acpi::{AcpiHandler, AcpiTable, AcpiTables, PhysicalMapping, madt::Madt as MadtTable};
use bootloader_api::BootInfo;
use bringup::{CpuMap, MAX_CPUS, Madt};
use protocol::options::Options;
use spin::Once;
use x86_64::PhysAddr;

use crate::{
    apic,
    cpu::{self, ApicId},
    log, memory,
};

/// Reads the CPUs from the ACPI tables and publishes the index table. A machine whose tables cannot
/// be read runs on its BSP alone, and says why. The option `ghost` counts as one more that is listed, `hide` as
/// one that is not.
pub(crate) fn init(boot_info: &BootInfo, options: &Options) {
    let bsp = apic::id();
    let mut map = read(boot_info.rsdp_addr.into_option(), bsp).unwrap_or_else(|why| {
        log!("acpi: {why}: only the BSP ({bsp}) is used");
        CpuMap::new([bsp], [], bsp).expect("one CPU, listed")
    });
    if map.left_out() > 0 {
        log!(
            "acpi: there is room for {MAX_CPUS} CPUs: {} more are listed and not used",
            map.left_out()
        );
    }
    let ghost = options.ghost.map(ApicId::new);
    let hidden = |id: &ApicId| *id != bsp && Some(id.get()) == options.hide;
    if ghost.is_some() || options.hide.is_some() {
        let enabled = map.iter_enabled().map(|(_, id)| id).chain(ghost);
        let pluggable = map.iter_pluggable().map(|(_, id)| id);
        map = CpuMap::new(
            enabled.filter(|id| !hidden(id)),
            pluggable.filter(|id| !hidden(id)),
            bsp,
        )
        .unwrap_or(map);
    }
    cpu::set_map(map);
}

static MADT: Once<Madt<'static>> = Once::new();

/// The MADT, if there is an intact one. After [`init`].
pub(crate) fn madt() -> Option<&'static Madt<'static>> {
    MADT.get()
}

/// The bytes of the table of type `T`. `None` if there is none that is intact by its checksum.
pub(crate) fn table<T: AcpiTable>(boot_info: &BootInfo) -> Option<&'static [u8]> {
    let tables = tables(boot_info.rsdp_addr.into_option()?).ok()?;
    let table = tables.find_table::<T>().ok()?;
    let start = table.virtual_start().as_ptr().cast::<u8>();
    // SAFETY: the whole table is mapped, for good, and nobody writes to it.
    Some(unsafe { slice::from_raw_parts(start, table.region_length()) })
}

fn read(rsdp: Option<u64>, bsp: ApicId) -> Result<CpuMap, &'static str> {
    let rsdp = rsdp.ok_or("the loader has found no RSDP")?;
    let tables = tables(rsdp)?;
    let madt = tables
        .find_table::<MadtTable>()
        .map_err(|_| "there is no intact MADT")?;
    // SAFETY: the mapping is of the whole table, which nobody writes to.
    let bytes = unsafe {
        slice::from_raw_parts(
            madt.virtual_start().as_ptr().cast::<u8>(),
            madt.region_length(),
        )
    };
    let madt = Madt::parse(bytes).map_err(|error| {
        log!("acpi: {error}");
        "the MADT is damaged"
    })?;
    let madt = MADT.call_once(|| madt);
    CpuMap::from_madt(madt, bsp).map_err(|error| {
        log!("acpi: {error}");
        "the MADT does not describe this machine"
    })
}

/// What the tables are found by, once it is sure that they lie in memory.
fn tables(rsdp: u64) -> Result<AcpiTables<Physical>, &'static str> {
    bringup::check_root(rsdp, memory_at).map_err(|error| {
        log!("acpi: {error}");
        "the RSDP or the tables it leads to are damaged"
    })?;
    // SAFETY: the loader vouches for the address; what the crate believes has been checked.
    unsafe { AcpiTables::from_rsdp(Physical, rsdp as usize) }
        .map_err(|_| "the RSDP or the table it points to is damaged")
}

/// Firmware's bytes at this physical address; `None` if not all of them are memory that is mapped.
fn memory_at(address: u64, length: usize) -> Option<&'static [u8]> {
    let end = address.checked_add(length as u64)?;
    // No CPU has more address lines (Intel SDM 3A, 4.1.4).
    if length == 0 || end > 1 << 52 {
        return None;
    }
    let pages = (address & !0xfff..end).step_by(4096);
    if !pages.map(PhysAddr::new).all(memory::mapping::is_mapped) {
        return None;
    }
    let start = memory::virt(PhysAddr::new(address)).as_ptr();
    // SAFETY: all of it is mapped, as just checked, and for good; nobody writes to the tables.
    Some(unsafe { slice::from_raw_parts(start, length) })
}

/// How the `acpi` crate gets at the tables: all of physical memory is mapped already.
#[derive(Clone, Copy, Debug)]
struct Physical;

impl AcpiHandler for Physical {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        let start = memory::virt(PhysAddr::new(address as u64)).as_mut_ptr();
        let start = NonNull::new(start).expect("the upper half is not null");
        // SAFETY: physical memory is mapped at `start`, for good.
        unsafe { PhysicalMapping::new(address, start, size, size, *self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {
        // Mapped for good.
    }
}
