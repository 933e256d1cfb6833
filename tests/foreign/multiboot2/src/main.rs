//! A kernel of another house, in the lower half, booted by GRUB: it starts all CPUs by `bringup`
//! (`glue.rs`), and has all of them use one object, guarded by `rundown`, while it is torn down.
#![no_std]
#![no_main]

macro_rules! println {
    ($($text:tt)*) => { $crate::print(format_args!("{}\r\n", format_args!($($text)*))) };
}

mod glue;
mod memory;

use core::arch::{global_asm, x86_64::__rdtscp, x86_64::_rdtsc};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use core::{fmt, panic::PanicInfo};

use bringup::{Arrival, Ipi, Target, quiet_others};
use rundown::{CacheAware, CacheAwareRundown, ObjectId, Platform, Protected, Slot};
use x86_64::VirtAddr;
use x86_64::instructions::{hlt, port::Port};
use x86_64::registers::model_specific::Msr;
use x86_64::structures::idt::InterruptDescriptorTable;

/// All CPUs use it until the first one tears it down.
static OBJECT: Protected<u32, CacheAware<Cpus, [Slot; 256]>> = Protected::new(CacheAwareRundown::new(), 42);
/// For each CPU that has used it: its APIC ID + 1.
static USERS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// Counts until its CPU is stopped.
static SPINS: AtomicUsize = AtomicUsize::new(0);
static mut IDT: InterruptDescriptorTable = InterruptDescriptorTable::new();

struct Cpus;

impl Platform for Cpus {
    fn cpu_hint() -> usize {
        let mut index = 0;
        // SAFETY: `enter` has put it there; on the first CPU it is 0.
        unsafe { __rdtscp(&mut index) };
        index as usize
    }
    fn wake_waiters(_: ObjectId) {}
}

global_asm!(include_str!("boot.S"), main = sym main);

extern "C" fn main(info: *const u32) -> ! {
    // SAFETY: from GRUB.
    let (rsdp, ghost) = unsafe { memory::read(info) };
    let wake = VirtAddr::new(wake as *const () as u64);
    let idt = &raw mut IDT;
    // SAFETY: not in use yet, and the handler does nothing but return.
    unsafe { (*idt).non_maskable_interrupt.set_handler_addr(wake) };
    let (apic, online) = glue::start_all(rsdp.expect("GRUB passes an RSDP"), ghost);
    let users = || USERS.iter().filter(|id| id.load(SeqCst) > 0).count();
    while users() < online - 1 {
        drop(OBJECT.try_acquire());
    }
    let mut run_down = OBJECT.begin_run_down();
    let mut next = 0;
    let retired = loop {
        if let Some(retired) = run_down.poll() {
            break retired.expect("open until now");
        }
        // Again and again: one that comes just before `hlt` wakes no CPU.
        if nanos() >= next {
            // SAFETY: each AP has a handler for it.
            unsafe { apic.send(Target::AllOthers, Ipi::Nmi) };
            next = nanos() + 100_000_000;
        }
        spin_loop();
    };
    assert_eq!(retired.take(), Ok(42));
    assert_eq!(REFUSED.load(SeqCst), online - 1, "torn down under a CPU that still used it");
    for (cpu, id) in USERS.iter().enumerate().filter(|(_, id)| id.load(SeqCst) > 0) {
        println!("cpu {cpu}: APIC {}", id.load(SeqCst) - 1);
    }
    println!("{online} CPUs; torn down under {}", users());
    while !is_spinning() {}
    // SAFETY: no CPU is needed any more.
    unsafe { quiet_others(apic) };
    while is_spinning() {}
    exit(0x10)
}

/// Each AP, on its own stack.
fn enter(arrival: Arrival) -> ! {
    let (cpu, id) = (arrival.cpu().get(), arrival.apic_id().get());
    // SAFETY: IA32_TSC_AUX is there for `rdtscp` alone.
    unsafe { Msr::new(0xc000_0103).write(cpu as u64) };
    let idt = &raw const IDT;
    // SAFETY: it does not change any more.
    unsafe { (*idt).load() };
    arrival.online();
    let object = OBJECT.try_acquire().expect("open until all have it");
    USERS[cpu].store(id + 1, SeqCst);
    // Until it is closed. An NMI says that it is time to look.
    while OBJECT.try_acquire().is_some() {
        hlt();
    }
    REFUSED.fetch_add(1, SeqCst);
    drop(object);
    loop {
        match cpu {
            1 => _ = SPINS.fetch_add(1, SeqCst),
            _ => hlt(),
        }
    }
}

/// Whether CPU 1 does anything for a while.
fn is_spinning() -> bool {
    let (before, until) = (SPINS.load(SeqCst), nanos() + 100_000_000);
    while nanos() < until {
        spin_loop();
    }
    SPINS.load(SeqCst) != before
}

unsafe extern "C" {
    fn wake();
}

/// As if the counter ran at 5 GHz: no CPU's is faster, so waits are never too short.
fn nanos() -> u64 {
    // SAFETY: every CPU with long mode has it.
    unsafe { _rdtsc() / 5 }
}

fn print(text: fmt::Arguments<'_>) {
    struct Serial;
    impl fmt::Write for Serial {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: the first serial port, which QEMU never lets wait.
            text.bytes().for_each(|byte| unsafe { Port::new(0x3f8).write(byte) });
            Ok(())
        }
    }
    let _ = fmt::write(&mut Serial, text);
}

fn exit(code: u32) -> ! {
    // SAFETY: QEMU's device for it.
    unsafe { Port::new(0xf4).write(code) };
    loop {
        hlt();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    exit(0x11)
}
