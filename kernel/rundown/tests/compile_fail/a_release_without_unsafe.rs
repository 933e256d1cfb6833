use rundown::{HostPlatform, PlainRundown};

fn main() {
    let rundown = PlainRundown::<HostPlatform>::new();
    rundown.acquire().unwrap();
    rundown.release();
    rundown.release_many(1);
}
