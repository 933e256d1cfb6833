//! Whether the way from the RSDP to the tables leads through memory that is there.
//!
//! Layout: ACPI Specification 6.5, sections 5.2.5 (RSDP), 5.2.6 (header), 5.2.7 and 5.2.8 (RSDT, XSDT).
//!
//! Why not leave that to the `acpi` crate, which finds the tables (5.2.0 read): it trusts every length and
//! address. A root table that is shorter than its header makes it read on to the end of the address space,
//! one whose length passes the end of memory, or that lists a table out there, makes it fault.

use core::fmt;

/// Bytes of the RSDP that every version of ACPI has, and that it has since ACPI 2.0.
const RSDP_1: usize = 20;
const RSDP_2: usize = 36;
/// Bytes of the header of every table.
const HEADER: usize = 36;
/// The longest table that is believed. (QEMU's largest is some 10 KiB, a server's some 100.)
const MOST: usize = 16 << 20;

/// The tables that the firmware lists. `read` gives so many bytes of memory at a physical address, or `None` if not all
/// of them are there.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a, R> {
    read: R,
    root: &'a [u8],
    entry_size: usize,
}

impl<'a, R: Fn(u64, usize) -> Option<&'a [u8]>> Tables<'a, R> {
    /// Finds the root table by the RSDP at `rsdp`.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn new(rsdp: u64, read: R) -> Result<Self, RootError> {
        check_root(rsdp, &read)?;
        let whole = read(rsdp, RSDP_1).ok_or(RootError::Rsdp)?;
        let (at, entry_size) = if whole[15] == 0 { (16, 4) } else { (24, 8) };
        let field = read(rsdp + at, entry_size).ok_or(RootError::Rsdp)?;
        let address = address(field);
        let root = table(address, &read).ok_or(RootError::Root { address })?;
        Ok(Self {
            read,
            root,
            entry_size,
        })
    }

    /// The bytes of the table with this signature.
    #[must_use]
    pub fn find(&self, signature: &[u8; 4]) -> Option<&'a [u8]> {
        let entries = self.root[HEADER..].chunks_exact(self.entry_size);
        let mut tables = entries.filter_map(|entry| table(address(entry), &self.read));
        tables.find(|table| table.starts_with(signature))
    }
}

/// An address of 4 or 8 bytes.
fn address(bytes: &[u8]) -> u64 {
    let mut address = [0; 8];
    address[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(address)
}

/// Follows the way from the RSDP at `rsdp` to every table that its root table lists, and says what is wrong
/// with it. What is in the tables, their checksums included, is for others to check.
///
/// `read` gives so many bytes of memory at a physical address, or `None` if not all of them are there.
///
/// # Errors
/// See [`RootError`].
pub fn check_root<'a>(
    rsdp: u64,
    read: impl Fn(u64, usize) -> Option<&'a [u8]>,
) -> Result<(), RootError> {
    let first = read(rsdp, RSDP_1).ok_or(RootError::Rsdp)?;
    let (root, entry_size) = if first[15] == 0 {
        (u64::from(u32_at(first, 16)), 4)
    } else {
        let whole = read(rsdp, RSDP_2).ok_or(RootError::Rsdp)?;
        let length = u32_at(whole, 20) as usize;
        // Its checksum is over so many bytes.
        if !(RSDP_2..=MOST).contains(&length) || read(rsdp, length).is_none() {
            return Err(RootError::Rsdp);
        }
        let address = u64::from(u32_at(whole, 28)) << 32 | u64::from(u32_at(whole, 24));
        (address, 8)
    };
    let root = table(root, &read).ok_or(RootError::Root { address: root })?;
    for entry in root[HEADER..].chunks(entry_size) {
        let mut address = [0; 8];
        address[..entry.len()].copy_from_slice(entry);
        let address = u64::from_le_bytes(address);
        table(address, &read).ok_or(RootError::Table { address })?;
    }
    Ok(())
}

/// A table, by the length that its header states.
fn table<'a>(address: u64, read: impl Fn(u64, usize) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let length = u32_at(read(address, HEADER)?, 4) as usize;
    let is_likely = (HEADER..=MOST).contains(&length);
    is_likely.then(|| read(address, length)).flatten()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What is wrong with the way to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// The RSDP, or the length that it states, passes the end of memory; or it is too short.
    Rsdp,
    /// So with the root table.
    Root {
        /// Where it should be.
        address: u64,
    },
    /// So with one of the tables that it lists.
    Table {
        /// Where it should be.
        address: u64,
    },
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsdp => f.write_str("the RSDP is cut off"),
            Self::Root { address } => write!(f, "there is no whole root table at {address:#x}"),
            Self::Table { address } => {
                write!(
                    f,
                    "there is no whole table at {address:#x}, which is listed"
                )
            }
        }
    }
}

impl core::error::Error for RootError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    const RSDP: u64 = 0x100;
    const ROOT: u64 = 0x200;
    const TABLE: u64 = 0x300;
    const END: usize = 0x400;

    /// Memory with an RSDP, a root table and one table.
    fn memory(revision: u8) -> Vec<u8> {
        let mut memory = std::vec![0; END];
        let entry_size: u32 = if revision == 0 { 4 } else { 8 };
        memory[RSDP as usize + 15] = revision;
        put(
            &mut memory,
            RSDP + if revision == 0 { 16 } else { 24 },
            ROOT as u32,
        );
        put(&mut memory, RSDP + 20, RSDP_2 as u32);
        put(&mut memory, ROOT + 4, HEADER as u32 + entry_size);
        put(&mut memory, ROOT + HEADER as u64, TABLE as u32);
        put(&mut memory, TABLE + 4, (END as u64 - TABLE) as u32);
        memory
    }

    fn put(memory: &mut [u8], at: u64, value: u32) {
        memory[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn check(memory: &[u8], rsdp: u64) -> Result<(), RootError> {
        check_root(rsdp, |address, length| {
            let start = usize::try_from(address).ok()?;
            memory.get(start..start.checked_add(length)?)
        })
    }

    #[test]
    fn what_is_whole_is_accepted() {
        assert_eq!(check(&memory(0), RSDP), Ok(()));
        assert_eq!(check(&memory(2), RSDP), Ok(()));
    }

    #[test]
    fn an_rsdp_that_is_cut_off_is_refused() {
        for at in [END as u64 - 19, END as u64, u64::MAX] {
            assert_eq!(check(&memory(0), at), Err(RootError::Rsdp));
        }
        for length in [0, 35, (END as u64 - RSDP) as u32 + 1, u32::MAX] {
            let mut memory = memory(2);
            put(&mut memory, RSDP + 20, length);
            assert_eq!(check(&memory, RSDP), Err(RootError::Rsdp), "{length}");
        }
    }

    #[test]
    fn a_root_table_that_is_cut_off_is_refused() {
        for revision in [0, 2] {
            let refused = Err(RootError::Root { address: ROOT });
            for length in [0, 35, (END as u64 - ROOT) as u32 + 1, u32::MAX] {
                let mut memory = memory(revision);
                put(&mut memory, ROOT + 4, length);
                assert_eq!(check(&memory, RSDP), refused, "{length}");
            }
        }
        let mut memory = memory(2);
        put(&mut memory, RSDP + 28, 1);
        let address = 1 << 32 | ROOT;
        assert_eq!(check(&memory, RSDP), Err(RootError::Root { address }));
    }

    #[test]
    fn tables_that_are_not_there_are_refused() {
        for revision in [0, 2] {
            let mut wild = memory(revision);
            put(&mut wild, ROOT + HEADER as u64, 0xffff_fff0);
            let refused = Err(RootError::Table {
                address: 0xffff_fff0,
            });
            assert_eq!(check(&wild, RSDP), refused);
            for length in [0, 35, (END as u64 - TABLE) as u32 + 1, u32::MAX] {
                let mut memory = memory(revision);
                put(&mut memory, TABLE + 4, length);
                let refused = Err(RootError::Table { address: TABLE });
                assert_eq!(check(&memory, RSDP), refused, "{length}");
            }
        }
    }
}
