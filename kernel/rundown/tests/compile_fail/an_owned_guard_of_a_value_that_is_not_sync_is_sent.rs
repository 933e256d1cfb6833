use std::cell::Cell;
use std::sync::Arc;

use rundown::{HostPlatform, PlainRundown, Protected};

fn send<T: Send>(_: T) {}

fn main() {
    let object = Arc::new(Protected::new(PlainRundown::<HostPlatform>::new(), Cell::new(7)));
    send(object.try_acquire_owned().unwrap());
}
