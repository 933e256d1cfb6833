use rundown::{HostPlatform, Owner, RundownRef, Spin};

fn main() {
    let owner = Owner::new(RundownRef::<HostPlatform>::new(), String::new());
    let first = owner.run_down(&Spin);
    let second = owner.run_down(&Spin);
    drop((first, second));
}
