//! The text of a failed case, for people.

use std::fmt::Write;

use anyhow::Error;
use boot::Report;

/// Lines of serial output that are shown: the last ones, where the trouble is.
const LINES: usize = 60;

/// The trouble first, then the serial output's end, QEMU's own words, and how to run it again: by
/// the command `again`, or by hand, if that is the same.
#[must_use]
pub fn describe(trouble: &Error, report: &Report, again: &str, by_hand: Option<&str>) -> String {
    let stderr = report.stderr.trim_end();
    let mut text = format!("{trouble:#}\n{}", last_lines(&report.lines));
    if !stderr.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "--- QEMU says\n{stderr}\n");
    }
    let seconds = report.elapsed.as_secs_f32();
    let _ = write!(text, "--- after {seconds:.1} s; again");
    let _ = match by_hand {
        Some(by_hand) => write!(text, ", or by hand:\n{again}\n{by_hand}"),
        None => write!(text, ":\n{again}"),
    };
    text
}

fn last_lines(lines: &[String]) -> String {
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    let mut text = match (lines.len(), shown.len()) {
        (0, _) => "--- nothing on the serial port\n".to_owned(),
        (all, last) if last < all => format!("--- last {last} of {all} serial lines\n"),
        _ => "--- serial lines\n".to_owned(),
    };
    for line in shown {
        text.push_str(line);
        text.push('\n');
    }
    text
}
