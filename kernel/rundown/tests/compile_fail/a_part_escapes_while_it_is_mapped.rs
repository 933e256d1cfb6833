use rundown::{Guard, HostPlatform, Protected, PlainRundown};

fn main() {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), 7);
    let mut escaped = None;
    let guard = Guard::map(object.try_acquire().unwrap(), |value| {
        escaped = Some(value);
        value
    });
    drop(guard);
    println!("{escaped:?}");
}
