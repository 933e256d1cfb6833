//! The MADTs that QEMU 7.2 (Debian 12) makes, against the options it was given.
//!
//! The name of a file in `tests/corpus` begins with the board: `pc`, `q35`, `microvm` (`acpi=on`; with 9 CPUs also
//! `pit=on,pic=on,rtc=on`), `kvm` (q35 with `kernel-irqchip=split` and an IOMMU with `eim=on`: TCG has no APIC IDs
//! above 254). The table is from the machine's memory, when the firmware had put it there: monitor command
//! `pmemsave`.

use std::{collections::BTreeSet, fs, path::Path};

use bringup::{ApicId, CpuMap, CpuState, IoApic, LintUse, Madt, MadtCpu, NmiPins};

/// File, CPUs that are there, sockets, dies, cores and threads (the machine has room for as many CPUs as their product
/// says), I/O APICs.
type Machine = (&'static str, usize, [usize; 4], usize);

const MACHINES: [Machine; 12] = [
    ("q35-4-of-8", 4, [1, 1, 8, 1], 1),
    ("q35-9-sockets-3-cores-3", 9, [3, 1, 3, 1], 1),
    ("q35-12-sockets-2-dies-2-cores-3", 12, [2, 2, 3, 1], 1),
    ("q35-7-of-30-sockets-3-cores-5-threads-2", 7, [3, 1, 5, 2], 1),
    ("q35-189-sockets-63-cores-3", 189, [63, 1, 3, 1], 1),
    ("q35-255", 255, [1, 1, 255, 1], 1),
    ("pc-1", 1, [1, 1, 1, 1], 1),
    ("pc-2-of-255", 2, [255, 1, 1, 1], 1),
    ("microvm-9-sockets-3-cores-3", 9, [3, 1, 3, 1], 2),
    ("microvm-4-one-io-apic", 4, [1, 1, 2, 2], 1),
    ("kvm-288", 288, [1, 1, 288, 1], 1),
    ("kvm-4-of-288-sockets-96-cores-3", 4, [96, 1, 3, 1], 1),
];

#[test]
fn every_machine_has_a_table_and_every_table_a_machine() {
    let files = fs::read_dir(folder()).expect("readable");
    let files: BTreeSet<_> = files.map(|file| file.expect("readable").file_name()).collect();
    let machines = MACHINES.map(|(name, ..)| format!("{name}.madt").into());
    assert_eq!(files, BTreeSet::from(machines));
}

#[test]
fn each_table_says_what_qemu_was_told() {
    for (name, enabled, smp, io_apics) in MACHINES {
        let bytes = fs::read(folder().join(name).with_extension("madt")).expect("readable");
        let madt = Madt::parse(&bytes).expect(name);
        assert_eq!(madt.bad_entries().count(), 0, "{name}");
        assert!(Madt::parse(&bytes[..bytes.len() - 1]).is_none(), "{name}");

        let ids = apic_ids(smp);
        let cpu = |(place, id): (usize, &u32)| MadtCpu {
            apic_id: ApicId::new(*id),
            uid: place as u32,
            state: if place < enabled { CpuState::Enabled } else { CpuState::Disabled },
        };
        let expected: Vec<_> = ids.iter().enumerate().map(cpu).collect();
        assert_eq!(madt.cpus().collect::<Vec<_>>(), expected, "{name}");

        let io_apic = |id: u8| IoApic {
            id,
            address: 0xfec0_0000 + 0x1_0000 * u32::from(id),
            gsi_base: 24 * u32::from(id),
        };
        assert!(madt.io_apics().eq((0..io_apics as u8).map(io_apic)), "{name}");

        check_map(name, &madt, &ids, enabled);
    }
}

/// By whichever CPU the firmware may start, indices ascend with IDs; NMIs come in at LINT1 of all.
fn check_map(name: &str, madt: &Madt<'_>, ids: &[u32], enabled: usize) {
    for bsp in [0, enabled - 1] {
        let mut expected = ids.to_vec();
        expected[..=bsp].rotate_right(1);
        let map = CpuMap::from_madt(madt, None, ApicId::new(ids[bsp])).expect(name);
        assert!(map.iter().map(|(_, id)| id.get()).eq(expected), "{name}");
        assert_eq!(map.enabled(), enabled, "{name}");
        let pins = NmiPins::new(madt, &map);
        let lint1 = [LintUse::Masked, LintUse::Nmi { active_low: false }];
        assert!(map.iter().all(|(cpu, _)| pins.of(cpu) == lint1), "{name}");
        assert_eq!(pins.not_covered(), 0, "{name}");
    }
}

/// APIC IDs in the order of QEMU's list: fields for socket, die, core and thread, each as wide as its
/// highest number needs.
fn apic_ids([sockets, dies, cores, threads]: [usize; 4]) -> Vec<u32> {
    let width = |count: usize| count.next_power_of_two().trailing_zeros();
    let places = (0..sockets * dies * cores * threads).map(|place| {
        let (thread, place) = (place % threads, place / threads);
        let (core, place) = (place % cores, place / cores);
        let (die, socket) = (place % dies, place / dies);
        let id = socket << width(dies) | die;
        ((id << width(cores) | core) << width(threads) | thread) as u32
    });
    places.collect()
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}
