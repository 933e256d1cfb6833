//! A driver is unloaded while CPUs submit requests; then its next versions are loaded.
//!
//! The unload frees the device's state. Its users are everywhere: CPUs that submit, and requests
//! inside the device that belong to no CPU. "If it is loaded, count me in" are two steps; between
//! them the unload would find no user counted, and free. With a [`Protected`] they are one:
//! - [`try_acquire`](Protected::try_acquire) looks and counts in one step, in any context.
//! - A request carries its [`Guard`] along, to whatever thread completes it.
//! - [`begin_run_down`](Protected::begin_run_down) refuses new users and waits for the guards. If
//!   that takes too long, it says what is outstanding (with `--features diagnosis`, a list).
//! - [`publish`](Protected::publish) opens the next one; [`replace`](Protected::replace) does both.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use rundown::{
    CacheAware, CacheAwareRundown, Guard, HostPlatform, Park, Protected, RunDownError, Slot,
};

const CPUS: usize = 3;

/// A slot per CPU; some more for other threads.
type Variant = CacheAware<HostPlatform, [Slot; CPUS + 5]>;

/// A request inside the device, which stays as long as there is one.
type Request = Guard<'static, Device, Variant>;

/// No driver is loaded yet.
static DEVICE: Protected<Device, Variant> = Protected::vacant(CacheAwareRundown::new());
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// The memory that the unload frees. (`Relaxed` will do inside: the rundown orders it.)
#[derive(Default)]
struct Device {
    version: u32,
    submitted: AtomicU64,
    completed: AtomicU64,
}

fn submit() -> Option<Request> {
    let device = DEVICE.try_acquire()?; // `None`: the driver is being unloaded
    device.submitted.fetch_add(1, Relaxed);
    Some(device)
}

/// On another thread than the one that submitted it.
fn complete(request: Request) {
    request.completed.fetch_add(1, Relaxed);
    // The guard is dropped here. If it is the last one, this wakes the unload.
}

fn cpu(hardware: &SyncSender<Request>) {
    loop {
        if let Some(request) = submit() {
            let _ = hardware.send(request); // blocks while the queue is full
        } else {
            REFUSED.fetch_add(1, Relaxed);
            thread::yield_now();
        }
    }
}

fn wait_for_requests() {
    while DEVICE.try_acquire().is_some_and(|device| device.completed.load(Relaxed) < 1000) {
        thread::yield_now();
    }
}

/// The device is ours alone: its counts stand still.
fn free(device: Device) {
    let [submitted, completed] = [device.submitted, device.completed].map(AtomicU64::into_inner);
    println!("version {} is freed: {submitted} submitted, {completed} completed", device.version);
    assert_eq!(submitted, completed, "freed with requests inside");
}

fn main() -> Result<(), Box<dyn Error>> {
    let (hardware, inside) = mpsc::sync_channel(64);
    // These threads go on until the program ends.
    thread::spawn(move || inside.iter().for_each(complete));
    for _ in 0..CPUS {
        let hardware = hardware.clone();
        thread::spawn(move || cpu(&hardware));
    }

    DEVICE.publish(Device { version: 1, ..Device::default() })?;
    wait_for_requests();
    println!("version 1 is unloaded while a tape is rewinding");
    let (tape, rewound) = mpsc::sync_channel(1);
    tape.send(submit().ok_or("not loaded")?)?; // it belongs to no thread now
    let soon = HostPlatform::after(Duration::from_millis(20));
    match DEVICE.begin_run_down().wait_deadline(&Park, soon) {
        Err(RunDownError::Outstanding(outstanding)) => println!("after 20 ms {outstanding}"),
        _ => return Err("unloaded while a request was inside".into()),
    }
    assert!(submit().is_none(), "used after its unload began");
    // A real driver resets the device, which then gives its requests back.
    complete(rewound.recv()?);
    free(DEVICE.run_down(&Park)?);

    DEVICE.publish(Device { version: 2, ..Device::default() })?;
    wait_for_requests();
    free(DEVICE.replace(&Park, Device { version: 3, ..Device::default() })?);
    wait_for_requests();
    free(DEVICE.run_down(&Park)?);
    println!("{} requests were refused in between", REFUSED.load(Relaxed));
    Ok(())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
