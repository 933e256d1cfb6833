//! The log: lines for people on serial port and screen, events for the host on the port.

use core::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use protocol::{
    event::{Event, MAX_LINE},
    exit::ExitCode,
    options::Format,
};

use textmode::Colour;

use crate::{per_cpu, screen, serial};

/// Logs one line, with the CPU's index before it. Arguments as for `format!`.
///
/// Any CPU, any context; does not allocate.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => { $crate::log::line(format_args!($($arg)*)) };
}

/// Sends one event to the host, if it reads events ([`Format::Json`]).
///
/// Any CPU, any context; does not allocate.
pub fn emit(event: &Event<'_>) {
    if is_json() {
        let mut buffer = [0; MAX_LINE];
        let line = event.write_line(&mut buffer);
        // Writing to the port cannot fail.
        serial::with_port(|port| _ = port.write_str(line));
    }
}

/// Reports the verdict, on the screen in large letters, too, and returns how the kernel is to end.
pub fn verdict(passed: bool, text: &str) -> ExitCode {
    crate::log!("{text}");
    emit(&Event::Verdict { passed, text: text.into() });
    let (word, colour, code) = match passed {
        true => ("PASSED", Colour::Green, ExitCode::Passed),
        false => ("FAILED", Colour::Red, ExitCode::Failed),
    };
    serial::with_port(|_| screen::with(|screen| screen.large(word, colour)));
    code
}

/// Prints text as it is, without a prefix: tables.
///
/// Any CPU, any context; does not allocate.
pub fn plain(text: impl fmt::Display) {
    both(format_args!("{text}\n"));
}

/// As [`plain`], for what the screen shows [in place](in_place).
pub(crate) fn to_serial(text: impl fmt::Display) {
    serial::with_port(|port| _ = writeln!(port, "{text}"));
}

/// Shows text on the screen in place of that of the last call.
pub(crate) fn in_place(write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) {
    // Writing to a screen cannot fail.
    let write = |out: &mut dyn fmt::Write| _ = write(out);
    serial::with_port(|_| screen::with(|screen| screen.block(write)));
}

/// Whether the host reads events. Until the options are read: yes, since no option says
/// otherwise yet, and an early panic should reach a test.
pub fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Where [`log!`](crate::log!) leads.
#[doc(hidden)]
pub fn line(text: fmt::Arguments<'_>) {
    both(format_args!("[{}] {text}\n", per_cpu::index()));
}

/// Writes to the serial port, and to the screen, which cannot fail.
fn both(text: fmt::Arguments<'_>) {
    serial::with_port(|port| {
        _ = port.write_fmt(text);
        screen::with(|screen| _ = screen.write_fmt(text));
    });
}

/// Written once, before other CPUs run: Relaxed everywhere.
static IS_JSON: AtomicBool = AtomicBool::new(true);

pub(crate) fn set_format(format: Format) {
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
}
