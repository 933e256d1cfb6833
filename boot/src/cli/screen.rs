//! Where text for people goes: lines that stay, and below them a part that is redrawn in place
//! where standard error is a terminal.

use std::io::{self, Write};
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Columns assumed where the terminal does not say.
const COLUMNS: usize = 80;

/// Steps of the progress bar: more than anybody sees.
const BAR: u64 = 1000;

/// The screen.
#[derive(Debug)]
pub(super) struct Screen {
    /// Lines that stay go to standard error, since standard output is for a program.
    to_stderr: bool,
    /// The part that is redrawn. Hidden until it is drawn first, so that it does not flicker below
    /// the lines of the boot.
    live: ProgressBar,
}

/// Shown until dropped.
#[derive(Debug)]
pub(super) struct Waiting(ProgressBar);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Screen {
    /// A screen.
    pub(super) fn new(to_stderr: bool) -> Self {
        let live = ProgressBar::with_draw_target(Some(BAR), ProgressDrawTarget::hidden());
        let style =
            ProgressStyle::with_template("[{bar:24}] {msg}").map(|s| s.progress_chars("=> "));
        if let Ok(style) = style {
            live.set_style(style);
        }
        Self { to_stderr, live }
    }

    /// Whether a part can be redrawn.
    pub(super) fn is_live(&self) -> bool {
        Term::stderr().is_term()
    }

    /// Shows a text, and for how long it has been there; where nothing can be redrawn, a line that stays.
    pub(super) fn wait(&self, text: &'static str) -> Waiting {
        let style = ProgressStyle::with_template("{spinner} {msg}: {elapsed}");
        let bar = match (self.is_live(), style) {
            (true, Ok(style)) => ProgressBar::new_spinner().with_style(style),
            _ => {
                self.say(text);
                ProgressBar::hidden()
            }
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        Waiting(bar.with_message(text))
    }

    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        // Whoever closes the pipe early (`| head`) has seen enough; the run goes on to its end.
        self.live.suspend(|| {
            let _ = match self.to_stderr {
                true => writeln!(io::stderr(), "{line}"),
                false => writeln!(io::stdout(), "{line}"),
            };
        });
    }

    /// Redraws the live part: how much of the job is done (0 to 1), a line, and as many of the rows
    /// as fit.
    pub(super) fn draw(&self, done: f64, line: &str, header: &str, rows: &[String]) {
        if self.live.is_hidden() {
            self.live.set_draw_target(ProgressDrawTarget::stderr());
        }
        let (height, width) = Term::stderr().size();
        let text = fit(line, header, rows, usize::from(height), usize::from(width));
        self.live.set_message(text);
        self.live.set_position((done * BAR as f64) as u64);
    }

    /// Removes the live part.
    pub(super) fn clear(&self) {
        self.live.finish_and_clear();
    }
}

/// A message of at most `height - 2` lines (the bar's own line is the first), so that redrawing
/// never scrolls. What does not fit is counted.
fn fit(line: &str, header: &str, rows: &[String], height: usize, width: usize) -> String {
    let width = if width == 0 { COLUMNS } else { width };
    let cut = |text: &str| text.chars().take(width - 1).collect::<String>();
    let mut text = line.to_string();
    // The first line, the header, the count of what was left out, and the cursor's line.
    let room = height.saturating_sub(4);
    if room == 0 {
        return text;
    }
    text.push('\n');
    text.push_str(&cut(header));
    for row in rows.iter().take(room) {
        text.push('\n');
        text.push_str(&cut(row));
    }
    if rows.len() > room {
        text.push_str(&format!("\n ... and {} more CPUs", rows.len() - room));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::fit;

    fn rows(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("row {n}")).collect()
    }

    #[test]
    fn the_live_part_never_exceeds_the_terminal() {
        for height in 0..40 {
            for count in [0, 1, 8, 64, 255] {
                let text = fit("line", "header", &rows(count), height, 80);
                assert!(text.lines().count() < height.max(2), "{height} {count}");
            }
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let text = fit("line", "header", &rows(10), 8, 80);
        assert_eq!(
            text,
            "line\nheader\nrow 0\nrow 1\nrow 2\nrow 3\n ... and 6 more CPUs"
        );
        let all = fit("line", "header", &rows(4), 8, 80);
        assert_eq!(all, "line\nheader\nrow 0\nrow 1\nrow 2\nrow 3");
    }

    #[test]
    fn rows_are_cut_at_the_terminals_edge() {
        let text = fit("line", "a long header", &rows(1), 24, 5);
        assert_eq!(text, "line\na lo\nrow ");
    }
}
