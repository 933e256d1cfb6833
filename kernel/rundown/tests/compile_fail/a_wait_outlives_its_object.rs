use rundown::{HostPlatform, Rundown, RundownRef};

fn main() {
    let mut drain = {
        let rundown = RundownRef::<HostPlatform>::new();
        rundown.drain()
    };
    drain.poll();
}
