#![doc = include_str!("../README.md")]

mod answer;
mod compare;
mod connection;
mod finding;
mod flow;
mod hop;
mod lines;
mod origin;
mod recording;
mod report;
mod session;
mod verdicts;

use std::io::{Write, stdout};
use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use http::{Method, Uri};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::answer::{answer, headers, start};
use crate::compare::{changes, delay, resumption};
use crate::connection::{Request, Wire, address};
use crate::finding::{Finding, Verdict};
use crate::flow::{bursts, end, silence};
use crate::hop::HopOptions;
use crate::lines::lines;
use crate::session::{Plan, Session, observe};
use crate::verdicts::verdicts;

/// A check's name, a description, and its function.
type Check = (&'static str, &'static str, fn(&Session) -> Finding);

/// A check's number is its place in this list, so the order must not change.
const CHECKS: [Check; 10] = [
    ("answer", "the status, the content type, and whether an event comes", answer),
    ("start", "how long the head and the first byte take", start),
    ("headers", "the headers that keep proxies from caching and compressing", headers),
    ("bursts", "events that come together but were made at different times", bursts),
    ("delay", "the delay that each hop of --via adds", delay),
    ("changes", "what each hop of --via changes or drops", changes),
    ("silence", "the longest silence, and which idle limits cut it", silence),
    ("resumption", "what a client receives when it reconnects with an id", resumption),
    ("end", "how the stream ends", end),
    ("lines", "lines that parsers read differently", lines),
];

const RESUMPTION: usize = 8;

fn run(numbers: &[usize], session: &Session) -> Vec<Finding> {
    let recording = &session.outermost.recording;
    let chosen = (1..).zip(CHECKS).filter(|(number, _)| numbers.contains(number));
    let findings = chosen.map(|(number, (name, _, check))| {
        let obstacle = match recording.head {
            _ if matches!(name, "answer" | "start") => None,
            None => (name != "delay").then_some("no answer came"),
            Some(_) if !recording.is_event_stream() => Some("the answer isn't an event stream"),
            _ if name == "headers" => None,
            _ if !recording.is_decoded() => Some("its compression is unknown"),
            _ if session.outermost.is_refusal() && name != "lines" => {
                Some("the answer is a refusal")
            }
            _ => (name == "bursts" && !session.outermost.has_event()).then_some("no event came"),
        };
        let finding = obstacle.map_or_else(|| check(session), Finding::not_checked);
        Finding { number, name, ..finding }
    });
    findings.collect()
}

/// Reads an event stream the way clients do and finds the proxy that delays it.
///
/// The exit status is 0 if no check failed, 1 if one did, and 2 if the stream cannot be checked.
/// Without an event, the check `answer` fails, unless you pass `--allow-empty`.
#[derive(Debug, Parser)]
#[command(version, after_help = checks())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Task>,
    /// The address that clients use
    #[arg(value_parser = address, required = true)]
    url: Option<Uri>,
    /// The stream's address behind the proxy, at the server itself. With several proxies, repeat
    /// the option for each, the one nearest to the clients first. Each stream is compared with the
    /// next
    #[arg(long, value_name = "URL", value_parser = address)]
    via: Vec<Uri>,
    /// How long to watch, such as 30s, 2m or 500ms
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    length: Duration,
    #[command(flatten)]
    wire: Wire,
    /// The body of all requests, which are then POST requests by default
    #[arg(short, long)]
    data: Option<String>,
    /// The method of all requests
    #[arg(short = 'X', long)]
    request: Option<Method>,
    /// Accept a stream without an event
    #[arg(long)]
    allow_empty: bool,
    /// Run only `answer` and these checks: names or numbers, separated by commas
    #[arg(long, value_name = "CHECKS", value_delimiter = ',', value_parser = check_number)]
    only: Vec<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Finds out what a proxy does to streams, without your server
    ///
    /// The proxy must pass requests for URL on to ADDRESS, where sse-check plays the server. The
    /// exit status is 0 if no verdict is a failure, 1 if one is, and 2 if the proxy cannot be
    /// checked, for example because no request arrives.
    Hop(HopOptions),
    /// Plays the server for a proxy on another machine than `sse-check hop`
    Origin {
        /// Where to listen, such as 0.0.0.0:9000
        address: String,
    },
}

fn checks() -> String {
    let line = |(number, (name, about, _))| format!("\n  {number:2} {name:11} {about}");
    "Checks:".to_owned() + &(1..).zip(CHECKS).map(line).collect::<String>()
}

fn check_number(text: &str) -> Result<usize, String> {
    let is_it = |(number, (name, ..)): &(usize, Check)| text == *name || text == number.to_string();
    let check = (1..).zip(CHECKS).find(is_it);
    check.map(|(number, _)| number).ok_or("no such check; --help lists them".to_owned())
}

impl Options {
    fn method(&self) -> Method {
        let default = if self.data.is_some() { Method::POST } else { Method::GET };
        self.request.clone().unwrap_or(default)
    }

    fn request(&self) -> Result<Request, String> {
        let (method, body) = (self.method(), self.data.clone().unwrap_or_default());
        // An `EventSource` sends this header too.
        let lines = (method == Method::GET).then_some("cache-control: no-cache");
        let json = (!body.is_empty()).then_some("content-type: application/json");
        self.wire.request(method, lines.into_iter().chain(json), body)
    }
}

fn run_until_done<T>(task: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let result = runtime.block_on(task);
    // Don't wait for a host name that is still being looked up.
    runtime.shutdown_background();
    result
}

/// Prints `json` or `text`. Ignores an error, because a reader such as `head` may have closed the
/// pipe.
fn print(is_json: bool, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
    let text = if is_json { format!("{:#}\n", json()) } else { text() };
    _ = stdout().write_all(text.as_bytes());
}

fn look(options: &Options, url: &Uri) -> Result<ExitCode, String> {
    // Always run the check `answer`: without an event, the others say little.
    let is_chosen = |it: &usize| *it == 1 || options.only.is_empty() || options.only.contains(it);
    let numbers: Vec<_> = (1..=CHECKS.len()).filter(is_chosen).collect();
    let plan = Plan {
        targets: [url].into_iter().chain(&options.via).cloned().collect(),
        request: options.request()?,
        length: options.length,
        resumes: options.method() == Method::GET && numbers.contains(&RESUMPTION),
        may_be_empty: options.allow_empty,
    };
    let session = run_until_done(observe(&plan))?;
    let findings = run(&numbers, &session);
    let json = || report::json(&session, &findings);
    print(options.json, json, || report::text(&session, &findings));
    let is = |verdict| move |finding: &Finding| finding.verdict == verdict;
    Ok(ExitCode::from(match findings.iter().any(is(Verdict::Fail)) {
        true => 1,
        // The first finding is that of `answer`. If it was not checked, the others say little.
        false if findings.iter().take(1).any(is(Verdict::NotChecked)) => 2,
        false => 0,
    }))
}

fn look_at_hop(hop: &HopOptions) -> Result<ExitCode, String> {
    let judgements = verdicts(hop, &run_until_done(hop::observe(hop))?);
    let json = || report::hop_json(hop, &judgements);
    print(hop.json, json, || report::hop_text(hop, &judgements));
    let is_failed = judgements.iter().any(|it| it.finding.verdict == Verdict::Fail);
    Ok(ExitCode::from(u8::from(is_failed)))
}

fn play(address: &str) -> Result<ExitCode, String> {
    let result = run_until_done(async {
        let listener = TcpListener::bind(address).await.map_err(|it| it.to_string())?;
        let bound = listener.local_addr().map_err(|it| it.to_string())?;
        print(false, || Value::Null, || format!("listening on http://{bound}\n"));
        origin::serve(listener).await.map_err(|it| it.to_string())
    });
    result.map(|()| ExitCode::SUCCESS).map_err(|error| format!("{address}: {error}"))
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    let result = match (options.command.take(), options.url.take()) {
        (Some(Task::Hop(hop)), _) => look_at_hop(&hop),
        (Some(Task::Origin { address }), _) => play(&address),
        (None, Some(url)) => look(&options, &url),
        (None, None) => Err("an address is needed".to_owned()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sse-check: {error}");
            ExitCode::from(2)
        }
    }
}
