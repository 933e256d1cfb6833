//! What the kernel says: log lines for people, event lines for a program on the host.

use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
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
    IS_JSON.load(Ordering::Relaxed)
}

/// Where [`log!`](crate::log!) leads.
#[doc(hidden)]
pub fn line(text: fmt::Arguments<'_>) {
    serial::with_port(|port| {
        let _ = writeln!(port, "[{}] {text}", per_cpu::index());
    });
}

/// Written once, before other CPUs run: Relaxed everywhere.
static IS_JSON: AtomicBool = AtomicBool::new(true);

pub(crate) fn set_format(format: Format) {
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
}
