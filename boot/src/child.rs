//! A child process that never outlives its parent.
//!
//! A guest that hangs burns a host CPU for ever, so QEMU ends with this process in every case:
//! dropped it is killed, and on Linux the system kills it when this process dies, however it dies.
#![expect(unsafe_code, reason = "code between fork and exec can only be added by `pre_exec`")]

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use anyhow::Context;

/// A running process; killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct KillOnDrop(Child);

impl KillOnDrop {
    /// Starts a process. The thread that starts it must outlive it: Linux takes the end of that
    /// thread for the end of the parent.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        die_with_parent(command);
        command.spawn().map(Self)
    }

    /// Starts one whose lines of standard output, and text on standard error, are read in threads
    /// of their own, so that the reader can give up waiting for one; a process that talks faster
    /// than its lines are taken has to wait.
    pub(crate) fn with_lines(
        command: &mut Command,
    ) -> anyhow::Result<(Self, Receiver<String>, JoinHandle<String>)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Self::spawn(command)?;
        let output = child.0.stdout.take().context("no standard output")?;
        let mut errors = child.0.stderr.take().context("no standard error")?;
        let (sender, lines) = mpsc::sync_channel(1024);
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            while output.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                let line = String::from_utf8_lossy(&bytes);
                if sender.send(line.trim_end_matches(['\r', '\n']).to_string()).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = errors.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok((child, lines, stderr))
    }

    /// Waits for its end, which should be near.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }

    /// Kills it immediately.
    pub(crate) fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for KillOnDrop {
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
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe things are allowed. The closure makes
    // two system calls, and neither allocates nor takes a lock: an `io::Error` made of an error
    // number or a kind lives in one word.
    unsafe { command.pre_exec(arrange) };
}

/// Pins the process to one of the CPUs that this one may use, each to the next: several may run.
///
/// With `-icount`, QEMU's main loop may run a timer that is due before the thread of the vCPUs
/// does, and the next vCPU then has another turn. On two CPUs that is a race: of 40 runs of a storm
/// with one seed, 6 differed from the others. On one CPU all were the same, beside other load, too.
#[cfg(target_os = "linux")]
pub(crate) fn keep_to_one_cpu(command: &mut Command) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let allowed = sched_getaffinity(None)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    let mut one = CpuSet::new();
    // Relaxed: only that the numbers differ matters.
    one.set(allowed[STARTED.fetch_add(1, Ordering::Relaxed) % allowed.len()]);
    // SAFETY: as below; this is one system call.
    unsafe { command.pre_exec(move || Ok(sched_setaffinity(None, &one)?)) };
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_to_one_cpu(_command: &mut Command) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::thread;

    use super::{KillOnDrop, keep_to_one_cpu};

    #[test]
    fn it_keeps_to_one_cpu() {
        let mut command = Command::new("sleep");
        keep_to_one_cpu(command.arg("600")).expect("there is one");
        let child = KillOnDrop::spawn(&mut command).expect("starts");
        let status = format!("/proc/{}/status", child.0.id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let mut lines = status.lines();
        let cpus = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let one: Result<u32, _> = cpus.expect("of Linux").trim().parse();
        assert!(one.is_ok(), "{cpus:?}");
    }

    #[test]
    fn dropping_ends_it() {
        let child = KillOnDrop::spawn(Command::new("sleep").arg("600")).expect("starts");
        let id = child.0.id();
        assert!(Path::new(&format!("/proc/{id}")).exists());
        drop(child);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn the_end_of_its_parent_ends_it() {
        let command = || KillOnDrop::spawn(Command::new("sleep").arg("600").stdout(Stdio::null()));
        // For Linux the parent is the thread. Forgotten, it is not killed by `drop`.
        let started =
            thread::spawn(move || std::mem::ManuallyDrop::new(command().expect("starts")));
        let mut child = started.join().expect("no panic");
        let status = child.wait().expect("is our child");
        assert!(!status.success(), "{status}");
    }
}
