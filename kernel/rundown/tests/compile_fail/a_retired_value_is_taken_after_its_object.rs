use rundown::{HostPlatform, PlainRundown, Protected, Spin};

fn main() {
    let retired = {
        let object = Protected::new(PlainRundown::<HostPlatform>::new(), String::new());
        object.begin_run_down().wait(&Spin).unwrap()
    };
    drop(retired.take());
}
