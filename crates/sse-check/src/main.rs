#![doc = include_str!("../README.md")]

mod answer;
mod compare;
mod connection;
mod finding;
mod flow;
mod lines;
mod recording;
mod report;
mod session;

use std::io::{Write, stdout};
use std::{process::ExitCode, time::Duration};

use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::answer::{answer, headers, start};
use crate::compare::{changes, delay, resumption};
use crate::connection::{Request, address, connector};
use crate::finding::{Finding, Verdict};
use crate::flow::{bursts, end, silence};
use crate::lines::lines;
use crate::session::{Plan, Session, observe};

/// The name of a check, what it looks at, and the check.
type Check = (&'static str, &'static str, fn(&Session) -> Finding);

/// The number of a check is its place in this list, and must not change.
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

/// Runs the checks of these numbers.
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

/// Reads an event stream the way clients do, and finds the proxy that delays it.
///
/// The exit status is 0 if no check failed, 1 if one did, and 2 if the stream cannot be checked.
/// Without an event, the check `answer` fails, unless you pass `--allow-empty`.
#[derive(Debug, Parser)]
#[command(version, after_help = checks())]
struct Options {
    /// The address that clients use
    #[arg(value_parser = address)]
    url: Uri,
    /// The stream's address behind the proxy, at the server itself. With several proxies, repeat
    /// the option for each, the outermost first. All streams are opened together and compared
    #[arg(long, value_name = "URL", value_parser = address)]
    via: Vec<Uri>,
    /// How long to watch, such as 30s, 2m or 500ms
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    length: Duration,
    /// A header of all requests, such as 'Authorization: Bearer …'
    #[arg(short = 'H', long, value_name = "LINE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The body of all requests, which makes them POST requests
    #[arg(short, long)]
    data: Option<String>,
    /// The method of all requests
    #[arg(short = 'X', long)]
    request: Option<Method>,
    /// Accept a stream without an event
    #[arg(long)]
    allow_empty: bool,
    /// Run only `answer` and these checks: names or numbers, with commas between them
    #[arg(long, value_name = "CHECKS", value_delimiter = ',', value_parser = check_number)]
    only: Vec<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Use HTTP/1.1, even if TLS offers HTTP/2
    #[arg(long, conflicts_with = "http2")]
    http1: bool,
    /// Use HTTP/2, even without TLS
    #[arg(long)]
    http2: bool,
}

fn checks() -> String {
    let line = |(number, (name, about, _))| format!("\n  {number:2} {name:11} {about}");
    "Checks:".to_owned() + &(1..).zip(CHECKS).map(line).collect::<String>()
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or("a header is a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| "the name is invalid")?;
    let value = value.trim().parse().map_err(|_| "the value is invalid")?;
    Ok((name, value))
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
        let agent = concat!("user-agent: sse-check/", env!("CARGO_PKG_VERSION"));
        let mut lines = vec!["accept: text/event-stream", "accept-encoding: gzip", agent];
        // As an `EventSource` does.
        lines.extend((method == Method::GET).then_some("cache-control: no-cache"));
        lines.extend((!body.is_empty()).then_some("content-type: application/json"));
        let mut headers = lines.into_iter().map(header).collect::<Result<HeaderMap, _>>()?;
        for (name, _) in &self.header {
            headers.remove(name);
        }
        headers.extend(self.header.iter().cloned());
        let version = self.http1.then_some(Version::HTTP_11);
        let version = version.or(self.http2.then_some(Version::HTTP_2));
        Ok(Request { method, headers, body, version, connector: connector(version) })
    }
}

fn look(options: &Options) -> Result<ExitCode, String> {
    // Always the first one, because without an event the others say little.
    let is_chosen = |it: &usize| *it == 1 || options.only.is_empty() || options.only.contains(it);
    let numbers: Vec<_> = (1..=CHECKS.len()).filter(is_chosen).collect();
    let plan = Plan {
        targets: [&options.url].into_iter().chain(&options.via).cloned().collect(),
        request: options.request()?,
        length: options.length,
        resumes: options.method() == Method::GET && numbers.contains(&RESUMPTION),
        may_be_empty: options.allow_empty,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let session = runtime.block_on(observe(&plan));
    // A host name that is still being looked up would hold up the end.
    runtime.shutdown_background();
    let session = session?;
    let findings = run(&numbers, &session);
    let text = if options.json {
        format!("{:#}\n", report::json(&session, &findings))
    } else {
        report::text(&session, &findings)
    };
    // A reader such as `head` may have left.
    _ = stdout().write_all(text.as_bytes());
    let is = |verdict| move |finding: &Finding| finding.verdict == verdict;
    Ok(ExitCode::from(match findings.iter().any(is(Verdict::Fail)) {
        true => 1,
        // The check `answer`, without which the others say little.
        false if findings.iter().take(1).any(is(Verdict::NotChecked)) => 2,
        false => 0,
    }))
}

fn main() -> ExitCode {
    match look(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sse-check: {error}");
            ExitCode::from(2)
        }
    }
}
