//! The tables in docs/proxies.md. Run by `.ci/slow hops`. Each hop is a script in a file of
//! `tests/hops`.

use std::path::{Path, PathBuf};
use std::{env, fs, ops::Range, panic::AssertUnwindSafe, process::Stdio, time::Duration};

use futures_util::{FutureExt, future::join_all};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Proxy, free_port, target};

const HEADER: &str = "| proxy | version | passes each event | streams | the server dies | no server is up | idle limit | a client leaves | changes | notes |\n|---|---|---|---|---|---|---|---|---|---|\n";

/// The files of scripts, and their headings on the page.
const GROUPS: [(&str, &str); 5] = [
    ("servers", "# Proxies"),
    ("go", "# In Go"),
    ("node", "# In Node"),
    ("python", "# In Python"),
    ("jvm", "# On the JVM"),
];

/// How many hops to look at together. Looking at a hop is mostly waiting.
const AT_A_TIME: usize = 8;
/// Known idle limits of proxies, in seconds. A measured time is rounded down to one of them,
/// because a proxy may cut later than its limit.
const LIMITS: [u64; 8] = [5, 8, 10, 15, 20, 30, 50, 60];
/// How long a hop may take until it passes requests on and `sse-check` has reported on it.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a late head takes, and how long a busy stream is watched.
const LATE: Duration = Duration::from_secs(35);
/// How long the server is down to find out whether a hop bridges the time.
const AWAY: Duration = Duration::from_secs(2);

/// A hop, as in a line `=== NAME | VERSION | NOTES | OPTIONS` and the lines below it.
#[derive(Clone, Debug)]
struct Hop {
    name: String,
    /// A command that prints the version.
    version: String,
    notes: String,
    /// A path other than `/events`; `late` to try a head that comes after 35 seconds; `whole` if a
    /// stream with events may have a limit too.
    options: String,
    /// The commands that start the hop.
    script: String,
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hops")
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxies.md")
}

fn hops(group: &str) -> Vec<Hop> {
    let text = fs::read_to_string(sources().join(group).with_extension("txt")).unwrap();
    let sections = text.split("\n=== ").skip(1).map(|section| {
        let (header, script) = section.split_once('\n').expect("a script");
        let fields: Vec<_> = header.split('|').map(|it| it.trim().to_owned()).collect();
        let [name, version, notes, options] = <[String; 4]>::try_from(fields).expect(header);
        Hop { name, version, notes, options, script: script.to_owned() }
    });
    sections.collect()
}

/// Returns a script that runs these lines with the functions of `tests/hops/prelude.sh`.
fn shell(lines: &str) -> String {
    let (sources, tools) = (sources(), target(""));
    let (sources, tools) = (sources.display(), tools.display());
    format!("set -eu\nSOURCES={sources} TOOLS={tools}\n. {sources}/prelude.sh\n{lines}\n")
}

impl Hop {
    async fn version(&self) -> String {
        let mut command = Command::new("bash");
        let output = command.arg("-c").arg(shell(&self.version)).output().await.unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.name);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn is_tls(&self) -> bool {
        self.script.contains("$CERTIFICATE")
    }

    /// Starts the hop. Returns the cells of its row after the version.
    async fn look(&self, starting: &Mutex<()>) -> String {
        let server = free_port();
        let hop = {
            let _starts_alone = starting.lock().await;
            let mut command = Command::new("unshare");
            // Every process that the hop starts ends with the outer shell.
            command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
            command.args(["bash", "-c", "bash $0; exit $?"]);
            Proxy::start(command, |address| {
                shell(&format!(
                    "ADDRESS={address} PORT={} ORIGIN=127.0.0.1:{server} ORIGIN_PORT={server}\n{}",
                    address.port(),
                    self.script
                ))
            })
            .await
        };
        let scheme = if self.is_tls() { "https" } else { "http" };
        let path = self.options.split(' ').find(|it| it.starts_with('/')).unwrap_or("/events");
        let path = path.replace("PORT", &server.to_string());
        let url = format!("{scheme}://{}{path}", hop.address);
        let origin = format!("127.0.0.1:{server}");
        let bridges = !self.is_tls() && bridges(&hop, &path, &origin).await;
        let silence = env::var("TOWER_SSE_HOP_SILENCE").unwrap_or("65s".to_owned());
        let arguments = ["hop", &url, "--origin", &origin, "--for", &silence];
        let report = timeout(PATIENCE, async {
            loop {
                let mut command = Command::new(env!("CARGO_BIN_EXE_sse-check"));
                command.args(arguments).args(["--streams", "300", "--json"]);
                command.env("SSL_CERT_FILE", target("hops/authority.pem"));
                let output =
                    command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
                if let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) {
                    break report;
                }
                // Try again: some hops listen before they can pass requests on.
                print!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
            }
        });
        let report = report.await.expect("a hop that leads to the origin");
        if env::var_os("TOWER_SSE_HOP").is_some() {
            println!("{report:#}");
        }
        let mut cells = cells(&report, bridges);
        if self.options.contains("late") {
            cells[4] += &late_head(&hop, &path, &origin).await;
        }
        if self.options.contains("whole")
            && let Some(limit) = limit_of_busy_stream(&hop, &path, &origin).await
        {
            cells[4] = format!("**{limit} s, despite events**");
        }
        cells.join(" | ")
    }
}

/// Requests a stream over a new connection. Returns the answer's status line up to the
/// status, and the connection.
async fn ask(hop: &Proxy, path: &str, script: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(hop.address).await.unwrap();
    let head = format!(
        "GET {path}?sse-check={script}.1 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    _ = stream.read_exact(&mut answer).await;
    (String::from_utf8_lossy(&answer).into_owned(), stream)
}

fn serve(origin: &str) -> Child {
    let mut server = Command::new(env!("CARGO_BIN_EXE_sse-check"));
    server.args(["origin", origin]).stdout(Stdio::null()).kill_on_drop(true);
    server.spawn().unwrap()
}

/// Returns after how many seconds the hop ends a stream with events, or `None` if the stream lasts
/// for [`LATE`].
async fn limit_of_busy_stream(hop: &Proxy, path: &str, origin: &str) -> Option<u64> {
    let _server = serve(origin);
    sleep(AWAY).await;
    let begin = Instant::now();
    let (_, mut stream) = ask(hop, path, "busy").await;
    let end = async { while stream.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
    timeout(LATE, end).await.ok().map(|()| known_limit(begin.elapsed().as_secs_f64()))
}

/// Returns whether a request sent while the server is down gets an answer once the server is back.
async fn bridges(hop: &Proxy, path: &str, origin: &str) -> bool {
    let is_answered = async || ask(hop, path, "events").await.0 == "HTTP/1.1 200";
    // Try until an answer comes: some hops listen before they can pass requests on.
    let mut server = serve(origin);
    let warm_up = async {
        while !is_answered().await {
            sleep(AWAY / 20).await;
        }
    };
    if timeout(PATIENCE / 5, warm_up).await.is_err() {
        return false;
    }
    server.kill().await.unwrap();
    let mut asking = std::pin::pin!(is_answered());
    if timeout(AWAY, &mut asking).await.is_ok() {
        return false;
    }
    let _server = serve(origin);
    timeout(5 * AWAY, asking).await.unwrap_or(false)
}

/// Returns a text for a row's cell if a client doesn't receive a head that comes after [`LATE`],
/// otherwise an empty text.
async fn late_head(hop: &Proxy, path: &str, origin: &str) -> String {
    let listener = TcpListener::bind(origin).await.unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        _ = stream.read(&mut [0; 4096]).await;
        sleep(LATE).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: \n";
        _ = stream.write_all(head.as_bytes()).await;
        std::future::pending::<()>().await;
    };
    let (status, _) = tokio::select! {
        answer = ask(hop, path, "events") => answer,
        () = serve => unreachable!("it does not end"),
    };
    let status = status.split(' ').nth(1).unwrap_or("an end");
    if status == "200" {
        String::new()
    } else {
        format!("; **{status} after 30 s without a head**")
    }
}

fn known_limit(seconds: f64) -> u64 {
    // Allow for a stream that ends up to 0.3 s before the limit.
    let known = LIMITS.into_iter().rev().find(|limit| seconds + 0.3 >= *limit as f64);
    known.unwrap_or(seconds as u64)
}

fn cells(report: &Value, bridges: bool) -> [String; 8] {
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let number = |it: &Value| it.as_u64();
    let limit = report["idle_limit_s"].as_f64().filter(|it| *it > 1.0).map(known_limit);
    let streams = match (&report["streams"]["open"], number(&report["streams"]["status"])) {
        (open, Some(status)) => format!("**{open}**, others get {status}"),
        (open, None) if *open == 300 => "over 300".to_owned(),
        (open, None) if check(report, "streams").contains("closed") => {
            format!("**{open}**, others are closed")
        }
        (open, None) => format!("**{open}**, others wait"),
    };
    let cut = ["fin", "reset"].map(|it| match &*text(&report["cut"][it]).unwrap_or_default() {
        "cut" => "cut",
        "clean" => "**clean end**",
        "text" => "**error text**",
        "open" => "**stays open**",
        _ => "error status",
    });
    let cut = match cut {
        [fin, reset] if fin == reset => fin.to_owned(),
        [fin, reset] => format!("{fin}; {reset} after a reset"),
    };
    let down = match number(&report["down_status"]) {
        Some(200) => "200, empty stream".to_owned(),
        Some(status) => status.to_string(),
        None if check(report, "down_status").contains("closed") => "closes".to_owned(),
        None if bridges => "waits".to_owned(),
        None => "**no answer**".to_owned(),
    } + if bridges { "; bridges 2 s" } else { "" };
    let left = ["quiet", "busy"].map(|it| number(&report["left_after_ms"][it]));
    let left = match (left, limit) {
        ([None, None], _) => "**never seen**",
        ([None, Some(_)], _) => "seen at a write",
        ([Some(quiet), _], Some(limit)) if quiet > 800 * limit => "seen at a write",
        ([Some(2_000..), _], _) => "seen late",
        _ => "seen",
    };
    let limit = match limit {
        Some(limit) => format!("{limit} s"),
        // The answer ended within a second, as an error does.
        None if report["idle_limit_s"].is_number() => "–".to_owned(),
        None => "none".to_owned(),
    };
    [passes(report), streams, cut, down, limit, left.to_owned(), changes(report), String::new()]
}

fn check<'r>(report: &'r Value, name: &str) -> &'r str {
    let checks = report["checks"].as_array().into_iter().flatten();
    let mut named = checks.filter(|check| check["name"] == name);
    named.next().and_then(|it| it["summary"].as_str()).unwrap_or_default()
}

/// Describes whether each event comes at once or when it comes instead.
fn passes(report: &Value) -> String {
    let held = match report["held_bytes"].as_u64() {
        // Most buffers' sizes are powers of two.
        Some(bytes) => format!("after {} KiB", 1 << (bytes / 1024).max(1).ilog2()),
        None => "at the end".to_owned(),
    };
    let status = check(report, "passes").split_once("no event, and status ");
    let mut cell = match (&report["passes"], &report["passes_bare"], &report["compressed"]) {
        (Value::Bool(false), ..) => match status {
            Some((_, status)) if status != "200" => return format!("**{status}**"),
            _ => return format!("**no, {held}**"),
        },
        (_, Value::Bool(false), coding) if coding == "bare" => {
            "only with `no-transform`".to_owned()
        }
        (_, Value::Bool(false), _) => format!("only with the layer's headers; else {held}"),
        (_, _, coding) if coding == "always" => "yes, compressed".to_owned(),
        (_, _, coding) if coding == "bare" => "yes, compressed without `no-transform`".to_owned(),
        _ => "yes".to_owned(),
    };
    if report["post"] != true {
        cell.push_str("; **not a POST's**");
    }
    if report["head_needs_byte"] == true {
        cell.push_str("; the head with the first byte");
    }
    cell
}

/// Returns the cell about the headers that the hop drops or changes, and about HTTP/1.0.
fn changes(report: &Value) -> String {
    let names = |name: &str| -> Vec<String> {
        let changes = report[name].as_array().into_iter().flatten();
        let names = changes.filter_map(|it| it.as_str()?.split(": ").next().map(str::to_owned));
        names.filter(|it| it != "content-type").map(|it| format!("`{it}`")).collect()
    };
    let mut cells = Vec::new();
    for (name, of) in [("request_headers", "requests'"), ("response_headers", "answers'")] {
        let names = names(name);
        if !names.is_empty() && report["passes"] != false
            || name == "request_headers" && !names.is_empty()
        {
            cells.push(format!("{of} {}", names.join(", ")));
        }
    }
    if report["origin_version"] == "HTTP/1.0" {
        cells.push("HTTP/1.0 to the server".to_owned());
    }
    cells.join("; ")
}

/// Compares rows. The number of streams that get through a pool may differ by a few.
fn is_like(known: &str, row: &str) -> bool {
    let split = |row: &str| {
        let (before, rest) = row.split_once("**")?;
        let (count, rest) = rest.split_once("**, others")?;
        Some((format!("{before}{rest}"), count.parse::<u32>().ok()?))
    };
    known == row
        || split(known).zip(split(row)).is_some_and(|((known, count), (row, other))| {
            known == row && count.abs_diff(other) <= 6
        })
}

/// Looks at a hop. If the row changed, looks again beside fewer hops: a busy machine can change it.
async fn row(hop: &Hop, known: Option<&str>, permits: &Semaphore, starting: &Mutex<()>) -> String {
    let version = hop.version().await;
    let line = |cells: String| format!("| {} | {version} | {cells}{} |\n", hop.name, hop.notes);
    let once = async |count| {
        let _permit = permits.acquire_many(count).await.unwrap();
        line(hop.look(starting).await)
    };
    let row = once(1).await;
    match known {
        Some(known) if is_like(known, &row) => return known.to_owned(),
        Some(_) => {}
        None => return row,
    }
    let again = once(AT_A_TIME as u32 / 2).await;
    print!("first: {row}again: {again}");
    again
}

fn table(page: &str, heading: &str) -> Range<usize> {
    let start = page.find(&format!("{heading}\n")).expect(heading);
    let start = start + page[start..].find(HEADER).expect("a table") + HEADER.len();
    let rows = page[start..].split_inclusive('\n').take_while(|line| line.starts_with('|'));
    start..start + rows.map(str::len).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn tables_of_proxies_are_what_was_seen() {
    let only = env::var("TOWER_SSE_HOP").unwrap_or_default();
    let is_chosen = |hop: &Hop| only.is_empty() || only.split(';').any(|it| hop.name.contains(it));
    let known = fs::read_to_string(page()).unwrap();
    let (permits, starting) = (Semaphore::new(AT_A_TIME), Mutex::new(()));
    let groups = GROUPS.map(|(file, heading)| (heading, hops(file)));
    let groups = groups.iter().map(async |(heading, hops)| {
        let rows: Vec<_> = known[table(&known, heading)].split_inclusive('\n').collect();
        let looks = hops.iter().enumerate().map(async |(index, hop)| {
            let known = rows.get(index).copied().filter(|_| rows.len() == hops.len());
            if !is_chosen(hop) {
                return known.unwrap_or_default().to_owned();
            }
            // A hop that doesn't start must not hide the others.
            let row = AssertUnwindSafe(row(hop, known, &permits, &starting)).catch_unwind().await;
            row.unwrap_or_else(|_| format!("| {} | does not run |\n", hop.name))
        });
        (*heading, join_all(looks).await.concat())
    });
    let mut text = known.clone();
    for (heading, rows) in join_all(groups).await {
        let range = table(&text, heading);
        text.replace_range(range, &rows);
    }
    if env::var_os("TOWER_SSE_HOP_TABLE").is_none_or(|it| it != "write") {
        return assert_eq!(known, text, "left: docs/proxies.md");
    }
    let date = Command::new("date").arg("+%Y-%m-%d").output().await.unwrap().stdout;
    let date = String::from_utf8(date).unwrap();
    let (before, old) = text.split_once("On ").expect("a date");
    fs::write(page(), format!("{before}On {}{}", date.trim(), &old["2026-11-27".len()..])).unwrap();
}
