use rundown::{HostPlatform, Plain, PlainRundown, Variant};

fn main() {
    let object = PlainRundown::<HostPlatform>::new();
    <Plain<HostPlatform> as Variant>::reset_slots(&object);
}
