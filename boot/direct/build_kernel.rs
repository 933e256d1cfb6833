//! The build script of the kernels in this workspace, and of the image that one loads: `link.ld`
//! lays them out. (As a flag of rustc's, this would rebuild `core` for each other layout.)

use std::path::Path;

fn main() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut scripts = folders.map(|folder| folder.join("boot/direct/link.ld"));
    let script = scripts.find(|script| script.is_file()).expect("this is a folder of the checkout");
    println!("cargo::rerun-if-changed={}", script.display());
    // For the host these packages are only checked.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    }
}
