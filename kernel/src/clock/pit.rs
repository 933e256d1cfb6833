//! The 8254: channel 0 as a counter that comes round every 55 ms.

use x86_64::instructions::port::Port;

/// Has the 8254 count in steps of 54 to 910 us, by this seed. It interrupts nothing; but QEMU with
/// `-icount`, where all CPUs take turns in one thread, ends a turn when a timer is due.
pub(crate) fn cut_turns(seed: u32) {
    // Knuth's multiplicative hash: neighbouring seeds are to be far apart.
    let [_, _, low, high] = seed.wrapping_mul(2_654_435_769).to_le_bytes();
    let [low, high] = (64 + (u16::from_le_bytes([low, high]) & 0x3ff)).to_le_bytes();
    write(CONTROL, RATE_GENERATOR);
    write(CHANNEL_0, low);
    write(CHANNEL_0, high);
}

/// Lets channel 0 of the 8254 count down from 65536, again and again. `false` if there is no 8254.
/// (Channel 2 needs the speaker's port, which QEMU's microvm lacks.)
pub(super) fn start() -> bool {
    // Read-back command: latch the status of channel 0.
    const READ_BACK_STATUS_0: u8 = 0b1110_0010;
    // Status: the lower six bits repeat the control word.
    const MODE: u8 = 0x3f;
    write(CONTROL, RATE_GENERATOR);
    write(CHANNEL_0, 0);
    write(CHANNEL_0, 0);
    write(CONTROL, READ_BACK_STATUS_0);
    read(CHANNEL_0) & MODE == RATE_GENERATOR
}

pub(super) fn count() -> u64 {
    // Control word: latch the count of channel 0.
    const LATCH_0: u8 = 0;
    write(CONTROL, LATCH_0);
    u16::from_le_bytes([read(CHANNEL_0), read(CHANNEL_0)]).into()
}

/// Intel 8254 data sheet: control word for channel 0, low byte then high byte, mode 2 (rate
/// generator); a count of 0 stands for 65536.
const RATE_GENERATOR: u8 = 0x34;

const CHANNEL_0: u16 = 0x40;
const CONTROL: u16 = 0x43;

fn read(port: u16) -> u8 {
    // SAFETY: as for `write`.
    unsafe { Port::new(port).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: nothing else uses the timer (the kernel does so only here, one caller at a time), and
    // its ports touch no memory.
    unsafe { Port::new(port).write(value) };
}
