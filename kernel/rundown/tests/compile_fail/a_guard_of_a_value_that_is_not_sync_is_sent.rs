use std::cell::Cell;

use rundown::{HostPlatform, Protected, PlainRundown};

fn send<T: Send>(_: T) {}

fn main() {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), Cell::new(7));
    send(object.try_acquire().unwrap());
}
