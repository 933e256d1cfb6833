//! The MADTs that QEMU makes, against what it was told to make.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use bringup::{ApicId, CpuMap, CpuState, Disabled, IoApic, LintUse, Madt, MadtCpu, NmiPins};

#[path = "corpus/machines.rs"]
mod machines;

use machines::{Board, MACHINES, Machine, Smp};

#[test]
fn every_machine_has_a_table_and_every_table_a_machine() {
    let files: BTreeSet<_> = fs::read_dir(folder())
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "madt")
        })
        .collect();
    let machines: BTreeSet<_> = MACHINES.iter().map(path).collect();
    assert_eq!(files, machines);
}

#[test]
fn the_cpus_are_those_that_qemu_was_told() {
    for (machine, bytes) in tables() {
        let madt = parse(machine, &bytes);
        let expected: Vec<_> = apic_ids(&machine.smp)
            .into_iter()
            .enumerate()
            .map(|(place, id)| MadtCpu {
                apic_id: ApicId::new(id),
                uid: place as u32,
                state: if place < machine.smp.enabled {
                    CpuState::Enabled
                } else {
                    CpuState::Disabled
                },
            })
            .collect();
        assert_eq!(
            madt.cpus().collect::<Vec<_>>(),
            expected,
            "{}",
            machine.name
        );
    }
}

#[test]
fn the_ids_of_some_machines_are_sparse_and_some_are_large() {
    let ids = |name| {
        let machine = MACHINES.iter().find(|machine| machine.name == name);
        let bytes = fs::read(path(machine.expect("listed"))).expect("readable");
        let madt = Madt::parse(&bytes).expect("intact");
        madt.cpus().map(|cpu| cpu.apic_id.get()).collect::<Vec<_>>()
    };
    let three_by_three = [0, 1, 2, 4, 5, 6, 8, 9, 10];
    assert_eq!(ids("q35-9-sockets-3-cores-3"), three_by_three);
    assert_eq!(ids("pc-9-sockets-3-cores-3"), three_by_three);
    assert_eq!(ids("microvm-9-sockets-3-cores-3"), three_by_three);
    let with_threads = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13];
    assert_eq!(ids("q35-12-sockets-2-cores-3-threads-2"), with_threads);
    assert_eq!(ids("q35-189-sockets-63-cores-3").last(), Some(&250));
    assert_eq!(ids("kvm-288").last(), Some(&287));
    assert_eq!(ids("kvm-4-of-288-sockets-96-cores-3").last(), Some(&382));
}

#[test]
fn enabled_cpus_have_the_first_indices_whoever_is_the_bsp() {
    for (machine, bytes) in tables() {
        let madt = parse(machine, &bytes);
        let mut ids = apic_ids(&machine.smp);
        let map =
            CpuMap::from_madt(&madt, Disabled::MayCome, ApicId::new(0)).expect("the BSP is listed");
        assert_eq!(map.raw_ids(), ids, "{}", machine.name);
        assert_eq!(map.enabled(), machine.smp.enabled, "{}", machine.name);
        assert_eq!(map.left_out(), 0);

        let last = machine.smp.enabled - 1;
        let bsp = ApicId::new(ids[last]);
        let map = CpuMap::from_madt(&madt, Disabled::MayCome, bsp).expect("the BSP is listed");
        ids[..=last].rotate_right(1);
        assert_eq!(map.raw_ids(), ids, "{}", machine.name);
        assert_eq!(map.enabled(), machine.smp.enabled, "{}", machine.name);
    }
}

#[test]
fn nmi_comes_in_at_lint1_of_every_cpu() {
    let expected = [LintUse::Masked, LintUse::Nmi { active_low: false }];
    for (machine, bytes) in tables() {
        let madt = parse(machine, &bytes);
        let map = CpuMap::from_madt(&madt, Disabled::MayCome, ApicId::new(0)).expect("valid");
        let pins = NmiPins::new(&madt, &map);
        for (cpu, id) in map.iter() {
            assert_eq!(pins.of(cpu), expected, "{}, {id}", machine.name);
        }
        assert_eq!(pins.not_covered(), 0);
    }
}

#[test]
fn io_apics_are_where_qemu_puts_them() {
    let io_apic = |id, address, gsi_base| IoApic {
        id,
        address,
        gsi_base,
    };
    let one = [io_apic(0, 0xfec0_0000, 0)];
    let two = [io_apic(0, 0xfec0_0000, 0), io_apic(1, 0xfec1_0000, 24)];
    for (machine, bytes) in tables() {
        let madt = parse(machine, &bytes);
        let expected: &[IoApic] = match machine.board {
            Board::Microvm | Board::MicrovmWithPit => &two,
            Board::MicrovmWithOneIoApic | Board::Pc | Board::Q35 | Board::Q35Kvm => &one,
        };
        let found: Vec<_> = madt.io_apics().collect();
        assert_eq!(found, expected, "{}", machine.name);
    }
}

#[test]
fn the_tables_have_nothing_behind_them_and_no_byte_to_spare() {
    for (machine, bytes) in tables() {
        assert_eq!(parse(machine, &bytes).bad_entries().count(), 0);
        let cut = &bytes[..bytes.len() - 1];
        assert!(Madt::parse(cut).is_err(), "{}", machine.name);
    }
}

/// APIC IDs in the order of QEMU's list: fields for socket, die, core and thread, each as wide as its
/// highest number needs.
fn apic_ids(smp: &Smp) -> Vec<u32> {
    let width = |count: usize| count.next_power_of_two().trailing_zeros();
    let mut ids = vec![];
    for socket in 0..smp.sockets {
        for die in 0..smp.dies {
            for core in 0..smp.cores {
                for thread in 0..smp.threads {
                    let mut id = socket;
                    id = id << width(smp.dies) | die;
                    id = id << width(smp.cores) | core;
                    id = id << width(smp.threads) | thread;
                    ids.push(id as u32);
                }
            }
        }
    }
    ids
}

fn tables() -> impl Iterator<Item = (&'static Machine, Vec<u8>)> {
    let read = |machine| fs::read(path(machine)).expect("run the example `corpus`");
    MACHINES.iter().map(move |machine| (machine, read(machine)))
}

fn parse<'a>(machine: &Machine, bytes: &'a [u8]) -> Madt<'a> {
    Madt::parse(bytes).unwrap_or_else(|error| panic!("{}: {error}", machine.name))
}

fn path(machine: &Machine) -> PathBuf {
    folder().join(machine.name).with_extension("madt")
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}
