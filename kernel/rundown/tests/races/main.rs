//! Races of users and owners, on threads. (The workspace's guests run the same on the CPUs of a
//! kernel.)
#![cfg(not(rundown_loom))]

extern crate alloc;

mod scenarios;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Barrier;
use std::thread;

use rundown::Park;
use support::{Make, affinity, for_every_sized_variant, on_cpu};

macro_rules! races {
    ($($race:ident),*) => {
        $(
            fn $race<R: Make>() {
                scenarios::$race(|| *R::make());
            }
        )*
        for_every_sized_variant!($($race),*);
    };
}

races!(only_the_last_release_drains, torn_down_again_and_again, every_worker_is_an_owner);

/// Four threads, which begin on CPUs of their own, or on slots of their own.
struct Crew(Barrier);

impl Crew {
    const WORKERS: usize = 4;
    const WAIT: Park = Park;

    fn gather() -> Self {
        Self(Barrier::new(Self::WORKERS))
    }

    fn workers(&self) -> usize {
        Self::WORKERS
    }

    fn rounds(&self, most: u32) -> u64 {
        most.into()
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        thread::scope(|scope| {
            for me in 0..Self::WORKERS {
                scope.spawn(move || {
                    on_cpu(me);
                    affinity::move_to(affinity::allowed(me));
                    work(me);
                });
            }
        });
    }

    /// To another slot each time; to another CPU now and then, since that takes context switches.
    fn wander(&self, to: usize) {
        on_cpu(to);
        if to.is_multiple_of(16) {
            affinity::move_to(affinity::allowed(to));
        }
    }

    fn meet(&self) {
        self.0.wait();
    }

    fn until(&self, ready: &mut dyn FnMut() -> bool) {
        while !ready() {
            thread::yield_now();
        }
    }

    fn wake_all(&self) {}
}
