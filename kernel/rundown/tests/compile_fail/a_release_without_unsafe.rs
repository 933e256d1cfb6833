use rundown::{HostPlatform, Rundown, RundownRef};

fn main() {
    let rundown = RundownRef::<HostPlatform>::new();
    rundown.acquire().unwrap();
    rundown.release();
    rundown.release_many(1);
}
