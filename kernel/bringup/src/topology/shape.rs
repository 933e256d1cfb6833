//! The bit fields of APIC IDs.

use crate::{cpuid::Cpuid, id::ApicId};

/// A CPU's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Physical package (socket).
    pub package: u32,
    /// Die within the package; 0 where CPUID reports no dies.
    pub die: u32,
    /// Core within the die. Further levels (module, tile, complex), and dies that CPUID does not
    /// report, are part of this number. Where the APIC ID has no field for dies (AMD before family
    /// 17h), cores are numbered through the package.
    pub core: u32,
    /// Thread within the core.
    pub thread: u32,
}

/// The bit fields of this machine's APIC IDs, as one CPU reports them: the widths are the same on
/// all CPUs, the other fields describe this CPU's core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IdFields {
    /// Width of the thread field in bits.
    pub(super) thread_bits: u32,
    /// Bits below the die's number: the thread and core fields; at least `thread_bits`.
    pub(super) die_shift: u32,
    /// Width of the thread, core and die fields in bits; the package's number begins there. Not
    /// below `die_shift`, and below 32.
    pub(super) package_shift: u32,
    /// How many threads the core has; 0 if CPUID does not say.
    pub(super) threads: u32,
    /// Whether these threads are cores of AMD's family 15h that share a compute unit: the unit has
    /// the instruction and level 2 caches, each core its own data cache.
    pub(super) is_compute_unit: bool,
    /// The die, if the APIC ID has no field for it.
    pub(super) node: Option<Node>,
}

/// A die of an AMD CPU before family 17h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) number: u32,
    /// How many CPUs it has. Node 0 has the first APIC IDs of the package, node 1 the next, and so
    /// on: with 6 each, node 0 ends at APIC ID 5 and node 1 begins at 6.
    pub(super) cpus: u32,
}

impl IdFields {
    /// Without any of the leaves, every CPU counts as a package of its own.
    pub(super) fn of(cpuid: &Cpuid<'_>) -> Self {
        let found = amd_extended(cpuid)
            .or_else(|| extended(cpuid, 0x1f))
            .or_else(|| extended(cpuid, 0xb).map(|shape| with_nodes(shape, cpuid)));
        // The vendors' older leaves look alike but mean different things.
        let found = found.or_else(|| match cpuid.is_amd() {
            true => amd(cpuid).map(|shape| with_nodes(shape, cpuid)),
            false => intel(cpuid),
        });
        // A shift is never below that of the field underneath, whatever CPUID returns: the
        // difference is the field's width. All shifts are below 32: CPUID's fields for them have 5
        // bits, and numbers of CPUs 8.
        let mut shape = found.unwrap_or_default();
        shape.die_shift = shape.die_shift.max(shape.thread_bits);
        shape.package_shift = shape.package_shift.max(shape.die_shift);
        shape
    }

    pub(super) fn locate(self, id: ApicId) -> Place {
        let id = id.get();
        let die = low_bits(id, self.package_shift) >> self.die_shift;
        Place {
            package: id >> self.package_shift,
            die: self.node.map_or(die, |node| node.number),
            core: low_bits(id, self.die_shift) >> self.thread_bits,
            thread: low_bits(id, self.thread_bits),
        }
    }

    /// The lowest APIC ID that a CPU of the same die could have.
    pub(super) fn first_of_die(self, id: ApicId) -> ApicId {
        let Some(Node { number, cpus }) = self.node else {
            return shared_by(id, self.die_shift);
        };
        let package = shared_by(id, self.package_shift);
        let first = package.get().saturating_add(number * cpus);
        // It would be above this CPU's ID if CPUID contradicts itself.
        ApicId::new(first).min(id)
    }
}

/// A level of leaf 0xB, 0x1F or 0x8000_0026, of which the parts used here have the same layout.
pub(super) struct Level {
    pub(super) kind: u32,
    /// The bit of the APIC ID at which the field above this level begins.
    shift: u32,
    count: u32,
    pub(super) eax: u32,
    pub(super) ebx: u32,
}

/// The levels of a leaf, from the threads upwards.
pub(super) fn levels(cpuid: &Cpuid<'_>, leaf: u32) -> impl Iterator<Item = Level> {
    /// More than any manual defines (6).
    const MOST: u32 = 16;
    const INVALID: u32 = 0;
    let level = move |sub_leaf| {
        let found = cpuid.get(leaf, sub_leaf);
        Level {
            kind: found.ecx >> 8 & 0xff,
            shift: found.eax & 0x1f,
            count: found.ebx & 0xffff,
            eax: found.eax,
            ebx: found.ebx,
        }
    };
    // The count is 0 if the leaf does not exist.
    let levels = (0..MOST).map(level);
    levels.take_while(|level| level.kind != INVALID && level.count != 0)
}

/// Leaf 0x8000_0026 (Extended CPU Topology).
pub(super) const AMD_EXTENDED: u32 = 0x8000_0026;

/// Leaf 0xB (Extended Topology: Intel, AMD since Zen 2) or 0x1F (V2 Extended Topology: Intel).
fn extended(cpuid: &Cpuid<'_>, leaf: u32) -> Option<IdFields> {
    const THREADS: u32 = 1;
    /// Core, module and tile are types 2 to 4.
    const DIE: u32 = 5;
    let mut shape = None;
    for level in levels(cpuid, leaf) {
        let shape: &mut IdFields = shape.get_or_insert_default();
        if level.kind == THREADS {
            (shape.thread_bits, shape.threads) = (level.shift, level.count);
        }
        if level.kind < DIE {
            shape.die_shift = level.shift;
        }
        // A group of dies (type 6) and any level of unknown type are part of the die's number.
        shape.package_shift = level.shift;
    }
    shape
}

/// Leaf 0x8000_0026 (Extended CPU Topology: AMD since Zen 4). A level's shift leads to itself, not
/// to the one above as in leaf 0xB; but the types, too, are one further up, so fields are the same.
fn amd_extended(cpuid: &Cpuid<'_>) -> Option<IdFields> {
    const CORE: u32 = 1;
    const DIE: u32 = 3;
    const SOCKET: u32 = 4;
    let (mut shape, mut die, mut socket) = (IdFields::default(), None, None);
    for level in levels(cpuid, AMD_EXTENDED) {
        match level.kind {
            CORE => (shape.thread_bits, shape.threads) = (level.shift, level.count),
            DIE => die = Some(level.shift),
            SOCKET => socket = Some(level.shift),
            _ => {}
        }
    }
    shape.package_shift = socket?;
    shape.die_shift = die.unwrap_or(shape.package_shift);
    Some(shape)
}

/// AMD before leaf 0xB: leaf 0x8000_0008 has the width of the fields below the package, leaf
/// 0x8000_001E a core's threads. (On family 15h, the cores of a compute unit count as threads of
/// one core.)
///
/// Before family 17h, packages with several nodes (Opteron 6200 and 6300) have no bits for the node
/// in the APIC ID: CPUs are numbered through the package (BKDG 42301, CPUID Fn8000_001E). Family
/// 10h with two nodes (Opteron 6100) has no such leaf, only a model-specific register: such a
/// package counts as one die.
fn amd(cpuid: &Cpuid<'_>) -> Option<IdFields> {
    let size = cpuid.get(0x8000_0008, 0).ecx;
    let package_shift = match size >> 12 & 0xf {
        // "Legacy method": the field is just wide enough for the number of threads.
        0 => width((size & 0xff) + 1),
        bits => bits,
    };
    let threads = (cpuid.get(0x8000_001e, 0).ebx >> 8 & 0xff) + 1;
    let (nodes, node) = nodes(cpuid);
    let has_no_bits = nodes > 1 && cpuid.family() < 0x17;
    (package_shift > 0).then_some(IdFields {
        thread_bits: width(threads),
        die_shift: package_shift,
        package_shift,
        threads,
        is_compute_unit: cpuid.family() == 0x15,
        node: has_no_bits
            .then_some(Node { number: node % nodes, cpus: ((size & 0xff) + 1) / nodes }),
    })
}

/// AMD's leaf 0x8000_001E: nodes (dies) of a package, and the machine-wide number of this CPU's.
fn nodes(cpuid: &Cpuid<'_>) -> (u32, u32) {
    let ecx = cpuid.get(0x8000_001e, 0).ecx;
    ((ecx >> 8 & 0b111) + 1, ecx & 0xff)
}

/// From family 17h on, AMD's nodes are the highest bits below the package's number, on CPUs with
/// several (Zen 1) and in QEMU; the manual does not say so. Before, they have no bits: [`amd`].
fn with_nodes(mut shape: IdFields, cpuid: &Cpuid<'_>) -> IdFields {
    if cpuid.is_amd() && shape.die_shift == shape.package_shift && shape.node.is_none() {
        let (nodes, _) = nodes(cpuid);
        shape.die_shift = shape.package_shift.saturating_sub(width(nodes));
    }
    shape
}

/// Intel before leaf 0xB: leaf 1 has the number of APIC IDs in a package, leaf 4 that of its cores.
fn intel(cpuid: &Cpuid<'_>) -> Option<IdFields> {
    const HTT: u32 = 1 << 28;
    let features = cpuid.get(1, 0);
    if features.edx & HTT == 0 {
        // The field below is only valid if this flag is set; otherwise a package is one CPU.
        return None;
    }
    let package_shift = width(features.ebx >> 16 & 0xff);
    let core_bits = width((cpuid.get(4, 0).eax >> 26) + 1);
    Some(IdFields {
        thread_bits: package_shift.saturating_sub(core_bits),
        die_shift: package_shift,
        package_shift,
        ..IdFields::default()
    })
}

fn low_bits(value: u32, bits: u32) -> u32 {
    value & ((1 << bits) - 1)
}

/// Bits needed to number `count` things from 0.
pub(super) fn width(count: u32) -> u32 {
    // Above 2^31 a power of two would not fit.
    u32::BITS - count.saturating_sub(1).leading_zeros()
}

/// The lowest APIC ID that differs from `id` at most in the lowest `bits` bits.
pub(super) fn shared_by(id: ApicId, bits: u32) -> ApicId {
    let id = u64::from(id.get());
    // Lossless: the result is at most `id`. `bits` may be 32 or more if CPUID is wrong.
    ApicId::new(id.checked_shr(bits).map_or(0, |high| high << bits) as u32)
}
