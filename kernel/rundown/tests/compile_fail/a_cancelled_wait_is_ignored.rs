#![deny(unused_must_use)]

use rundown::{HostPlatform, Park, PlainRundown};

fn main() {
    let rundown = PlainRundown::<HostPlatform>::new();
    rundown.wait(&Park);
}
