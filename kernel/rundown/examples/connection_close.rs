//! A server closes a connection while its tasks are writing to it, all on one thread.
//!
//! When the server hangs up, replies that were begun are to be finished, no new ones begun, and
//! then the socket is to be closed, by the code that decided it, at a time it knows. With an `Arc`
//! the last task would close it, whenever it happens to let go; and waiting as threads wait blocks
//! the very thread that has to run the tasks. With a [`Protected`]:
//! - [`try_acquire`](Protected::try_acquire) gives a guard, which may be kept across an `.await`.
//! - [`begin_run_down`](Protected::begin_run_down) refuses new guards, and is a future that
//!   completes when the last one is dropped. Any executor will do; here it is tokio's.
//!
//! Connections are many, with few users at a time each: hence plain, [`PlainRundown`], one word.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rundown::{HostPlatform, Plain, PlainRundown, Protected};
use tokio::task::{JoinSet, yield_now};

/// Dropping it would close it.
#[derive(Default)]
struct Socket {
    begun: AtomicU64,
    finished: AtomicU64,
}

type Connection = Protected<Socket, Plain<HostPlatform>>;

/// Answers requests until the connection is closing. Each reply takes `packets`.
async fn serve(connection: Arc<Connection>, packets: u64) {
    while let Some(socket) = connection.try_acquire() {
        socket.begun.fetch_add(1, Relaxed);
        for _ in 0..packets {
            yield_now().await; // the network takes its time
        }
        socket.finished.fetch_add(1, Relaxed);
        // Not while waiting for the next request, which may never come.
        drop(socket);
        yield_now().await;
    }
}

async fn server() -> Result<(), Box<dyn Error>> {
    let connection = Arc::new(Connection::new(PlainRundown::new(), Socket::default()));
    let mut tasks: JoinSet<_> =
        (1..=4).map(|packets| serve(Arc::clone(&connection), packets)).collect();
    while connection.try_acquire().is_some_and(|socket| socket.finished.load(Relaxed) < 100) {
        yield_now().await;
    }

    let half_written = connection.racy_held(); // exact: no other task runs before the next `.await`
    let socket = connection.begin_run_down().await?.take()?;

    let [begun, finished] = [socket.begun, socket.finished].map(AtomicU64::into_inner);
    println!("{half_written} replies were half written; {begun} begun, {finished} finished");
    assert_eq!(begun, finished, "a reply was cut in half");
    assert!(half_written > 0, "there was nothing to wait for");
    // They end by themselves: they find the connection closed.
    while let Some(end) = tasks.join_next().await {
        end?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().build()?.block_on(server())
}

#[test]
fn the_story_holds() -> Result<(), Box<dyn Error>> {
    main()
}
