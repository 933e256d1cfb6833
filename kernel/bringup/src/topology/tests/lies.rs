//! Random CPUID data: none may cause a panic, an endless loop, or two CPUs in one place.

use core::{arch::x86_64::CpuidResult, cell::Cell};

use super::{AMD, ApicId, Cpuid, HYGON, INTEL, IdFields, Topology};

/// Number of machines to try. Each is derived from its number alone: failures reproduce.
const MACHINES: u64 = 200_000;

/// A machine whose CPUID returns anything.
#[derive(Debug)]
struct Liar {
    number: u64,
    questions: Cell<u32>,
}

impl Liar {
    /// Any APIC ID; for every second machine one of 8 bits.
    fn id(&self) -> u32 {
        let id = mixed(self.number) as u32;
        if self.number.is_multiple_of(2) { id } else { id & 0xff }
    }

    fn read(&self, id: u32) -> (IdFields, Topology) {
        let read = |leaf, sub_leaf| self.answer(leaf, sub_leaf);
        let cpuid = Cpuid::by(&read);
        (IdFields::of(&cpuid), Topology::by(&cpuid, ApicId::new(id)))
    }

    fn answer(&self, leaf: u32, sub_leaf: u32) -> CpuidResult {
        self.questions.set(self.questions.get() + 1);
        // Far more reads than any machine needs.
        assert!(self.questions.get() <= 2000, "asks without end");
        let question = u64::from(leaf) << 32 | u64::from(sub_leaf);
        let random = |register| mixed(mixed(self.number ^ mixed(question)) + register);
        let [eax, ebx, ecx, edx] = [1, 2, 3, 4].map(|nth| register(random(nth)));
        // Mostly, all leaves exist and the vendor is a known one.
        let highest = |usual| if random(5) % 4 > 0 { usual } else { eax };
        match leaf {
            0 => {
                let [ebx, edx, ecx] = [INTEL, AMD, HYGON, [0; 3]][(random(6) % 4) as usize];
                let eax = highest(0x20);
                CpuidResult { eax, ebx, ecx, edx }
            }
            0x8000_0000 => CpuidResult {
                eax: highest([0x8000_0026, 0x8000_001e, 0x8000_0008][(random(6) % 3) as usize]),
                ebx,
                ecx,
                edx,
            },
            // Absent every second time: otherwise later leaves would never be read.
            _ if random(7) % 2 == 0 => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult { eax, ebx, ecx, edx },
        }
    }
}

/// A register's value: anything, one small field, the type of a level, an extreme.
fn register(random: u64) -> u32 {
    let value = (random >> 32) as u32;
    match random % 6 {
        0 => value,
        1 => (value & 0x3f) << (value >> 27),
        2 | 3 => (value >> 8 & 0x7) << 8 | value & 0x1f,
        4 => value & 0x03ff_f07f,
        _ => [0, 1, u32::MAX, 0x7fff_ffff][(value % 4) as usize],
    }
}

/// SplitMix64's output function (Steele, Lea, Flood 2014).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[test]
fn every_place_is_one_cpus_alone_and_those_that_share_a_cache_agree_on_it() {
    let (mut caches, mut dies, mut nodes) = (0, 0, 0);
    for number in 0..MACHINES {
        let liar = Liar { number, questions: Cell::new(0) };
        let id = liar.id();
        let (shape, topology) = liar.read(id);
        let place = topology.place;
        assert!(shape.package_shift < 32, "{liar:?}: {shape:?}");
        // The fields joined again are the ID.
        let die = if shape.node.is_some() { 0 } else { place.die };
        let whole = u64::from(place.package) << shape.package_shift
            | u64::from(die) << shape.die_shift
            | u64::from(place.core) << shape.thread_bits
            | u64::from(place.thread);
        assert_eq!(whole, u64::from(id), "{liar:?}: {shape:?}");
        for cache in topology.caches() {
            let is_likely = cache.level > 0 && cache.first.get() <= id;
            let theirs = liar.read(cache.first.get()).1.caches;
            assert!(is_likely && theirs.contains(&Some(cache)), "{liar:?}: {cache:?}");
        }
        caches += topology.caches().count() as u64;
        dies += u64::from(place.die > 0);
        nodes += u64::from(shape.node.is_some());
    }
    // The data is plausible enough to reach the code behind the first checks.
    assert!(caches > MACHINES / 2 && dies > 1000 && nodes > 1000, "{caches}, {dies}, {nodes}");
}
