//! Packets pass a filter on many threads while it is loaded, vetoes its unload, and is unloaded.
//!
//! A filter is code that others call: a file system minifilter, a packet hook. It must not be
//! called before its set-up is complete, nor leave memory while calls are in it or it keeps packets
//! to finish later. (Taking it off a list stops only calls that have not begun.) Rundown protection
//! guards code here, not a value, so this goes without [`Protected`](rundown::Protected):
//! - The object is [born closed](CacheAwareRundown::born_closed): packets pass by until it is
//!   [opened](Rundown::open).
//! - [`try_acquire_many`](Rundown::try_acquire_many) admits a burst of packets, all or none, and
//!   [`take_one`](rundown::RefGuards::take_one) gives a packet its own protection to take along.
//! - [`wait`](Rundown::wait) closes the object and returns when the last packet is out. If the
//!   filter vetoes, [`cancel`](Rundown::cancel) opens it again, and the wait says so.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use rundown::{
    CacheAware, CacheAwareRundown, HostPlatform, Park, RefGuard, Rundown, Slot, State, WaitOutcome,
};

const THREADS: usize = 3;
const BURST: u32 = 8;

type Variant = CacheAware<HostPlatform, [Slot; THREADS + 5]>;

static SCANNER: Rundown<Variant> = CacheAwareRundown::new().born_closed();
/// Stands for the filter's code and data. (`Relaxed` will do: the rundown orders it.)
static IN_MEMORY: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static WILD_CALLS: AtomicU64 = AtomicU64::new(0);

fn call() {
    CALLS.fetch_add(1, Relaxed);
    if !IN_MEMORY.load(Relaxed) {
        WILD_CALLS.fetch_add(1, Relaxed);
    }
}

fn wait_for_calls() {
    let enough = CALLS.load(Relaxed) + 1000;
    while CALLS.load(Relaxed) < enough {
        thread::yield_now();
    }
}

/// Bursts of packets. The filter keeps the last of each, with its protection, for another thread.
fn traffic(keep: &SyncSender<RefGuard<'static, Variant>>) {
    loop {
        // `None`: no filter is loaded, or it is on its way out.
        let Some(mut burst) = SCANNER.try_acquire_many(BURST) else {
            thread::yield_now();
            continue;
        };
        while let Some(protection) = burst.take_one() {
            if burst.count() > 0 {
                call();
            } else if keep.send(protection).is_err() {
                return; // that thread has failed
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (keep, kept) = mpsc::sync_channel(64);
    // These threads go on until the program ends.
    thread::spawn(move || kept.iter().for_each(|_protection| call()));
    for _ in 0..THREADS {
        let keep = keep.clone();
        thread::spawn(move || traffic(&keep));
    }

    assert_eq!(CALLS.load(Relaxed), 0, "called before it was loaded");
    IN_MEMORY.store(true, Relaxed); // whatever the set-up takes: there is no caller yet
    SCANNER.open()?;
    wait_for_calls();

    println!("the scanner is to be unloaded; it has a packet in quarantine");
    let quarantine = SCANNER.try_acquire().ok_or("not loaded")?;
    let unload = thread::spawn(|| SCANNER.wait(&Park));
    while matches!(SCANNER.state(), State::Open | State::Closing) {
        thread::yield_now();
    }
    SCANNER.cancel()?; // the veto; the packet in quarantine stays protected
    assert_eq!(unload.join().ok(), Some(WaitOutcome::Cancelled), "unloaded against a veto");
    wait_for_calls();

    println!("the quarantine is empty; {} calls so far", CALLS.load(Relaxed));
    drop(quarantine);
    assert_eq!(SCANNER.wait(&Park), WaitOutcome::Drained, "no filter vetoed");
    SCANNER.complete()?;
    IN_MEMORY.store(false, Relaxed);
    println!("the scanner is unloaded, after {} calls", CALLS.load(Relaxed));
    assert_eq!(WILD_CALLS.load(Relaxed), 0, "the filter was not in memory");
    Ok(())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
