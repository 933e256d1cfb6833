//! Where a CPU sits: package, core, thread.
//!
//! An APIC ID is made of bit fields: thread within core in the lowest bits, core within package
//! above them, package above those. CPUID tells the widths, by one of several leaves:
//!
//! 1. leaf 0x1F, V2 Extended Topology (Intel SDM volume 2A, CPUID);
//! 2. leaf 0xB, Extended Topology (the same, and AMD since Zen 2);
//! 3. AMD: leaf 0x8000_0008 ECX (size of core and thread field) and leaf 0x8000_001E EBX (threads
//!    per core); AMD64 APM volume 3, appendix E;
//! 4. Intel before leaf 0xB: leaf 1 EBX (logical processors per package) and leaf 4 EAX (cores per
//!    package); Intel SDM volume 3A, section 10.9.

use raw_cpuid::{CpuId, CpuIdReader};

use crate::ApicId;

/// A CPU's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Physical package (socket).
    pub package: u32,
    /// Core within the package. Where CPUID tells more levels (die, module, tile), they are part of
    /// this number.
    pub core: u32,
    /// Thread within the core.
    pub thread: u32,
}

/// How this machine's APIC IDs are put together.
///
/// Read on any CPU, valid for all of them: packages of one machine are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Width of the thread field in bits.
    thread_bits: u32,
    /// Width of the thread and core fields in bits; the package's number begins there.
    package_shift: u32,
}

impl Shape {
    /// Reads the widths from CPUID: on the CPU itself with `raw_cpuid::CpuIdReaderNative`.
    ///
    /// Without any of the leaves above, every CPU counts as a package of its own.
    #[must_use]
    pub fn read<R: CpuIdReader>(cpuid: &R) -> Self {
        let (thread_bits, package_shift) = extended(cpuid, 0x1f)
            .or_else(|| extended(cpuid, 0xb))
            .or_else(|| amd(cpuid))
            .or_else(|| intel(cpuid))
            .unwrap_or((0, 0));
        Self {
            thread_bits,
            // Never less, whatever CPUID says: the core's width is the difference.
            package_shift: package_shift.max(thread_bits),
        }
    }

    /// Takes an APIC ID apart.
    #[must_use]
    pub fn locate(self, id: ApicId) -> Topology {
        let id = id.get();
        // Shifts are at most 31: the fields of CPUID are no wider, and `width` gives at most 16.
        Topology {
            package: id >> self.package_shift,
            core: low_bits(id, self.package_shift) >> self.thread_bits,
            thread: low_bits(id, self.thread_bits),
        }
    }
}

/// Leaf 0xB or 0x1F: one sub-leaf per level, from the threads upwards. `raw_cpuid`'s iterator over
/// them panics on a type of level that it does not know (6, die group), so they are read bare.
fn extended<R: CpuIdReader>(cpuid: &R, leaf: u32) -> Option<(u32, u32)> {
    const INVALID: u32 = 0;
    const THREADS: u32 = 1;
    /// More levels than any manual defines (6): ends the loop whatever CPUID says.
    const MAX_LEVELS: u32 = 16;

    if cpuid.cpuid2(0, 0).eax < leaf {
        return None;
    }
    let mut widths = None;
    for level in 0..MAX_LEVELS {
        let regs = cpuid.cpuid2(leaf, level);
        let kind = regs.ecx >> 8 & 0xff;
        // EBX is the number of logical processors of the level; 0 if the leaf does not exist.
        if kind == INVALID || regs.ebx & 0xffff == 0 {
            break;
        }
        // What lies above this level begins at this bit of the APIC ID.
        let shift = regs.eax & 0x1f;
        let threads = widths.map_or(0, |(threads, _)| threads);
        widths = Some((if kind == THREADS { shift } else { threads }, shift));
    }
    widths
}

/// AMD's leaves. Elsewhere ECX of leaf 0x8000_0008 is reserved and 0.
fn amd<R: CpuIdReader>(cpuid: &R) -> Option<(u32, u32)> {
    let cpuid = CpuId::with_cpuid_reader(cpuid.clone());
    let capacity = cpuid.get_processor_capacity_feature_info()?;
    let package_shift = match capacity.apic_id_size() {
        // "Legacy method": the field is as wide as the number of threads needs.
        0 => width(capacity.num_phys_threads() as u32),
        size => u32::from(size),
    };
    let threads = cpuid.get_processor_topology_info();
    let thread_bits = threads.map_or(0, |info| width(info.threads_per_core().into()));
    (package_shift > 0).then_some((thread_bits, package_shift))
}

/// Intel's leaves 1 and 4.
fn intel<R: CpuIdReader>(cpuid: &R) -> Option<(u32, u32)> {
    let cpuid = CpuId::with_cpuid_reader(cpuid.clone());
    let features = cpuid.get_feature_info()?;
    if !features.has_htt() {
        // The field below is only valid with this flag; without it, a package is one CPU.
        return None;
    }
    let package_shift = width(features.max_logical_processor_ids().into());
    let caches = cpuid.get_cache_parameters();
    let cores = caches.and_then(|mut caches| caches.next());
    let core_bits = cores.map_or(0, |cache| width(cache.max_cores_for_package() as u32));
    Some((package_shift.saturating_sub(core_bits), package_shift))
}

/// Bits needed to number this many things from 0.
fn width(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

fn low_bits(value: u32, bits: u32) -> u32 {
    value & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests;
