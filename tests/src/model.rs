//! What QEMU's CPU models report of the machine's shape by CPUID.
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

use protocol::event::Cpu;

use crate::shape::{Shape, bits_for};

/// A CPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// For QEMU's `-cpu`.
    pub name: &'static str,
    /// What it reports of the shape.
    tells: Tells,
}

/// What a model reports of the shape.
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

/// What the kernel runs on unless another model is asked for.
pub const MAX: Model = model("max", Tells::NoDies);

/// Every model that QEMU 7.2 has and that the kernel runs on, of those that differ in what is looked at
/// here at least one, the newest and the oldest of each vendor included.
pub const ALL: [Model; 20] = [
    MAX,
    model("Skylake-Server", Tells::Intel),
    model("EPYC", Tells::Epyc),
    model("qemu64", Tells::NoDies),
    model("core2duo", Tells::OldIntel),
    model("EPYC-Rome", Tells::Epyc),
    model("Icelake-Server", Tells::Intel),
    model("Opteron_G5", Tells::NoDies),
    model("phenom", Tells::OldAmd),
    model("Nehalem", Tells::Intel),
    model("EPYC-Milan", Tells::Epyc),
    model("Cascadelake-Server", Tells::Intel),
    model("kvm64", Tells::Intel),
    model("Opteron_G3", Tells::OldAmd),
    model("Penryn", Tells::OldIntel),
    model("Dhyana", Tells::Epyc),
    model("Haswell", Tells::Intel),
    model("Opteron_G4", Tells::NoDies),
    model("Snowridge", Tells::Intel),
    model("Opteron_G1", Tells::OldAmd),
];

const fn model(name: &'static str, tells: Tells) -> Model {
    Model { name, tells }
}

impl Model {
    /// Whether what it reports of a machine of this shape fits the APIC IDs. Where it does not, no
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

    /// The index table that the kernel must come to: that of the shape, levels that are not reported being
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
}
