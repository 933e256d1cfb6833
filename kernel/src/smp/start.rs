//! Starting the APs: all at once, each with a deadline.
//!
//! The BSP prepares a *seat* for every listed CPU: stacks, per-CPU area, descriptors. Then one broadcast starts
//! them all (Intel SDM 3A, 10.4.4: INIT, 10 ms, SIPI, 200 us, SIPI), and they make their way in
//! parallel; nothing is locked. Whoever has not claimed its seat by the deadline is started once more,
//! alone, and is then given up: its seat is withdrawn, so that a CPU that wakes up later parks itself.

use core::{
    arch::global_asm,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use alloc::{boxed::Box, vec::Vec};
use x86_64::{
    VirtAddr,
    registers::{
        control::{Cr0, Cr0Flags, Cr3, Cr4},
        model_specific::{Efer, EferFlags},
    },
    structures::paging::PageTableFlags,
};

use super::{BringUp, report, work};
use crate::{
    apic::{self, Ipi, Target},
    clock,
    cpu::{self, ApicId, CpuIndex, CpuLocal, Descriptors},
    exit, interrupts, log,
    memory::{self, mapping, stack},
    timer,
};

/// How long nobody may check in before those who are missing are tried again, or given up.
///
/// Not a limit for the whole start: as long as CPUs keep coming, it goes on. Hardware takes well
/// under a millisecond per CPU; 255 vCPUs on two busy host CPUs were seen to pause for 0.2 s.
const PATIENCE_NS: u64 = 3_000_000_000;

/// Between INIT and SIPI, and between the two SIPIs (Intel SDM 3A, 10.4.4.1).
const AFTER_INIT_NS: u64 = 10_000_000;
const BETWEEN_SIPIS_NS: u64 = 200_000;

/// Starts all listed CPUs. Once, on the BSP; interrupts are off before and after.
pub(crate) fn start() -> BringUp {
    cpu::set_online(cpu::local());
    let seats = prepare_seats();
    let mut begin = 0;
    if seats.len() > 1 {
        let page = install_trampoline(seats);
        begin = clock::nanos();
        interrupts::enable();
        // Ticks, so that the wait can sleep; nothing is to be done in them.
        timer::start(Duration::from_millis(1), || {});
        send_start(Target::AllOthers, page);
        wait_for_all(seats);
        for seat in seats.iter().filter(|seat| seat.withdraw()) {
            log!("{} has not checked in: trying once more", seat.apic_id());
            let target = Target::One(seat.apic_id());
            // It may be on its way to the seat just now: the seat is free again only when it is
            // sure to have stopped, or it could claim it and be reset after that.
            apic::send(target, Ipi::Init);
            clock::spin_for(AFTER_INIT_NS);
            seat.state.store(EXPECTED, Ordering::Release);
            send_start(target, page);
        }
        wait_for_all(seats);
        timer::stop();
        x86_64::instructions::interrupts::disable();
    }
    // From here on nobody comes online any more.
    let (online, missing): (Vec<&Seat>, Vec<&Seat>) = seats.iter().partition(|seat| seat.settle());
    let last = online
        .iter()
        .map(|seat| seat.online_at.load(Ordering::Relaxed))
        .max();
    report::cpus(&online, begin);
    let bring_up = BringUp {
        missing: missing.into_iter().map(Seat::apic_id).collect(),
        unlisted: UNLISTED.load(Ordering::Relaxed),
        micros: last.unwrap_or(0).saturating_sub(begin) / 1000,
    };
    report::summary(&bring_up);
    bring_up
}

/// What a CPU finds when it has looked itself up.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Seat {
    apic_id: u32,
    state: AtomicU32,
    stack_top: u64,
    area: &'static CpuLocal,
    /// `None` for the BSP, which has loaded its own.
    descriptors: Option<&'static Descriptors>,
    /// [`clock::nanos`] when it was online; 0 before.
    pub(super) online_at: AtomicU64,
}

/// States of a seat. The CPU moves it from `EXPECTED` to `ARRIVED` to `ONLINE`; the BSP from
/// `EXPECTED` to `WITHDRAWN` and, for the retry, back; in the end it withdraws all that are not
/// `ONLINE`.
const EXPECTED: u32 = 0;
const ARRIVED: u32 = 1;
const ONLINE: u32 = 2;
const WITHDRAWN: u32 = 3;

impl Seat {
    pub(super) fn apic_id(&self) -> ApicId {
        ApicId::new(self.apic_id)
    }

    pub(super) fn cpu(&self) -> CpuIndex {
        self.area.index()
    }

    fn is_online(&self) -> bool {
        // Acquire: pairs with the exchange in `ap_main`.
        self.state.load(Ordering::Acquire) == ONLINE
    }

    /// Takes the seat away if its CPU has not claimed it. Whether it was taken away.
    fn withdraw(&self) -> bool {
        // Relaxed: whoever wins, nothing else hangs on it.
        let claim =
            self.state
                .compare_exchange(EXPECTED, WITHDRAWN, Ordering::Relaxed, Ordering::Relaxed);
        claim.is_ok()
    }

    /// Declares the CPU online, or takes its seat away for good, even if it has claimed it: a CPU
    /// that joined after it was reported missing would take part in work that was dealt out
    /// without it. Whether it is online.
    fn settle(&self) -> bool {
        // Acquire: pairs with the exchange in `ap_main`.
        let online = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Acquire, |state| {
                (state != ONLINE).then_some(WITHDRAWN)
            })
            .is_err();
        if online {
            cpu::set_online(self.area);
        }
        online
    }
}

/// Seats in index order, the BSP's (which it has already) included.
fn prepare_seats() -> &'static [Seat] {
    let seats: Vec<Seat> = cpu::map()
        .iter_enabled()
        .map(|(cpu, apic_id)| match cpu {
            CpuIndex::BSP => Seat {
                apic_id: apic_id.get(),
                state: AtomicU32::new(ONLINE),
                stack_top: 0,
                area: cpu::local(),
                descriptors: None,
                online_at: AtomicU64::new(0),
            },
            cpu => Seat {
                apic_id: apic_id.get(),
                state: AtomicU32::new(EXPECTED),
                stack_top: stack::allocate(cpu, stack::Purpose::Main).as_u64(),
                area: cpu::allocate(cpu),
                descriptors: Some(Descriptors::allocate(cpu)),
                online_at: AtomicU64::new(0),
            },
        })
        .collect();
    Box::leak(seats.into_boxed_slice())
}

/// INIT, SIPI, SIPI. A CPU that runs already ignores the second SIPI.
fn send_start(target: Target, page: u8) {
    apic::send(target, Ipi::Init);
    clock::spin_for(AFTER_INIT_NS);
    apic::send(target, Ipi::StartUp { page });
    clock::spin_for(BETWEEN_SIPIS_NS);
    apic::send(target, Ipi::StartUp { page });
}

/// Sleeps until every seat is taken and online, or nobody has checked in for [`PATIENCE_NS`].
fn wait_for_all(seats: &[Seat]) {
    let mut online = 0;
    let mut deadline = clock::nanos() + PATIENCE_NS;
    loop {
        let now_online = seats.iter().filter(|seat| seat.is_online()).count();
        if now_online == seats.len() {
            return;
        }
        if now_online > online {
            online = now_online;
            deadline = clock::nanos() + PATIENCE_NS;
        }
        if clock::nanos() >= deadline {
            return;
        }
        x86_64::instructions::hlt();
    }
}

/// An AP's first Rust: on its own stack, in its own seat, in parallel with all others. It takes no
/// lock and allocates nothing.
extern "C" fn ap_main(seat: &'static Seat) -> ! {
    cpu::install(seat.area);
    interrupts::load();
    if let Some(descriptors) = seat.descriptors {
        descriptors.load();
    }
    apic::enable();
    seat.online_at.store(clock::nanos(), Ordering::Relaxed);
    // Release: pairs with the loads in `Seat::is_online` and `Seat::settle`.
    let claim = seat
        .state
        .compare_exchange(ARRIVED, ONLINE, Ordering::Release, Ordering::Relaxed);
    if claim.is_err() {
        // Too late: given up in the meantime.
        exit::halt();
    }
    work::idle()
}

global_asm!(
    include_str!("trampoline.S"),
    GDTR = const FIELDS_AT + offset_of!(Fields, gdt_limit),
    TO_32 = const FIELDS_AT + offset_of!(Fields, to_32),
    TO_64 = const FIELDS_AT + offset_of!(Fields, to_64),
    CR0 = const FIELDS_AT + offset_of!(Fields, cr0),
    CR3 = const FIELDS_AT + offset_of!(Fields, cr3),
    CR4 = const FIELDS_AT + offset_of!(Fields, cr4),
    EFER = const FIELDS_AT + offset_of!(Fields, efer),
    ENTRY = const FIELDS_AT + offset_of!(Fields, entry),
    DATA_SELECTOR = const DATA_SELECTOR,
);
global_asm!(
    include_str!("ap_entry.S"),
    CR3 = sym AP_CR3,
    MMIO = sym AP_MMIO,
    SEATS = sym AP_SEATS,
    SEAT_COUNT = sym AP_SEAT_COUNT,
    UNLISTED = sym UNLISTED,
    SEAT_SIZE = const size_of::<Seat>(),
    SEAT_APIC_ID = const offset_of!(Seat, apic_id),
    SEAT_STATE = const offset_of!(Seat, state),
    SEAT_STACK = const offset_of!(Seat, stack_top),
    EXPECTED = const EXPECTED,
    ARRIVED = const ARRIVED,
    main = sym ap_main,
);

/// What `ap_entry.S` reads. Written before the first SIPI.
static AP_CR3: AtomicU64 = AtomicU64::new(0);
static AP_MMIO: AtomicU64 = AtomicU64::new(0);
static AP_SEATS: AtomicPtr<Seat> = AtomicPtr::new(ptr::null_mut());
static AP_SEAT_COUNT: AtomicU32 = AtomicU32::new(0);
/// CPUs that came in without being listed. Written by `ap_entry.S`.
static UNLISTED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_32: u8;
    static trampoline_64: u8;
    static trampoline_end: u8;
    fn ap_entry() -> !;
}

/// Where the fields begin in the trampoline's page; the code lies before them.
const FIELDS_AT: usize = 0x100;

/// What `trampoline.S` reads. Packed as LGDT and far jumps want their operands.
#[repr(C, packed)]
struct Fields {
    gdt: [u64; 4],
    gdt_limit: u16,
    gdt_base: u32,
    to_32: u32,
    selector_32: u16,
    to_64: u32,
    selector_64: u16,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    entry: u64,
}

/// Null, 64-bit code, data, 32-bit code; flat (Intel SDM 3A, 3.4.5). Their accessed bits are set
/// already: the CPU would set them on first use, and fault, since the page is read-only.
const GDT: [u64; 4] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
];
const CODE_64_SELECTOR: u16 = 1 << 3;
const DATA_SELECTOR: u16 = 2 << 3;
const CODE_32_SELECTOR: u16 = 3 << 3;

/// Copies the trampoline to a page below 1 MiB and gives it page tables in which that page is mapped
/// where it is, executable and not writable. Returns the page's number, which a SIPI names.
///
/// # Panics
/// If the memory map has no usable page below 1 MiB.
fn install_trampoline(seats: &'static [Seat]) -> u8 {
    let page = memory::low_page().expect("a usable page below 1 MiB to start other CPUs from");
    let tables = mapping::new_level_4();
    let identity = VirtAddr::new(page.as_u64());
    mapping::map_with(tables, identity, page, PageTableFlags::PRESENT);

    let (kernel_tables, flags) = Cr3::read();
    AP_CR3.store(
        kernel_tables.start_address().as_u64() | flags.bits(),
        Ordering::Relaxed,
    );
    AP_MMIO.store(apic::mmio(), Ordering::Relaxed);
    AP_SEATS.store(
        ptr::from_ref(seats).cast::<Seat>().cast_mut(),
        Ordering::Relaxed,
    );
    AP_SEAT_COUNT.store(seats.len() as u32, Ordering::Relaxed);

    let start = &raw const trampoline_start as usize;
    let len = (&raw const trampoline_end as usize) - start;
    assert!(
        len <= FIELDS_AT,
        "the trampoline's code runs into its fields"
    );
    let low = page.as_u64() as u32;
    let fields = Fields {
        gdt: GDT,
        gdt_limit: (size_of_val(&GDT) - 1) as u16,
        gdt_base: low + (FIELDS_AT + offset_of!(Fields, gdt)) as u32,
        to_32: low + ((&raw const trampoline_32 as usize) - start) as u32,
        selector_32: CODE_32_SELECTOR,
        to_64: low + ((&raw const trampoline_64 as usize) - start) as u32,
        selector_64: CODE_64_SELECTOR,
        // Paging and all: the AP writes CR0 last.
        cr0: (Cr0::read() | Cr0Flags::PAGING).bits() as u32,
        cr3: tables.start_address().as_u64() as u32,
        cr4: Cr4::read_raw() as u32,
        // The CPU sets LMA itself (Intel SDM 3A, 10.8.5).
        efer: (Efer::read() - EferFlags::LONG_MODE_ACTIVE).bits() as u32,
        entry: ap_entry as *const () as u64,
    };
    let copy = memory::virt(page).as_mut_ptr::<u8>();
    // SAFETY: `len` bytes of code between two labels; the page is usable memory that nobody else
    // takes (the frame allocator leaves the first MiB alone), and mapped.
    unsafe { ptr::copy_nonoverlapping(start as *const u8, copy, len) };
    // SAFETY: still within the page.
    let place = unsafe { copy.add(FIELDS_AT) }.cast::<Fields>();
    // SAFETY: as above; the fields end within the page.
    unsafe { place.write_unaligned(fields) };
    // Pages below 1 MiB have numbers below 256.
    (page.as_u64() >> 12) as u8
}
