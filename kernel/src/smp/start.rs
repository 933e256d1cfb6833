//! Starting CPUs: all at once, each with a deadline of its own.
//!
//! The BSP sends INIT, prepares a [seat](super::seat) for every CPU while the 10 ms after that pass, and
//! sends SIPI; after 200 us a second one to those who have not been heard of (Intel SDM 3A, 9.4.4.1). They
//! make their way in parallel; nothing is locked. Who is silent for too long, or goes wrong, is
//! started once more, with whoever else was, and is then given up: its seat is withdrawn, so that a CPU that wakes up
//! later parks itself.

use core::sync::atomic::{AtomicU32, Ordering};

use alloc::vec::Vec;
use protocol::{
    options::{FaultKind, Options, StartMode},
    start::{Faulted, Steps},
};

use super::{
    BringUp, Parked, entry, faults,
    records::{Note, Reason},
    report,
    seat::{self, Seat, State},
    trampolines::Trampolines,
};
use crate::{
    apic::{self, Ipi, Target},
    clock, cpu, interrupts, serial, time, timer,
};

/// Between INIT and SIPI, and between the two SIPIs (Intel SDM 3A, 9.4.4.1).
const AFTER_INIT_NS: u64 = 10_000_000;
const BETWEEN_SIPIS_NS: u64 = 200_000;

/// How many times a CPU is started before it is given up.
const ATTEMPTS: u32 = 2;

/// Starts all CPUs that the firmware lists as enabled. Once, on the BSP; interrupts are off before and
/// after.
pub(crate) fn start(options: &Options) -> BringUp {
    cpu::set_online(cpu::CpuIndex::BSP);
    let seats = seat::init(options.fault);
    entry::init(seats);
    let enabled: Vec<&Seat> = cpu::map()
        .iter_enabled()
        .skip(1)
        .filter_map(|(cpu, _)| seat::of(cpu))
        .collect();
    PATIENCE_MS.store(options.patience, Ordering::Relaxed);
    let mut starter = Starter::new();
    let addressable = enabled.iter().copied();
    let addressable: Vec<&Seat> = addressable
        .filter(|seat| apic::can_address(seat.apic_id()))
        .collect();
    let started = match options.start {
        StartMode::Broadcast => starter.start(&addressable, How::Everybody),
        StartMode::Each => starter.start(&addressable, How::Each),
        StartMode::Serial => {
            let mut one_by_one = addressable.iter();
            one_by_one.try_for_each(|seat| starter.start(&[seat], How::Each))
        }
    };
    if let Err(NoLowMemory) = started {
        report::no_low_memory();
    }
    let bring_up = starter.finish(&enabled);
    report::all(&bring_up, options.job);
    bring_up
}

/// How long a CPU has, for those that are started later.
static PATIENCE_MS: AtomicU32 = AtomicU32::new(0);

/// The same in nanoseconds.
pub(super) fn patience_ns() -> u64 {
    u64::from(PATIENCE_MS.load(Ordering::Relaxed)) * 1_000_000
}

/// To whom the interrupts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// To all CPUs but this one: nobody runs yet.
    Everybody,
    /// To one after the other.
    Each,
}

/// There are no two usable pages below 1 MiB side by side.
#[derive(Debug)]
pub(super) struct NoLowMemory;

/// Starts CPUs, and notes how that goes.
#[derive(Debug)]
pub(super) struct Starter {
    patience_ns: u64,
    /// [`time::nanos`] at the first INIT.
    begin: u64,
    steps: Steps,
    faults: Vec<Faulted>,
    parked: Parked,
}

impl Starter {
    pub(super) fn new() -> Self {
        Self {
            patience_ns: patience_ns(),
            begin: 0,
            steps: Steps::default(),
            faults: Vec::new(),
            parked: Parked::default(),
        }
    }

    /// Starts these CPUs, and returns when each of them is online or given up. BSP, thread context.
    ///
    /// # Errors
    /// [`NoLowMemory`]: those who are not online have not been started, or not once more.
    pub(super) fn start(&mut self, seats: &[&'static Seat], how: How) -> Result<(), NoLowMemory> {
        let mut how = how;
        let mut waiting = seats.to_vec();
        for seat in &waiting {
            seat.forget_attempts();
        }
        while !waiting.is_empty() {
            let trampolines = Trampolines::install(&waiting).ok_or(NoLowMemory)?;
            self.attempt(&mut waiting, how, &trampolines);
            // From here on some are online, which an interrupt to everybody would reset.
            how = How::Each;
            trampolines.put_away();
            waiting.retain(|seat| {
                seat.state() != State::Online && {
                    seat.withdraw();
                    seat.attempts() < ATTEMPTS
                }
            });
            for seat in &waiting {
                report::once_more(seat.apic_id());
            }
        }
        Ok(())
    }

    /// Starts those, and waits until each is online, has gone wrong or has been silent for too long. Those for
    /// which there is no memory are left out.
    fn attempt(&mut self, seats: &mut Vec<&'static Seat>, how: How, trampolines: &Trampolines) {
        match how {
            How::Everybody => apic::send(Target::AllOthers, Ipi::Init),
            How::Each => seats
                .iter()
                .for_each(|seat| apic::send(Target::One(seat.apic_id()), Ipi::Init)),
        }
        let init = time::nanos();
        if self.begin == 0 {
            self.begin = init;
        }
        // While the time passes that an INIT takes.
        let wanted = seats.len();
        seats.retain(|seat| seat.prepare());
        let all = seats.len() == wanted;
        if !all {
            report::no_memory(wanted - seats.len());
        }
        let prepared = time::nanos();
        time::spin_for((init + AFTER_INIT_NS).saturating_sub(prepared));
        // Only now: a CPU that was on its way to its seat, or was telling what is wrong with it, has stopped.
        for seat in &*seats {
            serial::break_lock_of(seat.cpu());
        }
        seats.iter().for_each(|seat| seat.expect());

        // So that the first who comes has something to compare his clock to.
        clock::mark();
        let sipi = time::nanos();
        let send_to = |seat: &Seat| {
            let page = trampolines.page_of(seat);
            apic::send(Target::One(seat.apic_id()), Ipi::StartUp { page });
        };
        match (how, trampolines.only_page()) {
            // A CPU without a seat must not come.
            (How::Everybody, Some(page)) if all => {
                apic::send(Target::AllOthers, Ipi::StartUp { page })
            }
            _ => seats.iter().for_each(|seat| send_to(seat)),
        }
        if seats.iter().any(|seat| seat.has_fault(FaultKind::Bsp)) {
            panic!("on purpose, on the BSP, while others start");
        }
        time::spin_for(BETWEEN_SIPIS_NS);
        self.take_down_all(trampolines);
        // A CPU that runs would ignore it.
        let silent = seats.iter().filter(|seat| seat.state() == State::Expected);
        let seconds = silent.map(|seat| send_to(seat)).count();
        if self.steps.sipi_ns == 0 {
            self.steps.prepared_ns = prepared - self.begin;
            self.steps.sipi_ns = sipi - self.begin;
        }
        if seconds > 0 {
            self.steps.seconds += seconds as u32;
            self.steps.second_sipi_ns = time::nanos() - self.begin;
        }
        self.wait(seats, trampolines);
        self.steps.all_ns = time::nanos() - self.begin;
    }

    /// Sleeps until each is online, has gone wrong, or has been silent for too long. A CPU's time begins
    /// with its SIPI, and again whenever another one comes online: as long as CPUs keep coming, a slow
    /// machine is only slow. Hardware takes well under a millisecond for each; 255 vCPUs on two busy
    /// host CPUs were seen to pause for 0.2 s.
    fn wait(&mut self, seats: &[&'static Seat], trampolines: &Trampolines) {
        let mut online = 0;
        let mut deadline = time::nanos() + self.patience_ns;
        loop {
            let on_the_way =
                |seat: &&&Seat| matches!(seat.state(), State::Expected | State::Arrived);
            self.take_down_all(trampolines);
            if seats.iter().filter(on_the_way).count() == 0 {
                return;
            }
            let now_online = seats.iter().filter(|seat| seat.state() == State::Online);
            let now_online = now_online.count();
            if now_online > online {
                online = now_online;
                deadline = time::nanos() + self.patience_ns;
            }
            if time::nanos() >= deadline {
                return;
            }
            clock::mark();
            sleep();
        }
    }

    fn take_down_all(&mut self, trampolines: &Trampolines) {
        while let Some(note) = trampolines.next_note().or_else(entry::next_note) {
            self.take_down(note);
        }
    }

    /// What a CPU has written down: it will not go on by itself.
    fn take_down(&mut self, note: Note) {
        let seat = cpu::map().index_of(note.apic_id).and_then(seat::of);
        match note.reason {
            Reason::Fault {
                stage,
                vector,
                address,
            } => {
                let fault = Faulted {
                    apic_id: note.apic_id.get(),
                    stage,
                    vector,
                    address,
                };
                faults::report(&fault);
                self.faults.push(fault);
                if let Some(seat) = seat {
                    seat.withdraw();
                }
            }
            // By a SIPI of an earlier attempt, which QEMU does not forget at an INIT (and hardware does):
            // it came before its seat was free. The SIPI of this attempt is in vain.
            Reason::Late if seat.is_some_and(Seat::was_too_early) => {}
            Reason::Unlisted | Reason::Late => self.parked.add(note.apic_id),
        }
    }

    /// Declares those online that are. From here on nobody comes online any more by himself.
    pub(super) fn finish(mut self, seats: &[&'static Seat]) -> BringUp {
        while let Some(note) = entry::next_note() {
            self.take_down(note);
        }
        let (online, missing): (Vec<&Seat>, Vec<&Seat>) = seats
            .iter()
            .copied()
            .partition(|seat| seat.state() == State::Online);
        for seat in &online {
            cpu::set_online(seat.cpu());
        }
        // Who was in time when he was called again is not late.
        self.parked
            .late
            .retain(|id| !online.iter().any(|seat| seat.apic_id() == *id));
        let since = |ticks| time::at(ticks).saturating_sub(self.begin);
        let last = online.iter().map(|seat| since(seat.last_stamp())).max();
        let behind = |seat: &&Seat| (seat.cpu(), time::length(seat.behind()));
        BringUp {
            missing: missing.iter().map(|seat| seat.apic_id()).collect(),
            faults: self.faults,
            parked: self.parked,
            micros: last.unwrap_or(0) / 1000,
            behind: online
                .iter()
                .filter(|seat| seat.behind() > 0)
                .map(behind)
                .collect(),
            begin: self.begin,
            steps: self.steps,
        }
    }
}

/// Halts for about a millisecond, whether interrupts are on or off. Where the timer is in use, whose period may
/// be a minute, waits for less than that and does not halt.
fn sleep() {
    use x86_64::instructions::interrupts::{disable, enable, enable_and_hlt};
    if timer::is_periodic() {
        time::spin_for(100_000);
        return;
    }
    let enabled = interrupts::enabled();
    disable();
    timer::set_alarm(1_000_000);
    enable_and_hlt();
    disable();
    timer::clear_alarm();
    if enabled {
        enable();
    }
}
