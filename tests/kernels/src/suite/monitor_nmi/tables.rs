//! ACPI tables as some firmware has them: damaged, and with other NMI entries.
//!
//! QEMU can only add tables. So the guest builds them from QEMU's own, in its image's memory,
//! before the kernel reads them.

use core::cell::UnsafeCell;
use core::ptr;
use core::slice;

use kernel::bootloader_api::BootInfo;

use crate::file;

/// Memory for the tables.
#[repr(C, align(16))]
struct Memory {
    rsdp: [u8; 36],
    rsdt: Table<256>,
    madt: Table<4096>,
}

/// A table that grows, and states its length.
#[repr(C, align(16))]
struct Table<const SIZE: usize> {
    bytes: [u8; SIZE],
}

impl<const SIZE: usize> Table<SIZE> {
    fn len(&self) -> usize {
        u32_at(&self.bytes, 4) as usize
    }

    fn push(&mut self, bytes: &[u8]) {
        let (len, longer) = (self.len(), self.len() + bytes.len());
        self.bytes[len..longer].copy_from_slice(bytes);
        self.bytes[4..8].copy_from_slice(&(longer as u32).to_le_bytes());
    }

    /// Begins with the header of this table, or with more of it.
    fn begin(&mut self, start: &[u8]) {
        self.bytes[..start.len()].copy_from_slice(start);
        self.bytes[4..8].copy_from_slice(&(start.len() as u32).to_le_bytes());
    }
}

struct Once(UnsafeCell<Memory>);
// SAFETY: only `replace` refers to it for writing, once, on the only CPU that runs.
unsafe impl Sync for Once {}
static MEMORY: Once = Once(UnsafeCell::new(Memory {
    rsdp: [0; 36],
    rsdt: Table { bytes: [0; 256] },
    madt: Table { bytes: [0; 4096] },
}));

/// If QEMU has a file `opt/nmi`: gives the tables one flaw of every sort that is tolerated, and the
/// MADT the file's NMI entries instead of its own, each a UID and a pin (`1.1 2.1`).
pub(crate) fn replace(boot_info: &mut BootInfo) {
    let mut buffer = [0; 512];
    let Some(entries) = file::read("opt/nmi", &mut buffer) else {
        return;
    };
    let entries = core::str::from_utf8(entries).expect("text");
    let offset = boot_info.physical_memory_offset.into_option().expect("mapped");
    let at = |address: u64, length: usize| {
        // SAFETY: all memory is mapped at `offset`; SeaBIOS's tables are whole, not written to.
        unsafe { slice::from_raw_parts((offset + address) as *const u8, length) }
    };
    let table = |address: u64| at(address, u32_at(at(address, 8), 4) as usize);
    let rsdp = at(boot_info.rsdp_addr.into_option().expect("SeaBIOS's"), 20);
    assert_eq!(rsdp[15], 0, "with an RSDT, as q35 has it");
    let rsdt = table(u32_at(rsdp, 16).into());

    // SAFETY: as said at `Once`.
    let memory = unsafe { &mut *MEMORY.0.get() };
    let image = boot_info.kernel_addr.wrapping_sub(boot_info.kernel_image_offset);
    let physical = |bytes: *const u8| image.wrapping_add(bytes.addr() as u64);
    let madt_at = physical(ptr::from_ref(&memory.madt).cast());
    // First an address behind all that is mapped, last a NULL, as VMware has it.
    memory.rsdt.begin(&rsdt[..36]);
    memory.rsdt.push(&0xffff_fff0_u32.to_le_bytes());
    for entry in rsdt[36..].chunks_exact(4) {
        let old = table(u32_at(entry, 0).into());
        if old.starts_with(b"APIC") {
            make_madt(&mut memory.madt, old, entries);
            memory.rsdt.push(&(madt_at as u32).to_le_bytes());
        } else {
            memory.rsdt.push(entry);
        }
    }
    memory.rsdt.push(&[0; 4]);
    let length = memory.rsdt.len();
    spoil(&mut memory.rsdt.bytes[..length], 9);
    // The revision promises an XSDT, but its address is 0.
    memory.rsdp[..20].copy_from_slice(rsdp);
    memory.rsdp[15] = 2;
    let rsdt_at = physical(ptr::from_ref(&memory.rsdt).cast());
    memory.rsdp[16..20].copy_from_slice(&(rsdt_at as u32).to_le_bytes());
    spoil(&mut memory.rsdp[..20], 8);
    boot_info.rsdp_addr = Some(physical(ptr::from_ref(&memory.rsdp).cast())).into();
}

/// The old one without its entries about NMIs, with these, and with a byte that belongs to none.
/// The vendor's name is no UTF-8.
fn make_madt(new: &mut Table<4096>, old: &[u8], entries: &str) {
    const NMI: u8 = 4;
    const X2APIC_NMI: u8 = 0xa;
    new.begin(&old[..44]);
    new.bytes[10..16].fill(0xff);
    let mut rest = &old[44..];
    while let [kind, length, ..] = *rest {
        let (entry, behind) = rest.split_at(length.into());
        if kind != NMI && kind != X2APIC_NMI {
            new.push(entry);
        }
        rest = behind;
    }
    for entry in entries.split_whitespace() {
        let (uid, lint) = entry.split_once('.').expect("UID and LINT");
        let [uid, lint] = [uid, lint].map(|number| number.parse().expect("a byte"));
        new.push(&[NMI, 6, uid, 0, 0, lint]);
    }
    new.push(&[NMI]);
    let length = new.len();
    spoil(&mut new.bytes[..length], 9);
}

/// Sets a checksum wrong: by one, so that no table has a right one by chance.
fn spoil(bytes: &mut [u8], checksum: usize) {
    let sum = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    bytes[checksum] = bytes[checksum].wrapping_sub(sum).wrapping_add(1);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
