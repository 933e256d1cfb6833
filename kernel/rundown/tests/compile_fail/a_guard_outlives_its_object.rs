use rundown::{HostPlatform, PlainRundown};

fn main() {
    let guard;
    {
        let rundown = PlainRundown::<HostPlatform>::new();
        guard = rundown.try_acquire();
    }
    drop(guard);
}
