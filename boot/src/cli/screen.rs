//! Where text for people goes: lines that stay, and below them a part that is redrawn in place
//! where standard error is a terminal.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use console::{Term, measure_text_width, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps of the progress bar: finer than the eye.
const BAR: u64 = 1000;

/// Columns that the bar and its frame take from the first line of the live part.
const BAR_COLUMNS: usize = 13;

#[derive(Debug)]
pub(super) struct Screen {
    /// Lines that stay go to standard error, since standard output is for a program.
    to_stderr: bool,
    /// The redrawn part. Hidden until first drawn: no flicker below the boot's lines.
    live: ProgressBar,
    /// Why lines are missing, if any are.
    lost: RefCell<Option<io::Error>>,
}

impl Screen {
    pub(super) fn new(to_stderr: bool) -> Self {
        let live = ProgressBar::with_draw_target(Some(BAR), ProgressDrawTarget::hidden());
        Self { to_stderr, live: styled(live, "[{bar:10}] {msg}"), lost: RefCell::default() }
    }

    /// Whether a part can be redrawn.
    pub(super) fn is_live(&self) -> bool {
        Term::stderr().is_term()
    }

    /// Shows a text until dropped, and for how long it has been there; where nothing can be
    /// redrawn, a line that stays.
    pub(super) fn wait(&self, text: &'static str) -> ProgressBar {
        if !self.is_live() {
            self.say(text);
            return ProgressBar::hidden();
        }
        let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg}: {elapsed}");
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.with_message(text)
    }

    /// Prints lines that stay; on a terminal, broken between words.
    pub(super) fn say(&self, text: &str) {
        let columns = self.columns();
        self.print(&text.split('\n').flat_map(|line| broken(line, columns)).collect::<Vec<_>>());
    }

    /// Prints the rows of a table; on a terminal, cut at its edge.
    pub(super) fn table<'a>(&self, rows: impl IntoIterator<Item = &'a str>) {
        let columns = self.columns();
        let cut = rows.into_iter().map(|row| truncate_str(row, columns, "").into_owned());
        self.print(&cut.collect::<Vec<_>>());
    }

    fn print(&self, lines: &[String]) {
        let text = lines.join("\n");
        let written = self.live.suspend(|| match self.to_stderr {
            true => writeln!(io::stderr(), "{text}"),
            false => writeln!(io::stdout(), "{text}"),
        });
        // A reader that closes the pipe early (`| head`) has seen enough; the run goes on.
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.replace(Some(error));
        }
    }

    /// An error if not all lines could be written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.lost.take().map_or(Ok(()), Err).context("cannot write to standard output")
    }

    /// Columns of the terminal that lines go to; a file or pipe has room for any line.
    fn columns(&self) -> usize {
        let term = if self.to_stderr { Term::stderr() } else { Term::stdout() };
        let size = term.size_checked().filter(|_| term.is_term());
        size.map_or(usize::MAX, |(_, columns)| usize::from(columns.max(1)))
    }

    /// Redraws the live part: progress (0 to 1), a line, and as many of the rows as fit.
    pub(super) fn draw(&self, done: f64, line: &str, header: &str, rows: &[String]) {
        if self.live.is_hidden() {
            self.live.set_draw_target(ProgressDrawTarget::stderr());
        }
        let (height, columns) = Term::stderr().size();
        let text = fit(line, header, rows, usize::from(height), usize::from(columns));
        self.live.set_message(text);
        self.live.set_position((done * BAR as f64) as u64);
    }

    /// Removes the live part.
    pub(super) fn clear(&self) {
        self.live.finish_and_clear();
    }
}

/// The bar in this form.
pub(super) fn styled(bar: ProgressBar, form: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(form).expect("a form");
    bar.with_style(style.progress_chars("=> "))
}

/// The parts of a line, none wider than `columns` but for a single word; all but the first are
/// indented.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for (place, word) in line.split(' ').enumerate() {
        let part = parts.last_mut().expect("has one");
        if measure_text_width(part) + 1 + measure_text_width(word) > columns
            && !part.trim().is_empty()
        {
            parts.push(format!("    {word}"));
        } else {
            part.push_str(if place == 0 { "" } else { " " });
            part.push_str(word);
        }
    }
    parts
}

/// A message of at most `height - 2` lines (the bar's own line is the first), so that redrawing
/// never scrolls. Lines that do not fit are counted.
fn fit(line: &str, header: &str, rows: &[String], height: usize, columns: usize) -> String {
    let cut = |text: &str, columns: usize| text.chars().take(columns).collect::<String>();
    let mut text = cut(line, columns.saturating_sub(BAR_COLUMNS + 1));
    // The first line, the header, the count of what was left out, and the cursor's line.
    let room = height.saturating_sub(4);
    if room == 0 {
        return text;
    }
    for row in [header].into_iter().chain(rows.iter().take(room).map(String::as_str)) {
        text.push('\n');
        text.push_str(&cut(row, columns.saturating_sub(1)));
    }
    if rows.len() > room {
        text.push_str(&format!("\n ... and {} more CPUs", rows.len() - room));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{broken, fit};

    #[test]
    fn the_live_part_never_exceeds_the_terminal_and_counts_what_it_leaves_out() {
        let rows = |count| (0..count).map(|n| format!("row {n}")).collect::<Vec<_>>();
        for height in 0..40 {
            for count in [0, 1, 8, 64, 255] {
                let text = fit("line", "header", &rows(count), height, 80);
                assert!(text.lines().count() < height.max(2), "{height} {count}");
            }
        }
        let text = fit(&"a line ".repeat(9), &"a header ".repeat(9), &rows(1), 24, 40);
        let columns: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(columns, [26, 39, 5]);
        let text = fit("line", "header", &rows(10), 8, 80);
        assert_eq!(text, "line\nheader\nrow 0\nrow 1\nrow 2\nrow 3\n ... and 6 more CPUs");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(broken("  two words", 80), ["  two words"]);
        assert_eq!(broken("  two words more", 11), ["  two words", "    more"]);
        assert_eq!(broken("", 10), [""]);
        assert_eq!(broken("   undivided", 5), ["   undivided"]);
    }
}
