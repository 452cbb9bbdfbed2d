//! Unusual answers of servers: hostile bytes, refusals, no events, codings, charsets, resets and
//! very small chunks.

use std::{io::Write, net::SocketAddr, process::Stdio, time::Duration};

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join3;
use serde_json::Value;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use crate::report::{Report, on_a_busy_machine};
use crate::{server::*, support::listen};

async fn look(address: SocketAddr, arguments: &[&str]) -> Report {
    Report::of(&[&[&format!("http://{address}/")[..]], arguments].concat()).await
}

async fn look_at_head(head: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Report {
    let (head, bytes) = (head.into(), bytes.into());
    let answer = move |_: &Request| Answer {
        head: head.clone(),
        ..Answer::new([Step::Write(bytes.clone()), Step::End])
    };
    look(serve(answer).await, &["--for", "2s"]).await
}

#[tokio::test]
async fn nothing_of_the_network_is_printed_raw_or_at_length() {
    let (evil, long) = ("\u{9b}2J", "x".repeat(100_000));
    let stream = format!("200 OK\r\ncontent-type: text/event-stream; a={evil}\r\nserver: {evil}");
    let coded = format!("{stream}\r\ncontent-encoding: {evil}\r\nvia: {evil}");
    let redirect = format!("302 Found\r\nlocation: {evil}\r\ncontent-type: {evil}");
    for (head, id) in [(&stream, "\x1b[2J\x07"), (&stream, evil), (&stream, &long)]
        .into_iter()
        .chain([(&coded, "5"), (&redirect, "5")])
    {
        let event = |n| format!("id: {id}{n}\ndata: {evil}\n\n");
        let first = (0..9).map(event).collect::<String>();
        // One event came twice, and others are lost.
        let (head, resumed) = (head.clone(), event(8).repeat(2));
        let address = serve(move |request| Answer {
            head: head.clone(),
            ..Answer::new([write(request.header("last-event-id").map_or(&first, |_| &resumed))])
        });
        let url = format!("http://{}/", address.await);
        let via = format!("http://{}/", serve_steps(events(0, 9, 0)).await);
        for json in [&[][..], &["--json"]] {
            let arguments = [&[&url[..], "--via", &via, "--for", "1500ms"], json].concat();
            let text = Report::text(&arguments).await.to_string();
            let is_raw =
                text.contains("\\u001b") || text.replace('\n', "").contains(char::is_control);
            assert!(!is_raw && text.len() < 9_000, "{text:?}");
        }
    }
}

#[tokio::test]
async fn stream_without_an_event_fails_unless_it_may_be_empty() {
    let own = "event: start\nid: 7\ndata:\n\nevent: gap\nid: 7\ndata: {}\n\n";
    let greeting = "event: connected\nid: 7\ndata: you are 1\n\n";
    for bytes in [":\n", own, greeting, &format!("{own}{greeting}")] {
        let own = bytes.to_owned();
        let address = serve(move |request| match request.header("last-event-id") {
            None => Answer::new([write(":\n"), write(&own)]),
            Some(_) => Answer::new([write(":\n")]),
        });
        let address = address.await;
        let all = look(address, &["--for", "1s"]).await;
        all.expect_with("answer", "fail", "so nothing was checked");
        all.expect("bursts", "not checked");
        all.expect("resumption", "not checked");
        let other = look(address, &["--for", "1s", "--only", "end"]).await;
        assert_eq!(other.code, 1, "{other}");
        let allowed = look(address, &["--for", "1s", "--allow-empty"]).await;
        allowed.expect_with("answer", "pass", "no event came");
        assert_eq!(allowed.all("fail"), [""; 0], "{allowed}");
    }
}

#[tokio::test]
async fn one_event_of_a_watched_time_or_a_whole_answer_is_enough() {
    let steps = [Step::At(1500), write("data: a\n\n")];
    look(serve_steps(steps).await, &["--for", "2s"]).await.expect("answer", "pass");
    let two = [write("data: hello\n\ndata: a\n\n")];
    look(serve_steps(two).await, &["--for", "1s"]).await.expect("answer", "pass");
    look_at_head(HEAD, "data: a\n\n").await.expect("answer", "pass");
}

#[tokio::test]
async fn refusals_are_recognised() {
    for (body, page) in [("retry: 42118\n", "struct.Refusal"), (":\n", "while-no-server-is-up")] {
        let report = look_at_head(HEAD, body).await;
        report.expect_with("answer", "fail", "a refusal");
        report.expect_with("answer", "fail", page);
        let not_checked = ["bursts", "delay", "changes", "silence", "resumption", "end"];
        assert_eq!(report.all("not checked"), not_checked, "{report}");
    }
    let held = serve_steps([write(":\n"), Step::At(1200), Step::End]).await;
    look(held, &["--for", "3s"]).await.expect_with("answer", "fail", "a refusal");
    let ended = serve_steps([write(":\n"), Step::At(2500), Step::End]).await;
    look(ended, &["--for", "4s"]).await.expect_with("answer", "fail", "no event came");
}

#[tokio::test]
async fn missing_login_leads_to_its_page() {
    let report = look_at_head("401 Unauthorized", "").await;
    report.expect_with("answer", "fail", "401 Unauthorized, no content-type: no event stream");
    report.expect_with("answer", "fail", "guide/authentication/");
    assert_eq!(report.check("answer")["evidence"].as_array().unwrap().len(), 0, "{report}");
}

#[tokio::test]
async fn codings_are_named_as_by_rfc_9110() {
    let member = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let members = [member("id: 1\ndata: a\n\n"), member("id: 2\ndata: b\n\n")].concat();
    let with = |coding| format!("{HEAD}\r\ncontent-encoding: {coding}");
    for coding in ["gzip", "GZIP", "x-gzip"] {
        let report = look_at_head(with(coding), &members[..]).await;
        report.expect_with("bursts", "pass", "2 events came");
        report.expect("end", "pass");
    }
    for coding in ["identity", "none"] {
        let report = look_at_head(with(coding), "id: 1\ndata: a\n\nid: 2\ndata: b\n\n").await;
        report.expect_with("bursts", "pass", "2 events came");
    }
    let report = look_at_head(with("br"), &members[..]).await;
    report.expect_with("headers", "warning", "compressed by \"br\"");
    assert_eq!(report.all("pass"), ["start"], "{report}");
    assert_eq!(report.all("fail"), [""; 0], "{report}");
    assert_eq!(report.code, 2, "{report}");
}

/// The program reads the header as browsers do.
#[tokio::test]
async fn last_content_type_and_its_charset_decide() {
    const STREAM: &str = "text/event-stream";
    for (values, verdict, text) in [
        (&[STREAM, STREAM][..], "pass", ""),
        (&["text/plain", "Text/Event-Stream; charset=\"UTF-8\""], "pass", ""),
        (&["text/plain, text/event-stream;charset=utf-8, */*"], "pass", ""),
        (&["text/event-stream;charset=utf-8", "text/plain"], "fail", "no event stream"),
        (&["text/event-stream;charset=ISO-8859-1"], "fail", "Chromium stops for good"),
        (&["text/event-stream;charset=ISO-8859-1", STREAM], "fail", "iso-8859-1"),
    ] {
        let lines = values.iter().map(|value| format!("\r\ncontent-type: {value}"));
        let head = lines.fold("200 OK".to_owned(), |head, line| head + &line);
        look_at_head(head, "data: a\n\n").await.expect_with("answer", verdict, text);
    }
}

/// hyper reports such a reset as an end.
#[tokio::test]
async fn reset_of_http2_without_an_error_is_a_cut() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            tokio::spawn(async move {
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let head =
                        http::Response::builder().header("content-type", "text/event-stream");
                    let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    send.send_data("data: a\n\n".into(), false).unwrap();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        send.send_reset(h2::Reason::NO_ERROR);
                    });
                }
            });
        }
    });
    let report = look(address, &["--http2", "--for", "2s"]).await;
    report.expect_with("answer", "pass", "HTTP/2.0 200");
    report.expect_with("end", "fail", "the stream was reset");
}

/// Returns the program's peak memory in kilobytes, and its report.
#[cfg(target_os = "linux")]
async fn peak(address: SocketAddr, seconds: u64) -> (u64, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-check"));
    command.args([&format!("http://{address}/"), "--for", &format!("{seconds}s"), "--json"]);
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let status = format!("/proc/{}/status", process.id().unwrap());
    let (mut stdout, mut report, mut peak) =
        (process.stdout.take().unwrap(), vec![], String::new());
    // The program prints its report at the end, so look at its memory until then.
    while timeout(Duration::from_millis(5), stdout.read_buf(&mut report)).await.is_err() {
        let status = std::fs::read_to_string(&status).unwrap();
        peak = status.lines().find(|it| it.starts_with("VmHWM")).map_or(peak, str::to_owned);
    }
    stdout.read_to_end(&mut report).await.unwrap();
    let kilobytes = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    (kilobytes, serde_json::from_slice(&report).unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_bounded_however_small_events_and_chunks_are() {
    on_a_busy_machine(async || {
        let smallest = (0..1000).map(|_| write("data\n\n".repeat(2_000)));
        let (smallest, idle) = (serve_steps(smallest).await, serve_steps([write(":\n")]).await);
        let lines = serve_steps((0..1000).map(|_| write("\n".repeat(10_000)))).await;
        let ((peak_of_events, _), (idle, _), (peak_of_lines, _)) =
            join3(peak(smallest, 6), peak(idle, 1), peak(lines, 4)).await;
        assert!(peak_of_events < 64 << 10, "{peak_of_events} kB");
        assert!(peak_of_lines < 64 << 10, "{peak_of_lines} kB");
        let block = format!("data: {}\n\n", "x".repeat(200)).repeat(100);
        let bytes = (0..400).map(|_| Step::WriteBytes(block.clone().into()));
        let (peak_of_chunks, report) = peak(serve_steps(bytes).await, 6).await;
        // At most 16 bytes of memory for each byte that was read: 64 MiB for 4 MiB. A debug build
        // reads only a part of the 4 MiB in time.
        let limit = 2_000 + 16 * report["streams"][0]["bytes"].as_u64().unwrap() / 1024;
        assert!(peak_of_chunks - idle < limit, "{idle}, {peak_of_chunks}, limit {limit} kB");
    })
    .await;
}
