use rundown::{HostPlatform, PlainRundown};

fn main() {
    let object = PlainRundown::<HostPlatform>::new();
    object.acquire_held().unwrap();
}
