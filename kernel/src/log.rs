//! What the kernel says: log lines for people, event lines for a program on the host.

use core::{
    fmt,
    sync::atomic::{AtomicU8, Ordering},
};

use protocol::{
    event::{Event, MAX_LINE},
    exit::ExitCode,
    options::Format,
};

use crate::{per_cpu, serial};

/// Logs one line, with the CPU's index before it. Arguments as for `format!`.
///
/// Any CPU, any context; does not allocate.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => { $crate::log::line(format_args!($($arg)*)) };
}

/// Sends one event to the host, if somebody there reads events ([`Format::Json`]).
///
/// Any CPU, any context; does not allocate.
pub fn emit(event: &Event<'_>) {
    if is_json() {
        let mut buffer = [0; MAX_LINE];
        let line = event.write_line(&mut buffer);
        serial::with_port(|port| {
            // Writing to the port cannot fail.
            let _ = port.write_str(line);
        });
    }
}

/// Says what came of it all, and how the kernel is to end.
#[must_use]
pub fn verdict(passed: bool, text: &str) -> ExitCode {
    crate::log!("{text}");
    emit(&Event::Verdict {
        passed,
        text: text.into(),
    });
    if passed {
        ExitCode::Passed
    } else {
        ExitCode::Failed
    }
}

/// Prints text as it is, without a prefix: tables.
///
/// Any CPU, any context; does not allocate.
pub fn plain(text: impl fmt::Display) {
    serial::with_port(|port| {
        let _ = writeln!(port, "{text}");
    });
}

/// Whether the host reads events. Until the options are read: yes, for then nobody has said
/// otherwise, and an early panic should reach a test.
#[must_use]
pub fn is_json() -> bool {
    FORMAT.load(Ordering::Relaxed) != TEXT
}

/// Where [`log!`](crate::log!) leads.
#[doc(hidden)]
pub fn line(text: fmt::Arguments<'_>) {
    serial::with_port(|port| {
        let _ = writeln!(port, "[{}] {text}", per_cpu::index());
    });
}

const UNKNOWN: u8 = 0;
const TEXT: u8 = 1;
const JSON: u8 = 2;
/// Written once, before other CPUs run: Relaxed everywhere.
static FORMAT: AtomicU8 = AtomicU8::new(UNKNOWN);

pub(crate) fn set_format(format: Format) {
    let format = match format {
        Format::Text => TEXT,
        Format::Json => JSON,
    };
    FORMAT.store(format, Ordering::Relaxed);
}
