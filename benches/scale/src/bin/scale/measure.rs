use std::{env, io, process::Command, time::Instant};

use tower_sse_scale::process::{Server, raise_open_files};
use tower_sse_scale::{Streams, Subject, client::Client};

use crate::orders::{Orders, settle};

/// What one subject has cost. Times of the processor are those of the server.
struct Row {
    subject: Subject,
    /// Bytes for each stream.
    resident: f64,
    resident_after_event: f64,
    /// Microseconds of the processor for each stream.
    opening: f64,
    event: f64,
    /// The median of the later events, which reuse the memory that h2 allocated for the first.
    later_event: f64,
    end: f64,
    /// How long it took until the first and the last client had the event, and the end, in seconds.
    event_seen: [f64; 2],
    end_seen: [f64; 2],
    /// How long the calls held the thread, in milliseconds: `subscribe` by the wall clock, the
    /// others in processor time.
    subscribe: f64,
    publish: f64,
    stats: f64,
    ending: f64,
    /// The longest processor time between two turns of the task that watches the thread, in
    /// milliseconds: during the opening, the event and the end.
    turns: [f64; 3],
    seconds: f64,
}

/// How many events come after the first.
const LATER: usize = 7;

pub fn measure(streams: Streams, subjects: &[Subject]) -> io::Result<()> {
    raise_open_files()?;
    let mut rows = Vec::new();
    for subject in subjects {
        let row = Row::measure(*subject, streams)?;
        eprintln!("{}: {:.0} s", subject.name(), row.seconds);
        rows.push(row);
    }
    print(&rows);
    Ok(())
}

impl Row {
    fn measure(subject: Subject, streams: Streams) -> io::Result<Self> {
        let begun = Instant::now();
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve", subject.name()]);
        let server = Server::start(command)?;
        let mut orders = Orders::connect(&server)?;
        let each = |ns: u64| ns as f64 / 1e3 / streams.all as f64;
        let empty = server.resident_kib()?;
        let resident = || {
            Ok::<_, io::Error>(
                (server.resident_kib()? - empty) as f64 * 1024.0 / streams.all as f64,
            )
        };

        let mut client = Client::connect(server.address, streams)?;
        settle(&server)?;
        orders.give("turns")?;
        let before = server.cpu_time()?.total_ns;
        client.open()?;
        let opening = each(settle(&server)? - before);
        let resident_at_rest = resident()?;
        let subscribe = orders.give("subscribe")?;
        let stats = orders.give("stats")?;
        let turns_of_opening = orders.give("turns")?;

        let (before, start) = (server.cpu_time()?.total_ns, Instant::now());
        orders.send("publish")?;
        client.read_marks(1)?;
        let publish = orders.answer()?;
        let event = each(settle(&server)? - before);
        let event_seen = client.marks.since(start);
        let resident_after_event = resident()?;
        let turns_of_event = orders.give("turns")?;
        let later_event = each(later_event(&server, &mut orders, &mut client)?);
        orders.give("turns")?;

        let (before, start) = (server.cpu_time()?.total_ns, Instant::now());
        orders.send(if subject == Subject::Full { "close all" } else { "cancel" })?;
        client.read_ends()?;
        let (ending, end_seen) = (orders.answer()?, client.ends.since(start));
        let end = each(settle(&server)? - before);
        let ms = |ns: u64| ns as f64 / 1e6;
        Ok(Self {
            subject,
            resident: resident_at_rest,
            resident_after_event,
            opening,
            event,
            later_event,
            end,
            event_seen,
            end_seen,
            subscribe: ms(subscribe),
            publish: ms(publish),
            stats: ms(stats),
            ending: ms(ending),
            turns: [turns_of_opening, turns_of_event, orders.give("turns")?].map(ms),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }
}

/// Returns the median of the processor time that later events take, in nanoseconds.
fn later_event(server: &Server, orders: &mut Orders, client: &mut Client) -> io::Result<u64> {
    let mut times = [0; LATER];
    for (number, time) in (2..).zip(&mut times) {
        let before = server.cpu_time()?.total_ns;
        orders.send("publish")?;
        client.read_marks(number)?;
        orders.answer()?;
        *time = settle(server)? - before;
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn print(rows: &[Row]) {
    let line = |cells: Vec<String>| println!("| {} |", cells.join(" | "));
    let mut head = vec![String::new()];
    head.extend(rows.iter().map(|row| row.subject.name().to_owned()));
    let columns = head.len();
    line(head);
    line(vec!["---".to_owned(); columns]);
    let bare = rows.iter().find(|row| row.subject == Subject::Bare);
    let table = |name: &str, figure: &dyn Fn(&Row) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(rows.iter().map(figure));
        line(cells);
    };
    let bytes = |figure: fn(&Row) -> f64| {
        move |row: &Row| match bare.filter(|_| row.subject != Subject::Bare) {
            Some(bare) => format!("{:.0} (+{:.0})", figure(row), figure(row) - figure(bare)),
            None => format!("{:.0}", figure(row)),
        }
    };
    let times = |figure: fn(&Row) -> f64| {
        move |row: &Row| match bare.filter(|_| row.subject != Subject::Bare) {
            Some(bare) => format!("{:.2} ({:.2}×)", figure(row), figure(row) / figure(bare)),
            None => format!("{:.2}", figure(row)),
        }
    };
    let ours = |figure: &'static dyn Fn(&Row) -> String| {
        move |row: &Row| if row.subject == Subject::Bare { "–".into() } else { figure(row) }
    };
    let seen = |[first, last]: [f64; 2]| {
        format!("{first:.2} of {last:.2} s ({:.0} %)", 100.0 * first / last.max(1e-9))
    };
    table("resident bytes a stream", &bytes(|row| row.resident));
    table("after one event to all", &bytes(|row| row.resident_after_event));
    table("opening, µs of processor each", &times(|row| row.opening));
    table("one event to all, µs each", &times(|row| row.event));
    table("the first client has it after", &|row| seen(row.event_seen));
    table("a later event, µs each", &times(|row| row.later_event));
    table("the end of all, µs each", &times(|row| row.end));
    table("the first client has it after", &|row| seen(row.end_seen));
    table("longest `subscribe`, ms", &ours(&|row| format!("{:.1}", row.subscribe)));
    table("`publish`, ms", &|row| format!("{:.1}", row.publish));
    table("`stats`, ms", &ours(&|row| format!("{:.1}", row.stats)));
    table("`cancel` or `close_all`, ms", &|row| match row.subject {
        Subject::Bare => "–".to_owned(),
        Subject::Draft => format!("`cancel` {:.1}", row.ending),
        Subject::Full => format!("`close_all` {:.1}", row.ending),
    });
    table("the longest turn: opening, event, end, ms", &|row| {
        row.turns.map(|ms| format!("{ms:.1}")).join(", ")
    });
}
