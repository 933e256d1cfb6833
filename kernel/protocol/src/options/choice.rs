//! Options whose value is one of a few names.

/// One of a few, each with a name.
pub(super) trait Choice: Copy + PartialEq + Sized + 'static {
    /// All of them, by name.
    const ALL: &'static [(&'static str, Self)];

    /// How it is written.
    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, choice)| *choice == self);
        found.expect("every choice has a name").0
    }

    /// The one that is written so.
    fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, choice)| *choice)
    }
}

/// How the kernel reports on the serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables for people: what a kernel started by hand shows.
    Text,
    /// Event lines ([`crate::event`]) for a program on the host.
    Json,
}

/// What the kernel is for once its CPUs are up. (A test guest runs its tests, whatever is asked.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// The storm.
    Storm,
    /// Nothing more: it ends when all CPUs are online.
    BringUp,
    /// It tells when each CPU was how far on its way, and ends.
    Timeline,
    /// As [`BringUp`](Self::BringUp), and it shows the firmware's list of CPUs byte by byte: what a report of a missing CPU
    /// should have.
    Report,
}

/// How the other CPUs are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// All at once, by interrupts that go to everybody.
    Broadcast,
    /// All at once, by interrupts to one after the other.
    Each,
    /// One after the other: the next when the one before is online. As most kernels do it; to compare.
    Serial,
}

/// How the local APICs are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicMode {
    /// As x2APIC where the firmware has left it on or a CPU's ID demands it, and under a hypervisor.
    Auto,
    /// The same, but as if there were no hypervisor.
    Xapic,
    /// As x2APIC, which the kernel switches to before it does anything else: then it finds what it would
    /// find after a firmware that has done so. It is an error if the CPU does not have it.
    Preset,
}

/// Where the rate of the time-stamp counter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The first of those below that there is, in this order.
    Auto,
    /// CPUID: leaves 0x15 and 0x16, or the hypervisor's leaf.
    Cpuid,
    /// Measured against the 8254 timer.
    Pit,
    /// Measured against the HPET.
    Hpet,
    /// Measured against ACPI's power management timer.
    PmTimer,
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Choice for Job {
    const ALL: &'static [(&'static str, Self)] = &[
        ("storm", Self::Storm),
        ("bring-up", Self::BringUp),
        ("timeline", Self::Timeline),
        ("report", Self::Report),
    ];
}

impl Choice for StartMode {
    const ALL: &'static [(&'static str, Self)] = &[
        ("broadcast", Self::Broadcast),
        ("each", Self::Each),
        ("serial", Self::Serial),
    ];
}

impl Choice for ApicMode {
    const ALL: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("xapic", Self::Xapic),
        ("preset", Self::Preset),
    ];
}

impl Choice for ClockSource {
    const ALL: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("cpuid", Self::Cpuid),
        ("pit", Self::Pit),
        ("hpet", Self::Hpet),
        ("pm-timer", Self::PmTimer),
    ];
}

/// Public names, for those who take them on a command line or show them.
macro_rules! public_names {
    ($($choice:ident)+) => { $(
        impl $choice {
            /// How it is written.
            #[must_use]
            pub fn name(self) -> &'static str {
                Choice::name(self)
            }

            /// How each of them is written.
            pub fn names() -> impl Iterator<Item = &'static str> {
                <Self as Choice>::ALL.iter().map(|(name, _)| *name)
            }
        }

        impl core::str::FromStr for $choice {
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                Choice::from_name(name).ok_or(())
            }
        }
    )+ };
}

public_names!(Format Job StartMode ApicMode ClockSource);
