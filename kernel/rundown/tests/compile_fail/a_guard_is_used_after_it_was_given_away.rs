use rundown::{HostPlatform, Rundown, RundownRef};

fn main() {
    let rundown = RundownRef::<HostPlatform>::new();
    let guards = rundown.try_acquire_many(2).unwrap();
    drop(guards);
    drop(guards);
}
