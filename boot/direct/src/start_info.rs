//! What a PVH loader hands over: `struct hvm_start_info` and what it points to.
//!
//! Layout and values from Xen's public header `arch-x86/hvm/start_info.h`. All addresses are
//! physical.

/// `start_info.magic`.
pub const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1 (the memory map came with version 1; QEMU has always sent it).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// [`MAGIC`].
    pub magic: u32,
    /// Version of this structure.
    pub version: u32,
    /// `SIF_xxx` flags; none concerns us.
    pub flags: u32,
    /// Number of [`Module`]s.
    pub nr_modules: u32,
    /// Address of an array of [`Module`]; the first is QEMU's `-initrd`.
    pub modlist_paddr: u64,
    /// Address of the command line, NUL-terminated.
    pub cmdline_paddr: u64,
    /// Address of ACPI's RSDP, or 0.
    pub rsdp_paddr: u64,
    /// Address of an array of [`MemoryMapEntry`].
    pub memmap_paddr: u64,
    /// Number of [`MemoryMapEntry`]s.
    pub memmap_entries: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Module {
    /// Address of the module.
    pub paddr: u64,
    /// Size in bytes.
    pub size: u64,
    /// Address of its command line, or 0.
    pub cmdline_paddr: u64,
    /// Must be zero.
    pub reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryMapEntry {
    /// First address.
    pub addr: u64,
    /// Size in bytes.
    pub size: u64,
    /// [`TYPE_RAM`] or another type of ACPI's E820 list (ACPI 6.5, table 15.4).
    pub kind: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// [`MemoryMapEntry::kind`] of ordinary memory.
pub const TYPE_RAM: u32 = 1;
