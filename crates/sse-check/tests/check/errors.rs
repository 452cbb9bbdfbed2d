//! Streams that can't be checked, options and output.

use std::time::{Duration, Instant};

use axum::{Router, extract::Request as HttpRequest};
use futures_util::future::join_all;
use http::{StatusCode, Version};
use tokio::net::TcpListener;

use crate::{report::Report, server::*, support::listen};

/// Expects the program to print only an error with this text, and to exit with status 2.
async fn refused(arguments: String, text: &str) {
    let started = Instant::now();
    let arguments: Vec<_> = arguments.split(' ').chain(["--for", "1s"]).collect();
    let report = Report::text(&arguments).await;
    assert_eq!(report.code, 2, "{report}");
    assert!(report.error.contains(text), "no {text:?} in {report}");
    assert_eq!(report.output, "");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_one_sentence() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cuts = serve(|_| Answer { head: String::new(), ..Answer::new([Step::Cut]) }).await;
    let good = serve_steps(events(0, 9, 100)).await;
    let http = |address| format!("http://{address}/?token=secret");
    let cases = [
        (http(silent), "does not answer: nothing came in time; if a proxy"),
        (http(closed), "Connection refused"),
        (http(cuts), "does not answer: "),
        (format!("{} --via {}", http(good), http(closed)), "Connection refused"),
        (format!("{} --via {}", http(good), http(silent)), "does not answer"),
        (format!("https://{silent}/"), "within 4 seconds"),
        (format!("https://{cuts}/"), "cannot connect to https"),
        ("http://host.invalid/".to_owned(), "cannot connect to http://host.invalid/"),
        ("host:80".to_owned(), "http://"),
        ("http://".to_owned(), "invalid"),
        ("http://user:secret@host/".to_owned(), "Authorization"),
        (format!("{} --header nonsense", http(good)), "colon"),
        (format!("{} --only nonsense", http(good)), "no such check"),
        (format!("{} --http2", http(good)), "does not answer"),
    ];
    join_all(cases.map(|(arguments, text)| refused(arguments, text))).await;
}

#[tokio::test]
async fn tokens_in_addresses_are_not_printed() {
    let address = serve_steps(events(0, 9, 100)).await;
    let url = format!("http://{address}/events?token=secret");
    for arguments in [&[][..], &["--json"]] {
        let report = Report::text(&[&[&url[..], "--for", "500ms"], arguments].concat()).await;
        assert!(report.output.contains("/events"), "{report}");
        assert!(!report.to_string().contains("secret"), "{report}");
    }
}

#[tokio::test]
async fn text_has_time_lines_numbers_and_pages() {
    let address = serve_steps(events(0, 2, 400).chain([write(b"data: \xff\n\n")])).await;
    let url = format!("http://{address}/");
    let report = Report::text(&[&url, "--for", "800ms", "--only", "1,lines"]).await;
    assert_eq!(report.code, 1);
    for part in [
        "HTTP/1.1 200 after ",
        "3 events, ",
        "▄",
        "pass         1 answer      HTTP/1.1 200 OK, \"text/event-stream\"\n",
        "FAIL        10 lines       lines that are not UTF-8 (times: 1)\n",
        "data: \\xff",
        "To fix it: https://docs.rs/tower-sse/latest/tower_sse/guide/",
        "1 pass, 0 warning, 1 fail, 0 not checked\n",
    ] {
        assert!(report.output.contains(part), "no {part:?} in {report}");
    }
    assert!(!report.output.contains("headers"), "{report}");
}

#[tokio::test]
async fn requests_are_like_those_of_an_event_source() {
    let address = serve(|request| {
        assert!(request.0.starts_with("GET /path?query HTTP/1.1\r\n"), "{}", request.0);
        let is_right = request.header("accept") == Some("text/event-stream")
            && request.header("cache-control") == Some("no-cache")
            && request.header("x-test") == Some("one: two")
            && request.header("host") == Some("shop.example")
            && request.0.contains("\r\ncookie: a=1\r\ncookie: b=2\r\n");
        Answer::with_head(if is_right { HEAD } else { "400 Bad Request" })
    });
    let url = format!("http://{}/path?query", address.await);
    let headers = ["-H", "x-test: one: two", "--header", "Host: shop.example"];
    let cookies = ["-H", "cookie: a=1", "-H", "cookie: b=2"];
    let arguments = [&[&url[..]], &headers[..], &cookies[..]].concat();
    Report::of(&arguments).await.expect("answer", "pass");
}

/// nginx refuses a request with both an authority and a `host` header.
#[tokio::test]
async fn host_of_the_command_line_is_the_authority_over_http2() {
    let (listener, address) = listen().await;
    let app = Router::new().fallback(async |request: HttpRequest| {
        let is_right = request.version() == Version::HTTP_2
            && request.uri().authority().is_some_and(|it| it == "shop.example")
            && !request.headers().contains_key("host");
        let status = if is_right { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        (status, [("content-type", "text/event-stream")], "data: a\n\n")
    });
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let url = format!("http://{address}/path?query");
    let report = Report::of(&[&url, "--http2", "-H", "Host: shop.example", "--for", "1s"]).await;
    report.expect("answer", "pass");
}

#[tokio::test]
async fn posts_cost_a_call_for_each_address() {
    let address = serve(|request| {
        let is_right = request.0.starts_with("POST ")
            && request.header("content-length") == Some("13")
            && request.header("content-type") == Some("application/json")
            && request.header("cache-control").is_none();
        let head = if is_right { HEAD } else { "400 Bad Request" };
        Answer { head: head.to_owned(), ..Answer::new(events(0, 3, 100).chain([Step::End])) }
    });
    let url = format!("http://{}/", address.await);
    let arguments = [&url[..], "--via", &url, "--data", r#"{"stream":true}"#.get(..13).unwrap()];
    let report = Report::text(&arguments).await;
    assert_eq!(report.code, 0, "{report}");
    assert!(report.output.contains("Each address costs a call: 2 times POST."), "{report}");
    assert!(report.output.contains("a client that reconnects would repeat"), "{report}");
}
