//! What comes over the guest's serial port, line by line.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::outcome::End;

/// How often the end of a deadline or of the user's patience is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Reads lines in a thread of its own, so that the reader can give up waiting for one. A guest that
/// talks faster than they are taken has to wait.
pub(crate) fn lines_of(serial: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        let mut bytes = Vec::new();
        while serial
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes)
                .trim_end_matches(['\r', '\n'])
                .to_string();
            bytes.clear();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Passes lines on until there are no more (`None`) or `stop` says why to stop.
pub(crate) fn listen(
    lines: &Receiver<String>,
    hear: &mut impl FnMut(&str),
    stop: impl Fn() -> Option<End>,
) -> Option<End> {
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => hear(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if let Some(end) = stop() {
            return Some(end);
        }
    }
}
