use rundown::{HostPlatform, Protected, RundownRef};

fn main() {
    let object = Protected::new(RundownRef::<HostPlatform>::new(), String::new());
    let guard = object.try_acquire().unwrap();
    let value: &String = &guard;
    drop(guard);
    println!("{value}");
}
