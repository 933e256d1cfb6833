//! The outcome of a boot.
//!
//! Only one thing is a pass: the guest said so in words ([`Event::Verdict`], or a full count of
//! passed tests) *and* by its exit code. Everything else is named as what it is.

use std::fmt;
use std::time::Duration;

use protocol::event::Event;
use protocol::exit::ExitCode;

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest did all it was to do, and nothing was wrong.
    Passed,
    /// The guest ran to its end and found something wrong.
    Failed {
        /// Its message.
        text: String,
    },
    /// All that ran passed, but not all CPUs did run.
    Incomplete {
        /// CPUs online.
        online: u32,
        /// CPUs that the machine was asked to have.
        asked: u32,
        /// APIC IDs of those that the guest missed; it knows of no others.
        missing: Vec<u32>,
    },
    /// A CPU of the guest panicked; an unhandled exception is a panic, too.
    Panicked {
        /// Its index, if it had one yet.
        cpu: Option<u32>,
        /// Its APIC ID, if it could be read.
        apic_id: Option<u32>,
        /// The message with its place in the source.
        message: String,
        /// The test that was running, if tests were.
        test: Option<String>,
    },
    /// The guest refused the machine or its options.
    Unfit {
        /// Its message: the last line of its log.
        said: String,
    },
    /// The machine was reset or switched off. A triple fault does that.
    Reset,
    /// The guest ended with the exit code of a pass, but never said that it passed.
    SilentExit,
    /// The guest ended with an exit code that means nothing.
    UnknownExit {
        /// The value it wrote.
        value: i32,
    },
    /// The guest was still running at the deadline.
    Hang {
        /// The deadline.
        after: Duration,
    },
    /// QEMU did not start the machine.
    QemuRefused {
        /// QEMU's own words.
        stderr: String,
    },
    /// QEMU broke down.
    QemuDied {
        /// How its process ended.
        status: String,
        /// QEMU's own words.
        stderr: String,
    },
    /// Ctrl-C, or another signal to end.
    Interrupted,
}

impl Outcome {
    /// Whether it is a pass.
    pub fn passed(&self) -> bool {
        *self == Self::Passed
    }

    /// One word, for programs that read the result.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Incomplete { .. } => "incomplete",
            Self::Panicked { .. } => "panicked",
            Self::Unfit { .. } => "unfit",
            Self::Reset => "reset",
            Self::SilentExit => "silent-exit",
            Self::UnknownExit { .. } => "unknown-exit",
            Self::Hang { .. } => "hang",
            Self::QemuRefused { .. } => "qemu-refused",
            Self::QemuDied { .. } => "qemu-died",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { text } => write!(f, "failed: {text}"),
            Self::Incomplete { online, asked, missing } => {
                write!(f, "incomplete: {online} of the {asked} CPUs asked for are online; ")?;
                match &**missing {
                    [] => f.write_str("the firmware lists no more"),
                    ids => write!(f, "missing: APIC IDs {ids:?}"),
                }
            }
            Self::Panicked { cpu, apic_id, message, test } => {
                match (cpu, apic_id) {
                    (Some(cpu), Some(id)) => write!(f, "CPU {cpu} (APIC ID {id})")?,
                    (Some(cpu), None) => write!(f, "CPU {cpu}")?,
                    (None, Some(id)) => write!(f, "the CPU with APIC ID {id}")?,
                    (None, None) => write!(f, "a CPU")?,
                }
                let test = test.as_ref().map_or(String::new(), |test| format!(" in test {test}"));
                write!(f, " panicked{test}: {message}")
            }
            Self::Unfit { said } => write!(f, "the kernel refused to run: {said}"),
            Self::Reset => {
                f.write_str("the machine was reset or switched off, which a triple fault does, too")
            }
            Self::SilentExit => {
                f.write_str("the guest ended as if it had passed, but never said that it had")
            }
            Self::UnknownExit { value } => {
                write!(f, "the guest ended with {value:#x}, which is no exit code")
            }
            Self::Hang { after } => {
                write!(f, "hang: still running at the deadline of {} s", after.as_secs_f32())
            }
            Self::QemuRefused { stderr } => write!(f, "QEMU did not start the machine:\n{stderr}"),
            Self::QemuDied { status, stderr } if stderr.is_empty() => {
                write!(f, "QEMU died ({status}) without a word")
            }
            Self::QemuDied { status, stderr } => write!(f, "QEMU died ({status}):\n{stderr}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// How QEMU's process came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal or otherwise without a status; in words.
    Killed(String),
    /// By us, at the deadline.
    Deadline(Duration),
    /// By us, since the user wants to stop.
    Interrupted,
    /// By us, since a CPU is missing.
    Incomplete,
}

/// The facts in a guest's log that bear on the outcome. Small, however long the guest runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Testimony {
    said_anything: bool,
    last_log: String,
    planned: Option<u32>,
    passed: u32,
    running: Option<String>,
    verdict: Option<(bool, String)>,
    panic: Option<Outcome>,
    is_ours: bool,
    online: Option<u32>,
    missing: Vec<u32>,
}

impl Testimony {
    pub(crate) fn hear_log(&mut self, line: &str) {
        self.said_anything |= !line.is_empty();
        if !line.trim().is_empty() {
            self.last_log = line.trim().to_string();
        }
    }

    pub(crate) fn hear_event(&mut self, event: &Event<'_>) {
        self.said_anything = true;
        match event {
            Event::TestPlan { tests } => self.planned = Some(*tests),
            Event::TestStart { name } => self.running = Some(name.to_string()),
            Event::TestPass { .. } => {
                self.passed += 1;
                self.running = None;
            }
            Event::Verdict { passed, text } => {
                let before = self.verdict.as_ref().is_none_or(|(passed, _)| *passed);
                self.verdict = Some((before && *passed, text.to_string()));
            }
            Event::Hello { .. } => self.is_ours = true,
            Event::Missing { apic_id } => self.missing.push(*apic_id),
            Event::Online { online, .. } => self.online = Some(*online),
            Event::Panic { cpu, apic_id, message } => {
                // The first one is the cause.
                self.panic.get_or_insert(Outcome::Panicked {
                    cpu: *cpu,
                    apic_id: *apic_id,
                    message: message.to_string(),
                    test: self.running.clone(),
                });
            }
            _ => {}
        }
    }

    /// Whether the start is over and CPUs are missing: all of those have been reported by then.
    pub(crate) fn lacks_a_cpu(&self) -> bool {
        self.online.is_some() && !self.missing.is_empty()
    }

    /// Gives the verdict on a machine with this number of CPUs, if all are to be online.
    pub(crate) fn outcome(mut self, end: &End, stderr: &str, asked: Option<u32>) -> Outcome {
        // Warnings are no reason to distrust an exit code.
        let complained = stderr.lines().any(|line| !line.contains("warning:"));
        let stderr = stderr.trim_end().to_string();
        match *end {
            // QEMU answers SIGINT and SIGTERM itself, and may be faster than we are.
            End::Exited(0) if stderr.contains("terminating on signal") => Outcome::Interrupted,
            End::Interrupted => Outcome::Interrupted,
            // Before it has begun to do so.
            End::Killed(ref status) if status.contains("(SIGINT)") => Outcome::Interrupted,
            End::Incomplete => {
                let panic = self.panic.take();
                panic.unwrap_or_else(|| self.incomplete(asked.unwrap_or_default()))
            }
            End::Deadline(after) => self.panic.unwrap_or(Outcome::Hang { after }),
            End::Killed(ref status) => Outcome::QemuDied { status: status.clone(), stderr },
            End::Exited(0) => self.panic.unwrap_or(Outcome::Reset),
            End::Exited(status) => match ExitCode::from_status(status) {
                Some(code) => self.guest_ended(code, asked),
                None if !self.said_anything => Outcome::QemuRefused {
                    stderr: match complained {
                        true => stderr,
                        false => format!("it ended with status {status} and no word"),
                    },
                },
                None if status % 2 == 1 && !complained => {
                    self.panic.unwrap_or(Outcome::UnknownExit { value: status >> 1 })
                }
                None => Outcome::QemuDied { status: format!("status {status}"), stderr },
            },
        }
    }

    fn guest_ended(self, code: ExitCode, asked: Option<u32>) -> Outcome {
        if let Some(panic) = self.panic {
            return panic;
        }
        match (code, &self.verdict, self.planned) {
            (ExitCode::Panicked, ..) => Outcome::Panicked {
                cpu: None,
                apic_id: None,
                message: self.last_log,
                test: self.running,
            },
            (ExitCode::Unfit, ..) => Outcome::Unfit { said: self.last_log },
            (ExitCode::Failed, Some((_, text)), _) | (_, Some((false, text)), _) => {
                Outcome::Failed { text: text.clone() }
            }
            (ExitCode::Failed, None, _) => Outcome::Failed { text: self.last_log },
            (ExitCode::Passed, _, Some(planned)) if planned != self.passed => {
                Outcome::Failed { text: format!("{} of {planned} tests passed", self.passed) }
            }
            (ExitCode::Passed, None, None | Some(0)) => Outcome::SilentExit,
            (ExitCode::Passed, ..) => match asked {
                // A kernel of ours says how many there are.
                Some(asked) if self.online.map_or(self.is_ours, |online| online < asked) => {
                    self.incomplete(asked)
                }
                _ => Outcome::Passed,
            },
        }
    }

    fn incomplete(self, asked: u32) -> Outcome {
        Outcome::Incomplete {
            online: self.online.unwrap_or_default(),
            asked,
            missing: self.missing,
        }
    }
}

#[cfg(test)]
mod tests;
