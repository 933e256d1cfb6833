//! What may go wrong on purpose.

use core::fmt;
use core::str::FromStr;

/// Something that goes wrong on purpose while CPUs start. Written `kind`, `kind:<APIC ID>` (where it
/// [concerns a CPU](FaultKind::has_a_cpu)) or, for [`FaultKind::Late`] and [`FaultKind::Slow`],
/// `late:<APIC ID>:<milliseconds>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// On the CPU with this APIC ID; without one, on every CPU that is started.
    pub apic_id: Option<u32>,
    /// By how many milliseconds a CPU is late, or slow.
    pub millis: u32,
}

impl Fault {
    /// Whether it delays a CPU so long that it is given up first, with this [`patience`](super::Options::patience): a CPU
    /// has two attempts.
    #[must_use]
    pub fn outlasts(self, patience: u32) -> bool {
        self.kind.is_a_delay() && self.millis > patience.saturating_mul(2)
    }
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An invalid opcode in the trampoline, in real mode.
    Real,
    /// The same in protected mode.
    Protected,
    /// The CPU writes to the trampoline's first page, whose code it executes.
    Write,
    /// The CPU executes the trampoline's second page, to which it may write.
    Execute,
    /// A page fault in the kernel's entry, before the CPU has a stack.
    Entry,
    /// An invalid opcode in the first line of Rust.
    Rust,
    /// A panic in Rust, while the CPU starts.
    Panic,
    /// The CPU runs out of stack while it starts.
    Stack,
    /// An invalid opcode in Rust, the first time that the CPU is started: not when it is started once more.
    Once,
    /// The CPU sleeps in the trampoline for a while.
    Late,
    /// The CPU sleeps in Rust, when it has shown up for the first time: until so long after that, however often it is
    /// started.
    Slow,
    /// The CPU's time-stamp counter seems to be behind by a second.
    Tsc,
    /// There is no memory in which CPUs could wake up.
    Memory,
    /// The BSP panics while the others start.
    Bsp,
}

impl FaultKind {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 14] = [
        ("real", Self::Real),
        ("protected", Self::Protected),
        ("write", Self::Write),
        ("execute", Self::Execute),
        ("entry", Self::Entry),
        ("rust", Self::Rust),
        ("panic", Self::Panic),
        ("stack", Self::Stack),
        ("once", Self::Once),
        ("late", Self::Late),
        ("slow", Self::Slow),
        ("tsc", Self::Tsc),
        ("memory", Self::Memory),
        ("bsp", Self::Bsp),
    ];

    /// Whether it happens to CPUs that start, of which one may be chosen.
    #[must_use]
    pub fn has_a_cpu(self) -> bool {
        !matches!(self, Self::Memory | Self::Bsp)
    }

    /// Whether it takes a time.
    #[must_use]
    pub fn is_a_delay(self) -> bool {
        matches!(self, Self::Late | Self::Slow)
    }
}

impl Fault {
    /// Whether it happens to the CPU with this APIC ID.
    #[must_use]
    pub fn is_for(&self, apic_id: u32) -> bool {
        self.apic_id.is_none_or(|id| id == apic_id)
    }
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let found = FaultKind::ALL.iter().find(|(known, _)| *known == name);
        let (_, kind) = *found.ok_or(())?;
        let apic_id = parts.next().map(str::parse).transpose().map_err(drop)?;
        let millis = parts.next().map(str::parse).transpose().map_err(drop)?;
        let fits = parts.next().is_none()
            && millis.is_some() == kind.is_a_delay()
            && (apic_id.is_none() || kind.has_a_cpu());
        let millis = millis.unwrap_or(0);
        let fault = Self {
            kind,
            apic_id,
            millis,
        };
        fits.then_some(fault).ok_or(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = FaultKind::ALL.iter().find(|(_, kind)| *kind == self.kind);
        f.write_str(found.expect("every kind has a name").0)?;
        if let Some(id) = self.apic_id {
            write!(f, ":{id}")?;
        }
        if self.kind.is_a_delay() {
            write!(f, ":{}", self.millis)?;
        }
        Ok(())
    }
}
