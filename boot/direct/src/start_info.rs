//! A PVH loader's data: `struct hvm_start_info` and all that it points to.
//!
//! Layout and values from Xen's public header `arch-x86/hvm/start_info.h`, in its names. All
//! addresses are physical; `reserved` must be zero.

/// `start_info.magic`.
pub(crate) const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1 (which brought the memory map; QEMU has always sent it).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct StartInfo {
    pub(crate) magic: u32,
    pub(crate) version: u32,
    pub(crate) flags: u32,
    pub(crate) nr_modules: u32,
    /// An array of [`Module`]; the first is QEMU's `-initrd`.
    pub(crate) modlist_paddr: u64,
    pub(crate) cmdline_paddr: u64,
    /// Of ACPI's RSDP, or 0.
    pub(crate) rsdp_paddr: u64,
    /// An array of [`MemoryMapEntry`].
    pub(crate) memmap_paddr: u64,
    pub(crate) memmap_entries: u32,
    pub(crate) reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Module {
    pub(crate) paddr: u64,
    pub(crate) size: u64,
    pub(crate) cmdline_paddr: u64,
    pub(crate) reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct MemoryMapEntry {
    pub(crate) addr: u64,
    pub(crate) size: u64,
    /// [`TYPE_RAM`] or another type of ACPI's E820 list (ACPI 6.5, table 15.4).
    pub(crate) kind: u32,
    pub(crate) reserved: u32,
}

/// [`MemoryMapEntry::kind`] of ordinary memory.
pub(crate) const TYPE_RAM: u32 = 1;
