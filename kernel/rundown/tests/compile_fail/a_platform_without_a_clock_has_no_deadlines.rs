use rundown::{ObjectId, Platform, PlainRundown, Spin};

struct Bare;

impl Platform for Bare {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

fn main() {
    let _ = PlainRundown::<Bare>::new().wait_deadline(&Spin, 0);
}
