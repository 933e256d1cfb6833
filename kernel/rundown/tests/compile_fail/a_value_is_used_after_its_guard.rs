use rundown::{HostPlatform, Protected, PlainRundown};

fn main() {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), String::new());
    let guard = object.try_acquire().unwrap();
    let value: &String = &guard;
    drop(guard);
    println!("{value}");
}
