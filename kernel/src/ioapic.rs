//! The I/O APICs: interrupts of devices, to a CPU of one's choice.
//!
//! Each pin of an I/O APIC has an entry that names a vector and a CPU (Intel 82093AA data sheet). The
//! firmware lists the controllers and numbers all their pins through: a *global system interrupt*.
//! The sixteen lines of the ISA bus are the first sixteen of these, but for overrides, of which
//! nearly every PC has one: line 0, the 8254, is at pin 2. (QEMU's microvm has it there, too, but does not
//! say so: whoever believes its tables hears nothing of the 8254.)
//!
//! Here: all entries masked at boot; a line of the ISA bus [routed](route) to a CPU; all lines of a
//! CPU [moved](move_away) to another one. The entry names its CPU by 8 bits. So without remapping of
//! interrupts, which this kernel does not use, a CPU with a larger ID gets none.
//!
//! `unsafe` in this module: the registers.

use core::fmt;

use alloc::vec::Vec;
use bringup::{Madt, Override};
use spin::mutex::SpinMutex;
use x86_64::{PhysAddr, VirtAddr};

use crate::{
    apic, clock,
    cpu::{self, ApicId, CpuIndex},
    interrupts::{self, Hook, unasked, vector},
    log,
    memory::map_registers,
};

/// Has a line of the ISA bus (0 the 8254, 4 the first serial port, ...) interrupt this CPU, and `handler`
/// called there, in interrupt context.
///
/// The handler is called again once it has returned, if the device has asked for that meanwhile; if
/// the line is level-triggered, then as long as the device asks. It should be quick: the end of the interrupt
/// comes after it.
///
/// Any CPU; thread or interrupt context, not NMI.
///
/// # Errors
/// See [`Unroutable`].
pub fn route(line: u8, cpu: CpuIndex, handler: fn()) -> Result<(), Unroutable> {
    let destination = destination(cpu)?;
    with(|controllers| {
        let (gsi, trigger) = controllers.gsi_of(line)?;
        if controllers.lines.contains(&Some(line)) {
            return Err(Unroutable::InUse { line });
        }
        let free = controllers.lines.iter().position(Option::is_none);
        let place = free.ok_or(Unroutable::NoVector)?;
        let (chip, pin) = controllers.pin_of_gsi(gsi)?;
        HANDLERS[place].set(Some(handler));
        // Masked and edge-triggered in between: an entry that waits for the end of an interrupt which
        // it sent before the boot would wait for ever; this way it forgets.
        chip.write_low(pin, MASKED);
        chip.write_high(pin, destination);
        let vector = u32::from(vector::FIRST_LINE) + place as u32;
        chip.write_low(pin, trigger | vector);
        controllers.lines[place] = Some(line);
        Ok(())
    })
}

/// The number of the pin at which the firmware says that a line of the ISA bus is: its global system
/// interrupt.
///
/// # Errors
/// [`Unroutable::NoSuchLine`].
pub fn gsi(line: u8) -> Result<u32, Unroutable> {
    with(|controllers| Ok(controllers.gsi_of(line)?.0))
}

/// Takes a line's route away. Its handler may still run, or be about to.
///
/// Any CPU; thread or interrupt context, not NMI.
pub fn unroute(line: u8) {
    with(|controllers| {
        let routed = Some(line);
        let Some(place) = controllers.lines.iter().position(|line| *line == routed) else {
            return;
        };
        if let Ok((gsi, _)) = controllers.gsi_of(line)
            && let Ok((chip, pin)) = controllers.pin_of_gsi(gsi)
        {
            chip.write_low(pin, MASKED);
        }
        HANDLERS[place].set(None);
        controllers.lines[place] = None;
    });
}

/// Has the devices that interrupt the CPU `from` interrupt `to` instead. Returns how many lines that
/// were. For a CPU that goes offline; it then [drains](drain) what is on its way.
///
/// The register that names the CPU is written at one stroke, with the line open, so no interrupt is
/// lost: each goes to the one or to the other.
///
/// Any CPU; thread or interrupt context, not NMI.
///
/// # Errors
/// [`Unroutable::NotOnline`] or [`Unroutable::NoDestination`], if there is something to move and `to` cannot
/// take it. Then nothing is moved.
pub fn move_away(from: CpuIndex, to: CpuIndex) -> Result<usize, Unroutable> {
    let Ok(from) = name(from) else {
        return Ok(0);
    };
    with(|controllers| {
        let mut moved = 0;
        for chip in &controllers.chips {
            for pin in 0..chip.pins {
                let is_live = chip.read_low(pin) & (MASKED | NO_FIXED_PHYSICAL) == 0;
                if is_live && chip.read_high(pin) == from {
                    chip.write_high(pin, destination(to)?);
                    // A read waits for the write to arrive.
                    chip.read_high(pin);
                    moved += 1;
                }
            }
        }
        Ok(moved)
    })
}

/// Takes what devices have sent to this CPU before they were [moved away](move_away). When this returns,
/// interrupts are off and none is pending.
///
/// On the CPU that goes offline; thread context.
pub fn drain() {
    /// What is on its way between two APICs arrives within this.
    const ON_ITS_WAY_NS: u64 = 20_000;
    loop {
        interrupts::enable();
        clock::spin_for(ON_ITS_WAY_NS);
        x86_64::instructions::interrupts::disable();
        if !(vector::FIRST_LINE..=vector::LAST_LINE).any(apic::is_requested) {
            return;
        }
    }
}

/// Why a device's interrupt cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unroutable {
    /// The ISA bus has lines 0 to 15, and 2 is none of a device.
    NoSuchLine {
        /// The one asked for.
        line: u8,
    },
    /// No I/O APIC that the firmware lists has the pin.
    NoPin {
        /// The global system interrupt.
        gsi: u32,
    },
    /// Somebody has it: [`unroute`] it first.
    InUse {
        /// The one asked for.
        line: u8,
    },
    /// 16 lines are routed.
    NoVector,
    /// It would be interrupted in vain.
    NotOnline {
        /// The CPU.
        cpu: CpuIndex,
    },
    /// The CPU's ID does not fit into the entry: choose one with an ID below 255.
    NoDestination {
        /// The CPU's.
        apic_id: ApicId,
    },
}

impl fmt::Display for Unroutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchLine { line } => {
                write!(
                    f,
                    "the ISA bus has no line {line} for devices: 0 to 15, but 2"
                )
            }
            Self::NoPin { gsi } => {
                write!(f, "no I/O APIC that the firmware lists has interrupt {gsi}")
            }
            Self::InUse { line } => write!(f, "line {line} is routed already: unroute it first"),
            Self::NoVector => write!(f, "all vectors for devices are in use"),
            Self::NotOnline { cpu } => write!(f, "{cpu} is not online: choose another one"),
            Self::NoDestination { apic_id } => write!(
                f,
                "an I/O APIC cannot name {apic_id}: choose a CPU with an ID below 255"
            ),
        }
    }
}

impl core::error::Error for Unroutable {}

/// By vector.
static HANDLERS: [Hook; LINES] = [const { Hook::none() }; LINES];
const LINES: usize = (vector::LAST_LINE - vector::FIRST_LINE) as usize + 1;

/// Held with interrupts off, since handlers may route.
static CONTROLLERS: SpinMutex<Controllers> = SpinMutex::new(Controllers {
    chips: Vec::new(),
    overrides: Vec::new(),
    lines: [None; LINES],
});

/// Finds the controllers. Once, on the BSP.
pub(crate) fn init(madt: &Madt<'_>) {
    with(|controllers| {
        controllers.overrides = madt.overrides().collect();
        for listed in madt.io_apics() {
            match Chip::find(listed.address, listed.gsi_base) {
                Some(chip) => controllers.chips.push(chip),
                None => log!(
                    "ioapic: I/O APIC {} at {:#x} is listed by the firmware but does not answer: \
                     left out",
                    listed.id,
                    listed.address
                ),
            }
        }
    });
}

/// Masks all entries, and forgets all routes.
pub(crate) fn silence() {
    with(|controllers| {
        for chip in &controllers.chips {
            for pin in 0..chip.pins {
                if chip.read_low(pin) & DELIVERY == SMI {
                    // The firmware's own, which does its work behind the kernel's back.
                    continue;
                }
                chip.write_low(pin, MASKED);
                chip.write_high(pin, 0);
            }
        }
        controllers.lines = [None; LINES];
        HANDLERS.iter().for_each(|handler| handler.set(None));
    });
}

/// A device's interrupt. As a handler.
pub(crate) fn on_interrupt(vector: u8) {
    let Some(handler) = HANDLERS[usize::from(vector - vector::FIRST_LINE)].get() else {
        return unasked::take(vector);
    };
    handler();
    // Afterwards: a level-triggered line would interrupt again, before the device has been served.
    apic::end_of_interrupt();
}

/// For tests: writes the entry of a pin as it is.
pub(crate) fn write_entry(gsi: u32, entry: u64) -> Result<(), Unroutable> {
    with(|controllers| {
        let (chip, pin) = controllers.pin_of_gsi(gsi)?;
        chip.write_high(pin, (entry >> 56) as u8);
        chip.write_low(pin, entry as u32);
        Ok(())
    })
}

/// All there are.
struct Controllers {
    chips: Vec<Chip>,
    overrides: Vec<Override>,
    /// For each vector, the line that has it.
    lines: [Option<u8>; LINES],
}

impl Controllers {
    /// Number of the pin of a line, and its polarity and trigger mode.
    fn gsi_of(&self, line: u8) -> Result<(u32, u32), Unroutable> {
        /// That of the second 8259.
        const CASCADE: u8 = 2;
        if line > 15 || line == CASCADE {
            return Err(Unroutable::NoSuchLine { line });
        }
        let other = self.overrides.iter().find(|other| other.source == line);
        Ok(other.map_or((line.into(), 0), |other| {
            let polarity = if other.active_low { ACTIVE_LOW } else { 0 };
            let trigger = if other.level { LEVEL } else { 0 };
            (other.gsi, polarity | trigger)
        }))
    }

    /// The controller that has a pin, and the pin's number there.
    fn pin_of_gsi(&self, gsi: u32) -> Result<(&Chip, u32), Unroutable> {
        let mut chips = self.chips.iter();
        let chip = chips.find(|chip| (chip.gsi_base..chip.gsi_base + chip.pins).contains(&gsi));
        let chip = chip.ok_or(Unroutable::NoPin { gsi })?;
        Ok((chip, gsi - chip.gsi_base))
    }
}

/// Delivery mode in an entry's lower half, and the one that is for the firmware.
const DELIVERY: u32 = 0b111 << 8;
const SMI: u32 = 0b010 << 8;
/// Set in entries that do not send an ordinary interrupt to one CPU by its ID.
const NO_FIXED_PHYSICAL: u32 = DELIVERY | 1 << 11;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// One controller. Two registers of memory lead to all others: one chooses, the other one reads and
/// writes.
struct Chip {
    registers: VirtAddr,
    gsi_base: u32,
    pins: u32,
}

impl Chip {
    const SELECT: u64 = 0x00;
    const WINDOW: u64 = 0x10;
    /// Bits 16 to 23: the number of the last pin.
    const VERSION: u32 = 0x01;
    /// Two for each pin.
    const ENTRIES: u32 = 0x10;

    /// `None` if nobody answers at the address.
    fn find(address: u32, gsi_base: u32) -> Option<Self> {
        let mut chip = Self {
            registers: map_registers(PhysAddr::new(address.into())),
            gsi_base,
            pins: 0,
        };
        let version = chip.read(Self::VERSION);
        // The selector has 8 bits, which is room for 120 pins; all ones are what is not there.
        chip.pins = (version >> 16 & 0xff) + 1;
        (version != u32::MAX && chip.pins <= 120 && gsi_base < u32::MAX - 120).then_some(chip)
    }

    fn read_low(&self, pin: u32) -> u32 {
        self.read(Self::ENTRIES + 2 * pin)
    }

    fn write_low(&self, pin: u32, value: u32) {
        self.write(Self::ENTRIES + 2 * pin, value);
    }

    /// The destination.
    fn read_high(&self, pin: u32) -> u8 {
        (self.read(Self::ENTRIES + 2 * pin + 1) >> 24) as u8
    }

    fn write_high(&self, pin: u32, destination: u8) {
        self.write(Self::ENTRIES + 2 * pin + 1, u32::from(destination) << 24);
    }

    fn read(&self, register: u32) -> u32 {
        self.select(register);
        // SAFETY: mapped by `find`; reading has no effect.
        unsafe { self.pointer(Self::WINDOW).read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        self.select(register);
        // SAFETY: mapped by `find`; the entries touch no memory.
        unsafe { self.pointer(Self::WINDOW).write_volatile(value) };
    }

    /// The lock (or, at first, the only owner) keeps others from choosing another one meanwhile.
    fn select(&self, register: u32) {
        // SAFETY: as in `write`.
        unsafe { self.pointer(Self::SELECT).write_volatile(register) };
    }

    fn pointer(&self, register: u64) -> *mut u32 {
        (self.registers + register).as_mut_ptr()
    }
}

/// How an entry names a CPU that is to be interrupted.
fn destination(cpu: CpuIndex) -> Result<u8, Unroutable> {
    if !cpu::is_online(cpu) {
        return Err(Unroutable::NotOnline { cpu });
    }
    name(cpu)
}

/// How an entry names a CPU. All ones name all of them.
fn name(cpu: CpuIndex) -> Result<u8, Unroutable> {
    let apic_id = cpu::apic_id(cpu);
    let id = u8::try_from(apic_id.get()).ok().filter(|id| *id != u8::MAX);
    id.ok_or(Unroutable::NoDestination { apic_id })
}

fn with<R>(f: impl FnOnce(&mut Controllers) -> R) -> R {
    interrupts::without(|| f(&mut CONTROLLERS.lock()))
}
