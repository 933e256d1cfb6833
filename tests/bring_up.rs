//! All CPUs are found, started and numbered: on every machine, in every shape, up to 255.

use anyhow::{Result, ensure};
use boot::{Accel, MachineType, Report};
use protocol::event::Cpu;
use protocol::options::{ApicMode, StartMode};
use tests::judge::{log_has, unfit};
use tests::shape::Shape;
use tests::{Case, cpus, model};

use crate::SPARSE;

pub(crate) fn cases() -> Vec<Case> {
    let guest = "bring_up";
    let mut cases = Case::matrix(guest, &["1", "2", "16", "64", "255"]);
    for shape in [
        // APIC IDs with gaps: three cores need two bits.
        SPARSE,
        "6,sockets=2,cores=3,threads=1",
        "12,sockets=2,cores=3,threads=2",
        "12,sockets=2,dies=2,cores=3,threads=1",
        // Places for CPUs that are not there.
        "4,maxcpus=8",
        "5,maxcpus=6,sockets=2,cores=3,threads=1",
    ] {
        cases.push(Case::new(guest, shape));
    }
    for machine in [MachineType::Pc, MachineType::Microvm] {
        for smp in ["4", SPARSE] {
            cases.push(Case::new(guest, smp).on(machine));
        }
    }
    // A CPU that never starts, in the middle of the others and after them.
    cases.push(Case::new(guest, SPARSE).ghost(3));
    cases.push(Case::new(guest, "1").ghost(200));
    // One after the other, and by interrupts to each: the result is the same.
    for (start, smp) in
        [(StartMode::Each, "8"), (StartMode::Each, "64"), (StartMode::Serial, SPARSE)]
    {
        let case = Case::new(guest, smp).options(|options| options.start = start);
        let name = format!("{}_{}", start.name(), case.name());
        cases.push(case.named(&name));
    }
    let cases = cases.into_iter().map(|case| {
        let shape = case.shape();
        case.also(move |report| index_table_is_right(report, &shape))
    });
    let cases = cases.chain(modes()).chain(without_a_list());
    cases.chain(memory()).collect()
}

/// Both modes of the local APIC, however the machine gets there. TCG has no x2APIC before QEMU 9.0.
fn modes() -> impl Iterator<Item = Case> {
    let case = |smp: &str, apic: ApicMode| {
        let case = Case::new("bring_up", smp).options(|options| options.apic = apic);
        let name = format!("{}_{}", apic.name(), case.name());
        case.named(&name)
    };
    let absent = case("2", ApicMode::Preset).boot(|boot| boot.accel(Accel::Tcg));
    let absent = absent.qemu(["-cpu", "max,-x2apic"]);
    let absent = absent.named("preset_that_is_not_there");
    let why = "x2APIC is asked for, and this CPU does not have it";
    let absent = absent.expecting(move |report| unfit(report, &[why]));
    let modes = [
        (ApicMode::Auto, "apic: x2APIC"),
        (ApicMode::Xapic, "apic: xAPIC: no listed CPU needs x2APIC"),
        (ApicMode::Preset, "apic: x2APIC, as the firmware has left it"),
    ];
    let smps = ["4", "6,sockets=2,cores=3,threads=1"];
    let kvm = modes.into_iter().flat_map(move |(apic, words)| {
        smps.map(|smp| {
            let case = case(smp, apic).kvm();
            let shape = case.shape();
            case.also(move |report| {
                ids_are_right(report, &shape)?;
                log_has(report, &[words])
            })
        })
    });
    // IDs up to 287: they do not fit into 8 bits, so xAPIC does not do.
    let large = case("288", ApicMode::Xapic).kvm();
    let shape = large.shape();
    let large = large.also(move |report| {
        ids_are_right(report, &shape)?;
        log_has(report, &["apic: x2APIC: a listed CPU's ID needs it"])
    });
    kvm.chain([absent, large])
}

/// Machines without ACPI: the kernel runs on the BSP alone, and says why.
fn without_a_list() -> impl Iterator<Item = Case> {
    [MachineType::Pc, MachineType::Microvm].into_iter().map(|machine| {
        let case = Case::new("bring_up", "4").on(machine);
        let case = case.named(&format!("{machine}_without_acpi"));
        let machine = format!("{machine},acpi=off");
        case.fewer_cpus().qemu(["-machine", &machine]).also(|report| {
            cpus::are_online(report, 1, 1)?;
            log_has(report, &["the loader has found no RSDP", "only the BSP (APIC 0) is used"])
        })
    })
}

/// Too little memory for all CPUs' stacks, and more than one level-3 page table reaches.
fn memory() -> impl Iterator<Item = Case> {
    let little = Case::new("bring_up", "64").named("little_memory").fewer_cpus();
    let little = little.boot(|boot| boot.memory_mib(12)).also(|report| {
        let online = cpus::rows(report).len();
        ensure!((30..64).contains(&online), "{online} of 64 CPUs online");
        let left_out = format!("no memory for the stacks of {} CPUs", 64 - online);
        log_has(report, &[&left_out])
    });
    // The host has to back only what is written.
    const GIB: u32 = 2500;
    let backend = format!("memory-backend-ram,id=much,size={GIB}G,reserve=off");
    let much = Case::new("bring_up", "2").named("much_memory").cpu("max,phys-bits=46");
    let much = much.boot(|boot| boot.accel(Accel::Tcg).memory_mib(GIB << 10));
    let much = much.qemu(["-object", &backend, "-machine", "memory-backend=much"]);
    [little, much.also(move |report| cpus::are_online(report, 2, 2).map(drop))].into_iter()
}

/// Every CPU is there, with the APIC ID that its place makes of it. (What else the host's own CPU
/// model reports is not known here.)
fn ids_are_right(report: &Report, shape: &Shape) -> Result<()> {
    let ids = |rows: &[Cpu]| -> Vec<(u32, u32)> {
        rows.iter().map(|cpu| (cpu.index, cpu.apic_id)).collect()
    };
    let rows = cpus::rows(report);
    let expected = ids(&model::MAX.table(shape));
    ensure!(ids(&rows) == expected, "CPU table {rows:#?}");
    Ok(())
}

/// The kernel's table says what the machine's shape makes of it; only a phantom CPU is missing.
fn index_table_is_right(report: &Report, shape: &Shape) -> Result<()> {
    let expected = model::MAX.table(shape);
    let rows = cpus::rows(report);
    cpus::table_is(&rows, &expected)?;
    let slowest = rows.iter().map(|cpu| cpu.online_us).max();
    let all = shape.cpus + u32::from(shape.ghost.is_some());
    let micros = cpus::are_online(report, shape.cpus, all)?;
    ensure!(rows[0].online_us == 0, "the BSP took {} us to come online", rows[0].online_us);
    ensure!(
        slowest <= Some(micros),
        "a CPU came online after {slowest:?} us, the last one after {micros}"
    );
    cpus::are_missing(report, shape.ghost.as_slice())
}
