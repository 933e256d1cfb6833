use rundown::{HostPlatform, Owner, RundownRef};

fn main() {
    let owner = Owner::new(RundownRef::<HostPlatform>::new(), 7);
    let guard = {
        let handle = owner.handle();
        handle.try_acquire()
    };
    drop(guard);
}
