//! Fails with an explanation if `cargo boot` is built for the guest's target, as where that is set
//! for every build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_host = ["CARGO_CFG_UNIX", "CARGO_CFG_WINDOWS"];
    if is_host.iter().all(|name| std::env::var_os(name).is_none()) {
        println!(
            "cargo::error=`cargo boot` runs on this host, and names the guest's target itself: unset CARGO_BUILD_TARGET \
             (in a file: build.target), which holds for every build"
        );
    }
}
