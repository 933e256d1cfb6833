//! Explains why `cargo boot` cannot be built for the guest's target, for example as the default.

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
