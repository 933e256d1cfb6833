#![deny(unused_must_use)]

use rundown::{HostPlatform, Park, Rundown, RundownRef};

fn main() {
    let rundown = RundownRef::<HostPlatform>::new();
    rundown.wait(&Park);
}
