use protocol::event::Cpu;
use protocol::topology::{Cache, CacheKind, CoreKind};

use super::{SHORT_TREE, notes, tree};
use crate::machine::Smp;

fn cpu(index: u32, apic_id: u32, [package, die, core, thread]: [u32; 4]) -> Cpu {
    Cpu {
        index,
        apic_id,
        package,
        die,
        core,
        thread,
        ..Cpu::default()
    }
}

fn cache(cpu: &Cpu, level: u8, kind: CacheKind, kib: u64, shift: u32) -> Cache {
    Cache {
        cpu: cpu.index,
        level,
        kind,
        bytes: kib << 10,
        ways: 8,
        line: 64,
        first: cpu.apic_id >> shift << shift,
    }
}

/// Threads of 1 bit, cores of 2 bits, dies and packages of 1 bit.
fn server(packages: u32, dies: u32, cores: u32, threads: u32) -> Vec<Cpu> {
    let mut cpus = Vec::new();
    for package in 0..packages {
        for die in 0..dies {
            for core in 0..cores {
                for thread in 0..threads {
                    let apic_id = package << 4 | die << 3 | core << 1 | thread;
                    let index = cpus.len() as u32;
                    cpus.push(cpu(index, apic_id, [package, die, core, thread]));
                }
            }
        }
    }
    cpus
}

fn caches(cpus: &[Cpu]) -> Vec<Cache> {
    let all = cpus.iter().flat_map(|cpu| {
        [
            cache(cpu, 1, CacheKind::Data, 32, 1),
            cache(cpu, 1, CacheKind::Instruction, 64, 1),
            cache(cpu, 2, CacheKind::Unified, 1280, 1),
            cache(cpu, 3, CacheKind::Unified, 16 << 10, 3),
        ]
    });
    all.collect()
}

fn assert_tree(cpus: &[Cpu], caches: &[Cache], expected: &str) {
    let text = tree(cpus, caches, false).join("\n");
    assert_eq!(text, expected.trim_start_matches('\n'), "\n{text}");
}

#[test]
fn a_server() {
    let cpus = server(2, 2, 2, 2);
    assert_tree(
        &cpus[4..],
        &caches(&cpus[4..]),
        "
12 CPUs: 2 packages, 3 dies, 6 cores
├─ Package 0
│  └─ Die 1 [L3 16 MiB]
│     ├─ Core 0 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
│     │  ├─ Thread 0: CPU 4, APIC ID 8
│     │  └─ Thread 1: CPU 5, APIC ID 9
│     └─ Core 1 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
│        ├─ Thread 0: CPU 6, APIC ID 10
│        └─ Thread 1: CPU 7, APIC ID 11
└─ Package 1
   ├─ Die 0 [L3 16 MiB]
   │  ├─ Core 0 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
   │  │  ├─ Thread 0: CPU 8, APIC ID 16
   │  │  └─ Thread 1: CPU 9, APIC ID 17
   │  └─ Core 1 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
   │     ├─ Thread 0: CPU 10, APIC ID 18
   │     └─ Thread 1: CPU 11, APIC ID 19
   └─ Die 1 [L3 16 MiB]
      ├─ Core 0 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
      │  ├─ Thread 0: CPU 12, APIC ID 24
      │  └─ Thread 1: CPU 13, APIC ID 25
      └─ Core 1 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]
         ├─ Thread 0: CPU 14, APIC ID 26
         └─ Thread 1: CPU 15, APIC ID 27

cache       size  ways   line  number  each is shared by
L1d       32 KiB     8   64 B       6  2 CPUs
L1i       64 KiB     8   64 B       6  2 CPUs
L2      1280 KiB     8   64 B       6  2 CPUs
L3        16 MiB     8   64 B       3  4 CPUs",
    );
}

#[test]
fn one_cpu() {
    let cpus = server(1, 1, 1, 1);
    assert_tree(
        &cpus,
        &caches(&cpus),
        "
1 CPU: 1 package, 1 core
└─ Package 0 [L3 16 MiB]
   └─ Core 0: CPU 0, APIC ID 0 [L2 1280 KiB, L1d 32 KiB, L1i 64 KiB]

cache       size  ways   line  number  each is shared by
L1d       32 KiB     8   64 B       1  1 CPU
L1i       64 KiB     8   64 B       1  1 CPU
L2      1280 KiB     8   64 B       1  1 CPU
L3        16 MiB     8   64 B       1  1 CPU",
    );
    assert_tree(
        &cpus,
        &[],
        "
1 CPU: 1 package, 1 core
└─ Package 0
   └─ Core 0: CPU 0, APIC ID 0

The CPUs do not tell of their caches.",
    );
}

/// Fast cores with two threads, and a module of small ones that share their L2 cache.
#[test]
fn mixed_cores() {
    let mut cpus = server(1, 1, 1, 2);
    let small = (0..4).map(|core| cpu(2 + core, 8 + 2 * core, [0, 0, 4 + core, 0]));
    cpus.extend(small);
    let mut caches = Vec::new();
    for cpu in &mut cpus {
        let (kind, own) = match cpu.core {
            0 => (CoreKind::Performance, 1),
            _ => (CoreKind::Efficiency, 3),
        };
        cpu.kind = Some(kind);
        caches.push(cache(cpu, 2, CacheKind::Unified, 2048, own));
        caches.push(cache(cpu, 3, CacheKind::Unified, 30 << 10, 6));
    }
    // One of them is not there.
    cpus.remove(4);
    caches.retain(|cache| cache.cpu != 4);
    assert_tree(
        &cpus,
        &caches,
        "
5 CPUs: 1 package, 4 cores
└─ Package 0 [L3 30 MiB]
   ├─ Core 0 (performance) [L2 2 MiB]
   │  ├─ Thread 0: CPU 0, APIC ID 0
   │  └─ Thread 1: CPU 1, APIC ID 1
   └─ CPUs 2-3, 5 [L2 2 MiB]
      ├─ Core 4 (efficiency): CPU 2, APIC ID 8
      ├─ Core 5 (efficiency): CPU 3, APIC ID 10
      └─ Core 7 (efficiency): CPU 5, APIC ID 14

cache       size  ways   line  number  each is shared by
L2         2 MiB     8   64 B       2  2 to 3 CPUs
L3        30 MiB     8   64 B       1  5 CPUs",
    );
}

#[test]
fn caches_of_threads_are_theirs() {
    let cpus = server(1, 1, 1, 2);
    let mut caches: Vec<_> = cpus
        .iter()
        .map(|cpu| cache(cpu, 1, CacheKind::Data, 32, 0))
        .collect();
    // A second level for all of the package, which is a core.
    caches.extend(
        cpus.iter()
            .map(|cpu| cache(cpu, 2, CacheKind::Unified, 512, 4)),
    );
    let lines = tree(&cpus, &caches, false);
    assert_eq!(
        lines[..5],
        [
            "2 CPUs: 1 package, 1 core",
            "└─ Package 0",
            "   └─ Core 0 [L2 512 KiB]",
            "      ├─ Thread 0: CPU 0, APIC ID 0 [L1d 32 KiB]",
            "      └─ Thread 1: CPU 1, APIC ID 1 [L1d 32 KiB]",
        ]
    );
}

#[test]
fn who_asks_for_dies_is_told_why_there_are_none() {
    for (smp, said) in [
        ("4", 0),
        ("4,dies=1", 0),
        ("8,sockets=2,dies=2,cores=2", 1),
        ("cores=2,dies=3", 1),
    ] {
        assert_eq!(notes(&Smp::new(smp).expect(smp)).len(), said, "{smp}");
    }
}

#[test]
fn a_long_tree_is_shortened_and_says_so() {
    let cpus: Vec<_> = (0..255)
        .map(|n| cpu(n, n, [n / 64, 0, n % 64, 0]))
        .collect();
    let short = tree(&cpus, &[], false);
    let expected = [
        "255 CPUs: 4 packages, 255 cores",
        "├─ Package 0",
        "│  ├─ Core 0: CPU 0, APIC ID 0",
        "│  ├─ Core 1: CPU 1, APIC ID 1",
        "│  ├─ ... 61 more: CPUs 2-62 (all with --verbose)",
        "│  └─ Core 63: CPU 63, APIC ID 63",
        "├─ Package 1",
    ];
    assert_eq!(short[..expected.len()], expected);
    assert!(short.len() < SHORT_TREE, "{}", short.len());
    // Deep ones more so, down to one part of each kind.
    for (packages, dies, cores) in [(2, 2, 3), (2, 2, 32), (8, 8, 8), (40, 1, 1), (1, 40, 40)] {
        let mut cpus = Vec::new();
        for n in 0..packages * dies * cores * 2 {
            let core = n / 2 % cores;
            let die = n / 2 / cores % dies;
            cpus.push(cpu(n, n, [n / 2 / cores / dies, die, core, n % 2]));
        }
        let lines = tree(&cpus, &[], false);
        assert!(lines.len() <= SHORT_TREE + 2, "{lines:#?}");
        let left_out = lines.iter().filter(|line| line.contains("more: CPUs"));
        assert_eq!(left_out.count() > 0, cpus.len() > 24, "{lines:#?}");
    }
    let all = tree(&cpus, &[], true);
    assert_eq!(
        all.iter().filter(|line| line.contains("Core ")).count(),
        255
    );
}

/// CPUID may say anything: every CPU is drawn all the same.
#[test]
fn sets_that_cross_are_drawn_side_by_side() {
    let cpus = server(1, 1, 4, 1);
    let pair = |cpu: u32, first| Cache {
        first,
        ..cache(&cpus[cpu as usize], 2, CacheKind::Unified, 256, 0)
    };
    let lines = tree(
        &cpus,
        &[pair(0, 0), pair(1, 0), pair(1, 7), pair(2, 7)],
        false,
    );
    for index in 0..4 {
        let name = format!("CPU {index},");
        let drawn = lines.iter().filter(|line| line.contains(&name));
        assert_eq!(drawn.count(), 1, "{lines:#?}");
    }
}
