use rundown::{HostPlatform, PlainRundown};

fn main() {
    let rundown = PlainRundown::<HostPlatform>::new();
    let guards = rundown.try_acquire_many(2).unwrap();
    drop(guards);
    drop(guards);
}
