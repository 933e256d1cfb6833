//! The guest's events as a person sees them.

use indicatif::ProgressBar;
use protocol::event::{Cpu, Event};
use protocol::storm::CpuLine;

use super::args::BootArgs;
use super::screen::Screen;
use super::story::{StormReport, Story};
use crate::run::Line;

/// Tables with more CPUs than this are shortened, unless the user wants all.
const SHORT_TABLE: usize = 16;

/// Describes the columns of all tables.
const COLUMNS: &str = "\
CPU: its index, dense; the BSP is 0
APIC ID: what the hardware calls it
package, die, core, thread: where it sits, according to its CPUID
online after: time from the first INIT to its check-in
plain, cache-aware, per-CPU: the variants, and how many protections each granted to this CPU
in handler: of those, granted in its timer's interrupt handler
for others: protections that it released, though another CPU had taken them
grants: protections that the variant granted
grants/s: the same, per second of the time in which the variant was the one in use
refused: protections asked for while the object was closed
teardowns: how often the object was closed, drained, freed and replaced
violations: broken promises, such as a use after the teardown; anything but 0 is a failure
close: time that `close` takes
drain: time from the end of `close` until the last protection was released
min, median, p99: the shortest, the middle, and what 99 of 100 do not exceed";

/// The names in a line of them.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(": ").take(1).flat_map(|names| names.split(", "))
}

/// Shows a run while it goes on, and keeps its story.
#[derive(Debug)]
pub(super) struct View {
    pub(super) screen: Screen,
    verbose: bool,
    explain: bool,
    /// Those of the tables that were shown.
    headers: String,
    /// The progress bar while the firmware works.
    firmware: Option<ProgressBar>,
    /// Length of the storm.
    seconds: u32,
    story: Story,
}

impl View {
    pub(super) fn new(args: &BootArgs, explain: bool) -> Self {
        Self {
            screen: Screen::new(args.json),
            verbose: args.verbose,
            explain,
            headers: String::new(),
            firmware: None,
            seconds: args.kernel.0.seconds,
            story: Story::default(),
        }
    }

    /// Shows that the firmware works, until the kernel has a line.
    pub(super) fn wait_for_firmware(&mut self) {
        self.firmware = Some(self.screen.wait("OVMF is at work, which takes 8 to 40 s under TCG"));
    }

    pub(super) fn see(&mut self, line: Line<'_>) {
        if !matches!(line, Line::Firmware(_)) {
            self.firmware = None;
        }
        match line {
            Line::Firmware(text) if !self.verbose || text.is_empty() => {}
            Line::Firmware(text) | Line::Log(text) => self.screen.say(text),
            Line::Event(event, _) => self.see_event(event),
        }
    }

    pub(super) fn say(&self, text: &str) {
        self.screen.say(text);
    }

    /// Ends the live part and gives what was reported.
    pub(super) fn finish(&mut self) -> Story {
        self.firmware = None;
        self.screen.clear();
        let is_shown = |line: &&str| names(line).any(|name| self.headers.contains(name));
        if self.explain && !self.headers.is_empty() {
            self.say("");
        }
        COLUMNS.lines().filter(|_| self.explain).filter(is_shown).for_each(|line| self.say(line));
        std::mem::take(&mut self.story)
    }

    fn see_event(&mut self, event: &Event<'_>) {
        let limit = if self.verbose { usize::MAX } else { SHORT_TABLE };
        if let Some(report) = self.story.note(event) {
            let done = report.totals.elapsed_ms as f64 / (f64::from(self.seconds) * 1000.0);
            show_report(&self.screen, done.min(1.0), report, limit);
            if report.totals.last {
                self.headers += &format!("{}{}", CpuLine::HEADER, report.totals.lanes());
            }
        }
        // Everything else is in the kernel's log, in its own words.
        // A kernel that is not this workspace's lists no CPUs.
        if let Event::Online { .. } = event
            && !self.story.cpus.is_empty()
        {
            let rows: Vec<_> = self.story.cpus.iter().map(Cpu::to_string).collect();
            self.screen.table(table(Cpu::HEADER, &rows, limit).lines());
            self.headers += Cpu::HEADER;
        }
    }
}

/// The last report, and a live one if there is room: a table that is redrawn on a terminal, else
/// one line, with the table below it only if the user wants all.
fn show_report(screen: &Screen, done: f64, report: &StormReport, limit: usize) {
    let rows: Vec<String> = report.cpus.iter().map(ToString::to_string).collect();
    let line = report.totals.to_string();
    if report.totals.last {
        screen.clear();
        let lanes = report.totals.lanes();
        screen
            .table(format!("\n{}\n\n{lanes}\n", table(CpuLine::HEADER, &rows, limit)).split('\n'));
        screen.say(&line);
    } else if screen.is_live() {
        screen.draw(done, &line, CpuLine::HEADER, &rows);
    } else {
        screen.say(&line);
        if limit == usize::MAX {
            screen.table(table(CpuLine::HEADER, &rows, limit).lines());
        }
    }
}

/// A table of CPUs, shortened in the middle to about `limit` rows.
fn table(header: &str, rows: &[String], limit: usize) -> String {
    let Some(left_out) = rows.len().checked_sub(limit).filter(|&rows| rows > 0) else {
        return format!("{header}\n{}", rows.join("\n"));
    };
    let tail = limit / 4;
    let (head, tail) = (rows[..limit - tail].join("\n"), rows[rows.len() - tail..].join("\n"));
    format!("{header}\n{head}\n ... {left_out} more (all with --verbose) ...\n{tail}")
}

#[cfg(test)]
mod tests {
    use protocol::event::Cpu;
    use protocol::storm::{CpuLine, Lane, Totals};

    use super::{COLUMNS, table};

    #[test]
    fn a_long_table_is_shortened_in_the_middle_and_says_so() {
        let rows: Vec<_> = (0..64).map(|row| row.to_string()).collect();
        let text = table("header", &rows, 16);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 12 + 1 + 4);
        assert_eq!((lines[0], lines[17]), ("header", "63"));
        assert!(lines[13].contains("48 more"), "{}", lines[13]);
        assert_eq!(table("header", &rows, usize::MAX).lines().count(), 65);
    }

    #[test]
    fn every_column_is_explained() {
        let totals = Totals { last: true, elapsed_ms: 1, cpus: 1, variants: [Lane::default(); 3] };
        let lanes = totals.lanes().to_string();
        let headers = lanes.lines().filter(|it| it.ends_with("violations") || it.ends_with("p99"));
        let explained: Vec<_> = COLUMNS.lines().flat_map(super::names).collect();
        let rows = ["variant", "time taken", "close min", "drain min", ""];
        // Two spaces at least between columns.
        let all = headers.chain([Cpu::HEADER, CpuLine::HEADER]).flat_map(|it| it.split("  "));
        for name in all.map(str::trim).filter(|name| !rows.contains(name)) {
            assert!(explained.contains(&name), "{name}");
        }
    }
}
