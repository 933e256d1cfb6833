//! Every value of a word that is narrow enough to try them all.

use super::*;

/// Eight bits.
const NARROW: WordLayout = WordLayout { count: 3, generation: 1, cancels: 2 };
const MOST: u64 = 7;
const GENERATIONS: u64 = 2;
const CANCELS: u64 = 4;
const PHASES: [Phase; 6] =
    [Phase::Open, Phase::Closed, Phase::ClosedThen, Phase::RunDown, Phase::Claimed, Phase::Vacant];

/// The meaning of a word of [`NARROW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    count: u64,
    epoch: Epoch,
    phase: Phase,
}

/// Every word and its meaning. Phase 3 has three, by the field of the cancels, and no count.
fn every() -> impl Iterator<Item = (Word, Model)> {
    (0..256).filter(|bits: &u64| bits & 3 < 3 || bits >> 2 & 3 < 3 && bits >> 5 == 0).map(|bits| {
        let cancels = bits >> 2 & 3;
        let model = Model {
            count: bits >> 5,
            epoch: Epoch { generation: bits >> 4 & 1, cancels },
            phase: match (bits & 3, cancels) {
                (3, 0) => Phase::RunDown,
                (3, 1) => Phase::Claimed,
                (3, _) => Phase::Vacant,
                (code, _) => PHASES[code as usize],
            },
        };
        (Word::new(NARROW, bits), model)
    })
}

fn meaning(word: Word) -> Model {
    assert!(word.bits < 256, "{word:?} has bits outside");
    Model { count: word.count(), epoch: word.epoch(), phase: word.phase() }
}

fn has_count(phase: Phase) -> bool {
    !matches!(phase, Phase::RunDown | Phase::Claimed | Phase::Vacant)
}

#[test]
fn a_word_means_its_fields() {
    for (word, model) in every() {
        assert_eq!(meaning(word), model);
        for phase in PHASES {
            let cancels = match phase {
                Phase::RunDown => 0,
                Phase::Claimed => 1,
                Phase::Vacant => 2,
                _ => model.epoch.cancels,
            };
            let emptied = Model { count: 0, epoch: Epoch { cancels, ..model.epoch }, phase };
            assert_eq!(meaning(word.emptied(phase)), emptied);
        }
    }
    for (bits, phase) in [(Word::OPEN, Phase::Open), (Word::RUN_DOWN, Phase::RunDown)] {
        for layout in [NARROW, WordLayout::PLAIN, WordLayout::SHARDED] {
            let word = Word::new(layout, bits);
            assert_eq!((word.phase(), word.count()), (phase, 0));
            assert_eq!((word.epoch().generation, word.epoch().cancels), (0, 0));
        }
    }
    assert_eq!(NARROW.max_count(), MOST);
}

#[test]
fn acquiring_adds_all_or_nothing() {
    for (word, model) in every() {
        for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX] {
            let left = model.count.checked_sub(u64::from(n));
            let expected = left.map(|count| Model { count, ..model });
            assert_eq!(word.released(n).map(meaning), expected, "{model:?} - {n}");
            let count = model.count + u64::from(n);
            let held =
                if count <= MOST { Ok(Model { count, ..model }) } else { Err(Refused::Full) };
            if has_count(model.phase) {
                assert_eq!(word.acquired_held(n).map(meaning), held, "{model:?} + {n}");
            }
            let expected = if model.phase == Phase::Open { held } else { Err(Refused::Closed) };
            assert_eq!(word.acquired(n).map(meaning), expected, "{model:?} + {n}");
        }
    }
}

/// A change of phase keeps all else, and so does a cancel; the next generation starts at zero.
#[test]
fn a_step_changes_what_it_names() {
    for (word, model) in every() {
        let epoch = model.epoch;
        let reborn = meaning(Word::reborn(NARROW, epoch));
        assert_eq!((reborn.count, reborn.phase), (0, Phase::Open));
        assert_eq!(reborn.epoch.generation, (epoch.generation + 1) % GENERATIONS);
        if has_count(model.phase) {
            for phase in PHASES.into_iter().filter(|&phase| has_count(phase)) {
                assert_eq!(meaning(word.with_phase(phase)), Model { phase, ..model });
            }
            let epoch = Epoch { cancels: (epoch.cancels + 1) % CANCELS, ..epoch };
            assert_eq!(meaning(word.revived()), Model { epoch, phase: Phase::Open, ..model });
        }
        let state = match (model.phase, model.count == 0) {
            (Phase::Open, _) => State::Open,
            (Phase::Closed, true) => State::Drained,
            (Phase::ClosedThen, true) => State::Closing,
            (Phase::Closed | Phase::ClosedThen, false) => State::Draining,
            (Phase::RunDown | Phase::Vacant, _) => State::RunDown,
            (Phase::Claimed, _) => State::Claimed,
        };
        assert_eq!(word.state(), state);
    }
}

/// The words in use fill all 64 bits.
#[test]
fn full_words_are_not_mixed_up() {
    for layout in [WordLayout::PLAIN, WordLayout::SHARDED] {
        assert_eq!(layout.count + layout.generation + layout.cancels + 2, 64);
        let full = Word::new(layout, u64::MAX).with_phase(Phase::Closed);
        assert_eq!(full.count(), ones(layout.count));
        let epoch = full.epoch();
        assert_eq!(epoch.generation, ones(layout.generation));
        assert_eq!(epoch.cancels, ones(layout.cancels));
        let revived = full.revived();
        assert_eq!(revived.count(), ones(layout.count));
        assert_eq!(revived.epoch().cancels, 0);
        assert_eq!(revived.epoch().generation, ones(layout.generation));
        assert_eq!(Word::reborn(layout, epoch).epoch().generation, 0);
        assert_eq!(full.emptied(Phase::Claimed).phase(), Phase::Claimed);
    }
}
