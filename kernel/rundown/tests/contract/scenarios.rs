//! The table: what users and owners rely on, promise by promise (S1 to S13 in the README), as
//! sequences of calls whose answers the model knows. Each runs over every variant.

use crate::model::Call::{
    self, Acquire, AcquireHeld, BornClosed, Cancel, Clone, Close, CloseThen, Complete, Drain,
    DrainOf, Drop, DropDrain, Many, Merge, On, One, Open, OverRelease, Poll, Reinit, Release,
    Split, TakeOne, TryWait, Wait,
};
use crate::object::follow;
use crate::support::{Make, for_every_variant};

macro_rules! scenarios {
    ($($(#[doc = $doc:literal])* fn $name:ident = $calls:expr;)*) => {
        $($(#[doc = $doc])* fn $name<R: Make + ?Sized>() {
            // Compiled once, not for every variant.
            fn calls() -> Vec<Call> {
                $calls[..].to_vec()
            }
            follow::<R>(&calls());
        })*

        for_every_variant!($($name),*);
    };
}

/// More than any variant under test has slots.
const CPUS: usize = 10;

/// Around the number of slots of each variant, and at the end of the range.
const HINTS: [usize; 8] = [0, 1, 2, 3, 4, 1000, usize::MAX - 1, usize::MAX];

/// The same on each CPU, or for each number.
fn on_each<const N: usize>(calls: impl Fn(usize) -> [Call; N]) -> Vec<Call> {
    (0..CPUS).flat_map(calls).collect()
}

/// The same, and something before and after.
fn around<const N: usize>(
    before: &[Call],
    calls: impl Fn(usize) -> [Call; N],
    after: &[Call],
) -> Vec<Call> {
    [before, &on_each(calls), after].concat()
}

scenarios! {
    fn s1_after_close_every_cpu_is_refused = around(
        &[Acquire(1), Close],
        |cpu| [On(cpu), One, Many(2), Acquire(1)],
        &[Release(1), On(1), One, On(0), Acquire(1)],
    );
    fn s2_a_wait_outlasts_every_reference = [
        One, On(1), One, On(2), One, Drain, Poll(0), Drop(0), Poll(0), Drop(1), Poll(0), Drop(2), Poll(0),
    ];
    fn s2_a_drain_may_be_dropped = [One, Drain, DropDrain(0), Drain, Drop(0), Poll(0)];
    fn s2_a_wait_asked_again = [
        Many(3), Wait, TryWait, Wait, Split(0, 1), Drop(0), Wait, Drop(0), Wait, TryWait,
    ];
    fn s4_release_on_any_cpu_before_or_after_close = on_each(|taken_on| [
        On(taken_on), One, One, On(taken_on + 1), Drop(0), Close, Drop(0), Reinit,
        On(taken_on), One, One, Close, On(taken_on + 3), Drop(0), Drop(0), Reinit,
        On(taken_on), One, Close, Drop(0), Reinit,
    ]);
    /// As in an interrupt handler on top of a holder, also one that comes while the holder's object
    /// drains.
    fn s5_protection_nests = [One, One, Close, One, Drop(0), Drop(1)];
    /// The first waits sleep through a whole cycle.
    fn s6_a_late_waiter_survives_a_reinit = [
        One, Drain, Drop(0), Drain, Wait, Reinit, One, Close, Poll(0), Poll(1), Drain, Poll(2), Drop(1), Poll(2),
        Reinit, Poll(0), Poll(2), Close, Reinit, Poll(0), Poll(2),
    ];
    fn s7_many_and_single_mix = [Many(3), One, Acquire(1), Acquire(2), Close, Drop(0), Drop(1), Release(3)];
    fn s7_many_are_released_in_other_portions = on_each(|round| {
        let close_at = |portion| if round % 4 == portion { Close } else { On(portion) };
        [
            On(0), Acquire(4), Acquire(6), close_at(0), Release(1), close_at(1), Release(2),
            close_at(2), Release(3), close_at(3), Release(4), Reinit,
        ]
    });
    fn s7_none_protect_nothing = [Many(0), Clone(0), Close, Clone(0), Many(0), Drop(0), Release(0)];
    fn s7_the_greatest_portion_is_counted = [
        Acquire(u32::MAX), On(1), Acquire(u32::MAX), On(2), Many(u32::MAX), Close, Release(u32::MAX), On(3),
        Release(u32::MAX), Drop(0), Wait,
    ];
    /// Of the plain variant, whose capacity is 2^22 - 1. Closed comes before full.
    fn s7_the_first_beyond_the_capacity_is_refused = [
        Acquire((1 << 22) - 2), Acquire(2), Acquire(1), Acquire(1), One, Many(1), Acquire(u32::MAX), Acquire(0),
        Release(1), Acquire(2), One, Close, Acquire(1), Drop(0), Release((1 << 22) - 2),
    ];
    fn s7_guards_split_and_merge = [
        Many(10), Close, Split(0, 4), Split(0, 0), TakeOne(1), Drop(3), Merge(0, 1), TakeOne(0), Split(0, 3),
        Drop(0), Drop(4), TakeOne(2), Drop(5),
    ];
    fn s7_guards_beyond_their_range_do_not_merge = [Many(u32::MAX), Many(1), Merge(0, 1), Drop(0), Close];
    fn s7_a_release_without_an_acquire_is_found = [
        Acquire(2), On(1), OverRelease(3), Close, Wait, Release(2), Reinit, OverRelease(1), Close,
    ];
    fn s7_a_late_release_too_many_is_found = [
        Acquire(2), Close, Drain, OverRelease(3), Poll(0), Release(2), Poll(0),
    ];
    fn s7_a_release_after_the_drain_is_found = [
        Close, OverRelease(1), OverRelease(2), Complete, OverRelease(1), OverRelease(2), Wait,
    ];
    fn s7_a_release_of_none_is_never_misuse = [Acquire(1), Close, OverRelease(2), Release(0), Wait, Release(0)];
    /// Nothing that is balanced is misuse, whatever it leaves in the slots.
    fn s7_balanced_calls_are_never_misuse = on_each(|round| [
        Many(round as u32 + 2), On(round), TakeOne(0), Drop(1), if round % 3 == 0 { Close } else { Acquire(0) },
        if round % 2 == 0 { Cancel } else { On(round + 1) }, On(round + 1), Drop(0), Close, Reinit,
    ]);
    fn s8_many_generations = on_each(|cpu| [
        On(cpu), One, On(cpu + 1), One, One, On(cpu), Drop(1), Close, On(cpu + 2), Drop(0), Drop(0),
        if cpu % 2 == 0 { Complete } else { Wait }, Reinit,
    ]);
    fn s8_a_late_drain_leaves_the_next_generation_alone = [
        BornClosed, Open, DrainOf(1), Poll(0), Reinit, DrainOf(1), Poll(1), One, DrainOf(2), Poll(2), DrainOf(0),
        Poll(3), Drop(0), Poll(2),
    ];
    fn s9_born_closed_refuses_until_it_is_opened = around(
        &around(&[BornClosed], |cpu| [On(cpu), Acquire(1), Many(2)], &[Open]),
        |cpu| [On(cpu), Acquire(1), One],
        &[Close],
    );
    /// It asked for the end of the time before.
    fn s9_a_wait_for_the_unopened_object_is_over = [
        BornClosed, Drain, Open, One, Poll(0), Drain, Poll(1), Drop(0), Poll(1),
    ];
    /// It is reported by the first opening, which goes on; the plain variant reports it at once.
    fn s9_a_release_before_the_first_opening_is_found = [BornClosed, OverRelease(1), Open, One];
    fn s10_a_cancelled_object_grants_again = around(
        &[One, Close, Acquire(1), Cancel],
        |cpu| [On(cpu), One, Drop(1)],
        &[Close, One, Drop(0)],
    );
    fn s10_the_waiter_learns_it = [One, Drain, Poll(0), Cancel, Poll(0), Drop(0), Poll(0)];
    fn s10_a_waiter_learns_it_although_the_object_is_closed_again = [
        One, Drain, Cancel, Close, Poll(0), Drop(0), Poll(0),
    ];
    /// Its drain has ended.
    fn s10_drained_after_all_counts_as_drained = [One, Drain, Cancel, Drop(0), Close, Poll(0)];
    /// As many cancels as the waiter has seen, in another generation.
    fn s10_a_waiter_may_sleep_through_a_cancel_and_a_generation = [
        One, Drain, Cancel, Close, Drop(0), Wait, Reinit, One, Close, Cancel, Close, Poll(0), Drop(1),
    ];
    fn s10_many_cancels_of_one_generation = around(
        &[One],
        |cpu| [On(cpu), Acquire(2), Drain, Poll(cpu), On(cpu + 1), Release(1), Cancel, Poll(cpu), Acquire(1)],
        &[Close, Release(20)],
    );
    /// Hints that are wrong, stale or too large: the per-CPU variant does not ask for any.
    fn s11_any_hint_will_do = HINTS.iter().flat_map(|&taken_on| HINTS.iter().flat_map(move |&dropped_on| [
        On(taken_on), One, On(usize::MAX / 2), One, Close, On(dropped_on), Drop(0), Drop(0), Reinit,
    ])).collect::<Vec<_>>();
    fn s12_a_clone_of_an_open_object = [One, On(1), Clone(0), Close, Drop(0), Drop(1)];
    fn s12_a_clone_while_draining = on_each(|cpu| [
        On(0), One, Close, On(cpu), Clone(0), One, On(cpu + 1), Drop(1), Drop(0), Reinit,
    ]);
    fn s12_a_clone_outlives_its_original = around(
        &[One, Drain], |cpu| [On(cpu), Clone(cpu), Drop(cpu), Poll(0)], &[Drop(0), Poll(0)],
    );
    /// In the slots and on the shared count in turn, and all of it is known to the next drain.
    fn s12_a_clone_after_a_cancel = [
        One, Close, Clone(0), Cancel, On(1), Clone(0), Close, On(2), Clone(1), Drop(0), Drop(1), Drop(2), Drop(3),
    ];
    fn s12_clones_of_many = [
        Many(3), Clone(0), Close, On(1), Clone(0), Merge(1, 2), Drop(0), On(2), Split(1, 4), Drop(3), TakeOne(1),
        Clone(4), Drop(4), Drop(1), Drop(5),
    ];
    fn s12_raw_protection_taken_by_a_holder = [
        Acquire(1), AcquireHeld(1), Close, AcquireHeld(5), AcquireHeld(0), On(1), Release(6), Release(1),
    ];
    /// Of the plain variant, whose capacity is 2^22 - 1; open and draining.
    fn s12_a_full_object_refuses_clones = [
        Many((1 << 22) - 2), One, Clone(0), Clone(1), AcquireHeld(1), Drop(1), Clone(0), AcquireHeld(2),
        AcquireHeld(1), AcquireHeld(1), Release(1), Close, Clone(0), AcquireHeld(2), AcquireHeld(1), AcquireHeld(1),
    ];
    fn s13_the_last_release_runs_it = on_each(|cpu| [
        On(0), Many(3), TakeOne(0), CloseThen(0), One, On(cpu + 1), Drop(1), TakeOne(0), Drop(0), On(cpu), Drop(0),
        Wait, Complete, Reinit,
    ]);
    fn s13_the_closer_runs_it_if_nothing_is_held = [One, On(1), Drop(0), CloseThen(0), Wait];
    fn s13_together_with_waiters = [One, Drain, CloseThen(0), Drain, Poll(0), Drop(0), Poll(0), Poll(1)];
    fn s13_a_cancel_gives_it_back = around(
        &[One, Drain],
        |round| [On(round), CloseThen(round % 2), Cancel, Acquire(1), Release(1)],
        &[Poll(0), Close, Drop(0)],
    );
    /// The slots then count less than nothing.
    fn s13_what_a_cancel_carried_over_and_slots_gave_back = on_each(|round| [
        On(0), Many(3), Close, Cancel, On(1), Split(0, round as u32 % 4), Drop(1), CloseThen(0), Drop(0), Reinit,
    ]);
    fn s13_it_waits_for_clones = [One, CloseThen(0), On(1), Clone(0), Drop(0), On(2), Drop(1)];
    fn s13_a_second_one_is_refused = [One, CloseThen(0), CloseThen(0), CloseThen(1), Drop(0)];
    fn s13_refused_in_wrong_states = [
        Close, CloseThen(0), Complete, CloseThen(0), Reinit, CloseThen(1), CloseThen(0), Reinit, One,
    ];
    fn s13_a_release_of_none_ends_nothing = [One, CloseThen(0), Release(0), Drop(0), Release(0)];
}
