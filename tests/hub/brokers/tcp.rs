//! A broker over a socket passes the kit: a server with the log in memory, and clients that connect
//! again.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use super::*;

/// What a client sends.
#[derive(Deserialize, Serialize)]
enum Request {
    /// Asks for all entries after this number, and for those that follow until the client leaves.
    Read(u64),
    /// Asks to append an entry, and for its number and time.
    Append(String),
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    stream.write_all(format!("{}\n", serde_json::to_string(value)?).as_bytes()).await
}

struct Server {
    log: Arc<Log>,
    address: SocketAddr,
    /// Cancelled and replaced when the connections break.
    connections: watch::Sender<CancellationToken>,
    stopped: CancellationToken,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, stopped) = (Arc::new(Log::new()), CancellationToken::new());
        let connections = watch::Sender::new(stopped.child_token());
        let (served, cuts) = (Arc::clone(&log), connections.subscribe());
        tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = cuts.borrow().clone();
                let serving = serve(BufReader::new(stream), Arc::clone(&served));
                tokio::spawn(connection.run_until_cancelled_owned(serving));
            }
        }));
        Self { log, address, connections, stopped }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

async fn serve(mut stream: BufReader<TcpStream>, log: Arc<Log>) -> io::Result<()> {
    loop {
        match receive(&mut stream).await? {
            Request::Append(text) => send(&mut stream, &log.append(Some(text))).await?,
            Request::Read(mut after) => {
                let mut changes = log.changes();
                loop {
                    let entries = log.read(after);
                    after = entries.last().map_or(after, |(number, ..)| *number);
                    send(&mut stream, &entries).await?;
                    tokio::select! {
                        _ = changes.changed() => {}
                        // A client that reads sends nothing more until it leaves.
                        _ = stream.fill_buf() => return Ok(()),
                    }
                }
            }
        }
    }
}

async fn receive<T: DeserializeOwned>(stream: &mut BufReader<TcpStream>) -> io::Result<T> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

impl World for Server {
    type Broker = Remote;

    fn broker(&self) -> Remote {
        Remote { name: self.log.name.clone(), address: self.address }
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(Box::pin(async move { self.log.trim(keep) }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async { self.log.lose() }))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let log = &self.log;
        Some((Box::pin(async { log.copy() }), Box::pin(async { log.put_back() })))
    }

    fn cut(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async {
            self.connections.send_replace(self.stopped.child_token()).cancel();
        }))
    }
}

struct Remote {
    name: String,
    address: SocketAddr,
}

impl Remote {
    async fn read(&self, after: u64) -> io::Result<BufReader<TcpStream>> {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await?);
        send(&mut stream, &Request::Read(after)).await?;
        Ok(stream)
    }
}

impl Broker for Remote {
    type Publisher = RemotePublisher;
    type Error = io::Error;

    fn name(&self) -> String {
        self.name.clone()
    }

    async fn start(self, mut feed: Feed) -> io::Result<RemotePublisher> {
        let publisher = RemotePublisher { address: self.address, idle: Mutex::default() };
        let mut stream = self.read(0).await?;
        // The first answer has all entries.
        let mut read = feed_entries(&mut feed, receive(&mut stream).await?, 0);
        feed.spawn(async move |mut feed| {
            loop {
                while let Ok(entries) = receive(&mut stream).await {
                    read = feed_entries(&mut feed, entries, read);
                }
                sleep(Duration::from_millis(5)).await;
                if let Ok(opened) = self.read(read).await {
                    stream = opened;
                }
            }
        });
        Ok(publisher)
    }
}

/// Feeds entries, and returns the number up to which the process has read.
fn feed_entries(feed: &mut Feed, entries: Vec<Entry>, read: u64) -> u64 {
    let last = entries.last().map_or(read, |(number, ..)| *number);
    for entry in entries {
        _ = feed_entry(feed, entry);
    }
    last
}

struct RemotePublisher {
    address: SocketAddr,
    idle: Mutex<Option<BufReader<TcpStream>>>,
}

impl RemotePublisher {
    async fn append(&self, request: Request) -> Result<Acknowledged, PublishError> {
        let refused = |error: io::Error| PublishError::Refused(error.into());
        let unknown = |error: io::Error| PublishError::Unknown(error.into());
        let mut idle = self.idle.lock().await;
        // Taken, so that a publish that is dropped leaves its answer to no other.
        let mut stream = match idle.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(self.address).await.map_err(refused)?),
        };
        send(&mut stream, &request).await.map_err(unknown)?;
        let (number, at) = receive(&mut stream).await.map_err(unknown)?;
        *idle = Some(stream);
        Ok(Acknowledged::new(number, at))
    }
}

impl Publisher for RemotePublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let request = Request::Append(encode(&publication).to_string());
        let late = |elapsed: tokio::time::error::Elapsed| PublishError::Unknown(elapsed.into());
        timeout(Duration::from_secs(5), self.append(request)).await.map_err(late)?
    }
}

#[tokio::test]
async fn broker_over_a_socket_passes_the_kit() {
    check(Server::start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_over_a_socket_passes_the_kit_on_several_threads() {
    check(Server::start).await;
}
