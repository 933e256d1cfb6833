//! Not among rustc's flags, which hold for all crates: a new path would rebuild all of them.

fn main() {
    println!("cargo::rustc-link-arg=-T../../../boot/direct/link.ld");
}
