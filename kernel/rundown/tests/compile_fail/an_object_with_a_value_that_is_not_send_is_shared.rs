use std::sync::{Mutex, MutexGuard};

use rundown::{HostPlatform, Protected, PlainRundown};

fn share<T: Sync>(_: &T) {}

fn main() {
    let mutex = Mutex::new(7);
    let object: Protected<MutexGuard<'_, i32>, _> =
        Protected::new(PlainRundown::<HostPlatform>::new(), mutex.lock().unwrap());
    share(&object);
}
