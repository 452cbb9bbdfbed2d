use tower_sse_benches::sockets::{client::Client, process::Server};

use super::subscribers::{Stalled, Subscribers};
use crate::*;

/// A server together with its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub subject: Subject,
    pub regime: Regime,
    pub subscribers: usize,
}

/// The figures of a run in which everything arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub events: u64,
    /// Microseconds of the server's processor time per delivery: the total, and the part spent
    /// outside of the kernel.
    pub cpu: f64,
    pub user: f64,
    pub deliveries_per_s: f64,
    pub reads: f64,
    /// Bytes of the body per event, including the transfer coding.
    pub bytes: f64,
    /// Microseconds from publication to the client's read: median, 99th percentile, and maximum.
    pub delays: Option<[f64; 3]>,
    /// Resident memory at the end of the run.
    pub resident_kib: u64,
    /// The number of events that the stalled subscriber missed.
    pub missed: Option<u64>,
}

impl Measured for Case {
    type Row = Row;

    /// Runs the case, with the server in a process of its own.
    ///
    fn measure(self) -> io::Result<Row> {
        let plan = self.regime.plan(self.subject, self.subscribers);
        let server = Server::start(self.subject.command()?)?;
        let mut client = Client::open(server.address, self.subscribers, Subscribers::default())?;
        let stalled = match self.regime {
            Regime::Stalled => Some(Stalled::open(server.address)?),
            _ => None,
        };
        if self.regime.has_delays() {
            client.receiver.measure_delays();
        }
        let control = TcpStream::connect(server.address)?;
        let before = server.cpu_time()?;
        let start = Instant::now();
        let mut control = request(control, &plan.path())?;
        if let Err(error) = client.read_all(plan.events) {
            let lost = lost(server.address).unwrap_or_else(|error| error.to_string());
            return Err(io::Error::other(format!("{error} ({lost})")));
        }
        let elapsed = start.elapsed().as_secs_f64();
        let after = server.cpu_time()?;
        let resident_kib = server.resident_kib()?;
        read_head(&mut control)?;
        subscribers::check(&client.receiver.witnessed, plan.events)?;
        let missed = stalled.map(|stalled| stalled.missed(plan.events)).transpose()?;
        let missed = match missed {
            Some((0, _)) => {
                return Err(io::Error::other("who did not read has missed nothing"));
            }
            Some((_, false)) if self.subject.is_ours() => {
                return Err(io::Error::other("the stalled subscriber did not receive a gap event"));
            }
            missed => missed.map(|(events, _)| events),
        };

        let delivered = client.counted.delivered as f64;
        let reads = client.counted.reads as f64 / delivered;
        if self.regime == Regime::Paced && reads < 0.99 {
            return Err(io::Error::other(format!("too fast for it: {reads:.3} reads a delivery")));
        }
        let per_delivery = |after: u64, before: u64| (after - before) as f64 / 1e3 / delivered;
        let delays = client.receiver.delays().filter(|delays| !delays.is_empty()).map(|delays| {
            let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize] as f64 / 1e3;
            [at(0.5), at(0.99), at(1.0)]
        });
        Ok(Row {
            events: plan.events,
            cpu: per_delivery(after.total_ns, before.total_ns),
            user: per_delivery(after.user_ns, before.user_ns),
            deliveries_per_s: delivered / elapsed,
            reads,
            bytes: client.counted.bytes as f64 / delivered,
            delays,
            resident_kib,
            missed,
        })
    }
}

/// Asks the server how many events its channel has dropped.
fn lost(address: SocketAddr) -> io::Result<String> {
    let mut stream = request(TcpStream::connect(address)?, "/lost")?;
    let body = read_head(&mut stream)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

impl Columns for Row {
    const COLUMNS: &'static str = "events,cpu_us,user_us,deliveries_per_s,reads,bytes,delay_p50_us,delay_p99_us,delay_longest_us,resident_kib,missed";

    fn csv(&self) -> String {
        let Self { events, cpu, user, deliveries_per_s, reads, bytes, resident_kib, .. } = self;
        let [p50, p99, longest] = match self.delays {
            Some(delays) => delays.map(|delay| format!("{delay:.1}")),
            None => Default::default(),
        };
        let missed = self.missed.map(|missed| missed.to_string()).unwrap_or_default();
        format!(
            "{events},{cpu:.4},{user:.4},{deliveries_per_s:.0},{reads:.4},{bytes:.2},{p50},{p99},{longest},{resident_kib},{missed}"
        )
    }
}

/// The number of rounds for cases that are an order of magnitude slower.
const FEW: usize = 3;

/// Runs all cases `rounds` times.
pub fn run(rounds: usize) -> Record<Case> {
    Record::run(cases(), rounds, |round, case| round > FEW && case.subject.is_foreign())
}

/// Returns the cases; those that are compared are adjacent.
fn cases() -> Vec<Case> {
    let all_subjects = Subject::ALL.map(|(_, subject)| subject);
    let ours = [Subject::Hub, Subject::Axum];
    let mut cases = Vec::new();
    let mut add = |regime, subscribers, subjects: &[Subject]| {
        cases.extend(subjects.iter().map(|&subject| Case { subject, regime, subscribers }));
    };
    for regime in [Regime::Saturated, Regime::Bursts, Regime::Paced] {
        add(regime, 1_000, &all_subjects);
    }
    for regime in [Regime::Saturated, Regime::Bursts] {
        add(regime, 5_000, &ours);
    }
    add(Regime::Latency, 1, &ours);
    for subject in ours {
        for regime in [Regime::Stalled, Regime::Unstalled] {
            add(regime, 1_000, &[subject]);
        }
    }
    cases
}
