use std::sync::Arc;

use rundown::{HostPlatform, PlainRundown, Protected};

fn main() {
    let text = String::from("gone");
    let object = Arc::new(Protected::new(PlainRundown::<HostPlatform>::new(), text.as_str()));
    let guard = object.try_acquire_owned().unwrap();
    drop(text);
    println!("{}", *guard);
}
