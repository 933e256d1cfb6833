use rundown::{Guard, HostPlatform, Protected, PlainRundown};

fn main() {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), (1, 2));
    let first = Guard::map(object.try_acquire().unwrap(), |pair| &pair.0);
    let value: &i32 = &first;
    drop(first);
    println!("{value}");
}
