use rundown::{HostPlatform, PlainRundown, Rundown, Variant};

fn open_it_whatever_is_held<V: Variant>(rundown: &Rundown<V>) {
    let _ = rundown.gate.finish_reopen(0);
}

fn main() {
    open_it_whatever_is_held(&PlainRundown::<HostPlatform>::new());
}
