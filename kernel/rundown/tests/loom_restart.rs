//! Model of the tables of restartable sequences: look-ups while a loader registers and unregisters.
//!
//! Memory that is freed is a table that is registered again with other sequences: loom reports a
//! look-up that reads the table while it is written.
#![cfg(rundown_loom)]

mod models;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use models::{check, spawn};
use rundown::per_cpu::restart::{Bounds, Images, RestartTable, Sequence};

/// Two images and a place for a third table.
struct System {
    images: Images,
    tables: [RestartTable; 2],
    /// Of the first image's code, once it is known.
    entry_point: AtomicUsize,
}

impl System {
    fn new() -> Self {
        let tables = [(); 2].map(|()| RestartTable::new());
        Self { images: Images::new(), tables, entry_point: AtomicUsize::new(0) }
    }

    /// An image with one sequence.
    fn register(&self, table: usize, start: u64) {
        let entries = Box::leak(Box::new([Sequence::new(start, start + 10)]));
        let range = entries.as_mut_ptr_range();
        let bounds = Bounds { start: range.start, end: range.end };
        // SAFETY: leaked; there is no code.
        unsafe { self.images.register(&self.tables[table], bounds) }.expect("not in the list");
    }

    fn unregister(&self, table: usize, barrier: impl FnMut()) {
        // SAFETY: there is no code.
        unsafe { self.images.unregister(&self.tables[table], barrier) }.expect("in the list");
    }
}

/// A handler looks up while the image goes and another one comes in the same memory.
#[test]
fn no_look_up_reads_a_table_that_is_out() {
    loom::model(|| {
        let system = Arc::new(System::new());
        system.register(0, 10);
        let handler = spawn(&system, |system| system.images.restart_point(15));
        system.unregister(0, || {});
        system.register(0, 20);
        let found = handler.join().unwrap();
        assert!(matches!(found, None | Some(10)), "{found:?}");
    });
}

/// The same with two handlers, which may count on different sides (an NMI on top of a look-up,
/// say); and a second time, when the sides have been through once.
#[test]
fn on_whichever_side_it_counts() {
    // bound: 3; without one it takes minutes.
    check(Some(3), || {
        let system = Arc::new(System::new());
        system.register(0, 10);
        let handlers =
            [15, 35].map(|at| spawn(&system, move |system| system.images.restart_point(at)));
        system.unregister(0, || {});
        system.register(0, 30);
        let [first, second] = handlers.map(|handler| handler.join().unwrap());
        assert!(matches!(first, None | Some(10)), "{first:?}");
        assert!(matches!(second, None | Some(30)), "{second:?}");
    });
}

/// A look-up for an image that stays finds it while the one before it, which it may be at, goes.
#[test]
fn the_image_behind_is_found() {
    loom::model(|| {
        let system = Arc::new(System::new());
        system.register(1, 30);
        system.register(0, 10);
        let handler = spawn(&system, |system| system.images.restart_point(35));
        system.unregister(0, || {});
        system.register(0, 50);
        assert_eq!(handler.join().unwrap(), Some(30));
        assert_eq!(system.images.restart_point(15), None);
        assert_eq!(system.images.restart_point(55), Some(50));
    });
}

/// Code that learns of an image after it was registered is restarted in it.
#[test]
fn code_that_knows_the_image_is_restarted_in_it() {
    loom::model(|| {
        let system = Arc::new(System::new());
        let cpu = spawn(&system, |system| {
            let known = system.entry_point.load(Ordering::Acquire) != 0;
            (known, system.images.restart_point(15))
        });
        system.register(0, 10);
        system.entry_point.store(1, Ordering::Release);
        system.register(1, 30);
        let (known, found) = cpu.join().unwrap();
        assert!(!known || found == Some(10), "{found:?}");
    });
}
