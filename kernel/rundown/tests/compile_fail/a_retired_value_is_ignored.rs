#![deny(unused_must_use)]

use rundown::{HostPlatform, PlainRundown, Protected, RunDownError, Spin};

fn main() -> Result<(), RunDownError> {
    let object = Protected::new(PlainRundown::<HostPlatform>::new(), String::new());
    object.begin_run_down().wait(&Spin)?;
    Ok(())
}
