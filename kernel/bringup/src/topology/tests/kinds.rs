//! Machines of several kinds of cores.

use std::vec::Vec;

use super::super::{CacheKind, CoreKind};
use super::caches::cache;
use super::{AMD, INTEL, topology};
use crate::ApicId;

#[test]
fn amd_mixed_cores() {
    let kind = |core: u32, mixed: u32| {
        let answers = [
            (0x8000_0000, 0, [0x8000_0026, 0, 0, 0]),
            (0x8000_0026, 0, [1, core << 28 | 2, 0x100, 0]),
            (0x8000_0026, 1, [mixed << 30 | 4, 16, 0x403, 0]),
        ];
        topology(1, AMD, &answers, 0).kind
    };
    assert_eq!(kind(0, 1), Some(CoreKind::Performance));
    assert_eq!(kind(1, 1), Some(CoreKind::Efficiency));
    assert_eq!(kind(2, 1), None);
    // All of a kind.
    assert_eq!(kind(0, 0), None);
}

#[test]
fn intel_mixed_cores() {
    // Leaves 4 and 0x1A of a Core i9-12900K: cores with an L2 cache of their own, and modules of
    // four small cores that share one; the package has 64 IDs per L3 cache.
    let machine = |model: u32, l2: u32, id| {
        let answers = [
            (4, 0, [0xfc00_4143 & !0x03ff_c000 | l2 << 14, 0x0240_003f, 0x7ff, 0]),
            (4, 1, [0xfc1f_c163, 0x0240_003f, 0xbfff, 4]),
            (7, 0, [1, 0, 0, 1 << 15]),
            (0xb, 0, [1, 2, 0x100, id]),
            (0xb, 1, [7, 24, 0x201, id]),
            (0x1a, 0, [model, 0, 0, 0]),
        ];
        topology(0x20, INTEL, &answers, id)
    };
    let (fast, small) = (machine(0x4000_0001, 1, 18), machine(0x2000_0001, 7, 76));
    assert_eq!(fast.kind, Some(CoreKind::Performance));
    assert_eq!(small.kind, Some(CoreKind::Efficiency));
    let [fast, small] = [fast, small].map(|it| it.caches().collect::<Vec<_>>());
    let l3 = cache(3, CacheKind::Unified, 0);
    assert_eq!(fast, [cache(2, CacheKind::Unified, 18), l3]);
    // 18 >> 1 and 76 >> 3 are both 9: the caches have different names all the same.
    assert_eq!((small[0].first, small[1]), (ApicId::new(72), l3));
    assert_eq!(machine(0x3000_0000, 1, 0).kind, None);
    // Not mixed.
    let answers = [(0x1a, 0, [0x4000_0001, 0, 0, 0])];
    assert_eq!(topology(0x20, INTEL, &answers, 0).kind, None);
}
