//! The build script of this workspace's kernels, and of the image that one of them loads: `link.ld`
//! lays them out. (As a flag of rustc's, that would have `core` built again for other layouts.)

use std::path::Path;

fn main() {
    // Relative, as a checkout may be moved, or share a target folder with another.
    let scripts = ["../boot/direct/link.ld", "../../boot/direct/link.ld"];
    let script = scripts.into_iter().find(|script| Path::new(script).is_file());
    println!("cargo::rerun-if-changed={}", script.expect("this is a folder of the checkout"));
    // For the host these packages are only checked.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // From the workspace's root, where cargo starts rustc.
        println!("cargo::rustc-link-arg-bins=-Tboot/direct/link.ld");
    }
}
