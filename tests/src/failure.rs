//! What a person sees of a case that failed.

use std::fmt::Write;

use anyhow::Error;
use boot::Report;

/// Lines of serial output that are shown: the last ones, where the trouble is.
const LINES: usize = 60;

/// The trouble first, then the serial output's end, QEMU's own words, and how to run it again: by the command `again`, or
/// by hand, if that is the same.
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

#[cfg(test)]
mod tests {
    use super::{LINES, last_lines};

    #[test]
    fn few_lines_are_shown_in_full() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(last_lines(&lines), "--- serial lines\na\nb\n");
        assert_eq!(last_lines(&[]), "--- nothing on the serial port\n");
    }

    #[test]
    fn of_many_lines_the_last_are_shown() {
        let lines: Vec<_> = (1..=LINES + 3).map(|number| number.to_string()).collect();
        let text = last_lines(&lines);
        assert!(text.starts_with("--- last 60 of 63 serial lines\n4\n5\n"), "{text}");
        assert!(text.ends_with("\n63\n"), "{text}");
    }
}
