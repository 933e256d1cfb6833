use std::cell::Cell;
use std::sync::Arc;

use rundown::{HostPlatform, PlainRundown, Protected};

fn main() {
    let object = Arc::new(Protected::new(PlainRundown::<HostPlatform>::new(), Cell::new(7)));
    let guard = object.try_acquire_owned().unwrap();
    std::thread::spawn(move || guard.set(8));
}
