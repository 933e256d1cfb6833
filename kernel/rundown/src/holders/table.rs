//! The table of [holders](Holder): fixed size, lock-free, for any context.
//!
//! `unsafe` here: a location is read back from an atomic pointer.

use core::panic::Location;
use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering, fence};
use core::{fmt, ptr};

use super::word::{EntryPhase, EntryWord};
use crate::state::{ObjectId, Tag};

/// The entries of one CPU start at a multiple of this, so that CPUs rarely meet.
const PER_CPU: usize = 16;

/// How often a release without a guard goes through the table for what must be there. It misses
/// that only if others change the table behind it, each time anew.
const ATTEMPTS: usize = 8;

/// Protection that is held: one guard, or what is left of one acquire without a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The call that took it.
    pub location: &'static Location<'static>,
    /// The [hint](crate::Platform::cpu_hint) of the CPU that took it.
    pub cpu: usize,
    /// [When](crate::Platform::tick) it was taken.
    pub tick: u64,
    /// How many protections it is.
    pub count: u32,
    /// Whether it was taken without a guard.
    pub raw: bool,
    /// The tag it was [taken under](crate::Rundown::acquire_tagged).
    pub tag: Tag,
}

/// One line, without its end.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.raw { " without a guard" } else { "" };
        let (count, tick, cpu, location) = (self.count, self.tick, self.cpu, self.location);
        write!(f, "{count} held since tick {tick} on CPU {cpu}, taken{how} at {location}")?;
        match self.tag {
            Tag::NONE => Ok(()),
            tag => write!(f, " under tag {tag}"),
        }
    }
}

/// `core`'s atomics, in models, too: the table is no part of the protocol.
pub(crate) struct HolderTable<const N: usize> {
    entries: [Entry; N],
    /// Protections that found no free entry. May be below zero for a moment.
    unlisted: AtomicI64,
}

/// The entry of one guard, or of one acquire without a guard.
pub(crate) struct Claim<'a, const N: usize> {
    table: &'a HolderTable<N>,
    /// `None` if the table was full.
    entry: Option<&'a Entry>,
    /// The entry's word, as this claim has last changed it.
    word: EntryWord,
}

impl<const N: usize> Claim<'_, N> {
    /// It stands for `count` protections from now on.
    pub(crate) fn recount(&mut self, count: u32) {
        self.change(self.word.with(EntryPhase::Guard, count));
    }

    /// It stands for nothing any more.
    pub(crate) fn end(&mut self) {
        self.change(self.word.with(EntryPhase::Free, 0));
    }

    /// Changes the word, unless the entry is no longer the claim's: its object was dropped.
    fn change(&mut self, next: EntryWord) {
        match self.entry {
            None => self.table.recount_unlisted(self.word.count(), next.count()),
            // Only `clear` may have come before: it fails then.
            Some(entry) => {
                let _ = entry.exchange(self.word, next);
            }
        }
        self.word = next;
    }
}

impl<const N: usize> HolderTable<N> {
    pub(super) const fn new() -> Self {
        Self { entries: [const { Entry::new() }; N], unlisted: AtomicI64::new(0) }
    }

    /// Lists `holder`, or counts it as unlisted if there is no room.
    pub(super) fn add(&self, object: ObjectId, holder: &Holder) -> Claim<'_, N> {
        let mut claims = self.nearest(holder.cpu).filter_map(|entry| Some((entry, entry.claim()?)));
        let (entry, word) = claims.next().unzip();
        let phase = if holder.raw { EntryPhase::Raw } else { EntryPhase::Guard };
        let word = word.unwrap_or_default().with(phase, holder.count);
        match entry {
            Some(entry) => entry.fill(word, object, holder),
            None => self.recount_unlisted(0, holder.count),
        }
        Claim { table: self, entry, word }
    }

    /// Of what is not listed, `before` has become `after`.
    pub(super) fn recount_unlisted(&self, before: u32, after: u32) {
        let change = i64::from(after) - i64::from(before);
        if change != 0 {
            // Relaxed: pairs with nothing, the count is for people.
            self.unlisted.fetch_add(change, Ordering::Relaxed);
        }
    }

    pub(super) fn unlisted(&self) -> u64 {
        // Relaxed: pairs with nothing, the count is for people.
        u64::try_from(self.unlisted.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Takes `count` off the entries without a guard of `object`: first those with `tag`, and of
    /// these first those of `cpu`. Returns how many of them had another tag, unless that is none.
    pub(super) fn take_raw(&self, object: ObjectId, cpu: usize, count: u32, tag: Tag) -> u32 {
        let other = self.take_matching(object, cpu, count, Some(tag));
        // Something is released, under whatever tag it was taken.
        let _ = self.take_matching(object, cpu, other, None);
        if tag == Tag::NONE { 0 } else { other }
    }

    /// The same of the entries with `tag`, or of all. Returns how many it has not found.
    fn take_matching(&self, object: ObjectId, cpu: usize, count: u32, tag: Option<Tag>) -> u32 {
        let mut left = count;
        for _ in 0..ATTEMPTS {
            for whose in [Some(cpu), None] {
                for entry in self.nearest(cpu) {
                    if left == 0 {
                        return 0;
                    }
                    left -= entry.take_raw(object, left, |holder| {
                        let is_whose = whose.is_none_or(|whose| whose == holder.cpu);
                        is_whose && tag.is_none_or(|tag| tag == holder.tag)
                    });
                }
            }
            // Each release has an acquire before it, so the table lists (or counts as unlisted)
            // the protections still to be taken off; but perhaps where this CPU has looked already.
            let unlisted = u32::try_from(self.unlisted()).unwrap_or(u32::MAX);
            if unlisted > 0 {
                // The tags of those are not known.
                self.recount_unlisted(left.min(unlisted), 0);
                return 0;
            }
        }
        left
    }

    /// The holders of `object`. Each is read when the iterator comes to it.
    pub(super) fn holders(&self, object: ObjectId) -> impl Iterator<Item = Holder> + Clone + '_ {
        let entries = self.entries.iter();
        entries.filter_map(move |entry| Some(entry.read(object)?.1))
    }

    /// Forgets `object`, which is dropped with `held` still held.
    pub(crate) fn clear(&self, object: ObjectId, held: i64) {
        let listed: i64 = self.entries.iter().map(|entry| entry.clear(object)).sum();
        let lost = u32::try_from(held - listed).unwrap_or(0);
        let unlisted = u32::try_from(self.unlisted()).unwrap_or(u32::MAX);
        self.recount_unlisted(lost.min(unlisted), 0);
    }

    /// All entries, from the first of `cpu` on and round.
    fn nearest(&self, cpu: usize) -> impl Iterator<Item = &Entry> {
        let home = cpu.wrapping_mul(PER_CPU) % N;
        let (before, after) = self.entries.split_at(home);
        after.iter().chain(before)
    }
}

/// One cache line (64 bytes), so that CPUs that use different entries do not disturb each other.
#[repr(align(64))]
struct Entry {
    word: AtomicU64,
    /// This and the next are filled in by the call that has claimed the entry.
    location: AtomicPtr<Location<'static>>,
    /// Object, CPU, tick and tag.
    numbers: [AtomicU64; 4],
}

impl Entry {
    const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            location: AtomicPtr::new(ptr::null_mut()),
            numbers: [const { AtomicU64::new(0) }; 4],
        }
    }

    /// One attempt to get the entry, if it is free.
    fn claim(&self) -> Option<EntryWord> {
        // Relaxed: pairs with nothing, only the exchange counts.
        let seen = EntryWord(self.word.load(Ordering::Relaxed));
        if seen.phase() != EntryPhase::Free {
            return None;
        }
        let claimed = seen.claimed();
        // Acquire: pairs with the Release in `exchange`; its last owner is done with it.
        self.word.compare_exchange(seen.0, claimed.0, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // Release: pairs with the Acquire fence in `read`: a reader that sees any of the new entry
        // sees the claim.
        fence(Ordering::Release);
        Some(claimed)
    }

    /// Fills the claimed entry in and lists it.
    fn fill(&self, listed: EntryWord, object: ObjectId, holder: &Holder) {
        let location = ptr::from_ref(holder.location).cast_mut();
        // Relaxed: pairs with the load in `read`, by way of `word`.
        self.location.store(location, Ordering::Relaxed);
        let (object, cpu, tag) = (object.get(), holder.cpu, holder.tag.0);
        let numbers = [object as u64, cpu as u64, holder.tick, tag as u64];
        for (place, number) in self.numbers.iter().zip(numbers) {
            // Relaxed: pairs with the loads in `is_of` and `read`, by way of `word`.
            place.store(number, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `word`; a reader that sees it listed sees all of it.
        self.word.store(listed.0, Ordering::Release);
    }

    /// The entry's present word.
    fn word(&self) -> EntryWord {
        // Acquire: pairs with the Release in `fill`, and in `exchange`: a release that finds
        // something taken off by another one sees what that one's acquire had listed.
        EntryWord(self.word.load(Ordering::Acquire))
    }

    /// Goes from `seen`, whose generation is one of its own, to `next`.
    fn exchange(&self, seen: EntryWord, next: EntryWord) -> bool {
        // Release: pairs with the Acquire in `claim` and in `word`. A failure changes nothing.
        self.word.compare_exchange(seen.0, next.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn is_of(&self, object: ObjectId) -> bool {
        // Relaxed: pairs with the store in `fill`, by way of `word`.
        self.numbers[0].load(Ordering::Relaxed) == object.get() as u64
    }

    /// The holder in this entry, if it holds `object`, and is the same from first to last.
    fn read(&self, object: ObjectId) -> Option<(EntryWord, Holder)> {
        let word = self.word();
        if !word.is_listed() || word.count() == 0 || !self.is_of(object) {
            return None;
        }
        // Relaxed: pairs with the store in `fill`, by way of `word`.
        let location = self.location.load(Ordering::Relaxed);
        let numbers = self.numbers.each_ref();
        // Relaxed: pairs with the store in `fill`, by way of `word`.
        let [_, cpu, tick, tag] = numbers.map(|number| number.load(Ordering::Relaxed));
        // Acquire: pairs with the Release fence in `claim`; if any of this is a later holder's, the
        // next load finds the later claim.
        fence(Ordering::Acquire);
        // Relaxed: pairs with the exchange in `claim`, by way of the fences.
        let word_after = EntryWord(self.word.load(Ordering::Relaxed));
        if !word_after.same_holder(word) {
            return None;
        }
        let holder = Holder {
            // SAFETY: it is null, or comes from a `&'static Location` in `fill`.
            location: unsafe { location.as_ref() }?,
            cpu: cpu as usize,
            tick,
            count: word.count(),
            raw: word.phase() == EntryPhase::Raw,
            tag: Tag(tag as usize),
        };
        Some((word, holder))
    }

    /// Takes at most `count` off, if the entry is a raw one of `object` and `fits`.
    fn take_raw(&self, object: ObjectId, count: u32, fits: impl Fn(&Holder) -> bool) -> u32 {
        let found = self.read(object);
        let Some((seen, holder)) = found.filter(|(_, it)| it.raw && fits(it)) else {
            return 0;
        };
        let taken = count.min(holder.count);
        let next = match holder.count - taken {
            0 => seen.with(EntryPhase::Free, 0),
            left => seen.with(EntryPhase::Raw, left),
        };
        // If this succeeds, the holder has been the same all the time.
        if self.exchange(seen, next) { taken } else { 0 }
    }

    /// Frees the entry if it is of `object`, which is not used any more; returns what it counted.
    fn clear(&self, object: ObjectId) -> i64 {
        let seen = self.word();
        if seen.is_listed()
            && self.is_of(object)
            && self.exchange(seen, seen.with(EntryPhase::Free, 0))
        {
            i64::from(seen.count())
        } else {
            0
        }
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests;
