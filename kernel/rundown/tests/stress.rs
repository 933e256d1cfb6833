//! Many threads use one object while two owners run it down and publish it again and again.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rundown::{Guard, Park, Protected};
use support::{Make, Random, for_every_sized_variant};

for_every_sized_variant!(a_poisoned_value_is_never_seen);

const USERS: u64 = 4;
/// The users go on until both have been reached.
const GRANTS_PER_USER: u64 = 100_000;
const TEARDOWNS: u64 = 100;
const ALIVE: u64 = 0x600D_600D_600D_600D;
const POISON: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// Good to look at only while alive. Atomics, so that a failure is a failed assertion, not a data
/// race.
struct Payload {
    pattern: AtomicU64,
    users: AtomicU64,
}

impl Payload {
    fn new() -> Box<Self> {
        Box::new(Self {
            pattern: AtomicU64::new(ALIVE),
            users: AtomicU64::new(0),
        })
    }

    fn r#use(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            self.pattern.load(Ordering::Relaxed),
            ALIVE,
            "used after its teardown"
        );
    }

    fn done(&self) {
        assert_eq!(
            self.pattern.load(Ordering::Relaxed),
            ALIVE,
            "torn down while in use"
        );
        self.users.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Done<'a, R: Make>(Option<Guard<'a, Box<Payload>, R>>);

impl<R: Make> Drop for Done<'_, R> {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.done();
        }
    }
}

fn a_poisoned_value_is_never_seen<R: Make>() {
    let object = Protected::new(*R::make(), Payload::new());
    let finished = AtomicBool::new(false);
    let teardowns = AtomicU64::new(0);
    thread::scope(|scope| {
        let owners: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !finished.load(Ordering::Relaxed) {
                        tear_down_and_publish(&object, &teardowns);
                        thread::yield_now();
                    }
                })
            })
            .collect();
        // Guards that wait here are released by another thread than took them.
        let drawer = Mutex::new(Vec::new());
        thread::scope(|users| {
            for user in 0..USERS {
                let (object, drawer, teardowns) = (&object, &drawer, &teardowns);
                users.spawn(move || use_it(object, drawer, teardowns, user));
            }
        });
        finished.store(true, Ordering::Relaxed);
        for owner in owners {
            owner.join().expect("an owner failed");
        }
    });
}

fn use_it<'a, R: Make>(
    object: &'a Protected<Box<Payload>, R>,
    drawer: &Mutex<Vec<Done<'a, R>>>,
    teardowns: &AtomicU64,
    user: u64,
) {
    let mut random = Random::new(0x9E37_79B9 * (user + 1));
    let mut granted = 0;
    while granted < GRANTS_PER_USER || teardowns.load(Ordering::Relaxed) < TEARDOWNS {
        // Wrong on purpose, as if the thread migrated all the time (S11).
        R::wander(&mut random);
        let Some(guard) = object.try_acquire() else {
            // Guards left in the drawer while the owner waits must be dropped in the end.
            drawer.lock().expect("no user failed").clear();
            thread::yield_now();
            continue;
        };
        granted += 1;
        guard.r#use();
        let mut used = Done(Some(guard));
        if random.below(4) == 0 {
            let mut drawer = drawer.lock().expect("no user failed");
            if drawer.len() < 8 {
                drawer.push(used);
                continue;
            }
            let place = random.below(8) as usize;
            std::mem::swap(&mut drawer[place], &mut used);
        }
        R::wander(&mut random);
        drop(used);
    }
    drawer.lock().expect("no user failed").clear();
}

fn tear_down_and_publish<R: Make>(object: &Protected<Box<Payload>, R>, teardowns: &AtomicU64) {
    // Two owners: the other may have the value, or may have published already.
    let Ok(payload) = object.run_down(&Park) else {
        return;
    };
    assert_eq!(
        payload.users.load(Ordering::Relaxed),
        0,
        "run down while in use"
    );
    payload.pattern.store(POISON, Ordering::Relaxed);
    teardowns.fetch_add(1, Ordering::Relaxed);
    assert!(
        object.publish(Payload::new()).is_ok(),
        "only the taker publishes"
    );
    drop(payload);
}
