//! A small kernel of its own: it starts all CPUs by `bringup` (`glue.rs`), and has all of them use
//! one object, guarded by `rundown`, while it is torn down.
#![no_std]
#![no_main]

macro_rules! println {
    ($($text:tt)*) => { $crate::print(format_args!("{}\r\n", format_args!($($text)*))) };
}

mod glue;
mod memory;

use core::{
    arch::global_asm,
    fmt,
    hint::spin_loop,
    panic::PanicInfo,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst},
};

use bootloader_api::{BootInfo, BootloaderConfig, config::Mapping, entry_point};
use bringup::{Arrival, Ipi, Target};
use direct as _;
use rundown::{CacheAware, CacheAwareRundown, ObjectId, Platform, Protected, Slot};
use x86_64::{
    VirtAddr,
    instructions::{hlt, port::Port},
    registers::model_specific::GsBase,
    structures::{idt::InterruptDescriptorTable, paging::FrameAllocator},
};

static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::FixedAddress(memory::OFFSET));
    config
};
entry_point!(main, config = &CONFIG);

/// The object, and whether it is alive.
static ALIVE: AtomicBool = AtomicBool::new(true);
static OBJECT: Protected<&AtomicBool, CacheAware<Cpus, [Slot; 256]>> = Protected::new(CacheAwareRundown::new(), &ALIVE);
/// For each CPU that has used it: its APIC ID + 1.
static USERS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];
static REFUSED: AtomicUsize = AtomicUsize::new(0);
static IDT: AtomicPtr<InterruptDescriptorTable> = AtomicPtr::new(ptr::null_mut());

struct Cpus;

impl Platform for Cpus {
    fn cpu_hint() -> usize {
        GsBase::read().as_u64() as usize
    }
    fn wake_waiters(_: ObjectId) {}
}

fn main(boot_info: &'static mut BootInfo) -> ! {
    memory::init(boot_info);
    let frame = memory::Frames.allocate_frame().unwrap();
    let idt = memory::virt(frame.start_address().as_u64()).cast::<InterruptDescriptorTable>();
    // SAFETY: a frame is as large as the table.
    unsafe { idt.write(InterruptDescriptorTable::new()) };
    let wake = VirtAddr::new(wake as *const () as u64);
    // SAFETY: not in use yet, and the handler does nothing but return.
    unsafe { (*idt).non_maskable_interrupt.set_handler_addr(wake) };
    IDT.store(idt, SeqCst);
    // An APIC ID in the ramdisk is one that no CPU has.
    let ramdisk = boot_info.ramdisk_addr.into_option().map(|start| {
        // SAFETY: the loader has put it there.
        unsafe { core::slice::from_raw_parts(start as *const u8, boot_info.ramdisk_len as usize) }
    });
    let ghost = ramdisk.and_then(|bytes| core::str::from_utf8(bytes).ok()?.parse().ok());
    let (apic, online) = glue::start_all(boot_info.rsdp_addr.into_option().unwrap(), ghost);
    let users = || USERS.iter().filter(|id| id.load(SeqCst) > 0).count();
    while users() < online - 1 {
        spin_loop();
    }
    let mut run_down = OBJECT.begin_run_down();
    let mut next = 0;
    let retired = loop {
        if let Some(retired) = run_down.poll() {
            break retired.unwrap();
        }
        // Again and again: one that comes just before `hlt` wakes no CPU.
        if nanos() >= next {
            // SAFETY: each AP has a handler for it.
            unsafe { apic.send(Target::AllOthers, Ipi::Nmi) };
            next = nanos() + 100_000_000;
        }
        spin_loop();
    };
    retired.take().unwrap().store(false, SeqCst);
    assert_eq!(REFUSED.load(SeqCst), online - 1, "torn down under a CPU that still used it");
    for (cpu, id) in USERS.iter().enumerate().filter(|(_, id)| id.load(SeqCst) > 0) {
        println!("cpu {cpu}: APIC {}", id.load(SeqCst) - 1);
    }
    println!("{online} CPUs; torn down under {}", users());
    // For `cargo boot`, which checks the number, and wants a verdict besides the exit code.
    println!(r#"@event {{"Online":{{"online":{online},"listed":{online},"micros":0}}}}"#);
    println!(r#"@event {{"Verdict":{{"passed":true,"text":"used by all, and by none after its end"}}}}"#);
    exit(0x10)
}

/// Each AP, on its own stack.
fn enter(arrival: Arrival) -> ! {
    let (cpu, id) = (arrival.cpu().get(), arrival.apic_id().get());
    GsBase::write(VirtAddr::new(cpu as u64));
    // SAFETY: `main` has made it, for good.
    unsafe { &*IDT.load(SeqCst) }.load();
    arrival.online();
    let object = OBJECT.try_acquire().expect("open until all have it");
    USERS[cpu].store(id + 1, SeqCst);
    // Until it is closed. An NMI says that it is time to look.
    while OBJECT.try_acquire().is_some() {
        hlt();
    }
    assert!(object.load(SeqCst), "torn down while it was used");
    REFUSED.fetch_add(1, SeqCst);
    drop(object);
    loop {
        hlt();
    }
}

global_asm!(".global wake", "wake: iretq");
unsafe extern "C" {
    fn wake();
}

/// As if the counter ran at 5 GHz: no CPU's is faster, so waits are never too short.
fn nanos() -> u64 {
    // SAFETY: every CPU with long mode has it.
    unsafe { core::arch::x86_64::_rdtsc() / 5 }
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
