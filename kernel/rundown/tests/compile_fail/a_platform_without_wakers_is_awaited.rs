use rundown::{ObjectId, Platform, PlainRundown};

struct Bare;

impl Platform for Bare {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

async fn ends(rundown: &PlainRundown<Bare>) {
    let _ = rundown.drain().await;
}

fn main() {}
