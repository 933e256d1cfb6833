use rundown::{Completion, HostPlatform, PlainRundown};

fn main() {
    let object = PlainRundown::<HostPlatform>::new();
    let completion = Completion::of(|| {});
    object.close_then(&completion).unwrap();
}
