//! The guest's events as a person sees them.

use protocol::event::{Cpu, Event};
use protocol::storm::CpuLine;

use super::job::Job;
use super::screen::{Screen, Waiting};
use super::story::{StormReport, Story};
use super::topology;
use crate::run::Line;

/// CPU tables longer than this are shortened, unless the user wants all.
const SHORT_TABLE: usize = 16;

/// Shows a run while it goes on, and remembers it.
#[derive(Debug)]
pub(super) struct View {
    screen: Screen,
    verbose: bool,
    /// What is shown while the firmware works.
    firmware: Option<Waiting>,
    job: Job,
    /// Live reports so far.
    reports: u64,
    /// What is to be said below the figures of a bench, or below a tree without dies.
    notes: Vec<String>,
    story: Story,
}

impl View {
    /// A view of a run whose main job this is. `notes` belong to the figures of a bench, or to a tree.
    pub(super) fn new(to_stderr: bool, verbose: bool, job: Job, notes: Vec<String>) -> Self {
        Self {
            screen: Screen::new(to_stderr),
            verbose,
            firmware: None,
            job,
            reports: 0,
            notes,
            story: Story::default(),
        }
    }

    /// Shows that the firmware works, until the kernel speaks.
    pub(super) fn wait_for_firmware(&mut self) {
        self.firmware = Some(
            self.screen
                .wait("OVMF is at work, which takes 8 to 40 s under TCG"),
        );
    }

    /// Shows a line.
    pub(super) fn see(&mut self, line: Line<'_>) {
        match line {
            Line::Firmware(text) if self.verbose && !text.is_empty() => self.screen.say(text),
            Line::Firmware(_) => {}
            Line::Log(text) => {
                self.firmware = None;
                self.screen.say(text);
            }
            Line::Event(event, _) => {
                self.firmware = None;
                self.see_event(event);
            }
        }
    }

    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        self.screen.say(line);
    }

    /// Ends the live part and gives what was told.
    pub(super) fn finish(&mut self) -> Story {
        self.firmware = None;
        self.screen.clear();
        std::mem::take(&mut self.story)
    }

    fn see_event(&mut self, event: &Event<'_>) {
        if let Some(report) = self.story.note(event) {
            let due = self.reports.is_multiple_of(self.job.show_every());
            self.reports += 1;
            show_report(&self.screen, self.job, report, due, self.verbose);
        }
        if let (Event::Bench(line), Some(bench)) = (event, &self.story.bench) {
            bench.show(&self.screen, line, &self.notes);
        }
        // Of all else the kernel's log tells in its own words.
        if self.job == Job::Topology {
            // Its last word: all is told.
            if let Event::Verdict { .. } = event {
                let (cpus, caches) = (&self.story.cpus, &self.story.caches);
                topology::tree(cpus, caches, self.verbose)
                    .iter()
                    .for_each(|row| self.say(row));
                if cpus.iter().all(|cpu| cpu.die == 0) {
                    self.notes.iter().for_each(|note| self.say(note));
                }
            }
        } else if let Event::Online { .. } = event {
            let limit = if self.verbose {
                usize::MAX
            } else {
                SHORT_TABLE
            };
            cpu_table(&self.story.cpus, limit)
                .iter()
                .for_each(|row| self.say(row));
        }
    }
}

/// The last report in full; a live one as far as the place allows: a table that is redrawn on a
/// terminal, else one line, if one is due, with the table below it only if the user wants all.
fn show_report(screen: &Screen, job: Job, report: &StormReport, due: bool, verbose: bool) {
    let rows: Vec<String> = report.cpus.iter().map(ToString::to_string).collect();
    let line = job.line(&report.totals);
    if report.totals.last {
        screen.clear();
        screen.say("");
        screen.say(CpuLine::HEADER);
        rows.iter().for_each(|row| screen.say(row));
        screen.say("");
        screen.say(&report.totals.lanes().to_string());
        screen.say("");
        screen.say(&line);
    } else if screen.is_live() {
        screen.draw(job.done(&report.totals), &line, CpuLine::HEADER, &rows);
    } else if due {
        screen.say(&line);
        if verbose {
            screen.say(CpuLine::HEADER);
            rows.iter().for_each(|row| screen.say(row));
        }
    }
}

/// The CPU index table, shortened in the middle to about `limit` rows.
fn cpu_table(cpus: &[Cpu], limit: usize) -> Vec<String> {
    let mut table = vec![Cpu::HEADER.to_string()];
    if cpus.len() <= limit {
        table.extend(cpus.iter().map(Cpu::to_string));
        return table;
    }
    let tail = limit / 4;
    let head = limit - tail;
    table.extend(cpus[..head].iter().map(Cpu::to_string));
    table.push(format!(
        " ... {} more (all with --verbose) ...",
        cpus.len() - limit
    ));
    table.extend(cpus[cpus.len() - tail..].iter().map(Cpu::to_string));
    table
}

#[cfg(test)]
mod tests {
    use protocol::event::Cpu;

    use super::cpu_table;

    fn cpus(count: u32) -> Vec<Cpu> {
        let cpu = |index| Cpu {
            index,
            ..Cpu::default()
        };
        (0..count).map(cpu).collect()
    }

    #[test]
    fn a_long_table_is_shortened_in_the_middle_and_says_so() {
        let table = cpu_table(&cpus(64), 16);
        assert_eq!(table.len(), 1 + 12 + 1 + 4);
        assert!(table[13].contains("48 more"), "{}", table[13]);
        assert!(table[17].starts_with("  63 "), "{}", table[17]);
        assert_eq!(cpu_table(&cpus(64), usize::MAX).len(), 65);
    }
}
