//! Several CPUs at the same work, from one moment to another.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use protocol::bench::{Contender, Pairs};

use super::contender::Hammered;
use crate::{
    clock,
    cpu::{self, CpuIndex},
    ipi,
    platform::{Halt, KernelPlatform},
    smp, timer,
};

/// What came of one window.
pub(super) struct Window {
    /// Pairs of each CPU.
    pairs: Vec<u64>,
    /// How long it was: not quite as long as it was to be where CPU 0 was kept from running.
    nanos: u64,
}

impl Window {
    /// Of all its CPUs together.
    fn per_second(&self) -> u64 {
        self.rate(self.pairs.iter().sum())
    }

    /// So many pairs in this window, per second.
    fn rate(&self, pairs: u64) -> u64 {
        let pairs = u128::from(pairs) * 1_000_000_000;
        (pairs / u128::from(self.nanos.max(1))) as u64
    }
}

/// Has the first so many CPUs use a contender for so many milliseconds.
pub(super) fn window(cpus: u32, contender: &dyn Hammered, millis: u32) -> Window {
    let mut nanos = 0;
    let pairs = together(cpus, contender, |start| {
        // By an interrupt, so that this CPU does the same as all others until then.
        timer::start(Duration::from_millis(millis.into()), end_window);
        let pairs = contender.hammer(&STOP.0);
        timer::stop();
        nanos = ENDED.load(Ordering::Relaxed) - start;
        pairs
    });
    Window { pairs, nanos }
}

/// The first so many online CPUs use `contender`, from when all are there until `lead` has returned,
/// which is what CPU 0 does meanwhile; it is told when they began, in nanoseconds since boot. All
/// others halt. Returns how many pairs each CPU did, CPU 0 as many as `lead` says.
pub(super) fn together(
    cpus: u32,
    contender: &dyn Hammered,
    lead: impl FnOnce(u64) -> u64 + Send,
) -> Vec<u64> {
    let crew: Vec<CpuIndex> = cpu::online().take(cpus as usize).collect();
    let pairs: Vec<AtomicU64> = crew.iter().map(|_| AtomicU64::new(0)).collect();
    // No other CPU ever takes this lock.
    let lead = spin::Mutex::new(Some(lead));
    let (arrived, go) = (AtomicUsize::new(0), AtomicBool::new(false));
    // Relaxed here and below: `run_on_each` orders what comes before and after.
    STOP.0.store(false, Ordering::Relaxed);
    smp::run_on_each(&|cpu| {
        let Some(place) = crew.iter().position(|member| *member == cpu) else {
            return;
        };
        let done = if cpu == CpuIndex::BSP {
            // Those who hammer already would keep others from coming, where CPUs are virtual.
            Halt.until(&mut || arrived.load(Ordering::Relaxed) == crew.len() - 1);
            let lead = lead.lock().take().expect("called once");
            // Before they are woken one by one, which may take long.
            let start = clock::nanos();
            go.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
            let done = lead(start);
            STOP.0.store(true, Ordering::Relaxed);
            done
        } else {
            arrived.fetch_add(1, Ordering::Relaxed);
            ipi::wake(CpuIndex::BSP);
            Halt.until(&mut || go.load(Ordering::Relaxed));
            contender.hammer(&STOP.0)
        };
        pairs[place].store(done, Ordering::Relaxed);
    });
    pairs.into_iter().map(AtomicU64::into_inner).collect()
}

/// The figures of several windows of the same.
///
/// # Panics
/// If there are none.
pub(super) fn summary(
    contender: Contender,
    cpus: u32,
    mut windows: Vec<Window>,
    left: i64,
) -> Pairs {
    windows.sort_unstable_by_key(Window::per_second);
    let median = &windows[windows.len() / 2];
    Pairs {
        contender,
        cpus,
        per_second: median.per_second(),
        least: windows[0].per_second(),
        most: windows[windows.len() - 1].per_second(),
        slowest_cpu: median.rate(median.pairs.iter().copied().min().unwrap_or(0)),
        left,
    }
}

/// The window is over. Static, since a timer interrupt has to find it; alone on its cache lines, which
/// all CPUs read all the time.
static STOP: Alone = Alone(AtomicBool::new(false));

#[repr(align(128))]
struct Alone(AtomicBool);

/// When it was, in nanoseconds since boot.
static ENDED: AtomicU64 = AtomicU64::new(0);

/// The timer, again and again until it is stopped.
fn end_window() {
    if !STOP.0.load(Ordering::Relaxed) {
        ENDED.store(clock::nanos(), Ordering::Relaxed);
        STOP.0.store(true, Ordering::Relaxed);
    }
}
