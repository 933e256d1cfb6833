//! Not among rustc's flags, which hold for each crate: all of them would be built again for another
//! path.

fn main() {
    println!("cargo::rustc-link-arg=-T../../../boot/direct/link.ld");
}
