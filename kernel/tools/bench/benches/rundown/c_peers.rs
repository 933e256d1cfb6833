//! Peers written in C, where their packages were found when this was built. Their loops are in
//! `c/`, so that they are inlined there as they are for their users.
//!
//! `unsafe` here: calls into C.

use bench::{Contender, MakeObject};

/// For each: its cfg, its name, the package, the functions of its loop.
macro_rules! c_peers {
    ($($cfg:ident: $name:literal, $package:literal, $enter:ident, $pairs:ident, $leave:ident;)*) => {
        /// Those that were found.
        pub(crate) fn contenders() -> Vec<Contender<MakeObject>> {
            vec![$(
                #[cfg($cfg)]
                Contender {
                    name: $name,
                    group: bench::Group::Peer,
                    make: {
                        unsafe extern "C" {
                            fn $enter();
                            fn $pairs(pairs: u64);
                            fn $leave();
                        }
                        bench::shared(|| (), |(), watch| {
                            // SAFETY: this thread is not registered, it leaves below. Others may do
                            // so now.
                            unsafe { $enter() };
                            // SAFETY: this thread is registered.
                            let lap = watch.batches(|pairs| unsafe { $pairs(pairs) });
                            // SAFETY: it was registered above, and is in no section.
                            unsafe { $leave() };
                            lap
                        })
                    },
                },
            )*]
        }

        /// Those that were not found, each with a remedy.
        pub(crate) fn missing() -> Vec<(&'static str, String)> {
            vec![$(
                #[cfg(not($cfg))]
                ($name, format!("not installed: apt install {} pkg-config", $package)),
            )*]
        }
    };
}

c_peers! {
    has_urcu_memb: "liburcu memb, read section", "liburcu-dev", peer_memb_enter, peer_memb_pairs, peer_memb_leave;
    has_urcu_bp: "liburcu bp, read section", "liburcu-dev", peer_bp_enter, peer_bp_pairs, peer_bp_leave;
    has_ck: "concurrencykit ck_epoch, section", "libck-dev", peer_ck_enter, peer_ck_pairs, peer_ck_leave;
}
