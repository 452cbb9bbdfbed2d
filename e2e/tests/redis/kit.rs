//! Runs the brokers' test kit against a real server.

use std::path::Path;

use tower_sse_broker::testing::check;

use crate::*;

/// A Redis stream with a new key, for one scene of the kit.
struct Stream<'s> {
    server: &'s Server,
    key: String,
    copy: Mutex<Vec<u8>>,
}

impl<'s> Stream<'s> {
    fn new(server: &'s Server) -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let key = format!("kit:{}", CREATED.fetch_add(1, Relaxed));
        Self { server, key, copy: Mutex::default() }
    }

    async fn copy(&self) {
        let mut connection = self.server.try_connect().await.unwrap();
        let dump = redis::cmd("DUMP").arg(&self.key).query_async(&mut connection).await;
        *self.copy.lock().unwrap() = dump.unwrap();
    }

    async fn put_back(&self) {
        let mut connection = self.server.try_connect().await.unwrap();
        // A server that restarts with an older state needs some time, so its clock is past the ids
        // that it assigned before. The copy is restored at once, so the test waits for a new
        // millisecond.
        let newest = format!("XREVRANGE {} + - COUNT 1", self.key);
        let newest: Vec<(String, redis::Value)> = self.server.command(&newest).await;
        let newest: u128 = newest[0].0.split('-').next().unwrap().parse().unwrap();
        let mut now = 0;
        while now <= newest {
            let (seconds, micros): (u128, u128) = self.server.command("TIME").await;
            now = seconds * 1000 + micros / 1000;
        }
        let mut restore = redis::cmd("RESTORE");
        restore.arg(&self.key).arg(0).arg(&*self.copy.lock().unwrap()).arg("REPLACE");
        restore.query_async::<()>(&mut connection).await.unwrap();
    }
}

impl World for Stream<'_> {
    type Broker = RedisBroker;

    fn broker(&self) -> RedisBroker {
        // On a busy machine, hundreds of events at once can take longer than the default.
        let timeout = Duration::from_secs(10);
        Redis::open(&self.server.url()).unwrap().timeout(timeout).broker(&*self.key)
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        let command = format!("XTRIM {} MAXLEN {keep}", self.key);
        Some(Box::pin(async move { _ = self.server.command::<usize>(&command).await }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        let command = format!("DEL {}", self.key);
        Some(Box::pin(async move { _ = self.server.command::<usize>(&command).await }))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        Some((Box::pin(self.copy()), Box::pin(self.put_back())))
    }

    fn cut(&self) -> Option<Fault<'_>> {
        let command = "CLIENT KILL TYPE normal";
        Some(Box::pin(async move { _ = self.server.command::<usize>(command).await }))
    }

    /// During the outage, the server accepts only the client that ends the outage.
    fn outage(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let client = Arc::new(tokio::sync::Mutex::new(None));
        let connected = Arc::clone(&client);
        let accept = async |clients: usize, client: &mut redis::aio::MultiplexedConnection| {
            let mut command = redis::cmd("CONFIG");
            command.arg("SET").arg("maxclients").arg(clients);
            command.query_async::<()>(client).await.unwrap();
        };
        let begin = async move {
            let mut connection = self.server.try_connect().await.unwrap();
            accept(1, &mut connection).await;
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg("normal");
            kill.query_async::<()>(&mut connection).await.unwrap();
            *connected.lock().await = Some(connection);
        };
        let end = async move {
            accept(10_000, client.lock().await.as_mut().unwrap()).await;
        };
        Some((Box::pin(begin), Box::pin(end)))
    }
}

#[tokio::test]
async fn redis_passes_the_kit() {
    let Some(server) = Server::start().await else { return };
    check(async || Stream::new(&server)).await;
}

// The publisher in Python that the documentation shows.

/// Returns the Python code in the documentation of the crate.
fn documented() -> String {
    let source = include_str!("../../../crates/tower-sse-redis/src/lib.rs");
    let (_, code) = source.split_once("//! ```python\n").expect("a publisher in Python");
    let (code, _) = code.split_once("//! ```\n").expect("its end");
    code.lines().map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n").collect()
}

fn publish(python: &Path, server: &Server) {
    let code = documented();
    assert_eq!(code.matches("redis://127.0.0.1/").count(), 1, "{code}");
    let code = code.replace("redis://127.0.0.1/", &server.url());
    let mut command = Command::new(python);
    let output = command.args(["-c", &code]).env("PYTHONPATH", target("python")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn documented_publisher_reaches_clients() {
    let Some(python) = find(&["python3"]) else { return };
    if installed("python/redis").is_none() {
        return;
    }
    let Some(server) = Server::start().await else { return };

    // Without a hub there is no stream, and the publisher must not create it.
    publish(&python, &server);
    assert_eq!(server.command::<u32>("EXISTS app:events").await, 0);

    let broker = server.redis().broker("app:events");
    let stats = broker.stats();
    let hub = Hub::connect(broker).await.unwrap();
    let mut client = Client::connect(&hub, &["news"]);
    publish(&python, &server);
    let message = client.next().await;
    assert_eq!((&*message.event, &*message.data), ("message", "hello"));
    assert_eq!(&*message.last_event_id, hub.position().as_str());
    assert_eq!((stats.losses(), stats.foreign_entries()), (0, 0));
}
