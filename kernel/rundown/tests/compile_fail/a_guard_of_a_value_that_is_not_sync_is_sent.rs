use std::cell::Cell;

use rundown::{HostPlatform, Protected, RundownRef};

fn send<T: Send>(_: T) {}

fn main() {
    let object = Protected::new(RundownRef::<HostPlatform>::new(), Cell::new(7));
    send(object.try_acquire().unwrap());
}
