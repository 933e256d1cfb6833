//! QEMU's monitor: does to a machine, while it runs, what [`Action`]s ask for.
//!
//! The monitor speaks QMP, one JSON object a line (QEMU's `docs/interop/qmp-spec`). QEMU connects
//! to us and not the other way round, so there is no moment at which the port is not there yet, and
//! no other program can reach the machine. The loopback address, since every host has it.
//!
//! A thread sends the commands. It ends with QEMU, whose end closes the connection, or when there
//! is no answer: another program of the host may have connected to the port before QEMU did.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::action::{Action, HMP};
use crate::run::Line;

/// Acts on the guest's lines. Dropped, it ends as soon as QEMU does.
#[derive(Debug)]
pub(crate) struct Operator {
    port: u16,
    actions: Arc<[Action]>,
    /// Takes the places of actions whose time has come; its end says when to stop.
    orders: Sender<usize>,
    failed: Arc<AtomicBool>,
    thread: JoinHandle<Result<Done>>,
}

/// The monitor's work so far.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How many times each action.
    pub(crate) times: Vec<u64>,
    /// Its answers to those that ask, in the order in which they were done.
    pub(crate) answers: Vec<String>,
}

impl Operator {
    /// Opens a port for a QEMU that is yet to be started, and whose monitor is given up if it does
    /// not answer for so long.
    pub(crate) fn open(actions: Vec<Action>, timeout: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.context("no port for QEMU's monitor")?;
        let port = listener.local_addr()?.port();
        let (orders, todo) = mpsc::channel();
        let actions: Arc<[Action]> = actions.into();
        let failed = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (actions, failed) = (Arc::clone(&actions), Arc::clone(&failed));
            move || {
                let done = work(&listener, &actions, &todo, timeout);
                failed.store(done.is_err(), Ordering::Relaxed);
                done
            }
        });
        Ok(Self { port, actions, orders, failed, thread })
    }

    /// The arguments with which QEMU connects.
    pub(crate) fn arguments(&self) -> [OsString; 4] {
        let port = self.port;
        [
            "-chardev".into(),
            format!("socket,id=monitor,host={},port={port}", Ipv4Addr::LOCALHOST).into(),
            "-mon".into(),
            "chardev=monitor,mode=control".into(),
        ]
    }

    /// Takes a line of the guest: has done what waits for it.
    pub(crate) fn hear(&self, line: Line<'_>) {
        for (place, action) in self.actions.iter().enumerate() {
            if action.when.fits(line) {
                // If the channel is closed, the thread has failed, and `end` will say how.
                let _ = self.orders.send(place);
            }
        }
    }

    /// Whether something could not be done, so that there is no use to go on. `end` says what.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Stops, after QEMU has ended, and returns the monitor's work.
    pub(crate) fn end(self) -> Result<Done> {
        drop(self.orders);
        let done = self.thread.join();
        done.unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
            .context("asking QEMU's monitor")
    }
}

/// For how long QEMU may say nothing when asked. It takes milliseconds, on a busy host longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A repeated action pauses for as long as QEMU took for it the last time, but no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// The thread's life.
fn work(
    listener: &TcpListener,
    actions: &[Action],
    orders: &Receiver<usize>,
    timeout: Duration,
) -> Result<Done> {
    let mut done = Done { times: vec![0; actions.len()], answers: Vec::new() };
    let Ok(first) = orders.recv() else {
        return Ok(done);
    };
    // A guest runs, so QEMU has connected long since. If it has not, it never will.
    listener.set_nonblocking(true)?;
    let (stream, _) = listener.accept().context("QEMU has not connected")?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(timeout))?;
    // Each command is one small packet; it is not to wait for another.
    stream.set_nodelay(true)?;
    let mut monitor = Monitor(BufReader::new(stream));
    // QEMU obeys nothing before this command.
    if monitor.execute("qmp_capabilities", &Value::Null)?.is_none() {
        return Ok(done);
    }
    let mut ordered = vec![false; actions.len()];
    // The action that repeats, and its next time.
    let mut repeated: Option<(Instant, usize)> = None;
    let mut order = Some(first);
    loop {
        // A second order changes nothing.
        let is_new = |place: &usize| !std::mem::replace(&mut ordered[*place], true);
        let due = repeated.take_if(|(at, _)| order.is_none() && *at <= Instant::now());
        if let Some(place) = order.filter(is_new).or(due.map(|(_, place)| place)) {
            let (action, asked) = (&actions[place], Instant::now());
            // A command may need another board or CPU than there is; the error is reported.
            let Some(text) = monitor.execute(&action.command, &action.arguments)? else {
                return Ok(done);
            };
            if action.asks {
                done.answers.push(text);
            } else if action.command == HMP && !text.trim().is_empty() {
                let action = shown(&action.command, &action.arguments);
                bail!("{action}: {}", text.trim());
            }
            done.times[place] += 1;
            if action.repeats {
                // The guest is to do something else, too. A busy host is slow to answer as it is.
                let pause = asked.elapsed().min(LONGEST_PAUSE);
                repeated = Some((Instant::now() + pause, place));
            }
        }
        let next = match repeated {
            Some((at, _)) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        order = match next {
            Ok(place) => Some(place),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(done),
        };
    }
}

/// A connection to QEMU.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// Has a command executed, and returns the text that it answers, if any; `None` if QEMU has
    /// ended instead.
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Option<String>> {
        let mut object = json!({ "execute": command });
        if !arguments.is_null() {
            object["arguments"] = arguments.clone();
        }
        match self.0.get_mut().write_all(format!("{object}\n").as_bytes()) {
            Err(error) if is_the_end(&error) => return Ok(None),
            written => written?,
        }
        // The greeting and events come in between.
        loop {
            let mut reply = String::new();
            match self.0.read_line(&mut reply) {
                Err(error) if is_the_end(&error) => return Ok(None),
                // Which of them, depends on the host.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    bail!("the monitor does not answer")
                }
                read => read?,
            };
            // Half a line is what a QEMU leaves that is killed while it writes.
            if !reply.ends_with('\n') {
                return Ok(None);
            }
            let json: Value = serde_json::from_str(&reply)
                .with_context(|| format!("the monitor's {reply:?} is no JSON"))?;
            if let Some(error) = json.get("error") {
                let text = error.get("desc").and_then(Value::as_str);
                bail!(
                    "{}: {}",
                    shown(command, arguments),
                    text.unwrap_or("refused without a reason")
                );
            }
            if let Some(text) = json.get("return") {
                return Ok(Some(text.as_str().unwrap_or_default().to_string()));
            }
        }
    }
}

/// A command in an error.
fn shown(command: &str, arguments: &Value) -> String {
    match arguments {
        Value::Null => command.to_string(),
        _ => format!("{command} {arguments}"),
    }
}

/// Whether this is how a connection looks whose other side has ended.
fn is_the_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests;
