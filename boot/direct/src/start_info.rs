//! What a PVH loader hands over: `struct hvm_start_info` and what it points to.
//!
//! Layout and values from Xen's public header `arch-x86/hvm/start_info.h`, in its names. All addresses are
//! physical; `reserved` must be zero.
#![expect(missing_docs, reason = "documented there")]

/// `start_info.magic`.
pub const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1 (the memory map came with version 1; QEMU has always sent it).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    pub magic: u32,
    pub version: u32,
    pub flags: u32,
    pub nr_modules: u32,
    /// An array of [`Module`]; the first is QEMU's `-initrd`.
    pub modlist_paddr: u64,
    pub cmdline_paddr: u64,
    /// Of ACPI's RSDP, or 0.
    pub rsdp_paddr: u64,
    /// An array of [`MemoryMapEntry`].
    pub memmap_paddr: u64,
    pub memmap_entries: u32,
    pub reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Module {
    pub paddr: u64,
    pub size: u64,
    pub cmdline_paddr: u64,
    pub reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemoryMapEntry {
    pub addr: u64,
    pub size: u64,
    /// [`TYPE_RAM`] or another type of ACPI's E820 list (ACPI 6.5, table 15.4).
    pub kind: u32,
    pub reserved: u32,
}

/// [`MemoryMapEntry::kind`] of ordinary memory.
pub const TYPE_RAM: u32 = 1;
