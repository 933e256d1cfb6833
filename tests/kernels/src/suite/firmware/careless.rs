//! Leaves the machine as careless firmware does. The opposite of [`kernel::firmware::silence`].
//!
//! For the BSP's thread, where nothing else is said, with no other user of the devices, which are
//! where QEMU's machines have them.
//!
//! `unsafe` in this module: device registers.

use kernel::cpu::{self, CpuIndex};
use kernel::{apic, memory::Registers};
use spin::Once;
use x86_64::PhysAddr;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

/// How often the timers below tick, in Hz.
const RATE: u32 = 1_000;

/// Has the 8254 tick 1,000 times a second. Whether it interrupts anything depends on the others.
pub(super) fn start_8254() {
    // Intel 8254 data sheet: channel 0, low byte, high byte, mode 2. Its clock: `kernel::clock`.
    let count = (1_193_182 / RATE) as u16;
    write_port(0x43, 0x34);
    for byte in count.to_le_bytes() {
        write_port(0x40, byte);
    }
}

/// Stops the 8254.
pub(super) fn stop_8254() {
    // Channel 0, mode 0: waits for a count, which does not come.
    write_port(0x43, 0x30);
}

/// Opens the first line of the 8259s, that of the 8254, and has this CPU listen to them.
pub(super) fn open_8259() {
    /// LINT0 in the local vector table: the 8259s' requests and vectors (SDM 3A, figure 11-8).
    const EXTERNAL: u32 = 0b111 << 8;
    write_port(0x21, 0xfe);
    if apic::local().is_x2() {
        // SAFETY: interrupts of the 8259s are what the test is about.
        unsafe { Msr::new(0x835).write(EXTERNAL.into()) };
    } else {
        LOCAL_APIC.registers().write(0x350, EXTERNAL);
    }
}

/// Writes to a register that this CPU's APIC does not have. (In x2APIC mode that would fault.)
pub(super) fn use_no_register() {
    if !apic::local().is_x2() {
        LOCAL_APIC.registers().write(0x040, 0);
    }
}

/// Opens the 8254's entry in the I/O APIC, listed or not: to this vector on one CPU, or on all.
pub(super) fn open_io_apic(vector: u8, cpu: Option<CpuIndex>) {
    // Intel 82093AA data sheet: two registers of memory, one chooses and the other one writes; two
    // for each pin from 0x10 on. The 8254 is at pin 2 of every PC that has one.
    const ENTRY: u32 = 0x10 + 2 * 2;
    let destination = cpu.map_or(0xff, |cpu| cpu::apic_id(cpu).get());
    for (register, value) in [(ENTRY + 1, destination << 24), (ENTRY, vector.into())] {
        IO_APIC.registers().write(0x00, register);
        IO_APIC.registers().write(0x10, value);
    }
}

/// Has the HPET's first timer interrupt in place of the 8254, 1,000 times a second. Returns
/// whether there is an HPET.
pub(super) fn start_hpet() -> bool {
    // IA-PC HPET Specification 1.0a, 2.3.
    const PERIOD: u64 = 0x004;
    const CONFIGURATION: u64 = 0x010;
    const COUNTER: u64 = 0x0f0;
    const TIMER: u64 = 0x100;
    const RUN: u32 = 1 << 0;
    const LEGACY_REPLACEMENT: u32 = 1 << 1;
    const INTERRUPTS: u32 = 1 << 2;
    // 2.3.8: periodic; the comparator's next write is its start, the one after its period; 32 bits.
    const PERIODIC: u32 = 1 << 3;
    const SET_VALUE: u32 = 1 << 6;
    const BITS_32: u32 = 1 << 8;
    // In femtoseconds; more than 100 ns is no HPET's.
    let hpet = HPET.registers();
    let period = hpet.read(PERIOD);
    if !(1..=100_000_000).contains(&period) {
        return false;
    }
    let ticks = (1_000_000_000_000_000 / u64::from(RATE) / u64::from(period)) as u32;
    hpet.write(TIMER, PERIODIC | SET_VALUE | BITS_32 | INTERRUPTS);
    let start = hpet.read(COUNTER).wrapping_add(ticks);
    hpet.write(TIMER + 8, start);
    hpet.write(TIMER + 8, ticks);
    let configuration = hpet.read(CONFIGURATION);
    hpet.write(CONFIGURATION, configuration | RUN | LEGACY_REPLACEMENT);
    true
}

/// A device's page, mapped when first used.
struct Device {
    address: u64,
    registers: Once<Registers>,
}

static LOCAL_APIC: Device = Device::at(0xfee0_0000);
static IO_APIC: Device = Device::at(0xfec0_0000);
static HPET: Device = Device::at(0xfed0_0000);

impl Device {
    const fn at(address: u64) -> Self {
        Self { address, registers: Once::new() }
    }

    fn registers(&self) -> Registers {
        // SAFETY: they touch no memory, and what they interrupt for is what the test is about.
        let map = || unsafe { Registers::map(PhysAddr::new(self.address)) };
        *self.registers.call_once(map)
    }
}

fn write_port(port: u16, value: u8) {
    // SAFETY: ports of the 8254 and the 8259s; interrupts of theirs are what the test is about.
    unsafe { Port::new(port).write(value) };
}
