//! Machines of many shapes and models: what the kernel must bring up and see right.
//!
//! All combinations of a few numbers of sockets, dies, cores and threads would be some hundreds;
//! each CPU model on each board with each of them, many thousands. [`all`] takes every second
//! shape, and deals models and boards out to them in turn, so that each meets shapes of all sorts.

use boot::MachineType;

use crate::model::{ALL, CpuModel};
use crate::shape::Shape;

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Setup {
    /// QEMU's board.
    pub machine: MachineType,
    /// Its CPUs' model.
    pub model: CpuModel,
    /// QEMU's `-smp`.
    pub smp: String,
}

/// A level's numbers: powers of two, and those that leave holes in the APIC IDs. An odd number of
/// each, so that every second combination has all of them.
const SOCKETS: [u32; 5] = [1, 2, 3, 4, 5];
const DIES: [u32; 3] = [1, 2, 3];
const CORES: [u32; 7] = [1, 2, 3, 4, 5, 6, 7];
const THREADS: [u32; 3] = [1, 2, 3];

/// Most CPUs of a machine of the combinations. Larger ones, which take longer, are listed singly.
const MOST: u32 = 24;

/// The highest ID that an xAPIC can address: 255 is broadcast.
const HIGHEST_ID: u32 = 254;

/// The machines.
#[must_use]
pub fn all() -> Vec<Setup> {
    let mut boards = [MachineType::Q35, MachineType::Pc, MachineType::Microvm].into_iter().cycle();
    let mut models = ALL.into_iter().cycle();
    let small = combinations().into_iter().map(|smp| {
        let shape = Shape::of(&smp);
        let fits = |model: &CpuModel| model.fits(&shape);
        let model = models.find(fits).expect("some model fits every shape");
        let board = boards.find(|board| fits_board(*board, &shape));
        Setup { machine: board.expect("some board fits every shape"), model, smp }
    });
    small.chain(singly()).collect()
}

/// `-smp` values of small machines.
fn combinations() -> Vec<String> {
    let mut all = Vec::new();
    for threads in THREADS {
        for cores in CORES {
            for dies in DIES {
                for sockets in SOCKETS {
                    all.push([sockets, dies, cores, threads]);
                }
            }
        }
    }
    all.retain(|levels| levels.iter().product::<u32>() <= MOST);
    let taken = all.into_iter().step_by(2).enumerate();
    taken
        .map(|(place, [sockets, dies, cores, threads])| {
            let places = sockets * dies * cores * threads;
            // One in three has empty places: some threads, cores or a package are missing.
            let cpus = match place % 3 {
                0 if places > 1 => places - 1 - place as u32 % (places / 2),
                _ => places,
            };
            let mut smp = format!("{cpus},sockets={sockets}");
            // A board that knows no dies does not want to hear of them.
            if dies > 1 {
                smp.push_str(&format!(",dies={dies}"));
            }
            smp.push_str(&format!(",cores={cores},threads={threads}"));
            if cpus < places {
                smp.push_str(&format!(",maxcpus={places}"));
            }
            smp
        })
        .filter(|smp| highest_id(&Shape::of(smp)) <= HIGHEST_ID)
        .collect()
}

/// Machines for a reason of their own: more IDs to an L3 cache than CPUs by more than a power of
/// two; holes on all levels; large ones; the highest ID on a sparse and on a full board.
fn singly() -> impl Iterator<Item = Setup> {
    [
        (MachineType::Q35, "EPYC 30,sockets=1,dies=2,cores=5,threads=3"),
        (MachineType::Pc, "Skylake-Server 30,sockets=2,cores=5,threads=3"),
        (MachineType::Q35, "Skylake-Server 81,sockets=3,dies=3,cores=3,threads=3"),
        (MachineType::Microvm, "Opteron_G5 64,sockets=4,cores=8,threads=2"),
        (MachineType::Pc, "EPYC-Rome 144,sockets=2,dies=3,cores=12,threads=2"),
        (MachineType::Q35, "phenom 3,sockets=255,cores=1,threads=1,maxcpus=255"),
        (MachineType::Q35, "max 255"),
    ]
    .into_iter()
    .map(|(machine, line)| {
        let (name, smp) = line.split_once(' ').expect("a model and an -smp");
        let model = ALL.into_iter().find(|model| model.name == name);
        Setup { machine, model: model.expect("a model of the list"), smp: smp.to_owned() }
    })
}

/// Only PCs have dies.
fn fits_board(machine: MachineType, shape: &Shape) -> bool {
    machine != MachineType::Microvm || shape.dies == 1
}

/// The highest APIC ID of the places of a board.
fn highest_id(shape: &Shape) -> u32 {
    let full = Shape { cpus: shape.max_cpus, ..*shape };
    full.table().iter().map(|cpu| cpu.apic_id).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use boot::MachineType;

    use super::{ALL, Shape, all};

    #[test]
    fn the_list_is_long_and_has_everything() {
        let machines = all();
        let different: BTreeSet<_> = machines.iter().map(|setup| &setup.smp).collect();
        assert!(different.len() >= 60 && different.len() == machines.len());
        for model in ALL {
            let dealt = machines.iter().filter(|setup| setup.model == model);
            assert!(dealt.count() >= 2, "{}", model.name);
        }
        for board in [MachineType::Q35, MachineType::Pc, MachineType::Microvm] {
            let dealt = machines.iter().filter(|setup| setup.machine == board);
            assert!(dealt.count() >= 10, "{board}");
        }
        let shapes: Vec<_> = machines.iter().map(|setup| Shape::of(&setup.smp)).collect();
        let levels = |shape: &Shape| [shape.sockets, shape.dies, shape.cores, shape.threads];
        assert!(shapes.iter().any(|shape| levels(shape) == [3; 4]));
        assert!(shapes.iter().filter(|shape| shape.cpus < shape.max_cpus).count() >= 15);
    }
}
