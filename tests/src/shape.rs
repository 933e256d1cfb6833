//! What QEMU makes of `-smp`: which CPUs exist, and what the hardware calls them.
//!
//! This is the tests' own computation, by the rules that QEMU documents for machine types since 6.2
//! (cores are preferred over sockets) and Intel's encoding of x2APIC IDs (SDM Vol. 3A, 9.9.1): each
//! level takes as many bits as its largest number needs, threads lowest. The kernel never sees it. Which
//! of it a CPU model tells is [`Model`](crate::model::Model)'s matter.

use protocol::event::Cpu;

/// An `-smp` value, every omitted level filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// CPUs present at start.
    pub cpus: u32,
    /// CPUs that the board has places for.
    pub max_cpus: u32,
    /// Sockets of the board.
    pub sockets: u32,
    /// Dies per socket.
    pub dies: u32,
    /// Cores per die.
    pub cores: u32,
    /// Threads per core.
    pub threads: u32,
    /// APIC ID of a CPU that is listed but not there.
    pub ghost: Option<u32>,
}

impl Shape {
    /// Reads an `-smp` value such as `8`, `4,maxcpus=8` or `9,sockets=3,cores=3,threads=1`.
    ///
    /// # Panics
    ///
    /// If it is none of the forms used here, or its levels do not multiply to `maxcpus`: QEMU would
    /// refuse it, so it is a mistake in a test.
    #[must_use]
    pub fn of(smp: &str) -> Self {
        let mut given = Self {
            cpus: 0,
            max_cpus: 0,
            sockets: 0,
            dies: 0,
            cores: 0,
            threads: 0,
            ghost: None,
        };
        for part in smp.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("cpus", part));
            let field = match key {
                "cpus" => &mut given.cpus,
                "maxcpus" => &mut given.max_cpus,
                "sockets" => &mut given.sockets,
                "dies" => &mut given.dies,
                "cores" => &mut given.cores,
                "threads" => &mut given.threads,
                _ => panic!("-smp {smp}: {key} is not a level of these tests"),
            };
            *field = value
                .parse()
                .unwrap_or_else(|_| panic!("-smp {smp}: {value} is no number"));
        }
        let shape = given.filled_in();
        assert_eq!(
            shape.sockets * shape.dies * shape.cores * shape.threads,
            shape.max_cpus,
            "-smp {smp}: the levels do not multiply to maxcpus"
        );
        shape
    }

    fn filled_in(mut self) -> Self {
        let or_one = |level: u32| level.max(1);
        if self.max_cpus == 0 {
            self.max_cpus = self.cpus;
        }
        self.dies = or_one(self.dies);
        if self.cores == 0 {
            self.sockets = or_one(self.sockets);
            self.threads = or_one(self.threads);
            self.cores = self.max_cpus / (self.sockets * self.dies * self.threads);
        } else if self.sockets == 0 {
            self.threads = or_one(self.threads);
            self.sockets = self.max_cpus / (self.dies * self.cores * self.threads);
        } else if self.threads == 0 {
            self.threads = self.max_cpus / (self.sockets * self.dies * self.cores);
        }
        self
    }

    /// The index table that the kernel must come to if its CPU tells all levels: the CPUs present, in
    /// ascending order of their APIC IDs. The BSP is QEMU's first CPU, so the first line is the BSP's.
    /// Times are 0. The ghost has no line, but an index: those of the CPUs after it are one higher.
    #[must_use]
    pub fn table(&self) -> Vec<Cpu> {
        let [die_bits, core_bits, thread_bits] = self.bits();
        (0..self.cpus)
            .map(|index| {
                let thread = index % self.threads;
                let core = index / self.threads % self.cores;
                let die = index / (self.threads * self.cores) % self.dies;
                let package = index / (self.threads * self.cores * self.dies);
                let apic_id =
                    ((package << die_bits | die) << core_bits | core) << thread_bits | thread;
                let after_ghost = self.ghost.is_some_and(|ghost| ghost < apic_id);
                Cpu {
                    index: index + u32::from(after_ghost),
                    apic_id,
                    package,
                    die,
                    core,
                    thread,
                    kind: None,
                    online_us: 0,
                }
            })
            .collect()
    }

    /// Bits of an APIC ID for die, core and thread.
    #[must_use]
    pub fn bits(&self) -> [u32; 3] {
        [self.dies, self.cores, self.threads].map(bits_for)
    }
}

/// Bits that tell `count` things apart.
pub(crate) fn bits_for(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::Shape;

    fn apic_ids(smp: &str) -> Vec<u32> {
        Shape::of(smp)
            .table()
            .iter()
            .map(|cpu| cpu.apic_id)
            .collect()
    }

    #[test]
    fn a_plain_number_is_one_package_of_cores() {
        assert_eq!(apic_ids("4"), [0, 1, 2, 3]);
        let table = Shape::of("4").table();
        assert!(table.iter().all(|cpu| cpu.package == 0 && cpu.thread == 0));
        assert_eq!(
            table.iter().map(|cpu| cpu.core).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn three_cores_take_two_bits() {
        assert_eq!(
            apic_ids("9,sockets=3,cores=3,threads=1"),
            [0, 1, 2, 4, 5, 6, 8, 9, 10]
        );
        let table = Shape::of("9,sockets=3,cores=3,threads=1").table();
        let places: Vec<_> = table.iter().map(|cpu| (cpu.package, cpu.core)).collect();
        assert_eq!(
            places,
            [
                (0, 0),
                (0, 1),
                (0, 2),
                (1, 0),
                (1, 1),
                (1, 2),
                (2, 0),
                (2, 1),
                (2, 2)
            ]
        );
    }

    #[test]
    fn threads_are_the_lowest_bits() {
        assert_eq!(
            apic_ids("6,sockets=1,cores=2,threads=3"),
            [0, 1, 2, 4, 5, 6]
        );
        let table = Shape::of("6,sockets=1,cores=2,threads=3").table();
        assert_eq!((table[4].core, table[4].thread), (1, 1));
    }

    #[test]
    fn dies_lie_between_cores_and_packages() {
        assert_eq!(
            apic_ids("12,sockets=2,dies=2,cores=3,threads=1"),
            [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]
        );
        let table = Shape::of("12,sockets=2,dies=2,cores=3,threads=1").table();
        assert_eq!((table[4].package, table[4].die, table[4].core), (0, 1, 1));
    }

    #[test]
    fn absent_cpus_have_a_place_but_no_line() {
        assert_eq!(apic_ids("4,maxcpus=8"), [0, 1, 2, 3]);
        assert_eq!(Shape::of("4,maxcpus=8").cores, 8);
        // The places decide the bits: four cores of which three are present.
        assert_eq!(
            apic_ids("5,maxcpus=6,sockets=2,cores=3,threads=1"),
            [0, 1, 2, 4, 5]
        );
    }

    #[test]
    fn a_ghost_has_an_index_but_no_line() {
        let mut shape = Shape::of("9,sockets=3,cores=3,threads=1");
        shape.ghost = Some(3);
        let table = shape.table();
        let numbers: Vec<_> = table.iter().map(|cpu| (cpu.index, cpu.apic_id)).collect();
        assert_eq!(
            numbers,
            [
                (0, 0),
                (1, 1),
                (2, 2),
                (4, 4),
                (5, 5),
                (6, 6),
                (7, 8),
                (8, 9),
                (9, 10)
            ]
        );
    }

    #[test]
    fn omitted_levels_are_filled_in() {
        assert_eq!(Shape::of("8,cores=2").sockets, 4);
        assert_eq!(Shape::of("8,sockets=2").cores, 4);
        assert_eq!(Shape::of("8,sockets=2,cores=2").threads, 2);
    }

    #[test]
    #[should_panic(expected = "do not multiply")]
    fn a_shape_that_qemu_refuses_is_refused() {
        let _ = Shape::of("5,sockets=2,cores=2,threads=1");
    }
}
