use rundown::{HostPlatform, PlainRundown, Protected, Spin};

fn main() {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), String::new());
    let retired = object.begin_run_down().wait(&Spin).unwrap();
    let first = retired.take();
    let second = retired.take();
    drop((first, second));
}
