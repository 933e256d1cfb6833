//! Values of options: whole numbers within limits, and one of a few names.

use core::fmt;
use core::ops::RangeInclusive;

use super::FaultInjection;

/// The limits of a number. Other values have limits of their own.
pub(super) type Limits = RangeInclusive<u32>;

/// Any number.
pub(super) const ANY: Limits = 0..=u32::MAX;

/// The values that an option may be set to.
pub(super) trait Value: Copy + PartialEq + Sized {
    /// The value that is written so; `None`: it is none, or beyond the limits.
    fn read(text: &str, limits: &Limits) -> Option<Self>;

    /// Writes what [`read`](Self::read) reads.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Writes what is allowed.
    fn expected(limits: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Value for u32 {
    fn read(text: &str, limits: &Limits) -> Option<Self> {
        text.parse().ok().filter(|number| limits.contains(number))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn expected(limits: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", limits.start(), limits.end())
    }
}

/// An option that need not be set. There is no way to write that it is not.
impl<V: Value> Value for Option<V> {
    fn read(text: &str, limits: &Limits) -> Option<Self> {
        V::read(text, limits).map(Some)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |value| value.write(f))
    }

    fn expected(limits: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        V::expected(limits, f)
    }
}

/// Writes names, separated by commas.
pub(super) fn list(
    f: &mut fmt::Formatter<'_>,
    names: impl IntoIterator<Item = &'static str>,
) -> fmt::Result {
    let mut names = names.into_iter().enumerate();
    names.try_for_each(|(index, name)| write!(f, "{}{name}", if index == 0 { " " } else { ", " }))
}

/// Enumerations whose variants have names.
macro_rules! choices {
    ($(
        $(#[$about:meta])*
        $choice:ident { $( $(#[$variant_about:meta])* $variant:ident = $name:literal, )+ }
    )+) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $choice { $( $(#[$variant_about])* $variant, )+ }

        impl $choice {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// How it is written.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl Value for $choice {
            fn read(text: &str, _: &Limits) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.name() == text)
            }

            fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }

            fn expected(_: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of")?;
                list(f, Self::ALL.iter().map(|choice| choice.name()))
            }
        }
    )+ };
}

choices! {
    /// How the kernel reports on the serial port.
    Format {
        /// Tables for people, as a kernel started by hand shows them.
        Text = "text",
        /// Event lines ([`crate::event`]) for a program on the host.
        Json = "json",
    }

    /// The kernel's job once its CPUs are up. (A test guest runs its tests, whatever is asked.)
    Job {
        Storm = "storm",
        /// Nothing more: it ends when all CPUs are online.
        BringUp = "bring-up",
        /// It reports each CPU's progress through start-up, and ends.
        Timeline = "timeline",
        /// As [`BringUp`](Self::BringUp), and it shows the firmware's list of CPUs byte by byte,
        /// for a report of a missing CPU.
        Report = "report",
    }

    /// How the other CPUs are started.
    StartMode {
        /// All at once, by interrupts that go to everybody.
        Broadcast = "broadcast",
        /// All at once, by interrupts to one after the other.
        Each = "each",
        /// One by one: the next when the one before is online. As most kernels do it; to compare.
        Serial = "serial",
    }

    /// How the local APICs are spoken to.
    ApicMode {
        /// As x2APIC where the firmware left it on, a CPU's ID demands it, or under a hypervisor.
        Auto = "auto",
        /// The same, but as if there were no hypervisor.
        Xapic = "xapic",
        /// As x2APIC, which the kernel switches to before anything else, and then finds as if left
        /// on by firmware. It is an error if the CPU does not have it.
        Preset = "preset",
    }

    /// Where the rate of the time-stamp counter comes from.
    ClockSource {
        /// The first of those below that there is, in this order.
        Auto = "auto",
        /// CPUID: leaves 0x15 and 0x16, or the hypervisor's leaf.
        Cpuid = "cpuid",
        /// Measured against the 8254; the next two against the timers of their names.
        Pit = "pit",
        Hpet = "hpet",
        PmTimer = "pm-timer",
    }

    /// Faults injected while CPUs start.
    FaultKind {
        /// An invalid opcode in the trampoline, in real mode.
        Real = "real",
        /// The same in protected mode.
        Protected = "protected",
        /// The CPU writes to the trampoline's first page, whose code it executes.
        Write = "write",
        /// The CPU executes the trampoline's second page, to which it may write.
        Execute = "execute",
        /// A page fault in the kernel's entry, before the CPU has a stack.
        Entry = "entry",
        /// An invalid opcode in the first line of Rust.
        Rust = "rust",
        Panic = "panic",
        /// The CPU runs out of stack while it starts.
        Stack = "stack",
        /// An invalid opcode in Rust, at the CPU's first start, not when it is restarted.
        Once = "once",
        /// The CPU sleeps in the trampoline for a while.
        Late = "late",
        /// The CPU sleeps in Rust, when it has shown up for the first time: until so long after
        /// that, however often it is started.
        Slow = "slow",
        /// The CPU's time-stamp counter seems to be behind by a second.
        Tsc = "tsc",
        /// There is no memory in which CPUs could wake up.
        Memory = "memory",
        /// The BSP panics while the others start.
        Bsp = "bsp",
    }
}

impl Value for FaultInjection {
    fn read(text: &str, _: &Limits) -> Option<Self> {
        let mut parts = text.split(':');
        let kind = FaultKind::read(parts.next()?, &ANY)?;
        let mut number = || parts.next().map(str::parse).transpose().ok();
        let (apic_id, millis) = (number()?, number()?);
        let fits = parts.next().is_none()
            && millis.is_some() == kind.is_a_delay()
            && (apic_id.is_none() || kind.has_a_cpu());
        let millis = millis.unwrap_or(0);
        fits.then_some(Self { kind, apic_id, millis })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn expected(_: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "KIND for all CPUs that are started, KIND:APIC-ID for one (not memory and bsp), or late:APIC-ID:MILLISECONDS \
             (also slow), of the kinds",
        )?;
        list(f, FaultKind::ALL.iter().map(|kind| kind.name()))
    }
}
