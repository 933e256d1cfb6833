//! Programs that must not compile: no way in safe code to unbalance, to outlive the drain, or to touch
//! a value after it.
//!
//! What the compiler says is compared, too, with the toolchain of `rust-toolchain.toml`; after a
//! change of that, `TRYBUILD=overwrite cargo test -p rundown --test compile_fail` writes it anew, to be
//! read before it is committed.
#![cfg(not(rundown_loom))]

#[test]
fn safe_code_cannot_break_the_promises() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
