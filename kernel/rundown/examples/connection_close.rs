//! A server closes connections while its tasks are writing to them. All tasks run on one thread.
//!
//! **The problem.** Several tasks answer requests of one connection. When the server hangs up,
//! replies that were begun are to be finished, no new ones begun, and then the socket is closed, by
//! the thread that decided it, at a time it knows.
//!
//! **The trap.** Closing the socket at once cuts replies in half. Leaving it to an `Arc` closes it
//! when the last task happens to let go, and while requests keep coming, that is never. And waiting
//! for the tasks as threads wait blocks the very thread that has to run them: it waits for ever.
//!
//! **With rundown protection.** The socket is in a [`Protected`], which the tasks share:
//! - [`Protected::try_acquire`] gives a guard, which may be kept across an `.await`, or `None` when
//!   the connection is closing.
//! - [`Protected::begin_run_down`] refuses new guards at once. It is a future that completes when the
//!   last guard is dropped, and gives the socket back. Any executor will do; here it is tokio's.
//!
//! Connections are many, and each has few users at a time. For that there is plain,
//! [`PlainRundown`], a single word. Where the closing side is a thread that may block, it calls
//! [`Protected::run_down`] or [`Protected::replace`]: see `hot_swap`.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rundown::{HostPlatform, Plain, PlainRundown, Protected, RunDownError};
use tokio::runtime;
use tokio::task::{self, JoinSet};

const CONNECTIONS: u64 = 3;
const TASKS_EACH: u64 = 4;

type Connection = Protected<Socket, Plain<HostPlatform>>;

/// Dropping it would close it.
#[derive(Default)]
struct Socket {
    begun: AtomicU64,
    finished: AtomicU64,
}

impl Socket {
    fn begin_reply(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    fn finish_reply(&self) {
        self.finished.fetch_add(1, Relaxed);
    }
}

/// The network takes its time; the thread runs other tasks meanwhile.
async fn network(packets: u64) {
    for _ in 0..packets {
        task::yield_now().await;
    }
}

/// Answers requests until the connection is closing. Each reply takes so many packets.
async fn serve(connection: Arc<Connection>, packets: u64) {
    while let Some(socket) = connection.try_acquire() {
        socket.begin_reply();
        network(packets).await;
        socket.finish_reply();
        // Not while waiting for the next request, which may never come.
        drop(socket);
        network(1).await;
    }
}

/// What a connection has been through.
struct Closed {
    /// Replies that were being written when the server decided to hang up.
    half_written: i64,
    begun: u64,
    finished: u64,
}

/// Hangs up when so many replies are through.
async fn hang_up(connection: Arc<Connection>, replies: u64) -> Result<Closed, RunDownError> {
    while connection.try_acquire().is_some_and(|socket| socket.finished.load(Relaxed) < replies) {
        network(1).await;
    }
    // Not racy here: no other task runs before the next `.await`.
    let half_written = connection.racy_held();

    let socket = connection.begin_run_down().await?.take()?;

    // It is ours alone now. The tasks may live on: they find the connection closed.
    Ok(Closed {
        half_written,
        begun: socket.begun.into_inner(),
        finished: socket.finished.into_inner(),
    })
}

async fn server() -> Result<Vec<Closed>, Box<dyn Error>> {
    let mut workers = JoinSet::new();
    let mut closers = Vec::new();
    for number in 0..CONNECTIONS {
        let connection = Arc::new(Connection::new(PlainRundown::new(), Socket::default()));
        for packets in 1..=TASKS_EACH {
            workers.spawn(serve(Arc::clone(&connection), packets));
        }
        closers.push(task::spawn(hang_up(connection, 100 * (number + 1))));
    }
    let mut connections = Vec::new();
    for closer in closers {
        connections.push(closer.await??);
    }
    // All of them end by themselves, since all connections are closed.
    while let Some(end) = workers.join_next().await {
        end?;
    }
    Ok(connections)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{CONNECTIONS} connections, {TASKS_EACH} tasks write to each; all on one thread");
    let executor = runtime::Builder::new_current_thread().build()?;
    let connections = executor.block_on(server())?;

    for (number, closed) in connections.iter().enumerate() {
        println!(
            "connection {number} closes: {} replies half written; closed: {} begun, {} finished",
            closed.half_written, closed.begun, closed.finished
        );
        assert_eq!(closed.begun, closed.finished, "a reply was cut in half");
    }
    let waited_for: i64 = connections.iter().map(|closed| closed.half_written).sum();
    assert!(waited_for > 0, "there was nothing to wait for");
    Ok(())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
