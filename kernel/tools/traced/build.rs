//! Switches the tracing on, for this package alone. (A feature would be switched on for all users
//! of the package.)

fn main() {
    println!("cargo::rustc-cfg=rundown_trace");
    println!("cargo::rerun-if-changed=build.rs");
}
