//! Any bytes as a MADT: as they are, and with signature and length set right, which hardly
//! any would have otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/exercise.rs"]
mod exercise;

use exercise::{exercise, seal};

fuzz_target!(|bytes: &[u8]| {
    // Bytes that are no table may be refused; a table must be read to its end without a panic.
    let _ = exercise(bytes);
    if bytes.len() >= 44 {
        let mut bytes = bytes.to_vec();
        seal(&mut bytes);
        let _ = exercise(&bytes);
    }
});
