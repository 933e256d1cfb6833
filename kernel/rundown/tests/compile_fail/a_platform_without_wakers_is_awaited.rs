use rundown::{ObjectId, Platform, Rundown, RundownRef};

struct Bare;

impl Platform for Bare {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

async fn ends(rundown: &RundownRef<Bare>) {
    let _ = rundown.drain().await;
}

fn main() {}
