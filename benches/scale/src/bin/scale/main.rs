//! What very many event streams over HTTP/2 cost one process: holding them, opening them, an event
//! to all, and a shutdown or the end of all. `scale measure STREAMS` measures bare hyper and the
//! layer in one run, and prints Markdown. See `benches/scale.sh`. `scale count STREAMS` counts
//! instructions and cache misses with valgrind. Other load doesn't change these counts.

mod count;
mod measure;
mod orders;

use std::env;
use std::io::{self, Write};

use tokio::{net::TcpListener, runtime};
use tower_sse_scale::{Streams, Subject, process::end_with_parent, server::Server};

fn main() -> io::Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["serve", subject] => serve(Subject::named(subject), false),
        ["serve", subject, "counted"] => serve(Subject::named(subject), true),
        ["count", streams, limits @ ..] => count::count(Streams::named(streams), limits),
        ["measure", streams] => measure::measure(Streams::named(streams), &Subject::ALL),
        ["measure", streams, subjects @ ..] => {
            let subjects: Vec<_> = subjects.iter().map(|name| Subject::named(name)).collect();
            measure::measure(Streams::named(streams), &subjects)
        }
        _ => panic!("usage: scale measure STREAMS [SUBJECT…], or scale count STREAMS [LIMIT…]"),
    }
}

/// Serves on one thread until standard input ends.
fn serve(subject: Subject, is_counted: bool) -> io::Result<()> {
    end_with_parent();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        io::stdout().flush()?;
        Server::default().serve(subject, is_counted, listener).await
    })
}
