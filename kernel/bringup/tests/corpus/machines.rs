//! The machines whose MADTs are in this folder. The example `corpus` makes them, the test `corpus`
//! compares each table with what QEMU was told.

/// A machine as QEMU was told to make it. Its table is in the file of its name.
pub(crate) struct Machine {
    /// What the file is called, without the extension `madt`.
    pub(crate) name: &'static str,
    pub(crate) board: Board,
    pub(crate) smp: Smp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Board {
    Pc,
    Q35,
    /// Without the devices of old PCs.
    Microvm,
    /// As the project's own guests have it.
    MicrovmWithPit,
    MicrovmWithOneIoApic,
    /// For APIC IDs above 254, which QEMU 7.2 has with KVM only.
    Q35Kvm,
}

/// The machine has room for as many CPUs as the product says, of which the first `enabled` are there.
pub(crate) struct Smp {
    pub(crate) enabled: usize,
    pub(crate) sockets: usize,
    pub(crate) dies: usize,
    pub(crate) cores: usize,
    pub(crate) threads: usize,
}

pub(crate) const MACHINES: &[Machine] = &[
    machine("q35-1", Board::Q35, 1, [1, 1, 1, 1]),
    machine("q35-4", Board::Q35, 4, [1, 1, 4, 1]),
    machine("q35-4-of-8", Board::Q35, 4, [1, 1, 8, 1]),
    machine("q35-9-sockets-3-cores-3", Board::Q35, 9, [3, 1, 3, 1]),
    machine("q35-5-of-6-sockets-2-cores-3", Board::Q35, 5, [2, 1, 3, 1]),
    machine(
        "q35-12-sockets-2-cores-3-threads-2",
        Board::Q35,
        12,
        [2, 1, 3, 2],
    ),
    machine(
        "q35-12-sockets-2-dies-2-cores-3",
        Board::Q35,
        12,
        [2, 2, 3, 1],
    ),
    machine(
        "q35-7-of-30-sockets-3-cores-5-threads-2",
        Board::Q35,
        7,
        [3, 1, 5, 2],
    ),
    machine("q35-189-sockets-63-cores-3", Board::Q35, 189, [63, 1, 3, 1]),
    machine("q35-255", Board::Q35, 255, [1, 1, 255, 1]),
    machine("pc-1", Board::Pc, 1, [1, 1, 1, 1]),
    machine("pc-4", Board::Pc, 4, [4, 1, 1, 1]),
    machine("pc-9-sockets-3-cores-3", Board::Pc, 9, [3, 1, 3, 1]),
    machine("pc-2-of-255", Board::Pc, 2, [255, 1, 1, 1]),
    machine("microvm-1", Board::Microvm, 1, [1, 1, 1, 1]),
    machine("microvm-4", Board::Microvm, 4, [1, 1, 4, 1]),
    machine(
        "microvm-9-sockets-3-cores-3",
        Board::MicrovmWithPit,
        9,
        [3, 1, 3, 1],
    ),
    machine(
        "microvm-4-one-io-apic",
        Board::MicrovmWithOneIoApic,
        4,
        [1, 1, 2, 2],
    ),
    machine("kvm-288", Board::Q35Kvm, 288, [1, 1, 288, 1]),
    machine(
        "kvm-4-of-288-sockets-96-cores-3",
        Board::Q35Kvm,
        4,
        [96, 1, 3, 1],
    ),
];

const fn machine(
    name: &'static str,
    board: Board,
    enabled: usize,
    [sockets, dies, cores, threads]: [usize; 4],
) -> Machine {
    let smp = Smp {
        enabled,
        sockets,
        dies,
        cores,
        threads,
    };
    Machine { name, board, smp }
}
