//! A child process that never outlives its parent.
//!
//! A guest that hangs burns a host CPU for ever, so QEMU ends with this process in every case:
//! dropped it is killed, and on Linux the system kills it when this process dies, however it dies.
#![expect(
    unsafe_code,
    reason = "code between fork and exec can only be added by `pre_exec`"
)]

use std::io;
use std::process::{Child, Command, ExitStatus};

/// A running process; killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Guarded(Child);

impl Guarded {
    /// Starts a process. The thread that starts it must outlive it: Linux takes the end of that
    /// thread for the end of the parent.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        die_with_parent(command);
        command.spawn().map(Self)
    }

    /// The process, for its pipes.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Waits for its end, which should be near.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let arrange = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the parent died before that call there will be no signal.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec only async-signal-safe things are allowed. The closure makes
    // two system calls, and neither allocates nor takes a lock: an `io::Error` made of an error
    // number or a kind lives in one word.
    unsafe { command.pre_exec(arrange) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::thread;

    use super::Guarded;

    #[test]
    fn dropping_ends_it() {
        let mut child = Guarded::spawn(Command::new("sleep").arg("600")).expect("starts");
        let id = child.process().id();
        assert!(Path::new(&format!("/proc/{id}")).exists());
        drop(child);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn the_end_of_its_parent_ends_it() {
        let command = || Guarded::spawn(Command::new("sleep").arg("600").stdout(Stdio::null()));
        // For Linux the parent is the thread. Forgotten, it is not killed by `drop`.
        let started =
            thread::spawn(move || std::mem::ManuallyDrop::new(command().expect("starts")));
        let mut child = started.join().expect("no panic");
        let status = child.wait().expect("is our child");
        assert!(!status.success(), "{status}");
    }
}
