use rundown::{Guard, HostPlatform, Protected, RundownRef};

fn main() {
    let object = Protected::new(RundownRef::<HostPlatform>::new(), (1, 2));
    let first = Guard::map(object.try_acquire().unwrap(), |pair| &pair.0);
    let value: &i32 = &first;
    drop(first);
    println!("{value}");
}
