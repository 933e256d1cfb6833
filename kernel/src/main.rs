//! The main job: the [storm](kernel::storm).
#![no_std]
#![no_main]

kernel::main!(kernel::storm::run);
