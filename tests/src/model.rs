//! What QEMU's CPU models tell by CPUID of the machine's shape and of their caches.
//!
//! QEMU gives CPUs APIC IDs by one rule, whatever their model. The models differ in what CPUID says of
//! it (QEMU 7.2, `target/i386/cpu.c`, as observed under TCG):
//!
//! - Intel's have leaf 0xB, and leaf 0x1F as soon as there are several dies: all levels. The oldest
//!   have only leaves 1 and 4 as long as there is one die.
//! - AMD's from EPYC on have leaf 0xB, which has no dies, and leaf 0x8000_001E, which calls them nodes.
//! - Those before that, `qemu64` and `max` have leaf 0xB alone. Their dies' cores are numbered on.
//! - The oldest have leaf 0x8000_0008 alone, which has no threads either. (QEMU warns that "this family of
//!   AMD CPU doesn't support hyperthreading", and gives them some all the same.)
//!
//! Caches: Intel's models tell of each by whom it is shared (leaf 4), as do AMD's from EPYC on (leaf
//! 0x8000_001D). The others have the leaves 0x8000_0005 and 0x8000_0006, which tell sizes alone. There the
//! kernel's rule is right: level 1 and 2 belong to a core, level 3 to a die.

use boot::version::Version;
use protocol::event::Cpu;
use protocol::topology::CacheKind::{self, Data, Instruction, Unified};

use crate::shape::{Shape, bits_for};

/// A CPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// For QEMU's `-cpu`.
    pub name: &'static str,
    /// What it tells of the shape.
    tells: Tells,
    /// KiB of the caches: level 1 for data and for instructions, level 2, level 3.
    kib: [u64; 4],
    /// Their ways.
    ways: [u16; 4],
}

/// What a model tells of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// Everything: leaves 0xB and 0x1F.
    Intel,
    /// Everything, or leaves 1 and 4 if there is one die.
    OldIntel,
    /// Everything: leaves 0xB and 0x8000_001E.
    Epyc,
    /// All but the dies: leaf 0xB.
    NoDies,
    /// Packages alone: leaf 0x8000_0008.
    OldAmd,
}

/// Who shares a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharers {
    /// Nobody.
    Thread,
    /// The threads of a core.
    Core,
    /// The cores of a die.
    Die,
}

/// A cache that each CPU of a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelCache {
    /// 1 is next to the core.
    pub level: u8,
    /// What it keeps.
    pub kind: CacheKind,
    /// Its size.
    pub bytes: u64,
    /// Its ways.
    pub ways: u16,
    /// Who shares it.
    pub sharers: Sharers,
}

/// What the kernel runs on unless another model is asked for.
pub const MAX: Model = amd("max", Tells::NoDies);

/// Every model that QEMU 7.2 has and that the kernel runs on, of those that differ in what is looked at
/// here at least one, the newest and the oldest of each vendor included.
pub const ALL: [Model; 20] = [
    MAX,
    intel("Skylake-Server", Tells::Intel),
    epyc("EPYC", [32, 64, 512, 8 << 10], [8, 4, 8, 16]),
    amd("qemu64", Tells::NoDies),
    intel("core2duo", Tells::OldIntel),
    epyc("EPYC-Rome", [32, 32, 512, 16 << 10], [8, 8, 8, 16]),
    intel("Icelake-Server", Tells::Intel),
    amd("Opteron_G5", Tells::NoDies),
    amd("phenom", Tells::OldAmd),
    intel("Nehalem", Tells::Intel),
    epyc("EPYC-Milan", [32, 32, 512, 32 << 10], [8, 8, 8, 16]),
    intel("Cascadelake-Server", Tells::Intel),
    intel("kvm64", Tells::Intel),
    amd("Opteron_G3", Tells::OldAmd),
    intel("Penryn", Tells::OldIntel),
    epyc("Dhyana", [32, 64, 512, 8 << 10], [8, 4, 8, 16]),
    intel("Haswell", Tells::Intel),
    amd("Opteron_G4", Tells::NoDies),
    intel("Snowridge", Tells::Intel),
    amd("Opteron_G1", Tells::OldAmd),
];

/// All Intel models of QEMU 7.2 have these caches.
const fn intel(name: &'static str, tells: Tells) -> Model {
    Model {
        name,
        tells,
        kib: [32, 32, 4 << 10, 16 << 10],
        ways: [8, 8, 16, 16],
    }
}

/// All AMD models before EPYC have these.
const fn amd(name: &'static str, tells: Tells) -> Model {
    Model {
        name,
        tells,
        kib: [64, 64, 512, 16 << 10],
        ways: [2, 2, 16, 16],
    }
}

const fn epyc(name: &'static str, kib: [u64; 4], ways: [u16; 4]) -> Model {
    let tells = Tells::Epyc;
    Model {
        name,
        tells,
        kib,
        ways,
    }
}

impl Model {
    /// Whether it is one of Intel's.
    #[must_use]
    pub const fn is_intel(&self) -> bool {
        matches!(self.tells, Tells::Intel | Tells::OldIntel)
    }

    /// Whether what QEMU has it tell of a machine of this shape fits the APIC IDs. Where it does not, no
    /// kernel could know better.
    #[must_use]
    pub fn tells_the_truth(&self, shape: &Shape) -> bool {
        let [_, core_bits, thread_bits] = shape.bits();
        match self.tells {
            Tells::Intel | Tells::Epyc | Tells::NoDies => true,
            // Leaf 1 has the number of threads of a package, not that of their IDs: 15 threads of 5
            // cores have 32.
            Tells::OldIntel => {
                let ids = bits_for(shape.cores * shape.threads);
                shape.dies > 1 || ids == core_bits + thread_bits
            }
            // Leaf 0x8000_0008 is empty if a die has one CPU.
            Tells::OldAmd => shape.dies == 1 || shape.cores * shape.threads > 1,
        }
    }

    /// The index table that the kernel must come to: that of the shape, levels that are not told being
    /// part of the core's number, in the order of the APIC ID's bits.
    #[must_use]
    pub fn table(&self, shape: &Shape) -> Vec<Cpu> {
        let [_, core_bits, thread_bits] = shape.bits();
        let mut table = shape.table();
        for cpu in &mut table {
            if let Tells::NoDies | Tells::OldAmd = self.tells {
                cpu.core |= cpu.die << core_bits;
                cpu.die = 0;
            }
            if self.tells == Tells::OldAmd {
                cpu.core = cpu.core << thread_bits | cpu.thread;
                cpu.thread = 0;
            }
        }
        table
    }

    /// Its caches, in the order in which the kernel tells them. Lines have 64 bytes.
    #[must_use]
    pub fn caches(&self, qemu: Version) -> [ModelCache; 4] {
        // Changed in QEMU 9.1, with a property x-l1-cache-per-thread for machines as they were before.
        let per_thread = (self.is_intel() && qemu < Version { major: 9, minor: 1 })
            .then_some(Sharers::Thread)
            .unwrap_or(Sharers::Core);
        let all = [
            (1, Data, per_thread),
            (1, Instruction, per_thread),
            (2, Unified, Sharers::Core),
            (3, Unified, Sharers::Die),
        ];
        let mut nth = 0..;
        all.map(|(level, kind, sharers)| {
            let nth = nth.next().unwrap_or(0);
            ModelCache {
                level,
                kind,
                bytes: self.kib[nth] << 10,
                ways: self.ways[nth],
                sharers,
            }
        })
    }
}

impl Sharers {
    /// Whether they share it, by their rows of the index table.
    #[must_use]
    pub fn are(self, one: &Cpu, other: &Cpu) -> bool {
        let die = |cpu: &Cpu| (cpu.package, cpu.die);
        let core = |cpu: &Cpu| (die(cpu), cpu.core);
        match self {
            Self::Thread => one.index == other.index,
            Self::Core => core(one) == core(other),
            Self::Die => die(one) == die(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, MAX, Model};
    use crate::shape::Shape;

    fn model(name: &str) -> Model {
        *ALL.iter().find(|model| model.name == name).expect(name)
    }

    #[test]
    fn levels_that_are_not_told_are_part_of_the_core() {
        let shape = Shape::of("24,sockets=2,dies=2,cores=3,threads=2");
        // Package 1, die 1, core 2, thread 1: the last one.
        for (name, place) in [
            ("Skylake-Server", [1, 1, 2, 1]),
            ("EPYC", [1, 1, 2, 1]),
            ("max", [1, 0, 0b1_10, 1]),
            ("phenom", [1, 0, 0b1_10_1, 0]),
        ] {
            let last = model(name).table(&shape)[23];
            let found = [last.package, last.die, last.core, last.thread];
            assert_eq!((last.apic_id, found), (0b1_1_10_1, place), "{name}");
        }
    }

    #[test]
    fn some_models_cannot_tell_some_shapes() {
        let holes = Shape::of("15,cores=5,threads=3");
        assert!(MAX.tells_the_truth(&holes) && !model("core2duo").tells_the_truth(&holes));
        let single = Shape::of("2,dies=2,cores=1,threads=1");
        assert!(MAX.tells_the_truth(&single) && !model("phenom").tells_the_truth(&single));
    }
}
