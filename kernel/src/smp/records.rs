//! What CPUs write down that cannot go on: they have no stack, or no seat, or no right to log.
//!
//! Assembly fills the records in, in the trampoline's second page and in the kernel; the BSP reads them
//! while it waits, and later when it is asked.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use protocol::start::Stage;
use x86_64::instructions::{hlt, interrupts};

use crate::cpu::ApicId;

/// Why a CPU has parked itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An exception, or a panic (no vector). The address is 0 where nobody can know it.
    Fault {
        stage: Stage,
        vector: Option<u8>,
        address: u64,
    },
    /// It is not in the table of listed CPUs.
    Unlisted,
    /// Its seat was not waiting for it.
    Late,
}

/// A record that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) apic_id: ApicId,
    pub(super) reason: Reason,
}

/// In `Record::what`: the record is complete. Then a reason in bits 8 to 15, a vector in bits 0 to 7.
pub(super) const VALID: u32 = 1 << 31;
pub(super) const REAL: u32 = 0;
pub(super) const PROTECTED: u32 = 1;
pub(super) const LONG: u32 = 2;
pub(super) const ENTRY: u32 = 3;
pub(super) const RUST: u32 = 4;
pub(super) const UNLISTED: u32 = 5;
pub(super) const LATE: u32 = 6;
/// Of a record that has been read.
const READ: u32 = 1 << 30;
/// A vector that is none: a panic.
pub(super) const NO_VECTOR: u32 = 0xff;

/// One record. The order in which assembly writes it: `apic_id`, `address`, `what`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Record {
    pub(super) apic_id: AtomicU32,
    pub(super) what: AtomicU32,
    pub(super) address: AtomicU64,
}

/// Room for `N`. What finds none is not told, only counted.
#[derive(Debug)]
#[repr(C, align(16))]
pub(super) struct Records<const N: usize> {
    /// Records begun, counted on beyond `N`.
    pub(super) cursor: AtomicU32,
    /// All records before this one have been read. By the BSP only.
    read: AtomicU32,
    pub(super) entries: [Record; N],
}

impl<const N: usize> Records<N> {
    pub(super) const fn new() -> Self {
        Self {
            cursor: AtomicU32::new(0),
            read: AtomicU32::new(0),
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
    pub(super) fn push(&self, apic_id: ApicId, what: u32, address: u64) {
        // Relaxed: it only deals out places.
        let place = self.cursor.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(record) = self.entries.get(place) {
            record.apic_id.store(apic_id.get(), Ordering::Relaxed);
            record.address.store(address, Ordering::Relaxed);
            // Release: pairs with the load in `next`.
            record.what.store(VALID | what, Ordering::Release);
        }
    }

    /// The next record that is complete and has not been read. BSP only.
    ///
    /// One that is not complete holds up no other: whoever writes it may have been reset in the midst of it.
    pub(super) fn next(&self) -> Option<Note> {
        let begun = (self.cursor.load(Ordering::Relaxed) as usize).min(N);
        let first = self.read.load(Ordering::Relaxed) as usize;
        // Acquire: pairs with the store in `push`, and with those in assembly, which x86 makes visible
        // in their order.
        let what = |place: usize| self.entries[place].what.load(Ordering::Acquire);
        let read = (first..begun).take_while(|&place| what(place) == READ);
        let first = first + read.count();
        self.read.store(first as u32, Ordering::Relaxed);
        let place = (first..begun).find(|&place| what(place) & VALID != 0)?;
        let (record, what) = (&self.entries[place], what(place));
        record.what.store(READ, Ordering::Relaxed);
        let address = record.address.load(Ordering::Relaxed);
        let fault = |stage| Reason::Fault {
            stage,
            vector: (what & 0xff != NO_VECTOR).then_some(what as u8),
            address,
        };
        let reason = match what >> 8 & 0xff {
            REAL => fault(Stage::Real),
            PROTECTED => fault(Stage::Protected),
            LONG => fault(Stage::Long),
            ENTRY => fault(Stage::Entry),
            RUST => fault(Stage::Rust),
            UNLISTED => Reason::Unlisted,
            _ => Reason::Late,
        };
        Some(Note {
            apic_id: ApicId::new(record.apic_id.load(Ordering::Relaxed)),
            reason,
        })
    }
}

/// Halts this CPU until it is started again.
pub(super) fn park() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
