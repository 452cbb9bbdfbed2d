//! The figures in the README and on the guide's pages on limits and on clouds are those of the
//! newest records.

use std::fs;

/// Returns the newest `benches/record/{kind}DATE.md`.
fn newest(kind: &str) -> String {
    let names = fs::read_dir("benches/record").unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_of_kind = |name: &String| {
        let date = name.strip_prefix(kind).and_then(|date| date.strip_suffix(".md"));
        date.is_some_and(|date| date.len() == 10 && date.starts_with("20"))
    };
    let name = names.filter(is_of_kind).max().expect(kind);
    fs::read_to_string(format!("benches/record/{name}")).unwrap()
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

/// Returns the figure in the column `column` of the first row below `heading` that begins with
/// `row`.
fn figure(record: &str, heading: &str, row: &str, column: &str) -> f64 {
    let mut lines = record.lines().skip_while(|line| *line != format!("## {heading}"));
    let header = lines.find(|line| line.starts_with('|')).expect(heading);
    let at = cells(header).position(|name| name == column).expect(column);
    let row = lines.find(|line| line.starts_with(&format!("| {row} |"))).expect(row);
    let cell = cells(row).nth(at).unwrap();
    cell.split(' ').next().unwrap().parse().expect(cell)
}

/// Returns the memory of a stream whose client is stalled, from each row of a hub.
fn stalled_in_hub(memory: &str) -> Vec<f64> {
    let rows = memory.lines().filter(|line| line.contains("| `stalled-hub "));
    rows.map(|row| cells(row).nth(2).unwrap().parse().unwrap()).collect()
}

fn with_comma(number: f64) -> String {
    format!("{},{:03}", (number / 1000.0).floor(), number % 1000.0)
}

/// Returns a page without code blocks, in one line.
fn text(page: &str) -> String {
    let parts: Vec<_> = page.split("```").step_by(2).collect();
    parts.concat().replace('\n', " ")
}

/// Returns the figures that are left when `quotes` are taken out of a page. A figure is a cell of a
/// table that is a number, or a number before a unit.
fn others(page: &str, quotes: &[String]) -> Vec<String> {
    let mut page = page.to_owned();
    for quote in quotes {
        page = page.replacen(quote.as_str(), "", 1);
    }
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let words: Vec<_> = page.split_whitespace().collect();
    let mut others = Vec::new();
    for pair in words.windows(2) {
        let unit = pair[1].trim_end_matches(|c: char| !c.is_alphabetic());
        if is_number(pair[0]) && (["KiB", "ns", "µs", "ms"].contains(&unit) || pair[1] == "|") {
            others.push(pair.join(" "));
        }
    }
    others
}

fn assert_quoted(path: &str, quotes: &[String]) {
    let page = text(&fs::read_to_string(path).unwrap());
    let missing: Vec<_> = quotes.iter().filter(|it| !page.contains(it.as_str())).collect();
    assert!(missing.is_empty(), "{path} lacks what the newest records say: {missing:#?}");
    let others = others(&page, quotes);
    assert!(others.is_empty(), "{path} has figures that no record is compared with: {others:?}");
}

const DEFAULT: &str = "idle, with the default layer";
const AXUM: &str = "idle, axum's `Sse` with `KeepAlive`, without the layer";
const SHARED: &str = "idle, a shared topic";
const OWN: &str = "idle, a shared topic and one of its own";

fn kib(memory: &str, heading: &str, row: &str) -> f64 {
    figure(memory, heading, row, "KiB")
}

/// Returns the time that the layer adds to a response that is no event stream. It is rounded to 10
/// ns, because the difference of two runs is no more exact.
fn delay() -> String {
    let times = newest("");
    let [with, without] = ["tower-sse", "no layer"].map(|subject| {
        figure(&times, "All results", &format!("no event stream in axum | {subject}"), "least ns")
    });
    format!("{:.0}0 ns", (with - without) / 10.0)
}

#[test]
fn readme_prints_figures_of_newest_records() {
    let memory = newest("memory-");
    let [axum, default] = [AXUM, DEFAULT].map(|row| kib(&memory, "HTTP/1", row));
    let [shared, own] = [SHARED, OWN].map(|row| kib(&memory, "A hub", row));
    assert!(shared - default < 0.1, "{}", shared - default);
    assert_quoted(
        "README.md",
        &[
            format!("{axum:.1} KiB per idle HTTP/1 stream"),
            format!("{:.1} KiB more", default - axum),
            format!("{} per non-stream response", delay()),
            "under 0.1 KiB more".to_owned(),
            format!("{:.1} KiB a topic", own - shared),
        ],
    );
}

#[test]
fn page_on_limits_prints_memory_of_newest_records() {
    let memory = newest("memory-");
    let http1 = |row| kib(&memory, "HTTP/1", row);
    let http2 = |row| kib(&memory, "HTTP/2", row);
    let [shared, own] = [SHARED, OWN].map(|row| kib(&memory, "A hub", row));
    let headers = "idle, a plain body without the layer, with the headers of an event stream";
    let options = "idle, with every option";
    let unread = "source always ready, window of 1 MiB, client does not read its connection";
    let stalled = stalled_in_hub(&memory);
    let least = stalled.iter().copied().fold(f64::INFINITY, f64::min);
    let most = stalled.iter().copied().fold(0.0, f64::max);
    let quotes = [
        format!("| no layer | {:.1} | {:.1} |", http1(headers), http2(headers)),
        format!("| axum's `Sse` with `KeepAlive`, no layer | {:.1} | |", http1(AXUM)),
        format!("| default layer | {:.1} | {:.1} |", http1(DEFAULT), http2(DEFAULT)),
        format!("| layer with every option | {:.1} | {:.1} |", http1(options), http2(options)),
        format!("| a hub, with a shared topic | {shared:.1} | |"),
        format!("| a hub, with a shared topic and a topic for each stream | {own:.1} | |"),
        format!("| a hub, HTTP/1 | {least:.0} to {most:.0} |"),
        format!("small event, HTTP/1 | {:.0} |", http1("source always ready, client never reads")),
        format!("window of 1 MiB | {:.0} |", http2(unread)),
        format!(
            "`max_send_buf_size` at 64 KiB | {:.0} |",
            http2("the same with a send buffer of 64 KiB")
        ),
        format!("takes about {:.0} to {:.0} KiB more", least - shared, most - own),
    ];
    let quotes: Vec<_> = quotes.into_iter().chain(figures_of_servers()).collect();
    assert_quoted("docs/guide/limits.md", &quotes);
}

/// The KiB that the pages allow for the kernel's socket and the handler of a client.
const KERNEL_AND_HANDLER: f64 = 9.5;

#[test]
fn page_on_clouds_prints_memory_of_newest_record() {
    let kib = figure(&newest("peers-"), "paced-1000", "hub", "KiB a connection");
    let megabytes = 5000.0 * (kib + KERNEL_AND_HANDLER).round() * 1024.0 / 1e6;
    let tens = (megabytes / 10.0).round();
    let page = text(&fs::read_to_string("docs/guide/clouds.md").unwrap());
    assert!(page.contains(&format!("5,000 streams take about [{tens:.0}0 MB]")), "{megabytes} MB");
}

/// Returns the figures of the page on limits that are about whole servers.
fn figures_of_servers() -> Vec<String> {
    let peers = newest("peers-");
    let server = |row| figure(&peers, "paced-1000", row, "KiB a connection");
    let [on_axum, example, tls] = ["hub", "many_clients", "many_clients-tls"].map(server);
    let [allowed_on_axum, allowed] =
        [on_axum, example].map(|kib| (kib + KERNEL_AND_HANDLER).round());
    let [clients_on_axum, clients] = [allowed_on_axum, allowed].map(|allowed| {
        let clients = f64::from(2 << 20) / allowed;
        with_comma((clients / 5000.0).round() * 5000.0)
    });
    let seconds = figure(&peers, "paced-10000", "hub", "µs a delivery") * 0.1;
    assert!((0.7..1.4).contains(&seconds), "100,000 clients: {seconds} s, which is about a second");
    vec![
        format!(
            "A machine with 4 GiB holds about {clients_on_axum} idle HTTP/1 clients on `axum::serve`"
        ),
        "event to 100,000 clients takes one core about a second".to_owned(),
        format!("client with a hub takes {on_axum:.0} KiB"),
        format!("Allow {allowed_on_axum} KiB"),
        format!("that's {clients_on_axum} clients"),
        format!("takes {example:.0} KiB, so allow {allowed}: that's {clients}"),
        format!("about {:.0} KiB for each client", tls - example),
        format!("about {}", delay()),
    ]
}

#[test]
fn figure_without_a_record_is_found() {
    let quotes = ["11 KiB", "| a | 2.5 |"].map(str::to_owned);
    let page =
        "It takes 11 KiB.\n```\n5 ms\n```\n| a | 2.5 |\n| b | 3 |\n\nAnd 7 ns, 2 cores, 11\nKiB.";
    assert_eq!(others(&text(page), &quotes), ["3 |", "7 ns,", "11 KiB."]);
}
