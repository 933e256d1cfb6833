//! Switches the tracing on, for this package alone. (A feature would be switched on for all who share
//! the package.)

fn main() {
    println!("cargo::rustc-cfg=rundown_trace");
    println!("cargo::rerun-if-changed=build.rs");
}
