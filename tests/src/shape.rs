//! QEMU's reading of `-smp`: which CPUs exist, and their APIC IDs.
//!
//! This is the tests' own computation, by the rules that QEMU documents for machine types since 6.2
//! (cores are preferred over sockets) and Intel's encoding of x2APIC IDs (SDM Vol. 3A, 9.9.1): each
//! level takes as many bits as its largest number needs, threads lowest. The kernel never sees it.
//! Which of it a CPU model reports is [`CpuModel`](crate::model::CpuModel)'s matter.

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
        let or = |given: u32, omitted| if given == 0 { omitted } else { given };
        let max_cpus = or(given.max_cpus, given.cpus);
        let [sockets, dies, threads] = [given.sockets, given.dies, given.threads].map(|n| or(n, 1));
        let shape =
            Self { max_cpus, sockets, dies, cores: or(given.cores, max_cpus), threads, ..given };
        let places = sockets * dies * shape.cores * threads;
        assert_eq!(places, max_cpus, "-smp {smp}: the levels do not multiply to maxcpus");
        shape
    }

    /// The index table that the kernel must come to if its CPU reports all levels: the CPUs
    /// present, in ascending order of their APIC IDs. The first line is the BSP's, QEMU's first
    /// CPU. Times are 0. The phantom CPU has no line, but an index: it raises those after it by 1.
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
