use rundown::{HostPlatform, Rundown, RundownRef};

fn main() {
    let guard;
    {
        let rundown = RundownRef::<HostPlatform>::new();
        guard = rundown.try_acquire();
    }
    drop(guard);
}
