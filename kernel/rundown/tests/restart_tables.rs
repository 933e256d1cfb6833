//! Tables of restartable sequences: which may be in the list, and what look-ups find.
#![cfg(not(rundown_loom))]

use rundown::per_cpu::restart::{
    Bounds, Images, NotRegistered, RegisterError, RestartTable, Sequence,
};

/// A table's entries, leaked: for images that stay.
fn bounds(entries: &[(u64, u64)]) -> Bounds {
    let mut entries: Vec<Sequence> =
        entries.iter().map(|&(start, end)| Sequence::new(start, end)).collect();
    let range = entries.as_mut_ptr_range();
    std::mem::forget(entries);
    Bounds { start: range.start, end: range.end }
}

fn register(
    images: &Images,
    table: &RestartTable,
    entries: &[(u64, u64)],
) -> Result<(), RegisterError> {
    // SAFETY: made for this, and leaked; the tests' tables outlive their images.
    unsafe { images.register(table, bounds(entries)) }
}

fn unregister(
    images: &Images,
    table: &RestartTable,
    barrier: impl FnMut(),
) -> Result<(), NotRegistered> {
    // SAFETY: there is no code.
    unsafe { images.unregister(table, barrier) }
}

#[test]
fn inside_means_after_the_start_and_before_the_end() {
    let entries = [(200, 209), (0, 0), (100, 110), (7, 7), (110, 120)];
    let images = Images::new();
    let table = RestartTable::new();
    assert_eq!(register(&images, &table, &entries), Ok(()));
    for at in 0..300 {
        let expected = match at {
            101..=109 => Some(100),
            111..=119 => Some(110),
            201..=208 => Some(200),
            _ => None,
        };
        assert_eq!(images.restart_point(at), expected, "{at}");
    }
}

#[test]
fn tables_come_and_go_in_any_order() {
    let images = Images::new();
    let tables = [(); 3].map(|()| RestartTable::new());
    let found = || [15, 25, 35].map(|at| images.restart_point(at));
    assert_eq!(found(), [None; 3]);
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [0, 2, 1], [2, 0, 1]] {
        let mut expected = [None; 3];
        for (image, table) in tables.iter().enumerate() {
            let start = 10 * (image as u64 + 1);
            assert_eq!(register(&images, table, &[(start, start + 10)]), Ok(()));
            expected[image] = Some(start);
            assert_eq!(found(), expected);
        }
        for image in order {
            assert_eq!(unregister(&images, &tables[image], || {}), Ok(()));
            expected[image] = None;
            assert_eq!(found(), expected, "{order:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let images = Images::new();
    let [one, other] = [(); 2].map(|()| RestartTable::new());
    assert_eq!(unregister(&images, &one, || {}), Err(NotRegistered));
    assert_eq!(register(&images, &one, &[(10, 20), (30, 40)]), Ok(()));
    assert_eq!(register(&images, &one, &[]), Err(RegisterError::Twice));
    // An image without sequences is one, too.
    let empty = RestartTable::new();
    assert_eq!(register(&images, &empty, &[(0, 0)]), Ok(()));
    assert_eq!(register(&images, &empty, &[]), Err(RegisterError::Twice));
    for entries in [(15, 16), (20, 30), (0, 11), (39, 50), (0, 100)] {
        let refused = register(&images, &other, &[entries]);
        assert_eq!(refused, Err(RegisterError::Overlap), "{entries:?}");
    }
    assert_eq!(unregister(&images, &other, || {}), Err(NotRegistered));
    assert_eq!(
        register(&images, &other, &[(40, 50), (0, 0), (5, 10)]),
        Err(RegisterError::Overlap)
    );
    assert_eq!(register(&images, &other, &[(40, 50)]), Ok(()));
    assert_eq!(images.restart_point(35), Some(30));
    assert_eq!(images.restart_point(45), Some(40));
}

/// A barrier that finds a CPU inside twice; then a third time.
#[test]
fn a_cpu_inside_is_restarted_and_waited_for() {
    let images = Images::new();
    let table = RestartTable::new();
    assert_eq!(register(&images, &table, &[(10, 20)]), Ok(()));
    let mut barriers = 0;
    let result = unregister(&images, &table, || {
        barriers += 1;
        if barriers <= 2 {
            assert_eq!(images.restart_point(15), Some(10));
        }
        assert_eq!(images.restart_point(20), None);
    });
    assert_eq!((result, barriers), (Ok(()), 3));
    assert_eq!(table.racy_restarts(), 2);
}
