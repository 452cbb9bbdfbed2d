//! Prints the bytes that an HTTP/2 stream has allocated after one event, and how many more that is
//! than with bare hyper: `scale_allocated STREAMS [EXPECTED]`. Fails if this difference of `draft`
//! exceeds EXPECTED by more than 2 % of the bytes of a `draft` stream. Separate from `scale`,
//! because an allocator that counts takes time.

use std::{cell::Cell, env, io, process::exit, thread};

use allocation_counter::measure;
use tokio::{net::TcpListener, runtime, sync::oneshot};
use tower_sse_scale::{Streams, Subject, client::Client, server::Server};

fn main() -> io::Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    let streams = args.first().expect("usage: scale_allocated STREAMS [EXPECTED]");
    let streams = Streams::named(streams);
    let [bare, draft, full] = Subject::ALL.map(|subject| {
        let bytes = allocated(subject, streams).expect("streams") / streams.all as i64;
        println!("{}: {bytes} bytes", subject.name());
        bytes
    });
    println!("above bare hyper: draft {}, full {}", draft - bare, full - bare);
    match args.get(1).map(|text| text.parse::<i64>().expect("a number")) {
        Some(expected) if draft - bare > expected + draft / 50 => {
            eprintln!("more than {expected} bytes, by over 2 % of a stream");
            exit(1);
        }
        _ => Ok(()),
    }
}

/// Returns the bytes of the server's thread that all streams hold once each has an event.
fn allocated(subject: Subject, streams: Streams) -> io::Result<i64> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let server = Server::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn({
        let server = server.clone();
        async move { server.accept(subject, listener).await }
    });
    let (opened, open) = oneshot::channel();
    let (received, all) = oneshot::channel();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let clients = thread::spawn(move || -> io::Result<()> {
        let mut client = Client::connect(address, streams)?;
        client.open()?;
        _ = opened.send(());
        client.read_marks(1)?;
        _ = received.send(());
        // The connections stay open until the server has been measured.
        _ = end.recv();
        Ok(())
    });
    let failed = |_| io::Error::other("the clients have not received everything");
    let result = Cell::new(Ok(()));
    let info = measure(|| {
        result.set(runtime.block_on(async {
            open.await.map_err(failed)?;
            server.publish(subject)?;
            all.await.map_err(failed)
        }));
    });
    drop(ended);
    result.into_inner()?;
    clients.join().expect("no panic")?;
    Ok(info.bytes_current)
}
