//! QEMU's monitor: what the host can do to a machine while it runs. Here: non-maskable interrupts.
//!
//! The monitor speaks QMP, one JSON object a line (QEMU's `docs/interop/qmp-spec`). QEMU connects to
//! us and not the other way round, so there is no moment at which the port is not there yet, and
//! nobody else can get at the machine. The loopback address, since every host has it.
//!
//! A thread does the talking. It ends with QEMU, whose end closes the connection, or when told to, or
//! when there is no answer: another program of the host may have connected to the port before QEMU did.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// Someone who is ready to inject NMIs: all CPUs that listen to their LINT1 pin take them.
///
/// Dropped, it ends without a word, as soon as QEMU does.
#[derive(Debug)]
pub(crate) struct Injector {
    port: u16,
    /// Its one message says when to begin; its end says when to stop.
    begin: Sender<()>,
    thread: JoinHandle<Result<u64>>,
}

impl Injector {
    /// Opens a port for a QEMU that is yet to be started.
    pub(crate) fn open(every: Duration) -> Result<Self> {
        Self::open_with(every, PATIENCE)
    }

    /// As `open`, with a time after which a monitor that does not answer is given up.
    fn open_with(every: Duration, patience: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.context("no port for QEMU's monitor")?;
        let port = listener.local_addr()?.port();
        let (begin, orders) = mpsc::channel();
        let thread = thread::spawn(move || work(&listener, &orders, every, patience));
        Ok(Self {
            port,
            begin,
            thread,
        })
    }

    /// What QEMU has to be told, so that it connects.
    pub(crate) fn arguments(&self) -> [OsString; 4] {
        let port = self.port;
        [
            "-chardev".into(),
            format!("socket,id=monitor,host={},port={port}", Ipv4Addr::LOCALHOST).into(),
            "-mon".into(),
            "chardev=monitor,mode=control".into(),
        ]
    }

    /// The guest is ready: injects one NMI each time span from now on. Once is enough.
    pub(crate) fn begin(&self) {
        // If nobody listens, the thread has failed, and `end` will say how.
        let _ = self.begin.send(());
    }

    /// Stops, after QEMU has ended, and says how many times the monitor has done it.
    ///
    /// # Errors
    /// The monitor could not be reached, would not do it, or has not answered for 10 s.
    pub(crate) fn end(self) -> Result<u64> {
        drop(self.begin);
        let done = self.thread.join();
        done.unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
            .context("injecting NMIs by QEMU's monitor")
    }
}

/// For how long QEMU may say nothing when asked. It takes milliseconds, on a busy host longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The thread's life.
fn work(
    listener: &TcpListener,
    orders: &Receiver<()>,
    every: Duration,
    patience: Duration,
) -> Result<u64> {
    if orders.recv().is_err() {
        return Ok(0);
    }
    // A guest runs, so QEMU has connected long since. If it has not, it never will.
    listener.set_nonblocking(true)?;
    let (stream, _) = listener.accept().context("QEMU has not connected")?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    let mut monitor = Monitor::new(stream)?;
    // QEMU speaks first, and obeys nothing before this command.
    if !monitor.execute("qmp_capabilities")? {
        return Ok(0);
    }
    let mut injected = 0;
    // The command needs a board whose CPUs have the pin; so ask once, and let the error be told.
    while monitor.execute("inject-nmi")? {
        injected += 1;
        match orders.recv_timeout(every) {
            Err(RecvTimeoutError::Disconnected) => break,
            // A second order to begin changes nothing.
            Err(RecvTimeoutError::Timeout) | Ok(()) => {}
        }
    }
    Ok(injected)
}

/// A connection to QEMU.
struct Monitor {
    replies: BufReader<TcpStream>,
    commands: TcpStream,
}

impl Monitor {
    fn new(stream: TcpStream) -> Result<Self> {
        // Each command is one small packet; it is not to wait for another.
        stream.set_nodelay(true)?;
        let commands = stream.try_clone()?;
        Ok(Self {
            replies: BufReader::new(stream),
            commands,
        })
    }

    /// Has a command executed; `false` if QEMU has ended instead.
    fn execute(&mut self, command: &str) -> Result<bool> {
        let line = format!("{{\"execute\":\"{command}\"}}\n");
        match self.commands.write_all(line.as_bytes()) {
            Err(error) if is_the_end(&error) => return Ok(false),
            written => written?,
        }
        // The greeting and events come in between.
        while let Some(reply) = self.line()? {
            let reply: Value = serde_json::from_str(&reply)
                .with_context(|| format!("the monitor's {reply:?} is no JSON"))?;
            if let Some(error) = reply.get("error") {
                let text = error.get("desc").and_then(Value::as_str);
                bail!("{command}: {}", text.unwrap_or("refused without a reason"));
            }
            if reply.get("return").is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next line; `None` if QEMU has ended.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.replies.read_line(&mut line) {
            Err(error) if is_the_end(&error) => Ok(None),
            // Which of them, depends on the host.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(io::Error::new(error.kind(), "the monitor does not answer"))
            }
            // Half a line is what a QEMU leaves that is killed while it speaks.
            read => Ok((read? > 0 && line.ends_with('\n')).then_some(line)),
        }
    }
}

/// Whether this is how a connection looks whose other side has ended.
fn is_the_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that answers so many commands by these replies, each more than once if need be, and
    /// then ends. Returns what it was told, and what came of it.
    fn fake(replies: &'static [&'static str]) -> (Vec<String>, Result<u64>) {
        let injector = Injector::open(Duration::from_millis(1)).expect("a port");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, injector.port)).expect("it listens");
        injector.begin();
        let qemu = thread::spawn(move || {
            let mut commands = BufReader::new(stream.try_clone().expect("a copy")).lines();
            let mut out = &stream;
            let mut told = Vec::new();
            for reply in replies {
                told.extend(commands.next().map(|line| line.expect("a line")));
                write!(out, "{reply}").expect("sent");
            }
            told
        });
        let told = qemu.join().expect("no panic");
        (told, injector.end())
    }

    #[test]
    fn it_counts_until_qemu_ends() {
        let (told, done) = fake(&[
            "{\"QMP\":{}}\n{\"return\":{}}\n",
            "{\"event\":\"RESUME\"}\n{\"return\":{}}\n",
            "{\"return\":{}}\n",
            "{\"retu",
        ]);
        let nmi = r#"{"execute":"inject-nmi"}"#;
        assert_eq!(told, [r#"{"execute":"qmp_capabilities"}"#, nmi, nmi, nmi]);
        assert_eq!(done.expect("no error"), 2);
    }

    #[test]
    fn a_refusal_is_told() {
        let error = |replies| format!("{:#}", fake(replies).1.expect_err("refused"));
        let text = error(&["{\"error\":{\"class\":\"GenericError\",\"desc\":\"not here\"}}\n"]);
        assert!(text.ends_with("qmp_capabilities: not here"), "{text}");
        let text = error(&["{\"return\":{}}\n", "{\"error\":{}}\n"]);
        assert!(
            text.ends_with("inject-nmi: refused without a reason"),
            "{text}"
        );
        let text = error(&["hello\n"]);
        assert!(text.contains("is no JSON"), "{text}");
    }

    #[test]
    fn without_a_guest_that_is_ready_nobody_is_asked() {
        let injector = Injector::open(Duration::from_millis(1)).expect("a port");
        assert_eq!(injector.end().expect("no error"), 0);
    }

    #[test]
    fn a_qemu_that_does_not_connect_is_an_error() {
        let injector = Injector::open(Duration::from_millis(1)).expect("a port");
        injector.begin();
        let error = format!("{:#}", injector.end().expect_err("nobody there"));
        assert!(error.contains("has not connected"), "{error}");
    }

    #[test]
    fn somebody_who_says_nothing_is_an_error() {
        let tick = Duration::from_millis(1);
        let injector = Injector::open_with(tick, tick).expect("a port");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, injector.port)).expect("it listens");
        injector.begin();
        let error = format!("{:#}", injector.end().expect_err("nobody answers"));
        assert!(error.contains("does not answer"), "{error}");
        // Until then it was there.
        drop(stream);
    }
}
