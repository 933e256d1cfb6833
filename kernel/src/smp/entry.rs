//! A CPU's own part of its start: on its own stack, in its own seat, in parallel with all others. It waits for
//! nobody and allocates nothing. (The log's lock it takes if it has something to tell: that it has gone wrong,
//! or that its machine-check banks hold an old error.)
//!
//! `unsafe` in this module: what assembly reads; faults on purpose.

use core::{
    arch::{asm, global_asm},
    fmt,
    hint::black_box,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use alloc::{boxed::Box, vec::Vec};
use protocol::options::{Fault, FaultKind};
use x86_64::registers::control::Cr3;

use super::{
    gdt::GDT,
    records::{self, Note, Record, Records},
    seat::{self, Seat, State},
    work,
};
use crate::{
    apic, clock,
    cpu::{self, ApicId},
    emergency,
    firmware::nmi_pins,
    interrupts, ipi, per_cpu, time,
};

/// Publishes what `ap_entry.S` reads. BSP, before the first CPU is started.
pub(super) fn init(seats: &'static [Seat]) {
    emergency::LEAVE_OUT.set(Some(leave_out));
    let (kernel_tables, flags) = Cr3::read();
    AP_CR3.store(
        kernel_tables.start_address().as_u64() | flags.bits(),
        Ordering::Relaxed,
    );
    AP_MMIO.store(apic::mmio(), Ordering::Relaxed);
    AP_SEATS.store(seats.as_ptr().cast_mut(), Ordering::Relaxed);
    let mut table: Vec<Listed> = seats
        .iter()
        .map(|seat| Listed {
            apic_id: seat.apic_id().get(),
            index: seat.cpu().get() as u32,
        })
        .collect();
    table.sort_unstable_by_key(|listed| listed.apic_id);
    let table = Box::leak(table.into_boxed_slice());
    AP_TABLE.store(table.as_mut_ptr(), Ordering::Relaxed);
    AP_TABLE_LEN.store(table.len() as u32, Ordering::Relaxed);
    for (vector, [low_half, high_half]) in AP_IDT.iter().enumerate() {
        let stub = &raw const ap_stubs as u64 + (vector * AP_STUB_SIZE) as u64;
        let [low, high] = interrupts::gate(stub, 0);
        low_half.store(low, Ordering::Relaxed);
        high_half.store(high, Ordering::Relaxed);
    }
    AP_IDTR.set(&AP_IDT);
    AP_GDTR.set(&GDT);
}

/// Where the trampoline leads.
pub(super) fn address() -> u64 {
    ap_entry as *const () as u64
}

/// The same, but for an instruction that is none.
pub(super) fn faulty_address() -> u64 {
    ap_entry_faulty as *const () as u64
}

/// What CPUs have written down in the kernel and has not been read. BSP only.
pub(super) fn next_note() -> Option<Note> {
    AP_RECORDS.next()
}

/// Whether nobody would miss this CPU: it is on its way, or has been taken out. Not so from the moment on at
/// which it says that it is ready, when it may be declared online at any time, to that at which it has
/// answered everything and left.
fn is_starting() -> bool {
    let cpu = cpu::current();
    cpu != cpu::CpuIndex::BSP && seat::of(cpu).is_some_and(|seat| seat.state() != State::Online)
}

/// The end of a CPU that has gone wrong while it started: it has no lock, and nobody waits for it, so it is
/// reported and left out, and the rest goes on. It writes that down and halts. Of any other CPU, returns.
fn leave_out(message: fmt::Arguments<'_>, vector: Option<u8>, address: u64) {
    if !is_starting() {
        return;
    }
    crate::log!("while starting: {message}");
    let vector = vector.map_or(records::NO_VECTOR, u32::from);
    let id = cpu::apic_id(cpu::current());
    AP_RECORDS.push(id, records::RUST << 8 | vector, address);
    records::park()
}

/// An AP's first Rust.
extern "C" fn ap_main(seat: &'static Seat) -> ! {
    if seat.has_fault(FaultKind::Rust) {
        // SAFETY: an exception, whose stub does not come back.
        unsafe { asm!("ud2", options(noreturn)) }
    }
    seat.stamp(2);
    per_cpu::install(seat.cpu());
    // It may have been in a handler when it was started again.
    interrupts::forget_handlers();
    if let Some(descriptors) = seat.descriptors() {
        descriptors.load();
    }
    interrupts::load();
    if let Some(fault) = seat.fault() {
        go_wrong(seat, fault);
    }
    seat.stamp(3);
    apic::enable();
    nmi_pins::program();
    cpu::topology::read();
    seat.stamp(4);
    seat.set_behind(clock::compare(seat.has_fault(FaultKind::Tsc)));
    // What is asked from here on comes.
    ipi::forget();
    seat.stamp(5);
    if emergency::is_reported_elsewhere() {
        emergency::halt();
    }
    if !seat.go(State::Arrived, State::Online) {
        let id = seat.apic_id();
        AP_RECORDS.push(id, records::LATE << 8, 0);
        records::park();
    }
    if seat.has_fault(FaultKind::Stray) {
        send_strays(seat.apic_id());
    }
    work::idle(seat)
}

/// What is to happen as soon as exceptions are reported as everywhere else.
fn go_wrong(seat: &Seat, fault: Fault) {
    match fault.kind {
        // SAFETY: an exception, whose handler does not come back.
        FaultKind::Once if seat.attempts() == 1 => unsafe { asm!("ud2", options(noreturn)) },
        FaultKind::Slow => {
            let until = u64::from(fault.millis) * 1_000_000;
            time::spin_for(until.saturating_sub(time::nanos()));
        }
        FaultKind::Panic => panic!("on purpose, while the CPU starts"),
        FaultKind::Stack => {
            black_box(descend(0));
        }
        // SAFETY: the stack that is left behind is this CPU's, which parks: the exception that follows
        // finds no stack, the double fault that this is has its own.
        FaultKind::Double => unsafe { asm!("xor esp, esp", "ud2", options(noreturn)) },
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // Not a tail call: the frame is used after it.
    descend(depth + 1) + black_box(frame)[0]
}

/// Unexpected interrupts: a vector without a handler, and the spurious one.
fn send_strays(me: ApicId) {
    for vector in [0xe1, interrupts::vector::SPURIOUS] {
        apic::send(apic::Target::One(me), apic::Ipi::Vector(vector));
    }
}

/// An entry of the table in which a CPU looks itself up.
#[derive(Debug)]
#[repr(C)]
struct Listed {
    apic_id: u32,
    index: u32,
}

/// What LGDT and LIDT want, from `POINTER_OFFSET` on: the limit, which is the upper 16 bits of the first
/// word, then the base.
#[repr(C, align(16))]
struct Pointer([AtomicU64; 2]);

const POINTER_OFFSET: usize = 6;

impl Pointer {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 2])
    }

    fn set<T>(&self, table: &'static T) {
        let [limit, base] = &self.0;
        limit.store((size_of::<T>() as u64 - 1) << 48, Ordering::Relaxed);
        base.store(ptr::from_ref(table) as u64, Ordering::Relaxed);
    }
}

const IDT_LEN: usize = 32;
const AP_STUB_SIZE: usize = 16;
const AP_RECORD_COUNT: usize = 1024;
/// Where exceptions push before a CPU has its own stack.
const SCRATCH_SIZE: usize = 512;

#[repr(C, align(16))]
struct Scratch([AtomicU64; SCRATCH_SIZE / 8]);

// What `ap_entry.S` reads. Written before the first SIPI.
static AP_CR3: AtomicU64 = AtomicU64::new(0);
static AP_MMIO: AtomicU64 = AtomicU64::new(0);
static AP_SEATS: AtomicPtr<Seat> = AtomicPtr::new(ptr::null_mut());
static AP_TABLE: AtomicPtr<Listed> = AtomicPtr::new(ptr::null_mut());
static AP_TABLE_LEN: AtomicU32 = AtomicU32::new(0);
static AP_IDT: [[AtomicU64; 2]; IDT_LEN] = [const { [const { AtomicU64::new(0) }; 2] }; IDT_LEN];
static AP_IDTR: Pointer = Pointer::new();
static AP_GDTR: Pointer = Pointer::new();
// What it writes.
static AP_SCRATCH: Scratch = Scratch([const { AtomicU64::new(0) }; SCRATCH_SIZE / 8]);
static AP_RECORDS: Records<AP_RECORD_COUNT> = Records::new();

global_asm!(
    include_str!("ap_entry.S"),
    CR3 = sym AP_CR3,
    MMIO = sym AP_MMIO,
    SEATS = sym AP_SEATS,
    TABLE = sym AP_TABLE,
    TABLE_LEN = sym AP_TABLE_LEN,
    IDTR = sym AP_IDTR,
    GDTR = sym AP_GDTR,
    POINTER_OFFSET = const POINTER_OFFSET,
    SCRATCH = sym AP_SCRATCH,
    SCRATCH_SIZE = const SCRATCH_SIZE,
    CURSOR = sym AP_RECORDS,
    ENTRIES = const offset_of!(Records<AP_RECORD_COUNT>, entries),
    RECORDS = const AP_RECORD_COUNT,
    SEAT_SIZE = const size_of::<Seat>(),
    SEAT_STATE = const offset_of!(Seat, state),
    SEAT_STACK = const offset_of!(Seat, stack_top),
    SEAT_STAMPS = const offset_of!(Seat, stamps),
    EXPECTED = const State::Expected as u32,
    ARRIVED = const State::Arrived as u32,
    VALID = const records::VALID,
    ENTRY = const records::ENTRY,
    RUST = const records::RUST,
    UNLISTED = const records::UNLISTED,
    LATE = const records::LATE,
    main = sym ap_main,
);

unsafe extern "C" {
    static ap_stubs: u8;
    fn ap_entry() -> !;
    fn ap_entry_faulty() -> !;
}

const _: () = {
    // The assembly multiplies by 8 and by 16.
    assert!(size_of::<Listed>() == 8 && size_of::<Record>() == 16);
    assert!(offset_of!(Record, what) == 4 && offset_of!(Record, address) == 8);
    assert!(offset_of!(Records<AP_RECORD_COUNT>, cursor) == 0);
    // A place in the table fits a 32-bit product.
    assert!(size_of::<Seat>() * cpumap::MAX_CPUS < 1 << 31);
};
