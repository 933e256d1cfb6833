//! Sequences of calls against the model: every two calls in every state, and long ones at random,
//! the same in each run. Of one that fails, what it fails without is left out.

use std::panic;

use crate::model::Call::{self, *};
use crate::object::follow;
use crate::support::{Make, Random, for_every_variant};

for_every_variant!(s8_every_two_calls_in_every_state, any_sequence_of_calls_follows_the_model,);

/// The states that objects are brought to first.
const STARTS: [&[Call]; 7] = [
    &[],
    &[Many(2)],
    &[Many(2), Close],
    &[Many(2), CloseThen(0)],
    &[Close],
    &[Close, Complete],
    &[BornClosed],
];

const EVERY: [Call; 20] = [
    Acquire(1),
    AcquireHeld(1),
    Release(1),
    OverRelease(1),
    One,
    Clone(0),
    Drop(0),
    TakeOne(0),
    Close,
    CloseThen(0),
    CloseThen(1),
    Cancel,
    Complete,
    Reinit,
    Open,
    TryWait,
    Wait,
    Drain,
    DrainOf(0),
    Poll(0),
];

/// In all states that an object can be in between calls; the models have the others.
fn s8_every_two_calls_in_every_state<R: Make + ?Sized>() {
    // Where CPUs are real, each move waits for the host's scheduler; random sequences have enough.
    let moves: &[Call] = if R::COUNTS_GO_ON { &[On(1)] } else { &[] };
    // A wait closes what is open.
    for (start, watch) in STARTS.iter().flat_map(|start| [(start, &[][..]), (start, &[Drain])]) {
        for first in EVERY {
            for second in EVERY {
                follow::<R>(&[start, watch, moves, &[first, second]].concat());
            }
        }
    }
}

fn any_call(random: &mut Random) -> Call {
    let [number, other] = [(); 2].map(|()| random.below(8) as usize);
    let n = random.below(4) as u32;
    match random.below(52) {
        0..9 => On(number),
        9 => On(usize::MAX),
        10..14 => Acquire(n),
        14 => AcquireHeld(n),
        15..19 => Release(n + 1),
        19 => OverRelease(n + 1),
        20..22 => One,
        22..24 => Many(n),
        24 => Clone(number),
        25..29 => Drop(number),
        29 => Split(number, n),
        30 => TakeOne(number),
        31 => Merge(number, other),
        32..35 => Close,
        35 => CloseThen(number % 2),
        36..39 => Cancel,
        39 => Complete,
        40..42 => Reinit,
        42 => Open,
        43 => TryWait,
        44 => Wait,
        45..47 => Drain,
        47 => DrainOf(number),
        48..51 => Poll(number),
        _ => DropDrain(number),
    }
}

fn any_sequence_of_calls_follows_the_model<R: Make + ?Sized>() {
    // Where CPUs are real, the thread moves at each `On`.
    let sequences = if R::COUNTS_GO_ON { 1000 } else { 100 };
    // Others by `RUNDOWN_SEED=N`.
    let seed = std::env::var("RUNDOWN_SEED").ok();
    let seed = seed.map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = Random::new(seed);
    for _ in 0..sequences {
        let length = 1 + random.below(60);
        let mut calls: Vec<Call> = (0..length).map(|_| any_call(&mut random)).collect();
        if random.below(2) == 0 {
            calls.insert(0, BornClosed);
        }
        let fails = |calls: &[Call]| panic::catch_unwind(|| follow::<R>(calls)).is_err();
        if !fails(&calls) {
            continue;
        }
        for index in (0..calls.len()).rev() {
            let call = calls.remove(index);
            if !fails(&calls) {
                calls.insert(index, call);
            }
        }
        panic!("seed {seed}: differs after {calls:?}");
    }
}
