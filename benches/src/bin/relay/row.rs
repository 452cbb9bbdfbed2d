use tower_sse_benches::sockets::record::extremes;
use tower_sse_benches::sockets::request::{read_head, request};
use tower_sse_benches::{sockets::client::Client, sockets::median, sockets::process::Server};

use super::{checker::Checker, page::END};
use crate::*;

/// A relay together with what it relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub subject: Subject,
    pub pace: Pace,
}

/// The figures of a run in which everything arrived.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub events: u64,
    /// Microseconds of the relay's processor time per event delivered: the total, and the part spent
    /// outside of the kernel.
    pub cpu: f64,
    pub user: f64,
    pub events_per_s: f64,
    pub reads: f64,
    /// Microseconds from the time in the event to the client's read: median, 99th percentile, and
    /// maximum.
    pub delays: [f64; 3],
    /// Microseconds from before the connection is opened to the first event's read.
    pub first: [f64; 3],
    pub resident_kib: u64,
}

impl Measured for Case {
    type Row = Row;

    /// Runs the case, with the upstream and the relay in processes of their own.
    ///
    fn measure(self) -> io::Result<Row> {
        let order = self.pace.order(self.subject);
        let mut upstream = Command::new(env::current_exe()?);
        upstream.arg("upstream");
        let upstream = Server::start_beside(upstream)?;
        let relay = Server::start(self.subject.command(upstream.address)?)?;
        let mut client = Client::new(Checker::new(self.subject.template()))?;
        let mut first: Vec<u64> = Vec::with_capacity(CLIENTS);
        wait_for(relay.address)?;
        for _ in 0..CLIENTS {
            first.push(open(relay.address, &mut client)?.as_nanos() as u64);
        }
        first.sort_unstable();
        client.settle()?;
        client.receiver.restart();

        let control = TcpStream::connect(upstream.address)?;
        let before = relay.cpu_time()?;
        let start = Instant::now();
        let mut control = request(control, &order.path())?;
        client.read_all(order.events)?;
        let elapsed = start.elapsed().as_secs_f64();
        let after = relay.cpu_time()?;
        let resident_kib = relay.resident_kib()?;
        read_head(&mut control)?;

        let delivered = client.counted.delivered as f64;
        let each = |after: u64, before: u64| (after - before) as f64 / 1e3 / delivered;
        Ok(Row {
            events: order.events,
            cpu: each(after.total_ns, before.total_ns),
            user: each(after.user_ns, before.user_ns),
            events_per_s: delivered / elapsed,
            reads: client.counted.reads as f64 / delivered,
            delays: percentiles(&client.receiver.delays()),
            first: percentiles(&first),
            resident_kib,
        })
    }
}

/// Waits until the relay listens.
fn wait_for(address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused && start.elapsed() < DEADLINE =>
            {
                sleep(Duration::from_millis(10));
            }
            connected => return connected.map(drop),
        }
    }
}

/// Opens the connection of a client, and returns the time to its first event.
fn open(address: SocketAddr, client: &mut Client<Checker>) -> io::Result<Duration> {
    let start = Instant::now();
    let mut stream = request(TcpStream::connect(address)?, "/v1/chat/completions")?;
    let mut bytes = read_head(&mut stream)?;
    let mut buffer = [0; 4096];
    loop {
        if memmem::find(&bytes, END).is_some() {
            break;
        }
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    let elapsed = start.elapsed();
    client.add(stream, &bytes)?;
    Ok(elapsed)
}

/// Returns the median, the 99th percentile and the maximum of sorted nanoseconds, in microseconds.
fn percentiles(sorted: &[u64]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|part| sorted[((sorted.len() - 1) as f64 * part) as usize] as f64 / 1e3)
}

impl Columns for Row {
    const COLUMNS: &'static str = "events,cpu_us,user_us,events_per_s,reads,delay_p50_us,delay_p99_us,delay_longest_us,first_p50_us,first_p99_us,first_longest_us,resident_kib";

    fn csv(&self) -> String {
        let Self { events, cpu, user, events_per_s, reads, resident_kib, .. } = self;
        let [delays, first] = [self.delays, self.first]
            .map(|figures| figures.map(|figure| format!("{figure:.1}")).join(","));
        format!(
            "{events},{cpu:.4},{user:.4},{events_per_s:.0},{reads:.4},{delays},{first},{resident_kib}"
        )
    }
}

/// Runs all cases `rounds` times.
pub fn run(rounds: usize) -> Record<Case> {
    let subjects = Subject::ALL.map(|(_, subject)| subject);
    let subjects = || subjects.into_iter().filter(|subject| subject.is_installed());
    let cases = Pace::ALL
        .into_iter()
        .flat_map(|(_, pace)| subjects().map(move |subject| Case { subject, pace }));
    Record::run(cases, rounds, |_, _| false)
}

impl Columns for Case {
    const COLUMNS: &'static str = "subject,pace";

    fn csv(&self) -> String {
        format!("{},{}", self.subject.name(), self.pace.name())
    }
}

/// Returns the processor time of `one` divided by that of `other` in the same round: the median, the
/// minimum and the maximum of all rounds.
pub fn ratio(record: &Record<Case>, one: Case, other: Case) -> Option<[f64; 3]> {
    let ratios = record.ratios(one, other, |row: &Row| Some(row.cpu));
    let [minimum, maximum] = extremes(&ratios)?;
    Some([median(ratios)?, minimum, maximum])
}
