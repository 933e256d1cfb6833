//! How far a run is: a bar on a terminal, elsewhere a line for each step.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(what: &'static str, steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64).with_prefix(what);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix}: [{bar:24}] {pos}/{len}, {elapsed}: {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        if io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            say(&format!("{what}: {steps}"));
        }
        Self { bar }
    }

    /// A step begins.
    pub(crate) fn begin(&self, step: &str) {
        self.bar.set_message(step.to_string());
    }

    /// A step has ended.
    pub(crate) fn end(&self, step: &str, how: &str) {
        self.bar.inc(1);
        if !io::stderr().is_terminal() {
            say(&format!("{:>4}  {step}: {how}", self.bar.position()));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn say(line: &str) {
    // A reader that has gone away has seen enough; the run goes on to its end.
    let _ = writeln!(io::stderr(), "{line}");
}
