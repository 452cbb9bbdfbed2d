//! A slow or broken link between a process and Redis.

#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::{net::SocketAddr, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::support::listen;

/// Larger than a pipeline of commands, which Redis would otherwise receive in pieces.
const BUFFER: usize = 256 * 1024;
/// The most bytes that one connection passes on at a time from Redis, or to it at a limited rate.
const CHUNK: usize = 16 * 1024;
/// At a limited rate, how much unused time later chunks may use. Without it, less than the rate
/// would pass, because timers fire late.
const BURST: Duration = Duration::from_millis(100);
/// The maximum number of chunks from Redis that wait in the queue of a connection.
const CHUNKS: usize = 64;

/// The connections of one process to Redis, which a test can break and slow down.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    is_cut: watch::Sender<bool>,
    /// The delay of bytes from Redis, in microseconds.
    delay: AtomicU64,
    from_redis: Rate,
    to_redis: Rate,
    /// The number of bytes from Redis that were passed on.
    passed: AtomicU64,
    connections: AtomicU64,
}

/// The bytes in one direction, over all connections.
struct Rate {
    /// The maximum number of bytes per second.
    limit: AtomicU64,
    /// The time at which all bytes so far are passed on at this rate.
    free_at: Mutex<Instant>,
}

impl Rate {
    fn unlimited() -> Self {
        Self { limit: AtomicU64::new(u64::MAX), free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until bytes that can pass from `at` on have passed.
    async fn pass(&self, bytes: usize, at: Instant) {
        let limit = self.limit.load(SeqCst);
        let free_at = if limit == u64::MAX {
            at
        } else {
            let time = Duration::from_secs_f64(bytes as f64 / limit as f64);
            let mut free_at = self.free_at.lock().unwrap();
            *free_at = (*free_at).max(Instant::now() - BURST) + time;
            at.max(*free_at)
        };
        if free_at > Instant::now() {
            sleep_until(free_at).await;
        }
    }
}

impl Wire {
    pub(crate) async fn start(redis: u16) -> Self {
        let (listener, address) = listen().await;
        let state = Arc::new(State {
            is_cut: watch::Sender::new(false),
            delay: AtomicU64::new(0),
            from_redis: Rate::unlimited(),
            to_redis: Rate::unlimited(),
            passed: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, redis, Arc::clone(&state)));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Breaks all connections. Until [`heal`](Self::heal), each new one is accepted, and then
    /// closed.
    pub(crate) fn cut(&self) {
        self.state.is_cut.send_replace(true);
    }

    pub(crate) fn heal(&self) {
        self.state.is_cut.send_replace(false);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.state.delay.store(delay.as_micros().try_into().unwrap(), SeqCst);
    }

    pub(crate) fn limit(&self, bytes_per_second: u64) {
        self.state.from_redis.limit.store(bytes_per_second, SeqCst);
    }

    pub(crate) fn limit_to_redis(&self, bytes_per_second: u64) {
        self.state.to_redis.limit.store(bytes_per_second, SeqCst);
    }

    pub(crate) fn passed(&self) -> u64 {
        self.state.passed.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, redis: u16, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut is_cut = state.is_cut.subscribe();
            tokio::select! {
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                _ = relay(client, redis, &state) => {}
            }
        });
    }
}

async fn relay(client: TcpStream, redis: u16, state: &State) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", redis)).await?;
    state.connections.fetch_add(1, SeqCst);
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (chunks, queue) = mpsc::channel(CHUNKS);
    let mut from_client = BufReader::with_capacity(BUFFER, from_client);
    // The connection ends as soon as one of these three does.
    tokio::select! {
        sent = send(&mut from_client, &mut to_server, state) => sent,
        received = receive(from_server, chunks, state) => received,
        passed = pass(queue, to_client, state) => passed,
    }
}

async fn send(
    client: &mut BufReader<OwnedReadHalf>,
    server: &mut OwnedWriteHalf,
    state: &State,
) -> std::io::Result<()> {
    while let bytes @ [_, ..] = client.fill_buf().await? {
        let is_limited = state.to_redis.limit.load(SeqCst) < u64::MAX;
        let length = if is_limited { bytes.len().min(CHUNK) } else { bytes.len() };
        state.to_redis.pass(length, Instant::now()).await;
        server.write_all(&bytes[..length]).await?;
        client.consume(length);
    }
    Ok(())
}

async fn receive(
    mut server: OwnedReadHalf,
    chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    state: &State,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    while let length @ 1.. = server.read(&mut chunk).await? {
        let delay = Duration::from_micros(state.delay.load(SeqCst));
        if chunks.send((Instant::now() + delay, chunk[..length].to_vec())).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn pass(
    mut queue: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut client: OwnedWriteHalf,
    state: &State,
) -> std::io::Result<()> {
    while let Some((at, chunk)) = queue.recv().await {
        state.from_redis.pass(chunk.len(), at).await;
        state.passed.fetch_add(chunk.len() as u64, SeqCst);
        client.write_all(&chunk).await?;
    }
    Ok(())
}
