use rundown::{ObjectId, Platform, Rundown, RundownRef, Spin};

struct Bare;

impl Platform for Bare {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

fn main() {
    let _ = RundownRef::<Bare>::new().wait_deadline(&Spin, 0);
}
