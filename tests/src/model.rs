//! The machine's shape in CPUID, by QEMU's CPU models.
//!
//! QEMU gives CPUs APIC IDs by one rule, whatever their model. The models differ in what CPUID says
//! of it (QEMU 7.2, `target/i386/cpu.c`, as observed under TCG):
//!
//! - Intel's have leaf 0xB, and leaf 0x1F as soon as there are several dies: all levels. The oldest
//!   have only leaves 1 and 4 as long as there is one die.
//! - AMD's from EPYC on have leaf 0xB, without dies, and leaf 0x8000_001E, where they are nodes.
//! - Those before that, `qemu64` and `max` have leaf 0xB alone. Their dies' cores are numbered on.
//! - The oldest have leaf 0x8000_0008 alone, which has no threads either. (QEMU warns that "this
//!   family of AMD CPU doesn't support hyperthreading", and gives them some all the same.)

use protocol::event::Cpu;

use crate::shape::{Shape, bits_for};

/// A CPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuModel {
    /// For QEMU's `-cpu`.
    pub name: &'static str,
    /// The part of the shape that it reports.
    reports: Reported,
}

/// The part of the shape that a model reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
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

/// The model unless another one is asked for.
pub const MAX: CpuModel = model("max", Reported::NoDies);

/// Every model that QEMU 7.2 has and that the kernel runs on, of those that differ in what is
/// looked at here at least one, the newest and the oldest of each vendor included.
pub const ALL: [CpuModel; 20] = [
    MAX,
    model("Skylake-Server", Reported::Intel),
    model("EPYC", Reported::Epyc),
    model("qemu64", Reported::NoDies),
    model("core2duo", Reported::OldIntel),
    model("EPYC-Rome", Reported::Epyc),
    model("Icelake-Server", Reported::Intel),
    model("Opteron_G5", Reported::NoDies),
    model("phenom", Reported::OldAmd),
    model("Nehalem", Reported::Intel),
    model("EPYC-Milan", Reported::Epyc),
    model("Cascadelake-Server", Reported::Intel),
    model("kvm64", Reported::Intel),
    model("Opteron_G3", Reported::OldAmd),
    model("Penryn", Reported::OldIntel),
    model("Dhyana", Reported::Epyc),
    model("Haswell", Reported::Intel),
    model("Opteron_G4", Reported::NoDies),
    model("Snowridge", Reported::Intel),
    model("Opteron_G1", Reported::OldAmd),
];

const fn model(name: &'static str, reports: Reported) -> CpuModel {
    CpuModel { name, reports }
}

impl CpuModel {
    /// Whether its report of a machine of this shape fits the APIC IDs. If not, no kernel could
    /// know better.
    #[must_use]
    pub fn fits(&self, shape: &Shape) -> bool {
        let [_, core_bits, thread_bits] = shape.bits();
        match self.reports {
            Reported::Intel | Reported::Epyc | Reported::NoDies => true,
            // Leaf 1 counts a package's threads, not their IDs: 15 threads of 5 cores have 32 IDs.
            Reported::OldIntel => {
                let ids = bits_for(shape.cores * shape.threads);
                shape.dies > 1 || ids == core_bits + thread_bits
            }
            // Leaf 0x8000_0008 is empty if a die has one CPU.
            Reported::OldAmd => shape.dies == 1 || shape.cores * shape.threads > 1,
        }
    }

    /// The index table that the kernel must come to: that of the shape, levels that are not
    /// reported being part of the core's number, in the order of the APIC ID's bits.
    #[must_use]
    pub fn table(&self, shape: &Shape) -> Vec<Cpu> {
        let [_, core_bits, thread_bits] = shape.bits();
        let mut table = shape.table();
        for cpu in &mut table {
            if let Reported::NoDies | Reported::OldAmd = self.reports {
                cpu.core |= cpu.die << core_bits;
                cpu.die = 0;
            }
            if self.reports == Reported::OldAmd {
                cpu.core = cpu.core << thread_bits | cpu.thread;
                cpu.thread = 0;
            }
        }
        table
    }
}
