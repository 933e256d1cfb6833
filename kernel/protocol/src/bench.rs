//! The figures of the bench: what users and owners of an object pay, by the number of CPUs.
//!
//! One [`Line`] for each figure, a [`Plan`] before them and [`Progress`] in between. [`Report`] is
//! all of it as tables.

mod report;

use serde::{Deserialize, Serialize};

pub use self::report::Report;
use crate::storm::Latency;

/// One thing that the bench says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// First of all.
    Plan(Plan),
    /// Now and then.
    Progress(Progress),
    /// One for each contender and number of CPUs.
    Pairs(Pairs),
    /// One for each variant of rundown protection and number of CPUs.
    Teardown(Teardown),
    /// One for each number of CPUs.
    Barrier(Barrier),
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// CPUs that run; the most that will be at work together.
    pub cpus: u32,
    /// Length of a window in milliseconds.
    pub millis: u32,
    /// Windows of pairs for each contender and number of CPUs.
    pub windows: u32,
    /// What the CPUs are.
    pub ground: Ground,
}

/// What the kernel runs on, as far as CPUID tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// A program that translates each instruction: QEMU's TCG.
    Emulated,
    /// Real CPUs, lent by a hypervisor such as KVM.
    Virtual,
    /// Real CPUs, or a hypervisor that hides.
    Hardware,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done: one for each window of pairs, and for each series of teardowns or barriers.
    pub done: u32,
    /// Steps in all.
    pub of: u32,
    /// CPUs that are at work together now.
    pub cpus: u32,
}

/// What does the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// The limit of plain counters: `add gs:` there and back, without a lock prefix, and a test of a
    /// flag.
    BarePlain,
    /// The per-CPU variant.
    PerCpu,
    /// The limit of counters in slots: `lock xadd` there and back on a slot of the CPU's own.
    BareLocked,
    /// The cache-aware variant.
    CacheAware,
    /// The shape of Windows' cache-aware variant: a slot for each CPU, load and `lock cmpxchg`.
    Windows,
    /// The plain variant: one word for all.
    Plain,
}

/// Pairs of acquire and release on one object, by several CPUs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Of what.
    pub contender: Contender,
    /// CPUs at work together, from index 0 on; the others halt.
    pub cpus: u32,
    /// Pairs per second of all those CPUs together: the median of the windows.
    pub per_second: u64,
    /// The same of the slowest window.
    pub least: u64,
    /// The same of the fastest window.
    pub most: u64,
    /// The same of the CPU that did the fewest in the median window. Far below the average: it was
    /// kept from running.
    pub slowest_cpu: u64,
    /// What the counters add up to when all have stopped. Anything but 0 is a failure.
    pub left: i64,
}

/// Teardowns of one object by CPU 0, while the other CPUs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teardown {
    /// The variant of rundown protection.
    pub variant: Contender,
    /// CPUs at work, the closer included: with 1, the object is idle.
    pub cpus: u32,
    /// How many teardowns there were.
    pub times: u32,
    /// Time of `close`.
    pub close: Latency,
    /// Time from the end of `close` until the object had drained, and the closer knew it.
    pub drain: Latency,
    /// What was still held at the end. Anything but 0 is a failure.
    pub left: i64,
}

/// Barriers of CPU 0, while other CPUs use an object of the per-CPU variant. Each interrupts all CPUs,
/// those that halt as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// CPUs at work, CPU 0 included.
    pub cpus: u32,
    /// How many barriers there were.
    pub times: u32,
    /// Time of one.
    pub time: Latency,
}

/// The numbers of CPUs that are measured on a machine of so many: 1, 2, 4, and so on, and all.
pub fn steps(cpus: u32) -> impl Iterator<Item = u32> + Clone {
    let powers = (0..u32::BITS).map(|power| 1 << power);
    powers.take_while(move |&step| step < cpus).chain([cpus])
}

impl Contender {
    /// All, in the order of reports: each after what bounds it.
    pub const ALL: [Self; 6] = [
        Self::BarePlain,
        Self::PerCpu,
        Self::BareLocked,
        Self::CacheAware,
        Self::Windows,
        Self::Plain,
    ];

    /// Those that are rundown protection: the others are instructions alone, and cannot be closed.
    pub const VARIANTS: [Self; 3] = [Self::PerCpu, Self::CacheAware, Self::Plain];

    /// In a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BarePlain => "bare instructions: add gs: there and back, test of a flag",
            Self::PerCpu => "per-CPU",
            Self::BareLocked => "bare instructions: lock xadd there and back, own slot",
            Self::CacheAware => "cache-aware",
            Self::Windows => "Windows' shape: load, lock cmpxchg, own slot",
            Self::Plain => "plain, one word for all",
        }
    }
}

impl Ground {
    /// What the figures are worth: a few lines of at most 80 columns.
    #[must_use]
    pub const fn worth(self) -> &'static str {
        match self {
            Self::Emulated => {
                "What these figures are worth: the CPUs are emulated (TCG).
- They show that all this works on so many CPUs, and that nothing stays held.
- Pairs per second on 1 CPU show roughly how much code a pair is to the emulator
  (which leaves lock prefixes out where there is one CPU in all).
- Scaling shows how the emulator's threads share the real CPUs. One counter for
  all costs more than one for each even so; how much more, the hardware decides.
- Nanoseconds, cycles, what a lock prefix or an interrupt costs: nothing here is
  the hardware's. For that: --accel kvm where KVM is native, or a PC."
            }
            Self::Virtual => {
                "What these figures are worth: real CPUs do the work, lent by a hypervisor.
- Pairs, their ratios and their scaling are the hardware's, as long as each
  virtual CPU has a real one to itself. (Two may be threads of one core.)
- Close, drain and barrier pay for interrupts that go through the hypervisor."
            }
            Self::Hardware => {
                "What these figures are worth: no hypervisor shows itself, so the hardware's."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::event::{Event, MARK, MAX_LINE};

    /// One line of each variant, with the longest numbers.
    fn largest() -> [Line; 5] {
        let (cpus, times) = (u32::MAX, u32::MAX);
        let latency = Latency {
            min_ns: u64::MAX,
            median_ns: u64::MAX,
            p99_ns: u64::MAX,
        };
        [
            Line::Plan(Plan {
                cpus,
                millis: u32::MAX,
                windows: u32::MAX,
                ground: Ground::Hardware,
            }),
            Line::Progress(Progress {
                done: u32::MAX,
                of: u32::MAX,
                cpus,
            }),
            Line::Pairs(Pairs {
                contender: Contender::BareLocked,
                cpus,
                per_second: u64::MAX,
                least: u64::MAX,
                most: u64::MAX,
                slowest_cpu: u64::MAX,
                left: i64::MIN,
            }),
            Line::Teardown(Teardown {
                variant: Contender::CacheAware,
                cpus,
                times,
                close: latency,
                drain: latency,
                left: i64::MIN,
            }),
            Line::Barrier(Barrier {
                cpus,
                times,
                time: latency,
            }),
        ]
    }

    #[test]
    fn the_largest_lines_fit_and_are_read_back() {
        for line in largest() {
            let mut buffer = [0; MAX_LINE];
            let written = Event::Bench(line).write_line(&mut buffer);
            let json = written.strip_prefix(MARK).expect("marked").trim_end();
            let back: Event<'_> = serde_json::from_str(json).expect(json);
            assert_eq!(back, Event::Bench(line));
        }
    }

    #[test]
    fn steps_are_the_powers_of_two_and_all() {
        for (cpus, expected) in [
            (1, &[1][..]),
            (2, &[1, 2]),
            (4, &[1, 2, 4]),
            (9, &[1, 2, 4, 8, 9]),
            (255, &[1, 2, 4, 8, 16, 32, 64, 128, 255]),
        ] {
            assert_eq!(steps(cpus).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn every_variant_is_a_contender() {
        assert!(
            Contender::VARIANTS
                .iter()
                .all(|variant| Contender::ALL.contains(variant))
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for ground in [Ground::Emulated, Ground::Virtual, Ground::Hardware] {
            for line in ground.worth().lines() {
                assert!(line.len() <= 80, "{line}");
            }
        }
    }
}
