//! Peers written in C, where their packages were found when this was built. Their loops are in
//! `c/`, so that they are inlined there as they are for their users.
//!
//! `unsafe` here: calls into C.

use bench::Contender;

/// For each: its cfg, its name, the package, the functions of its loop.
macro_rules! c_peers {
    ($($cfg:ident: $name:literal, $package:literal, $enter:ident, $pairs:ident, $leave:ident;)*) => {
        /// Those that were found.
        pub(crate) fn contenders() -> Vec<Contender> {
            vec![$(
                #[cfg($cfg)]
                Contender {
                    name: $name,
                    group: bench::Group::Peer,
                    lines: 0,
                    bytes: 0,
                    make: Box::new(|_| -> bench::Object {
                        unsafe extern "C" {
                            fn $enter() -> *mut std::ffi::c_void;
                            fn $pairs(thread: *mut std::ffi::c_void, pairs: u64);
                            fn $leave(thread: *mut std::ffi::c_void);
                        }
                        Box::new(|watch| {
                            // SAFETY: this thread is not registered, it leaves below. Others may do
                            // so now.
                            let thread = unsafe { $enter() };
                            // SAFETY: this thread is registered, as this.
                            watch.batches(|pairs| unsafe { $pairs(thread, pairs) });
                            // SAFETY: it was registered above, and is in no section.
                            unsafe { $leave(thread) };
                        })
                    }),
                },
            )*]
        }

        /// Those that were not found, each with a remedy.
        pub(crate) fn missing() -> Vec<(&'static str, String)> {
            let remedy = |package| format!("not installed: apt install {package} pkg-config");
            let all = [$((cfg!($cfg), $name, $package)),*].into_iter();
            all.filter(|one| !one.0).map(|(_, name, package)| (name, remedy(package))).collect()
        }
    };
}

c_peers! {
    has_urcu_memb: "liburcu memb, read section", "liburcu-dev", peer_memb_enter, peer_memb_pairs, peer_memb_leave;
    has_urcu_bp: "liburcu bp, read section", "liburcu-dev", peer_bp_enter, peer_bp_pairs, peer_bp_leave;
    has_ck: "concurrencykit ck_epoch, section", "libck-dev", peer_ck_enter, peer_ck_pairs, peer_ck_leave;
}
