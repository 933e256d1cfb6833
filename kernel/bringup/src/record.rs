//! Fault records of CPUs that cannot continue, and have no stack, no boot slot, or must not log.
//! Assembly fills them in; the CPU that starts the others reads them.

use core::{
    fmt,
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::id::ApicId;

/// Where on its way a CPU was when it faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// In the trampoline, in real mode.
    Real,
    /// In the trampoline, in protected mode.
    Protected,
    /// In the trampoline, in long mode.
    Long,
    /// In the kernel's address space, before it had a stack.
    Entry,
    /// On its own stack.
    Rust,
}

/// A CPU that faulted while it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The CPU.
    pub apic_id: ApicId,
    /// How far it had come.
    pub stage: Stage,
    /// The exception; `None` for a panic.
    pub vector: Option<u8>,
    /// Address of the instruction; 0 before the CPU has a stack of its own.
    pub address: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Real => "in the trampoline, in real mode",
            Stage::Protected => "in the trampoline, in protected mode",
            Stage::Long => "in the trampoline, in long mode",
            Stage::Entry => "in the kernel's entry, before it had a stack",
            Stage::Rust => "in Rust",
        };
        write!(f, "{} faulted {stage}: ", self.apic_id)?;
        match self.vector {
            Some(vector) => write!(f, "exception {vector}")?,
            None => f.write_str("a panic")?,
        }
        if self.address != 0 {
            write!(f, " at {:#x}", self.address)?;
        }
        Ok(())
    }
}

/// `Record::what`: the record is complete. A [`Stage`] is in bits 8 to 15, a vector in bits 0 to 7.
pub(crate) const VALID: u32 = 1 << 31;
/// In place of a vector: a panic.
pub(crate) const NO_VECTOR: u32 = 0xff;
/// In place of stage and vector: no fault, but a CPU that found no boot slot waiting for it.
pub(crate) const NOT_EXPECTED: u32 = 0xff << 8;

pub(crate) const RECORDS: usize = 479;

/// One record. The order in which assembly writes it: `apic_id`, `address`, `what`.
#[repr(C)]
pub(crate) struct Record {
    pub(crate) apic_id: AtomicU32,
    pub(crate) what: AtomicU32,
    pub(crate) address: AtomicU64,
}

const _: () = {
    // The assembly relies on it: the cursor comes first, a record's number times 16 is its place.
    assert!(size_of::<Record>() == 16 && offset_of!(Records<RECORDS>, cursor) == 0);
    assert!(offset_of!(Record, what) == 4 && offset_of!(Record, address) == 8);
};

/// Room for `N`, for good. CPUs that find none park all the same, and count as silent.
#[repr(C, align(16))]
pub(crate) struct Records<const N: usize> {
    /// Records begun, counted on beyond `N`.
    pub(crate) cursor: AtomicU32,
    pub(crate) entries: [Record; N],
}

impl<const N: usize> Records<N> {
    pub(crate) const fn new() -> Self {
        Self {
            cursor: AtomicU32::new(0),
            entries: [const {
                Record {
                    apic_id: AtomicU32::new(0),
                    what: AtomicU32::new(0),
                    address: AtomicU64::new(0),
                }
            }; N],
        }
    }

    /// Writes a record, as the assembly does.
    pub(crate) fn push(&self, apic_id: ApicId, what: u32, address: u64) {
        // Relaxed: it only deals out places.
        let place = self.cursor.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(record) = self.entries.get(place) {
            record.apic_id.store(apic_id.get(), Ordering::Relaxed);
            record.address.store(address, Ordering::Relaxed);
            // Release: pairs with the swap in `next`.
            record.what.store(VALID | what, Ordering::Release);
        }
    }

    /// Takes the first complete record: a CPU, and its fault, or `None` if no boot slot waited for
    /// it. An incomplete one holds up no other: the CPU that was writing it may have been reset.
    pub(crate) fn next(&self) -> Option<(ApicId, Option<Fault>)> {
        const STAGES: [Stage; 5] =
            [Stage::Real, Stage::Protected, Stage::Long, Stage::Entry, Stage::Rust];
        let begun = (self.cursor.load(Ordering::Relaxed) as usize).min(N);
        self.entries[..begun].iter().find_map(|record| {
            if record.what.load(Ordering::Relaxed) & VALID == 0 {
                return None;
            }
            // Acquire: pairs with the store in `push`, and with those in assembly, which x86 makes
            // visible in their order. A swap, so that of two that read, one has it.
            let what = record.what.swap(0, Ordering::Acquire);
            if what & VALID == 0 {
                return None;
            }
            let apic_id = ApicId::new(record.apic_id.load(Ordering::Relaxed));
            let stage = STAGES.get((what >> 8 & 0xff) as usize);
            let fault = stage.map(|&stage| Fault {
                apic_id,
                stage,
                vector: (what & 0xff != NO_VECTOR).then_some(what as u8),
                address: record.address.load(Ordering::Relaxed),
            });
            Some((apic_id, fault))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_read_once_and_one_that_is_torn_holds_up_no_other() {
        let records = Records::<3>::new();
        assert_eq!(records.next(), None);
        // Begun by a CPU that was reset before it was done.
        records.cursor.fetch_add(1, Ordering::Relaxed);
        let [late, faulted, no_room] = [7, 9, 11].map(ApicId::new);
        records.push(late, NOT_EXPECTED, 0);
        records.push(faulted, (Stage::Rust as u32) << 8 | NO_VECTOR, 0x1234);
        records.push(no_room, NOT_EXPECTED, 0);
        assert_eq!(records.next(), Some((late, None)));
        let fault = Fault { apic_id: faulted, stage: Stage::Rust, vector: None, address: 0x1234 };
        assert_eq!(records.next(), Some((faulted, Some(fault))));
        assert_eq!(records.next(), None);
    }
}
