//! Models of the map of counters: nothing that is free stays behind a mark, whichever threads mark
//! and free at the same time. In a model a word has two marks; words of counters have 64 bits.
#![cfg(rundown_loom)]

mod models;

use loom::sync::Arc;
use models::spawn;
use rundown::per_cpu::CounterMap;

fn model(preemptions: usize, run: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    // The steps that fill the map count, too.
    builder.max_branches = 5_000;
    builder.check(run);
}

/// A map with `counters` in use: the next search, which finds the last word full, sets the marks.
fn in_use<const WORDS: usize>(counters: usize) -> Arc<CounterMap<WORDS>> {
    let map = CounterMap::new();
    for expected in 0..counters {
        assert_eq!(map.reserve(), Some(expected));
    }
    Arc::new(map)
}

/// The search goes past 64 counters, while one of them becomes free.
#[test]
fn freed_while_its_word_is_marked() {
    model(5, || {
        let map = in_use::<2>(64);
        let other = spawn(&map, |map| map.free(5));
        let counter = map.reserve().unwrap();
        other.join().unwrap();
        // The other one of the two, although more are free behind them.
        let next = map.reserve();
        match counter {
            5 => assert_eq!(next, Some(64)),
            _ => assert_eq!((counter, next), (64, Some(5))),
        }
    });
}

#[test]
fn freed_behind_a_mark() {
    model(4, || {
        let map = in_use::<4>(129);
        let other = spawn(&map, |map| map.free(5));
        map.free(70);
        other.join().unwrap();
        assert_eq!(map.reserve(), Some(5));
        assert_eq!(map.reserve(), Some(70));
        assert_eq!(map.reserve(), Some(129));
    });
}

#[test]
fn two_that_reserve_and_free() {
    model(2, || {
        let map = in_use::<2>(128);
        assert_eq!(map.reserve(), None);
        map.free(3);
        map.free(70);
        let threads = [(); 2].map(|()| {
            spawn(&map, |map| {
                let counter = map.reserve().expect("two are free, for two");
                map.free(counter);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(map.reserve(), Some(3));
        assert_eq!(map.reserve(), Some(70));
        assert_eq!(map.reserve(), None);
    });
}
