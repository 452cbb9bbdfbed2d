//! Processes that are killed and replaced, beside a program that commits and rolls back.

use super::*;
use crate::client::{Servers, read_to_end};

const CLIENTS: usize = 300;
const ROUNDS: usize = 6;
const PAUSE: Duration = Duration::from_millis(700);

/// What became of the events.
#[derive(Default)]
struct Outcomes {
    published: HashSet<String>,
    /// The events that were refused or rolled back.
    refused: HashSet<String>,
}

impl Outcomes {
    fn add(&mut self, outcome: &str, data: &str) {
        match outcome {
            "published" => _ = self.published.insert(data.to_owned()),
            "refused" => _ = self.refused.insert(data.to_owned()),
            _ => assert_eq!(outcome, "unknown"),
        }
    }
}

/// A process, and the task that reads what it prints.
struct Server {
    process: Process,
    reading: JoinHandle<()>,
}

impl Server {
    async fn start(path: &str, number: usize, outcomes: &Arc<Mutex<Outcomes>>) -> Self {
        let task = format!("{path}\np{number}");
        let mut process = Process::start("process::serve_and_publish", task).await;
        let reading = tokio::spawn(read(process.output(), Arc::clone(outcomes)));
        Self { process, reading }
    }
}

/// Reads up to the line `stopped`, or to the end of a killed process.
async fn read(mut lines: Lines<BufReader<ChildStdout>>, outcomes: Arc<Mutex<Outcomes>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split_once(' ') {
            Some((outcome @ ("published" | "unknown" | "refused"), data)) => {
                outcomes.lock().unwrap().add(outcome, data);
            }
            _ if line == "stopped" => return,
            _ => {}
        }
    }
}

/// Commits some transactions and rolls back the others, as a program in another language would.
fn run_sql(path: &str, outcomes: &Mutex<Outcomes>, stop: &AtomicBool) {
    let program = Connection::open(path).unwrap();
    program.busy_timeout(PATIENCE).unwrap();
    for number in (1..).step_by(3) {
        if stop.load(Relaxed) {
            return;
        }
        let data = [0, 1, 2].map(|place| format!("sql {}", number + place));
        let ends = number % 2 == 0;
        program.execute_batch("begin immediate").unwrap();
        for data in &data {
            let insert = "insert into news (topic, data) values ('news', ?)";
            program.execute(insert, [data]).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        program.execute_batch(if ends { "rollback" } else { "commit" }).unwrap();
        for data in &data {
            outcomes.lock().unwrap().add(if ends { "refused" } else { "published" }, data);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_processes_are_killed_and_deployed() {
    let directory = support::tool::Directory::new("sqlite");
    let path = directory.path().join("events.db").display().to_string();
    let hub = Hub::connect(Sqlite::open(&path).unwrap().broker("news")).await.unwrap();
    let start = hub.position().to_string();
    drop(hub);
    let outcomes = Arc::new(Mutex::new(Outcomes::default()));
    let mut servers = Vec::new();
    for number in 0..2 {
        servers.push(Server::start(&path, number, &outcomes).await);
    }
    let addresses: Servers = Arc::default();
    let publish_addresses = |servers: &[Server]| {
        let living = servers.iter().map(|server| server.process.address).collect();
        *addresses.lock().unwrap() = living;
    };
    publish_addresses(&servers);
    // All clients share one `reqwest::Client`, because each new one loads the system's
    // certificates.
    let http = reqwest::Client::new();
    let reading: Vec<_> = (0..CLIENTS)
        .map(|client| read_to_end(http.clone(), Arc::clone(&addresses), client, start.clone()))
        .map(tokio::spawn)
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let sql = {
        let (path, outcomes, stop) = (path.clone(), Arc::clone(&outcomes), Arc::clone(&stop));
        thread::spawn(move || run_sql(&path, &outcomes, &stop))
    };
    for round in 0..2 * ROUNDS {
        sleep(PAUSE).await;
        let mut old = servers.remove(0);
        if round % 2 == 0 {
            old.process.kill().await;
            publish_addresses(&servers);
        }
        servers.push(Server::start(&path, 2 + round, &outcomes).await);
        publish_addresses(&servers);
        if round % 2 == 1 {
            old.process.signal("TERM");
            old.process.exited().await;
        }
        soon(old.reading).await.unwrap();
    }
    sleep(PAUSE).await;
    stop.store(true, Relaxed);
    tokio::task::spawn_blocking(|| sql.join().unwrap()).await.unwrap();
    for server in &mut servers {
        server.process.signal("USR1");
        soon(&mut server.reading).await.unwrap();
    }
    let program = Connection::open(&path).unwrap();
    program.busy_timeout(PATIENCE).unwrap();
    program.execute("insert into news (topic, data) values ('news', 'end')", []).unwrap();
    let mut order = None;
    for reading in reading {
        let received = soon(reading).await.unwrap();
        let outcomes = outcomes.lock().unwrap();
        let mut distinct = HashSet::new();
        let twice: Vec<_> = received.iter().filter(|it| !distinct.insert((*it).clone())).collect();
        assert!(twice.is_empty(), "twice: {twice:?} in {received:?}");
        let lost: Vec<_> = outcomes.published.difference(&distinct).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let refused: Vec<_> = outcomes.refused.intersection(&distinct).collect();
        assert!(refused.is_empty(), "refused: {refused:?}");
        assert_eq!(*order.get_or_insert_with(|| received.clone()), received, "another order");
    }
    let outcomes = outcomes.lock().unwrap();
    println!("{CLIENTS} clients received {} events each", order.unwrap_or_default().len());
    assert!(
        !outcomes.published.is_empty()
            && outcomes.refused.iter().any(|data| data.starts_with("sql"))
    );
}
