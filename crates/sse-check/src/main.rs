//! `sse-check`: a program that looks at a stream of server-sent events as clients receive it, and
//! finds the proxy that holds its events back.

mod answer;
mod check;
mod connection;
mod flow;
mod hops;
mod lines;
mod recording;
mod report;
mod resume;
mod session;

use std::{
    fmt::Write as _,
    io::{Write, stdout},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{
    check::{CHECKS, Check, Verdict, run},
    connection::{Protocol, Request, Target},
    report::Findings,
    session::{Plan, Session, observe},
};

/// Looks at a stream of server-sent events as its clients receive it, and finds the proxy that holds
/// its events back.
///
/// The exit status is 0 if no check failed, 1 if one did, and 2 if the stream cannot be looked at.
#[derive(Debug, Parser)]
#[command(version, after_help = checks())]
struct Options {
    /// The address that clients use
    url: Target,
    /// The same stream behind the proxy, at the server's own address. With several proxies, once for
    /// each, the outer ones first. All streams are opened at once and compared
    #[arg(long, value_name = "URL")]
    via: Vec<Target>,
    /// How long to watch, such as 30s, 2m or 500ms
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    length: Duration,
    /// A header of all requests, such as 'Authorization: Bearer …'
    #[arg(short = 'H', long, value_name = "LINE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The body of all requests, which are then POST; @FILE reads it from a file
    #[arg(short, long)]
    data: Option<String>,
    /// The method
    #[arg(short = 'X', long)]
    request: Option<Method>,
    /// Run only these checks, by number or name, with commas between them
    #[arg(long, value_name = "CHECKS", value_delimiter = ',', value_parser = check_number)]
    only: Vec<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Use HTTP/1.1, even if TLS offers HTTP/2
    #[arg(long, conflicts_with = "http2")]
    http1: bool,
    /// Use HTTP/2, also without TLS
    #[arg(long)]
    http2: bool,
}

fn checks() -> String {
    let mut text = "Checks:\n".to_owned();
    for (number, (name, about, _)) in (1..).zip(CHECKS) {
        _ = writeln!(text, "  {number:2} {name:11} {about}");
    }
    text
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or("a header is a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| "the name is not that of a header")?;
    let value = value.trim().parse().map_err(|_| "the value is not that of a header")?;
    Ok((name, value))
}

fn check_number(text: &str) -> Result<usize, String> {
    let is_it = |(number, (name, ..)): &(usize, Check)| text == *name || text == number.to_string();
    let check = (1..).zip(CHECKS).find(is_it);
    check.map(|(number, _)| number).ok_or("no such check; --help lists them".to_owned())
}

impl Options {
    fn is_chosen(&self, number: usize) -> bool {
        self.only.is_empty() || self.only.contains(&number)
    }

    fn plan(&self) -> Result<Plan, String> {
        let body = match self.data.as_deref().map(|data| (data.strip_prefix('@'), data)) {
            None => Bytes::new(),
            Some((None, data)) => Bytes::copy_from_slice(data.as_bytes()),
            Some((Some(file), _)) => {
                std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?.into()
            }
        };
        let default = if self.data.is_some() { Method::POST } else { Method::GET };
        let method = self.request.clone().unwrap_or(default);
        let mut headers = HeaderMap::new();
        for (name, value) in self.header.clone() {
            headers.append(name, value);
        }
        let protocol = match (self.http1, self.http2) {
            (true, _) => Protocol::Http1,
            (_, true) => Protocol::Http2,
            _ => Protocol::Negotiated,
        };
        let mut chosen = (1..).zip(CHECKS).filter(|(number, _)| self.is_chosen(*number));
        let resumes = chosen.any(|(_, (name, ..))| name == "resumption");
        Ok(Plan {
            targets: [self.url.clone()].into_iter().chain(self.via.clone()).collect(),
            resumes: resumes && method == Method::GET,
            request: Request::new(method, headers, body, protocol)?,
            length: self.length,
        })
    }

    fn findings(&self, session: &Session) -> Findings {
        let chosen = (1..).zip(&CHECKS).filter(|(number, _)| self.is_chosen(*number));
        chosen.map(|(number, check)| (number, run(check, session))).collect()
    }
}

fn look(options: &Options) -> Result<ExitCode, String> {
    let plan = options.plan()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let session = runtime.block_on(observe(&plan));
    // A host name that is still being looked up would hold up the end.
    runtime.shutdown_background();
    let session = session?;
    let findings = options.findings(&session);
    let text = if options.json {
        format!("{:#}\n", report::json(&session, &findings))
    } else {
        report::text(&session, &findings)
    };
    // A reader such as `head` may have left.
    _ = stdout().write_all(text.as_bytes());
    let has_failed = findings.iter().any(|(_, finding)| finding.verdict == Verdict::Fail);
    Ok(ExitCode::from(u8::from(has_failed)))
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
