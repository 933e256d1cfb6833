//! A driver is unloaded while CPUs submit requests and interrupts come in. Then its next version is
//! loaded.
//!
//! **The problem.** The unload frees the device's state. Its users are everywhere: CPUs that submit,
//! interrupt handlers, and requests that are inside the device and belong to no CPU at all.
//!
//! **The trap.** "If it is loaded, count me in" are two steps. Between them the unload finds no user
//! counted, and frees. Counting first and looking then is no better: the count is in the memory that
//! may be gone. And a lock around both cannot be taken by an interrupt handler whose own CPU has it.
//!
//! **With rundown protection.** The way to the device is a static [`Protected`]:
//! - [`Protected::try_acquire`] looks and counts in one step, in any context. It gives a [`Guard`]
//!   or, when the driver is being unloaded, `None`.
//! - A request carries its guard along, to whatever thread completes it.
//! - [`Protected::begin_run_down`] closes; what it returns waits for the guards, says what is outstanding if it takes too
//!   long (who, too: try `--features diagnosis`), and gives the device out to be freed.
//! - [`Protected::publish`] puts in the next one, and users are admitted again.

use std::error::Error;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use rundown::{
    CacheAware, CacheAwareRundown, Guard, HostPlatform, Park, Protected, PublishError,
    RunDownError, Slot,
};

const CPUS: usize = 3;

/// A counter per CPU; some more for other threads.
type Variant = CacheAware<HostPlatform, [Slot; CPUS + 5]>;

/// No driver is loaded yet.
static DEVICE: Protected<Device, Variant> = Protected::vacant(CacheAwareRundown::new());
static REWIND: Barrier = Barrier::new(2);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// What the unload frees.
#[derive(Default)]
struct Device {
    version: u32,
    submitted: AtomicU64,
    completed: AtomicU64,
    interrupts: AtomicU64,
}

/// A request inside the device. As long as it is, the device cannot go.
struct Request {
    device: Guard<'static, Device, Variant>,
}

impl Request {
    fn submit() -> Option<Self> {
        let device = DEVICE.try_acquire()?;
        device.submitted.fetch_add(1, Relaxed);
        Some(Self { device })
    }

    /// On any thread: not the one that submitted it.
    fn complete(self) {
        self.device.completed.fetch_add(1, Relaxed);
        // The guard is dropped here. If it is the last one, this wakes the unload.
    }
}

fn cpu(hardware: &SyncSender<Request>) {
    loop {
        if let Some(request) = Request::submit() {
            let _ = hardware.send(request); // blocks while the queue is full
        } else {
            REFUSED.fetch_add(1, Relaxed);
            thread::yield_now();
        }
    }
}

/// A thread here, a handler in a kernel: `try_acquire` is legal in both.
fn interrupts() {
    loop {
        thread::sleep(Duration::from_micros(100));
        if let Some(device) = DEVICE.try_acquire() {
            device.interrupts.fetch_add(1, Relaxed);
        }
    }
}

/// Returns when some requests and interrupts are through.
fn load(version: u32) -> Result<(), PublishError<Device>> {
    DEVICE.publish(Device { version, ..Device::default() })?;
    println!("version {version} is loaded; {CPUS} CPUs submit requests");
    while DEVICE.try_acquire().is_some_and(|device| {
        device.completed.load(Relaxed) < 1000 || device.interrupts.load(Relaxed) < 10
    }) {
        thread::yield_now();
    }
    Ok(())
}

/// The device is ours alone: its counts stand still.
fn free(device: Device) {
    println!("version {} is freed", device.version);
    let [submitted, completed, interrupts] =
        [device.submitted, device.completed, device.interrupts].map(AtomicU64::into_inner);
    println!("  {submitted} requests submitted, {completed} completed, {interrupts} interrupts");
    assert_eq!(submitted, completed, "freed with requests inside");
}

fn main() -> Result<(), Box<dyn Error>> {
    let (hardware, inside) = mpsc::sync_channel::<Request>(64);
    // These threads go on until the program ends.
    thread::spawn(move || inside.iter().for_each(Request::complete));
    thread::spawn(interrupts);
    for _ in 0..CPUS {
        let hardware = hardware.clone();
        thread::spawn(move || cpu(&hardware));
    }

    load(1)?;

    // One request takes long: the device has it until the tape is rewound.
    let tape = thread::spawn(move || {
        let slow = Request::submit();
        REWIND.wait(); // begins
        REWIND.wait(); // ends
        slow.is_some_and(|request| hardware.send(request).is_ok())
    });
    REWIND.wait();

    println!("version 1 is unloaded, while a tape is rewinding");
    // From here on everybody is refused, on every CPU. (The next call would do it, too.)
    DEVICE.close();
    let soon = HostPlatform::after(Duration::from_millis(20));
    let device = match DEVICE.begin_run_down().wait_deadline(&Park, soon) {
        Err(RunDownError::Outstanding(outstanding)) => {
            println!("  after 20 ms {outstanding}");
            // A real driver resets the device now, so that it gives its requests back.
            REWIND.wait();
            DEVICE.run_down(&Park)?
        }
        _ => return Err("unloaded while a request was inside".into()),
    };
    assert!(DEVICE.try_acquire().is_none(), "used after its unload");
    assert!(tape.join().is_ok_and(|sent| sent), "the request is lost");
    free(device);

    load(2)?;
    free(DEVICE.run_down(&Park)?);
    println!("{} requests were refused in between", REFUSED.load(Relaxed));
    Ok(())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
