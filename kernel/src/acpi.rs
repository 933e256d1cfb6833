//! The firmware's tables: which CPUs there are, and which counters.

use core::{fmt, slice};

use bootloader_api::BootInfo;
use bringup::{CpuMap, MAX_CPUS, Madt, Tables};
use protocol::options::Options;
use spin::Once;
use x86_64::PhysAddr;

use crate::{
    apic,
    cpu::{self, ApicId},
    log, memory,
};

/// Finds the tables, and logs once what is wrong with them. On the BSP, after memory is set up.
pub(crate) fn init(boot_info: &BootInfo) {
    let Some(rsdp) = boot_info.rsdp_addr.into_option() else {
        log!("acpi: the loader has found no RSDP");
        return;
    };
    match Tables::new(rsdp, memory_at as Read) {
        Ok(tables) => {
            log_flaws(tables.flaws());
            TABLES.call_once(|| tables);
        }
        Err(why) => log!("acpi: {why}"),
    }
}

type Read = fn(u64, usize) -> Option<&'static [u8]>;

static TABLES: Once<Tables<'static, Read>> = Once::new();

/// The bytes of the table with this signature. After [`init`].
pub(crate) fn table(signature: &[u8; 4]) -> Option<&'static [u8]> {
    TABLES.get()?.find(signature)
}

/// Reads the CPUs from the MADT and publishes the index table. Without one that can be read, the
/// BSP runs alone, and the log says why. The option `ghost` lists a phantom CPU, `hide` hides one.
pub(crate) fn read_cpus(options: &Options) {
    let bsp = apic::id();
    let map = read(bsp).unwrap_or_else(|| {
        log!("acpi: only the BSP ({bsp}) is used");
        CpuMap::new([bsp], [], bsp).expect("one CPU, listed")
    });
    let more = map.left_out();
    if more > 0 {
        log!("acpi: there is room for {MAX_CPUS} CPUs: {more} more are listed and not used");
    }
    let is_shown = |id: &ApicId| *id == bsp || Some(id.get()) != options.hide;
    let enabled = map.iter_enabled().map(|(_, id)| id);
    let enabled = enabled.chain(options.ghost.map(ApicId::new));
    // Those that are enabled are in the map by then.
    let pluggable = map.iter().map(|(_, id)| id);
    let map = CpuMap::new(enabled.filter(is_shown), pluggable.filter(is_shown), bsp);
    cpu::MAP.call_once(|| map.expect("the BSP is enabled"));
}

/// Logs the MADT's bytes, 44 in a line: the first line is all that comes before its entries (ACPI
/// Specification 6.5, section 5.2.12).
pub fn show_madt() {
    for bytes in table(b"APIC").unwrap_or_default().chunks(44) {
        let hex = fmt::from_fn(|f| bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")));
        log!("madt: {hex}");
    }
}

/// The MADT, if there is one. After [`read_cpus`].
pub(crate) static MADT: Once<Madt<'static>> = Once::new();

/// The CPUs that the MADT lists. Without a usable one, the log says why.
fn read(bsp: ApicId) -> Option<CpuMap> {
    let Some(bytes) = table(b"APIC") else {
        log!("acpi: there is no MADT");
        return None;
    };
    let Some(madt) = Madt::parse(bytes) else {
        log!("acpi: the MADT is shorter than its header");
        return None;
    };
    let madt = MADT.call_once(|| madt);
    log_flaws(madt.bad_entries());
    let map = CpuMap::from_madt(madt, table(b"FACP"), bsp);
    if map.is_none() {
        log!("acpi: the MADT does not list the CPU that runs ({bsp}) as enabled");
    }
    map
}

/// Logs the first few; a table that is garbage has thousands.
fn log_flaws(mut flaws: impl Iterator<Item = impl fmt::Display>) {
    const MOST: usize = 8;
    for flaw in flaws.by_ref().take(MOST) {
        log!("acpi: {flaw}");
    }
    let more = flaws.count();
    if more > 0 {
        log!("acpi: {more} more like that");
    }
}

/// The bytes at this physical address; `None` if not all of them are mapped.
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
    // SAFETY: all of it is mapped, as just checked, and for good; no code writes to the tables.
    Some(unsafe { slice::from_raw_parts(start, length) })
}
