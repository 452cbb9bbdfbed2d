use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process::Command, sync::Arc, thread};

use nix::sys::signal::{Signal, kill};
use nix::{time::clock_getcpuclockid, unistd::Pid};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tower_sse_benches::sockets::streams::{Reconnect, Streams, data};
use tower_sse_scale::process::Server;

use crate::{Subject, foreign};

/// What to measure. Each measurement starts a new server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Single events, `rate` a second, to `clients` clients.
    Paced { clients: usize, rate: u64 },
    /// As many events as 16 publishers and 1,000 clients allow.
    Flow,
    /// 10 of 30 clients do not read.
    Slow,
    /// All `clients` clients go away, miss 100 events, and come back at once.
    Storm { clients: usize },
    /// A SIGTERM with `clients` clients.
    Shutdown { clients: usize },
}

/// The size of an event's data, except with slow clients.
const SIZE: usize = 100;

impl Work {
    pub(crate) const ALL: [Self; 8] = [
        Self::Paced { clients: 1_000, rate: 25 },
        Self::Paced { clients: 10_000, rate: 5 },
        Self::Flow,
        Self::Slow,
        Self::Storm { clients: 1_000 },
        Self::Storm { clients: 10_000 },
        Self::Shutdown { clients: 1_000 },
        Self::Shutdown { clients: 10_000 },
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Paced { clients, .. } => format!("paced-{clients}"),
            Self::Flow => "flow".to_owned(),
            Self::Slow => "slow".to_owned(),
            Self::Storm { clients } => format!("storm-{clients}"),
            Self::Shutdown { clients } => format!("shutdown-{clients}"),
        }
    }

    pub(crate) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Paced { .. } => &[
                "KiB a connection",
                "µs to open one",
                "µs a delivery",
                "p50 ms",
                "p99 ms",
                "bytes",
                "lost",
                "doubled",
            ],
            Self::Flow => &["1,000 deliveries a second of processor", "events a second"],
            Self::Slow => &[
                "MiB more",
                "p50 ms of others",
                "others' µs a delivery",
                "slow clients lost",
                "gaps told",
            ],
            Self::Storm { .. } => {
                &["s", "s of processor", "lost a client", "gaps", "refused, unconnected"]
            }
            Self::Shutdown { .. } => &[
                "s to the last end",
                "clean",
                "truncated",
                "reset",
                "with `retry`",
                "open after 10 s",
            ],
        }
    }

    /// Does this work once and returns a figure for each column.
    pub(crate) fn measure(self, subject: Subject, certificates: &Path) -> io::Result<Vec<f64>> {
        let mut run = Run::start(subject, certificates)?;
        match self {
            Self::Paced { clients, rate } => run.paced(clients, rate),
            Self::Flow => run.flow(),
            Self::Slow => run.slow(),
            Self::Storm { clients } => run.storm(clients),
            Self::Shutdown { clients } => run.shutdown(clients),
        }
    }
}

/// A server that runs for one measurement.
struct Run {
    subject: Subject,
    server: Server,
    directory: PathBuf,
    tls: Option<Arc<ClientConfig>>,
    published: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        for process in self.tree().into_iter().skip(1).rev() {
            _ = kill(process, Signal::SIGKILL);
        }
        _ = fs::remove_dir_all(&self.directory);
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Run {
    fn start(subject: Subject, certificates: &Path) -> io::Result<Self> {
        let directory = env::temp_dir().join(format!("tower-sse-peers-{}", std::process::id()));
        _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let this = env::current_exe()?;
        let mut command = if subject == Subject::BetterSse {
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
            let mut command = Command::new("node");
            let installed = foreign::unpacked();
            command.arg(scripts.join("better_sse.mjs"));
            command.arg(installed.parent().unwrap_or(&installed));
            command
        } else {
            let mut command = Command::new(this);
            let at = if subject == Subject::ManyTls { certificates } else { &directory };
            command.args(["serve", subject.name()]).arg(at);
            command
        };
        command.env("PORT", "0");
        let server = Server::start(command)?;
        let tls = (subject == Subject::ManyTls).then(|| client_config(certificates));
        Ok(Self { subject, server, directory, tls, published: 0 })
    }

    fn streams(&self, clients: usize) -> io::Result<Streams> {
        let mut streams = Streams::new(vec![self.server.address], "/", clients)?;
        if let Some(tls) = &self.tls {
            streams.tls(Arc::clone(tls));
        }
        Ok(streams)
    }

    fn publisher(&self) -> io::Result<Publisher> {
        let mut address = self.server.address;
        if self.subject == Subject::Pushpin {
            address.set_port(foreign::publisher_of(address.port()));
        }
        let io = connect(address)?;
        let io: Box<dyn ReadWrite> = match &self.tls {
            None => Box::new(io),
            Some(config) => {
                let name = "localhost".try_into().map_err(io::Error::other)?;
                let tls = rustls::ClientConnection::new(Arc::clone(config), name);
                Box::new(rustls::StreamOwned::new(tls.map_err(io::Error::other)?, io))
            }
        };
        Ok(Publisher { io, address, is_closed: false, subject: self.subject })
    }

    /// Returns the server's process and all processes that it has started.
    fn tree(&self) -> Vec<Pid> {
        let mut tree = vec![Pid::from_raw(self.server.id() as i32)];
        let mut at = 0;
        while let Some(&process) = tree.get(at) {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
            for task in tasks.flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                let children = children.split_whitespace().filter_map(|id| id.parse().ok());
                tree.extend(children.map(Pid::from_raw));
            }
            at += 1;
        }
        tree
    }

    fn processor_us(&self) -> f64 {
        let time = |id: Pid| clock_getcpuclockid(id).ok()?.now().ok();
        let times = self.tree().into_iter().filter_map(time);
        times.map(|time| Duration::from(time).as_secs_f64() * 1e6).sum()
    }

    /// Returns the memory of the server's processes. Shared memory is divided among its users.
    fn pss_kib(&self) -> f64 {
        let pss = |id: Pid| {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        };
        self.tree().into_iter().filter_map(pss).sum()
    }

    fn open(&self, streams: &mut Streams) -> io::Result<()> {
        streams.at_once = 100;
        // If many clients connect at once, pushpin drops some without an answer.
        streams.reconnect = Reconnect::AsTold;
        streams.connect_all();
        let clients = streams.len();
        if !streams.until(PATIENCE, |streams| streams.open == clients)? {
            return Err(io::Error::other(format!("{} of {clients} open", streams.open)));
        }
        streams.reconnect = Reconnect::Never;
        // What some peers send before the first event is not counted.
        streams.until(Duration::from_millis(300), |_| false)?;
        streams.take_seen();
        Ok(())
    }

    fn paced(&mut self, clients: usize, rate: u64) -> io::Result<Vec<f64>> {
        let mut first = self.streams(10)?;
        self.open(&mut first)?;
        let (kib, processor) = (self.pss_kib(), self.processor_us());
        let mut streams = self.streams(clients)?;
        self.open(&mut streams)?;
        let opening = (self.processor_us() - processor) / clients as f64;
        let kib = (self.pss_kib() - kib) / clients as f64;
        drop(first);
        // The first events include the one-time costs of new clients, so they are not measured.
        let mut publisher = self.publisher()?;
        for _ in 0..5 {
            self.published += 1;
            publisher.publish(&data(self.published, SIZE))?;
            let number = self.published;
            streams.until(PATIENCE, |streams| streams.all_at(number))?;
        }
        streams.take_seen();
        streams.is_timed = true;
        let (events, begun) = (rate * 6, self.published + 1);
        let processor = self.processor_us();
        let publishing = thread::spawn(move || -> io::Result<()> {
            let start = Instant::now();
            for number in 0..events {
                let due = Duration::from_secs_f64(number as f64 / rate as f64);
                thread::sleep(due.saturating_sub(start.elapsed()));
                publisher.publish(&data(begun + number, SIZE))?;
            }
            Ok(())
        });
        self.published += events;
        let last = self.published;
        streams.until(PATIENCE, |streams| streams.all_at(last))?;
        publishing.join().expect("no panic")?;
        let processor = self.processor_us() - processor;
        let mut seen = streams.take_seen();
        let deliveries = seen.events.max(1) as f64;
        Ok(vec![
            kib,
            opening,
            processor / deliveries,
            seen.delay_ms(0.5),
            seen.delay_ms(0.99),
            seen.bytes as f64 / deliveries,
            seen.lost as f64,
            seen.doubled as f64,
        ])
    }

    fn flow(&mut self) -> io::Result<Vec<f64>> {
        const CLIENTS: usize = 1_000;
        const AHEAD: u64 = 64;
        let mut streams = self.streams(CLIENTS)?;
        self.open(&mut streams)?;
        let (sent, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut publishing = Vec::new();
        for _ in 0..16 {
            let (sent, done, is_over) =
                (Arc::clone(&sent), Arc::clone(&done), Arc::clone(&is_over));
            let mut publisher = self.publisher()?;
            publishing.push(thread::spawn(move || -> io::Result<()> {
                while !is_over.load(Ordering::Relaxed) {
                    if sent.load(Ordering::Relaxed) > done.load(Ordering::Relaxed) + AHEAD {
                        thread::sleep(Duration::from_micros(200));
                        continue;
                    }
                    let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                    publisher.publish(&data(number, SIZE))?;
                }
                Ok(())
            }));
        }
        let (processor, begun) = (self.processor_us(), Instant::now());
        let average = |streams: &Streams| streams.seen.events / CLIENTS as u64;
        streams.until(Duration::from_secs(5), |streams| {
            done.store(average(streams), Ordering::Relaxed);
            false
        })?;
        let (events, took) = (streams.seen.events as f64, begun.elapsed());
        let processor = self.processor_us() - processor;
        is_over.store(true, Ordering::Relaxed);
        // The clients still read: each publisher waits for an answer of the server, and the server
        // waits for room in the clients' sockets.
        streams.until(PATIENCE, |_| publishing.iter().all(thread::JoinHandle::is_finished))?;
        for publisher in publishing {
            publisher.join().expect("no panic")?;
        }
        Ok(vec![events / processor * 1e3, events / CLIENTS as f64 / took.as_secs_f64()])
    }

    fn slow(&mut self) -> io::Result<Vec<f64>> {
        const EVENTS: u64 = 2_400;
        let mut streams = self.streams(20)?;
        self.open(&mut streams)?;
        let mut slow = self.streams(10)?;
        slow.receive_buffer = Some(4 * 1024);
        self.open(&mut slow)?;
        let mut publisher = self.publisher()?;
        let (kib, processor) = (self.pss_kib(), self.processor_us());
        streams.is_timed = true;
        let publishing = thread::spawn(move || -> io::Result<()> {
            let start = Instant::now();
            for number in 0..EVENTS {
                let due = Duration::from_secs_f64(number as f64 / 400.0);
                thread::sleep(due.saturating_sub(start.elapsed()));
                publisher.publish(&data(number + 1, 2_000))?;
            }
            Ok(())
        });
        streams.until(PATIENCE, |streams| streams.all_at(EVENTS))?;
        let (kib, processor) = (self.pss_kib() - kib, self.processor_us() - processor);
        if publishing.is_finished() {
            publishing.join().expect("no panic")?;
        }
        let mut seen = streams.take_seen();
        // Now the slow clients read, until nothing comes.
        let mut read = (0, Instant::now());
        slow.until(PATIENCE, |slow| {
            if slow.seen.bytes > read.0 {
                read = (slow.seen.bytes, Instant::now());
            }
            read.1.elapsed() > Duration::from_secs(2)
        })?;
        let missed = EVENTS as f64 * 10.0 - slow.seen.events as f64;
        Ok(vec![
            kib / 1024.0,
            seen.delay_ms(0.5),
            processor / seen.events.max(1) as f64,
            missed,
            slow.seen.gaps as f64,
        ])
    }

    fn storm(&mut self, clients: usize) -> io::Result<Vec<f64>> {
        let mut streams = self.streams(clients)?;
        self.open(&mut streams)?;
        let mut publisher = self.publisher()?;
        self.published += 1;
        publisher.publish(&data(self.published, SIZE))?;
        streams.until(PATIENCE, |streams| streams.all_at(1))?;
        streams.close_all();
        thread::sleep(Duration::from_millis(500));
        for _ in 0..100 {
            self.published += 1;
            publisher.publish(&data(self.published, SIZE))?;
        }
        thread::sleep(Duration::from_millis(500));
        streams.take_seen();
        streams.reconnect = Reconnect::AsTold;
        streams.at_once = usize::MAX;
        let (processor, begun) = (self.processor_us(), Instant::now());
        streams.connect_all();
        let last = self.published;
        let resumes = self.subject.resumes();
        streams.until(PATIENCE, |streams| {
            streams.open == clients && (!resumes || streams.all_at(last))
        })?;
        let (took, processor) = (begun.elapsed(), self.processor_us() - processor);
        // A client that cannot resume sees at the next event what is missing.
        self.published += 1;
        publisher.publish(&data(self.published, SIZE))?;
        let last = self.published;
        streams.until(Duration::from_secs(10), |streams| streams.all_at(last))?;
        let seen = &streams.seen;
        let refused = seen.refused.values().sum::<u64>() + seen.unconnected + seen.reset;
        Ok(vec![
            took.as_secs_f64(),
            processor / 1e6,
            seen.lost as f64 / clients as f64,
            seen.gaps as f64,
            refused as f64,
        ])
    }

    fn shutdown(&mut self, clients: usize) -> io::Result<Vec<f64>> {
        let mut streams = self.streams(clients)?;
        self.open(&mut streams)?;
        self.publisher()?.publish(&data(1, SIZE))?;
        streams.until(PATIENCE, |streams| streams.all_at(1))?;
        streams.take_seen();
        let tree = self.tree();
        let at = usize::from(self.subject.is_wrapped());
        let begun = Instant::now();
        kill(*tree.get(at).ok_or(io::ErrorKind::NotFound)?, Signal::SIGTERM)?;
        streams.until(Duration::from_secs(10), |streams| streams.open == 0)?;
        let seen = &streams.seen;
        Ok(vec![
            begun.elapsed().as_secs_f64(),
            seen.clean as f64,
            seen.truncated as f64,
            seen.reset as f64,
            seen.told as f64,
            streams.open as f64,
        ])
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let io = TcpStream::connect(address)?;
    io.set_nodelay(true)?;
    io.set_read_timeout(Some(PATIENCE))?;
    Ok(io)
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// A connection over which events are posted.
struct Publisher {
    io: Box<dyn ReadWrite>,
    address: SocketAddr,
    /// Whether the server has closed the connection, as pushpin does after each answer.
    is_closed: bool,
    subject: Subject,
}

impl Publisher {
    fn publish(&mut self, data: &str) -> io::Result<()> {
        let (path, body) = if self.subject == Subject::Pushpin {
            let number = &data[..8];
            let content = format!("id: {number}\\ndata: {data}\\n\\n");
            let format = format!(r#"{{"http-stream":{{"content":"{content}"}}}}"#);
            let item = format!(r#"{{"items":[{{"channel":"news","formats":{format}}}]}}"#);
            ("/publish/", item)
        } else {
            ("/", data.to_owned())
        };
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        request += &body;
        if self.is_closed {
            self.io = Box::new(connect(self.address)?);
        }
        self.io.write_all(request.as_bytes())?;
        self.io.flush()?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.io.read(&mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&buffer[..read]);
            let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            if !head.starts_with("http/1.1 2") {
                return Err(io::Error::other(head));
            }
            self.is_closed = head.contains("connection: close");
            let is_chunked = head.contains("transfer-encoding: chunked");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            let body = &answer[end + 4..];
            if if is_chunked { body.ends_with(b"0\r\n\r\n") } else { body.len() >= length } {
                return Ok(());
            }
        }
    }
}

fn client_config(certificates: &Path) -> Arc<ClientConfig> {
    _ = rustls::crypto::ring::default_provider().install_default();
    let pem = fs::read(certificates.join("certificate")).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("a root");
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
