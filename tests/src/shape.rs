//! What QEMU makes of `-smp`: which CPUs exist, and what the hardware calls them.
//!
//! This is the tests' own computation, by the rules that QEMU documents for machine types since 6.2
//! (cores are preferred over sockets) and Intel's encoding of x2APIC IDs (SDM Vol. 3A, 9.9.1): each
//! level takes as many bits as its largest number needs, threads lowest. The kernel never sees it. Which
//! of it a CPU model reports is [`Model`](crate::model::Model)'s matter.

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
        let mut given =
            Self { cpus: 0, max_cpus: 0, sockets: 0, dies: 0, cores: 0, threads: 0, ghost: None };
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
            *field = value.parse().unwrap_or_else(|_| panic!("-smp {smp}: {value} is no number"));
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

    /// The index table that the kernel must come to if its CPU reports all levels: the CPUs present, in
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

/// Bits that number `count` things.
pub(crate) fn bits_for(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn apic_ids_have_as_many_bits_for_a_level_as_it_needs() {
        for (smp, ids) in [
            ("4", &[0, 1, 2, 3][..]),
            // Three cores take two bits.
            ("9,sockets=3,cores=3,threads=1", &[0, 1, 2, 4, 5, 6, 8, 9, 10]),
            // Threads are the lowest.
            ("6,sockets=1,cores=2,threads=3", &[0, 1, 2, 4, 5, 6]),
            // Dies lie between cores and packages.
            ("12,sockets=2,dies=2,cores=3,threads=1", &[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]),
            // Absent CPUs have a place, but no line; the places decide the bits.
            ("4,maxcpus=8", &[0, 1, 2, 3]),
            ("5,maxcpus=6,sockets=2,cores=3,threads=1", &[0, 1, 2, 4, 5]),
        ] {
            let table = Shape::of(smp).table();
            let found: Vec<_> = table.iter().map(|cpu| cpu.apic_id).collect();
            assert_eq!(found, ids, "{smp}");
        }
    }

    #[test]
    fn each_cpu_has_its_place() {
        for (smp, cpu, place) in [
            ("4", 3, [0, 0, 3, 0]),
            ("9,sockets=3,cores=3,threads=1", 5, [1, 0, 2, 0]),
            ("6,sockets=1,cores=2,threads=3", 4, [0, 0, 1, 1]),
            ("12,sockets=2,dies=2,cores=3,threads=1", 4, [0, 1, 1, 0]),
        ] {
            let cpu = Shape::of(smp).table()[cpu];
            assert_eq!([cpu.package, cpu.die, cpu.core, cpu.thread], place, "{smp}");
        }
    }

    #[test]
    fn a_ghost_has_an_index_but_no_line() {
        let mut shape = Shape::of("9,sockets=3,cores=3,threads=1");
        shape.ghost = Some(3);
        let numbers = shape.table().into_iter().map(|cpu| (cpu.index, cpu.apic_id));
        let numbers: Vec<_> = numbers.skip(2).take(3).collect();
        assert_eq!(numbers, [(2, 2), (4, 4), (5, 5)]);
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
