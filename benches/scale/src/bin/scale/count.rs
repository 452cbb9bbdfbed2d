use std::{env, fs, io, process::Command, process::exit};

use tower_sse_scale::process::{Server, raise_open_files};
use tower_sse_scale::{Streams, Subject, client::Client};

use crate::orders::{Orders, settle};

/// The instructions and the missed cache lines of one step, for each stream.
#[derive(Clone, Copy)]
struct Cost {
    instructions: f64,
    lines: f64,
}

const STEPS: [&str; 3] = ["opening", "event", "stop"];
/// The number of events that are counted. A first event is not counted, because later events reuse
/// its memory.
const EVENTS: u8 = 4;
/// The caches of a small server. The memory of 10,000 streams does not fit into the last-level
/// cache.
const CACHES: [&str; 4] =
    ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"];

/// Prints what [`Subject::Bare`] and [`Subject::Draft`] cost. Fails if a step of `Draft` has more
/// instructions or missed lines than its limit. The limits are pairs, in the order of the steps.
pub fn count(streams: Streams, limits: &[&str]) -> io::Result<()> {
    raise_open_files()?;
    println!("| | instructions: bare | draft | lines missed: bare | draft |");
    println!("| --- | --- | --- | --- | --- |");
    let [bare, draft] = [costs(Subject::Bare, streams)?, costs(Subject::Draft, streams)?];
    let mut is_within = true;
    let mut limits = limits.chunks_exact(2);
    for ((step, bare), draft) in STEPS.iter().zip(bare).zip(draft) {
        println!(
            "| {step} | {:.0} | {:.0} | {:.1} | {:.1} |",
            bare.instructions, draft.instructions, bare.lines, draft.lines
        );
        if let Some([instructions, lines]) = limits.next() {
            let limit = |text: &str| text.parse::<f64>().expect("a number");
            if draft.instructions > limit(instructions) || draft.lines > limit(lines) {
                eprintln!("{step}: more than {instructions} instructions or {lines} lines");
                is_within = false;
            }
        }
    }
    if is_within { Ok(()) } else { exit(1) }
}

fn costs(subject: Subject, streams: Streams) -> io::Result<[Cost; 3]> {
    let directory = env::temp_dir().join(format!("scale-count-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let log = directory.join("log");
    let counts = directory.join("counts");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").args(CACHES).arg(format!("--log-file={}", log.display()));
    command.arg("--dump-before=tower_sse_scale::server::begin_step*");
    command.arg(format!("--callgrind-out-file={}", counts.display()));
    command.arg(env::current_exe()?).args(["serve", subject.name(), "counted"]);
    let server = Server::start(command)?;
    let mut orders = Orders::connect(&server)?;
    let mut client = Client::connect(server.address, streams)?;
    let mut dumps = 0;
    let mut end_step = |orders: &mut Orders, times: f64| {
        settle(&server)?;
        orders.give("step")?;
        dumps += 1;
        let counted = fs::read_to_string(directory.join(format!("counts.{dumps}")))?;
        Cost::of(&counted, streams.all as f64 * times)
    };
    end_step(&mut orders, 1.0)?;
    client.open()?;
    let opening = end_step(&mut orders, 1.0)?;
    for event in 1..=1 + EVENTS {
        orders.give("publish")?;
        client.read_marks(event)?;
        if event == 1 {
            end_step(&mut orders, 1.0)?;
        }
    }
    let event = end_step(&mut orders, f64::from(EVENTS))?;
    orders.give("cancel")?;
    client.read_ends()?;
    let stop = end_step(&mut orders, 1.0)?;
    fs::remove_dir_all(&directory)?;
    Ok([opening, event, stop])
}

impl Cost {
    /// Reads what valgrind has counted in all functions.
    fn of(counted: &str, times: f64) -> io::Result<Self> {
        let line = |name| counted.lines().find_map(|line| line.strip_prefix(name));
        let (Some(names), Some(sums)) = (line("events: "), line("summary: ")) else {
            return Err(io::Error::other("valgrind has counted nothing"));
        };
        let sum = |wanted: &[&str]| -> f64 {
            let columns = names.split(' ').zip(sums.split(' '));
            columns
                .filter(|(name, _)| wanted.contains(name))
                .map(|(_, sum)| sum.parse::<f64>().unwrap_or(f64::NAN))
                .sum()
        };
        let instructions = sum(&["Ir"]) / times;
        Ok(Self { instructions, lines: sum(&["ILmr", "DLmr", "DLmw"]) / times })
    }
}
