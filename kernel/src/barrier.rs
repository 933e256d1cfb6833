//! A memory barrier on all CPUs at the cost of one, like `membarrier` on Linux.
//!
//! Every other CPU takes an interrupt, which orders like a fence there; and an interrupted
//! [restartable sequence](rundown::per_cpu::gs) starts again.
//!
//! # What it promises
//! For every other running CPU there is a moment between the start of [`all`] and its end such that
//!
//! - what the caller did before `all` is visible to what that CPU does after that moment;
//! - what that CPU did before that moment is visible to the caller after `all`;
//! - at that moment, the CPU is not in a restartable sequence, or starts it again.
//!
//! # How
//! The caller interrupts every other CPU that no other caller has interrupted meanwhile, and waits
//! until all have answered. The state is in [`Rounds`], which is model-checked in its crate. There
//! is no lock and no leader: a handler that interrupts a caller may be one, too.
//!
//! - A CPU that waits with interrupts off, here, in [`ipi::call`] or in
//!   [`Halt`](crate::platform::Halt), answers meanwhile.
//! - A CPU that has interrupts off for long is sent an NMI after 100 ms, which callers share, too.
//! - A CPU that has stopped for good, since another one reports a panic, is not waited for.
//! - CPUs that start or leave: `docs/bring-up.md`, "Why rundown counters stay right".

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use rundown::per_cpu::{Round, Rounds};

use crate::{
    apic::{self, Ipi, Target},
    cpu::{self, CpuIndex},
    emergency,
    interrupts::{self, vector},
    ipi, log,
    per_cpu::per_cpu,
    time,
};

per_cpu! {
    static ANSWERS: Answers = Answers {
        rounds: rundown::per_cpu::Answers::new(),
        nmi_sent: AtomicBool::new(false),
        reported: AtomicBool::new(false),
    };
}

/// Takes over the barriers' interrupts, and lets CPUs answer while they wait for others. Before the
/// BSP has a table of interrupts.
pub(crate) fn init() {
    ipi::WHILE_WAITING.set(Some(serve));
    ipi::ON_NMI.set(Some(on_nmi));
    apic::set_handler(vector::BARRIER, serve);
}

/// Returns when every other CPU has passed a barrier.
///
/// Any CPU, thread or interrupt context, interrupts on or off; not NMI. A CPU that does not even
/// answer the NMI within a second is named in the log, once until it answers; the wait goes on.
/// Panics in an NMI handler, where it is not [legal](is_legal): the code below may be about to send
/// the interrupt that it would wait for.
pub fn all() {
    let call = Call::begin();
    let Err(cpu) = call.wait_until(call.begun + REPORT_AFTER_NS) else {
        return;
    };
    let answers = ANSWERS.of(cpu);
    if answers.is_some_and(|answers| !answers.reported.swap(true, Ordering::Relaxed)) {
        log!(
            "barrier: {cpu} ({}) has not answered for {} ms, nor to an NMI; waiting on",
            cpu::apic_id(cpu),
            REPORT_AFTER_NS / 1_000_000,
        );
    }
    LATE.fetch_add(1, Ordering::Relaxed);
    call.wait_until(u64::MAX).expect("the deadline is 500 years off");
}

/// Whether a barrier may be called here: anywhere but in an NMI handler. Any context.
pub fn is_legal() -> bool {
    !ipi::in_nmi()
}

/// The barriers' costs since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls of [`all`].
    pub calls: u64,
    /// Calls that sent an interrupt, to one CPU at least.
    pub rounds: u64,
    /// Interrupts sent.
    pub interrupts: u64,
    /// NMIs sent, to CPUs that had interrupts off for too long.
    pub nmis: u64,
    /// Calls of [`all`] that found a CPU silent for a second, logged or not.
    pub late: u64,
}

/// The barriers' costs since boot. Racy: others may be running.
pub fn statistics() -> Statistics {
    // Relaxed: numbers for people and tests.
    Statistics {
        calls: CALLS.load(Ordering::Relaxed),
        rounds: SENDERS.load(Ordering::Relaxed),
        interrupts: INTERRUPTS.load(Ordering::Relaxed),
        nmis: NMIS.load(Ordering::Relaxed),
        late: LATE.load(Ordering::Relaxed),
    }
}

/// The latest round that a CPU has answered; 0 if there is no such CPU. Racy. For tests.
pub fn racy_answered(cpu: CpuIndex) -> u64 {
    let answers = ANSWERS.of(cpu);
    answers.map_or(0, |answers| answers.rounds.racy_latest())
}

static CALLS: AtomicU64 = AtomicU64::new(0);
static SENDERS: AtomicU64 = AtomicU64::new(0);
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static NMIS: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);

/// For how long a CPU may leave the interrupt unanswered.
const NMI_AFTER_NS: u64 = 100_000_000;
const REPORT_AFTER_NS: u64 = 1_000_000_000;

static ROUNDS: Rounds = Rounds::new();

struct Answers {
    rounds: rundown::per_cpu::Answers,
    /// An NMI is sent, or is about to be, that it has not taken.
    nmi_sent: AtomicBool,
    /// The log has said that it is silent, and it has not answered since.
    reported: AtomicBool,
}

struct Call {
    round: Round,
    /// When, in nanoseconds since boot.
    begun: u64,
}

impl Call {
    fn begin() -> Self {
        assert!(is_legal(), "a barrier in an NMI handler");
        let call = Self { round: ROUNDS.begin(), begun: time::nanos() };
        // A CPU that comes online after this sees what this CPU did before. The round waits for
        // none that has left, or leaves unaware of it. Pairs with `cpu::set_online` and
        // `cpu::set_offline`.
        fence(Ordering::SeqCst);
        let sent = others()
            .filter(|(cpu, answers)| !call.is_answered(*cpu, answers))
            .filter(|(cpu, answers)| answers.ask(*cpu))
            .count() as u64;
        CALLS.fetch_add(1, Ordering::Relaxed);
        SENDERS.fetch_add((sent > 0).into(), Ordering::Relaxed);
        INTERRUPTS.fetch_add(sent, Ordering::Relaxed);
        call
    }

    /// The error is a CPU that does not answer: one of them, if there are several.
    fn wait_until(&self, deadline: u64) -> Result<(), CpuIndex> {
        // One after the other: meanwhile the rest answers.
        for (cpu, answers) in others() {
            let mut nmi_at = self.begun + NMI_AFTER_NS;
            while !self.is_answered(cpu, answers) && cpu::is_online(cpu) {
                if !interrupts::enabled() {
                    serve();
                }
                let now = time::nanos();
                if now >= deadline {
                    return Err(cpu);
                }
                if now >= nmi_at {
                    nmi_at = u64::MAX;
                    answers.send_nmi(cpu);
                }
                core::hint::spin_loop();
            }
        }
        Ok(())
    }

    /// Whether the CPU has answered this round, or has stopped for good.
    fn is_answered(&self, cpu: CpuIndex, answers: &Answers) -> bool {
        answers.rounds.has_answered(self.round) || emergency::has_stopped(cpu)
    }
}

impl Answers {
    /// Sends the CPU of these answers an interrupt, if none is on its way. Whether one was sent.
    fn ask(&self, cpu: CpuIndex) -> bool {
        // With interrupts off: a handler that came in between would find the CPU asked, and wait
        // for an interrupt that the code below it has not sent.
        interrupts::without(|| {
            let send = self.rounds.ask();
            if send {
                let target = Target::One(cpu::apic_id(cpu));
                apic::send(target, Ipi::Vector(vector::BARRIER));
            }
            send
        })
    }

    /// Sends the CPU an NMI, which also makes it answer, if none is on its way.
    fn send_nmi(&self, cpu: CpuIndex) {
        // With interrupts off, as in `ask`.
        interrupts::without(|| {
            // Release: pairs with the swap in `on_nmi`, which reads this or what another caller
            // wrote after it, so that the CPU then finds itself asked.
            if !self.nmi_sent.swap(true, Ordering::Release) {
                apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Nmi);
                NMIS.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Has a CPU that has just come online answer the calls that began before: they have not asked it,
/// but wait for every CPU that they find online.
pub(crate) fn catch_up(cpu: CpuIndex) {
    // Either the caller of a barrier has seen the CPU online and asks it directly, or the code
    // below finds the round begun: the fence in `Call::begin` and the one in `cpu::set_online`,
    // which is behind this CPU.
    if let Some(answers) = ANSWERS.of(cpu) {
        answers.ask(cpu);
    }
}

/// Answers what this CPU has been asked: its code is in no restartable sequence. Any context.
pub(crate) fn serve() {
    let answers = ANSWERS.here();
    answers.rounds.answer(&ROUNDS);
    // Relaxed: for the log only. Read first: others wait by reading this line.
    if answers.reported.load(Ordering::Relaxed) {
        answers.reported.store(false, Ordering::Relaxed);
    }
}

/// Answers on an NMI. Whether that may be one for a barrier: of several that come together, the
/// first counts as the barrier's.
fn on_nmi() -> bool {
    // Acquire: pairs with `send_nmi`. Before the answer: a caller that found an NMI on its way, and
    // sent none, is answered by this one; callers from here on send another one.
    let for_barrier = ANSWERS.here().nmi_sent.swap(false, Ordering::Acquire);
    serve();
    for_barrier
}

/// The other CPUs that run, and their answers.
fn others() -> impl Iterator<Item = (CpuIndex, &'static Answers)> {
    cpu::others().filter_map(|cpu| Some((cpu, ANSWERS.of(cpu)?)))
}
