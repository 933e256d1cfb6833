use rundown::{HostPlatform, Rundown, RundownRef};

fn open_it_whatever_is_held<R: Rundown>(rundown: &R) {
    rundown.unsweep(());
}

fn main() {
    open_it_whatever_is_held(&RundownRef::<HostPlatform>::new());
}
