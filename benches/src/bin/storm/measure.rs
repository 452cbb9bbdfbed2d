use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, net::Ipv4Addr, path::PathBuf, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;
use tower_sse::hub::Hub;
use tower_sse_benches::sockets::streams::{Seen, data};
use tower_sse_redis::Redis;

use crate::server::BROKER;

/// Enough that each part of the clients finds free ports while the kernel remembers old
/// connections.
const PORTS: usize = 4;

/// How long a storm may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The figures of one storm.
struct Row {
    name: &'static str,
    seen: Seen,
    /// The time until all clients have a stream and all events.
    took: Duration,
    peak_kib: u64,
    processor: Duration,
    /// The clients' processor time.
    beside: Duration,
    /// How often a server had no file descriptor for a connection.
    without_files: usize,
    is_whole: bool,
}

/// Runs all storms and prints a table. Returns a failure unless every client receives each event
/// exactly once, within [`LIMIT`].
pub(crate) fn measure(clients: usize, processes: usize, redis: &str) -> ExitCode {
    let mut storm = Storm::start(clients, processes, redis);
    println!(
        "| {clients} streams, {processes} processes | took s | opened /s | resumed | fullest 0.1 s \
         | longest wait s (beyond `retry`) | peak MiB | processor s, of servers and clients | refused, no descriptor | unconnected, reset \
         | truncated, clean | gaps, lost, doubled |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut is_whole = true;
    let mut run = |storm: &mut Storm, name, work: &dyn Fn(&mut Storm)| {
        let row = storm.row(name, work);
        row.print();
        is_whole &= row.is_whole;
    };
    run(&mut storm, "all connect", &|storm| storm.order("open 256"));
    run(&mut storm, "an event", &|storm| storm.publish(1));
    run(&mut storm, "all cut at once", &|storm| {
        storm.order("cut");
        storm.publish(10);
    });
    run(&mut storm, "a process killed", &|storm| {
        let mut killed = storm.servers.remove(0);
        killed.kill().expect("a process");
        _ = killed.wait();
        storm.publish(10);
    });
    let server = storm.server();
    storm.servers.push(server);
    run(&mut storm, "a rolling deployment", &|storm| {
        for _ in 0..storm.servers.len() {
            let server = storm.server();
            let mut old = storm.servers.remove(0);
            storm.servers.push(server);
            let id = Pid::from_raw(old.id().try_into().expect("an id"));
            kill(id, Signal::SIGTERM).expect("a process");
            storm.publish(1);
            storm.wait_for(&mut old);
        }
    });
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Storm {
    clients: usize,
    limit: usize,
    redis: String,
    ports: Vec<Socket>,
    servers: Vec<Child>,
    parts: Vec<Part>,
    runtime: Runtime,
    hub: Hub,
    published: u64,
    peak_kib: u64,
    /// The file to which the servers write their errors.
    log: PathBuf,
    /// The processor time of servers that have ended at SIGTERM.
    ended: Duration,
}

/// A process with a part of the clients.
struct Part {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Storm {
    fn start(clients: usize, processes: usize, redis: &str) -> Self {
        // These sockets reserve the ports. They never listen, so they get no connections.
        let ports: Vec<_> = (0..PORTS)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                socket.set_reuse_address(true).expect("an option");
                socket.set_reuse_port(true).expect("an option");
                let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                socket.bind(&any.into()).expect("a port");
                socket
            })
            .collect();
        let (_, files) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .expect("a limit");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let hub = runtime.block_on(async {
            let broker = Redis::open(redis).expect("a URL").broker(BROKER);
            Hub::connect(broker).await.expect("a server")
        });
        let mut storm = Self {
            clients,
            // The other 500 files are for listeners, Redis, and connections that are refused.
            limit: usize::try_from(files).expect("a number").saturating_sub(500),
            redis: redis.to_owned(),
            ports,
            servers: Vec::new(),
            parts: Vec::new(),
            runtime,
            hub,
            published: 0,
            peak_kib: 0,
            log: env::temp_dir().join(format!("tower-sse-storm-{}", std::process::id())),
            ended: Duration::ZERO,
        };
        for _ in 0..processes {
            let server = storm.server();
            storm.servers.push(server);
        }
        for at in 0..processes {
            let share = clients * (at + 1) / processes - clients * at / processes;
            let mut command = storm.command(&["clients", &share.to_string(), &at.to_string()]);
            let mut child = command.spawn().expect("a process");
            let stdin = child.stdin.take().expect("a pipe");
            let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
            storm.parts.push(Part { child, stdin, stdout });
        }
        storm
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::current_exe().expect("this program"));
        let port = |socket: &Socket| {
            let address = socket.local_addr().expect("an address");
            address.as_socket().expect("an address").port().to_string()
        };
        command.args(arguments).args(self.ports.iter().map(port));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn server(&self) -> Child {
        let mut command = self.command(&["serve", &self.redis, &self.limit.to_string()]);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a file");
        let mut child = command.stderr(log).spawn().expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "listening\n");
        child
    }

    fn order(&mut self, order: &str) {
        for part in &mut self.parts {
            writeln!(part.stdin, "{order}").expect("a reader");
        }
    }

    fn publish(&mut self, events: u64) {
        for _ in 0..events {
            self.published += 1;
            let event = data(self.published, 100);
            self.runtime.block_on(self.hub.publish("news", event)).expect("published");
        }
    }

    /// Waits for the end of a server, and meanwhile observes the memory of the others.
    fn wait_for(&mut self, server: &mut Child) {
        let begun = Instant::now();
        let mut processor = Duration::ZERO;
        loop {
            if let Some(status) = server.try_wait().expect("a process") {
                assert!(status.success(), "{status}");
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "a server does not end");
            processor = processor_time(server.id()).max(processor);
            self.observe();
            thread::sleep(Duration::from_millis(50));
        }
        self.ended += processor;
        // A deployment waits about this long for the next process to be ready.
        thread::sleep(Duration::from_secs(1));
    }

    fn observe(&mut self) {
        let resident = self.servers.iter().map(|server| resident_kib(server.id())).sum();
        self.peak_kib = self.peak_kib.max(resident);
    }

    /// Returns how often a server had no file descriptor for a connection.
    fn without_files(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().matches("os error 24").count()
    }

    fn beside(&self) -> Duration {
        self.parts.iter().map(|part| processor_time(part.child.id())).sum()
    }

    fn processor(&self) -> Duration {
        self.ended + self.servers.iter().map(|server| processor_time(server.id())).sum::<Duration>()
    }

    /// Does the work and waits for up to [`LIMIT`] until all streams are open and each client has,
    /// or has lost, all events.
    fn row(&mut self, name: &'static str, work: &dyn Fn(&mut Self)) -> Row {
        self.peak_kib = 0;
        let mut seen = Seen::default();
        self.report(&mut seen);
        seen = Seen::default();
        let (begun, before) = (Instant::now(), self.processor());
        let (beside, without_files) = (self.beside(), self.without_files());
        work(self);
        let is_complete = loop {
            self.observe();
            if self.report(&mut seen) {
                break true;
            }
            if begun.elapsed() > LIMIT {
                break false;
            }
            thread::sleep(Duration::from_millis(100));
        };
        let is_whole = is_complete && seen.lost + seen.doubled + seen.gaps == 0;
        Row {
            name,
            seen,
            took: begun.elapsed(),
            peak_kib: self.peak_kib,
            // A killed server's time is lost.
            processor: self.processor().saturating_sub(before),
            beside: self.beside().saturating_sub(beside),
            without_files: self.without_files() - without_files,
            is_whole,
        }
    }

    /// Adds what the clients have seen. Returns whether all streams are open and each client has,
    /// or has lost, all events.
    fn report(&mut self, seen: &mut Seen) -> bool {
        self.order(&format!("report {}", self.published));
        let (mut open, mut is_complete) = (0, true);
        for part in &mut self.parts {
            let mut line = String::new();
            part.stdout.read_line(&mut line).expect("a line");
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("a word");
            open += word().parse::<usize>().expect("a number");
            is_complete &= word() == "1";
            seen.add(&serde_json::from_str(word()).expect("JSON"));
        }
        open == self.clients && is_complete
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let parts = self.parts.iter_mut().map(|part| &mut part.child);
        for child in parts.chain(&mut self.servers) {
            _ = child.kill();
            _ = child.wait();
        }
        _ = fs::remove_file(&self.log);
    }
}

impl Row {
    fn print(&self) {
        let Seen { refused, unconnected, reset, truncated, clean, .. } = &self.seen;
        let Seen { gaps, lost, doubled, .. } = &self.seen;
        let refused: Vec<_> =
            refused.iter().map(|(status, n)| format!("{n} by {status}")).collect();
        let rate = self.seen.opened as f64 / self.seen.opening_time().as_secs_f64();
        let rate = if self.seen.opened == 0 { "".to_owned() } else { format!("{rate:.0}") };
        println!(
            "| {}{} | {:.1} | {rate} | {} | {} | {:.2} ({:.2}) | {} | {:.1}, {:.1} | {}, {} | {unconnected}, \
             {reset} | {truncated}, {clean} | {gaps}, {lost}, {doubled} |",
            self.name,
            if self.is_whole { "" } else { " (**not whole**)" },
            self.took.as_secs_f64(),
            self.seen.resumed,
            self.seen.fullest_tenth(),
            self.seen.longest_wait.as_secs_f64(),
            self.seen.longest_delay.as_secs_f64(),
            self.peak_kib / 1024,
            self.processor.as_secs_f64(),
            self.beside.as_secs_f64(),
            if refused.is_empty() { "0".to_owned() } else { refused.join(", ") },
            self.without_files,
        );
    }
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Returns the processor time of a process, which the system counts in hundredths of a second.
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The process's name, before these fields, may have spaces. It ends with a parenthesis.
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2);
    Duration::from_millis(ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}
