fn main() {
    println!("cargo::rustc-link-arg=-Tlink.ld");
    println!("cargo::rerun-if-changed=link.ld");
}
