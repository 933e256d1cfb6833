//! Peers written in C, where their packages were found when this was built. Their loops are in `c/`,
//! so that they are inlined there as they are for their users.
//!
//! `unsafe` here: calls into C.

use bench::Contender;
use bench::report::Missing;

pub(crate) fn contenders() -> Vec<Contender> {
    vec![
        #[cfg(has_urcu_memb)]
        peer(URCU_MEMB, urcu_memb::object),
        #[cfg(has_urcu_bp)]
        peer(URCU_BP, urcu_bp::object),
        #[cfg(has_ck)]
        peer(CK_EPOCH, ck_epoch::object),
    ]
}

#[cfg(any(has_urcu_memb, has_urcu_bp, has_ck))]
fn peer(name: &'static str, object: fn() -> bench::Object) -> Contender {
    Contender {
        name,
        group: bench::Group::Peer,
        memory: None,
        object,
    }
}

const URCU_MEMB: &str = "liburcu memb, read section";
const URCU_BP: &str = "liburcu bp, read section";
const CK_EPOCH: &str = "concurrencykit ck_epoch, section";

/// What was not found.
pub(crate) fn missing() -> Vec<Missing> {
    const URCU: &str = "not installed: apt install liburcu-dev pkg-config";
    const CK: &str = "not installed: apt install libck-dev pkg-config";
    [
        (cfg!(has_urcu_memb), URCU_MEMB, URCU),
        (cfg!(has_urcu_bp), URCU_BP, URCU),
        (cfg!(has_ck), CK_EPOCH, CK),
    ]
    .into_iter()
    .filter(|&(found, ..)| !found)
    .map(|(_, name, reason)| Missing {
        name,
        reason: reason.to_owned(),
    })
    .collect()
}

#[cfg(has_urcu_memb)]
mod urcu_memb {
    use bench::Object;

    unsafe extern "C" {
        fn peer_urcu_memb_enter_thread();
        fn peer_urcu_memb_leave_thread();
        fn peer_urcu_memb_pairs(pairs: u64);
    }

    pub(super) fn object() -> Object {
        Box::new(|watch| {
            // SAFETY: this thread is not registered, it leaves below.
            unsafe { peer_urcu_memb_enter_thread() };
            // SAFETY: this thread is registered.
            watch.batches(|pairs| unsafe { peer_urcu_memb_pairs(pairs) });
            // SAFETY: it was registered above, and is in no section.
            unsafe { peer_urcu_memb_leave_thread() };
        })
    }
}

#[cfg(has_urcu_bp)]
mod urcu_bp {
    use bench::Object;

    unsafe extern "C" {
        /// Any thread, at any time.
        safe fn peer_urcu_bp_pairs(pairs: u64);
    }

    pub(super) fn object() -> Object {
        Box::new(|watch| watch.batches(|pairs| peer_urcu_bp_pairs(pairs)))
    }
}

#[cfg(has_ck)]
mod ck_epoch {
    use std::ffi::c_void;
    use std::sync::{Mutex, Once, PoisonError};

    use bench::Object;

    unsafe extern "C" {
        fn peer_ck_init();
        fn peer_ck_enter_thread() -> *mut c_void;
        fn peer_ck_leave_thread(record: *mut c_void);
        fn peer_ck_pairs(record: *mut c_void, pairs: u64);
    }

    static INITIALISED: Once = Once::new();

    /// Threads come and go one at a time, to be on the safe side.
    static COMING_AND_GOING: Mutex<()> = Mutex::new(());

    pub(super) fn object() -> Object {
        // SAFETY: once, before anything else.
        INITIALISED.call_once(|| unsafe { peer_ck_init() });
        Box::new(|watch| {
            // SAFETY: the epoch is initialised.
            let record = alone(|| unsafe { peer_ck_enter_thread() });
            // SAFETY: the record is this thread's, and is registered.
            watch.batches(|pairs| unsafe { peer_ck_pairs(record, pairs) });
            // SAFETY: it is in no section, and not used any more.
            alone(|| unsafe { peer_ck_leave_thread(record) });
        })
    }

    fn alone<T>(work: impl FnOnce() -> T) -> T {
        let _turn = COMING_AND_GOING
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work()
    }
}
