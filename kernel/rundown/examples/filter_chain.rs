//! Packets pass a chain of filters on many threads. One filter is loaded and unloaded meanwhile.
//!
//! **The problem.** A filter is code that others call: a file system minifilter, a packet hook. It
//! must not be called before its set-up is complete, nor leave memory while calls are in it or it
//! keeps packets to finish later.
//!
//! **The trap.** Taking the filter off the list stops the calls that come later, not those on their
//! way: a thread may have read the list, and not called yet. A lock held during the calls stops
//! them, but all packets write its cache line, and it knows nothing of the packets that are kept.
//!
//! **With rundown protection.** Each place in the chain has a [`CacheAwareRundown`], for ever. What
//! it guards is code, not a value, so this goes without [`Protected`](rundown::Protected):
//! - It is [born closed](CacheAwareRundown::born_closed): packets go past the place, until the set-up
//!   is complete. Then [`open`](Rundown::open) publishes it.
//! - [`try_acquire_many`](Rundown::try_acquire_many) admits a burst of packets in one step, all or
//!   none. [`take_one`](rundown::RefGuards::take_one) gives a packet its own protection to take along.
//! - [`wait`](Rundown::wait) closes the place and returns when the last packet is out. If a filter
//!   vetoes, [`cancel`](Rundown::cancel) opens it again, and the wait says so.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use rundown::{
    CacheAware, CacheAwareRundown, HostPlatform, Park, RefGuard, Rundown, Slot, State, WaitOutcome,
    WrongState,
};

const THREADS: usize = 3;
const BURST: u32 = 8;

type Variant = CacheAware<HostPlatform, [Slot; THREADS + 5]>;

static CHAIN: [Filter; 2] = [Filter::new("firewall"), Filter::new("scanner")];
static WILD_CALLS: AtomicU64 = AtomicU64::new(0);

/// A place in the chain, and the filter in it.
struct Filter {
    name: &'static str,
    rundown: Rundown<Variant>,
    /// Stands for code and data of the filter. `Relaxed` will do: the rundown orders it.
    in_memory: AtomicBool,
    calls: AtomicU64,
}

impl Filter {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            rundown: CacheAwareRundown::new().born_closed(),
            in_memory: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        }
    }

    fn load(&self) -> Result<(), WrongState> {
        // Whatever the set-up takes: there is no caller yet.
        self.in_memory.store(true, Relaxed);
        self.rundown.open()?;
        println!("{} is loaded", self.name);
        Ok(())
    }

    fn unload(&self) -> Result<WaitOutcome, WrongState> {
        let outcome = self.rundown.wait(&Park);
        match outcome {
            WaitOutcome::Drained => {
                self.in_memory.store(false, Relaxed);
                self.rundown.complete()?;
                println!("{} is unloaded, after {} calls", self.name, self.calls());
            }
            WaitOutcome::Cancelled => println!("{} stays: its unload was vetoed", self.name),
            WaitOutcome::IllegalContext => unreachable!("only where a close needs a barrier"),
        }
        Ok(outcome)
    }

    fn call(&self) {
        self.calls.fetch_add(1, Relaxed);
        if !self.in_memory.load(Relaxed) {
            WILD_CALLS.fetch_add(1, Relaxed);
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    fn wait_for_calls(&self) {
        let enough = self.calls() + 1000;
        while self.calls() < enough {
            thread::yield_now();
        }
    }
}

/// A packet that a filter keeps, with its protection.
type Kept = (&'static Filter, RefGuard<'static, Variant>);

/// Bursts of packets run through the chain. A filter keeps the last of each, for another thread.
fn traffic(keep: &SyncSender<Kept>) {
    loop {
        for filter in &CHAIN {
            // `None`: the place is empty, or the filter is on its way out.
            let Some(mut burst) = filter.rundown.try_acquire_many(BURST) else {
                continue;
            };
            while let Some(protection) = burst.take_one() {
                if burst.count() > 0 {
                    filter.call();
                } else if keep.send((filter, protection)).is_err() {
                    return; // that thread has failed
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (keep, kept) = mpsc::sync_channel::<Kept>(64);
    // These threads go on until the program ends.
    thread::spawn(move || kept.iter().for_each(|(filter, _protection)| filter.call()));
    for _ in 0..THREADS {
        let keep = keep.clone();
        thread::spawn(move || traffic(&keep));
    }

    let [firewall, scanner] = &CHAIN;
    firewall.load()?;
    firewall.wait_for_calls();
    assert_eq!(scanner.calls(), 0, "called before it was loaded");
    scanner.load()?;
    scanner.wait_for_calls();

    println!("scanner is to be unloaded; it has a packet in quarantine");
    let quarantine = scanner.rundown.try_acquire().ok_or("not loaded")?;
    let unload = thread::spawn(|| scanner.unload());
    while matches!(scanner.rundown.state(), State::Open | State::Closing) {
        thread::yield_now();
    }
    scanner.rundown.cancel()?; // the veto; what is in quarantine stays protected
    let outcome = unload.join().map_err(|_| "the unload failed")??;
    assert_eq!(outcome, WaitOutcome::Cancelled, "unloaded against a veto");
    scanner.wait_for_calls();

    println!("scanner is to be unloaded; its quarantine is empty");
    drop(quarantine);
    assert_eq!(scanner.unload()?, WaitOutcome::Drained, "no filter vetoed");
    let last = scanner.calls();
    firewall.wait_for_calls();
    assert_eq!(scanner.calls(), last, "called after its unload");
    println!("firewall goes on, {} calls so far", firewall.calls());
    assert_eq!(WILD_CALLS.load(Relaxed), 0, "a filter was not in memory");
    Ok(())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
