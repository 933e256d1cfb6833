use rundown::{HostPlatform, PlainRundown};

fn main() {
    let mut drain = {
        let rundown = PlainRundown::<HostPlatform>::new();
        rundown.drain()
    };
    drain.poll();
}
