//! `sse-check hop` in front of hops with and without faults.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_hop::*;
use crate::report::Report;
use crate::server::{events, serve_steps};
use crate::support::Program;

/// The options of tests that need neither a long watch nor many streams.
const SHORT: &str = "--for 2s --streams 3";

/// Expects these verdicts. Every other verdict except `left_after_ms` must be that of a hop without
/// faults.
#[track_caller]
fn expect(report: &Report, faults: &[(&str, Value, &str)]) {
    let faultless = [
        ("passes", json!(true), "pass"),
        ("passes_bare", json!(true), "pass"),
        ("held_bytes", json!(0), "pass"),
        ("compressed", json!("no"), "pass"),
        ("head_needs_byte", json!(false), "pass"),
        ("post", json!(true), "pass"),
        ("second_stream", json!("live"), "pass"),
        ("request_headers", json!([]), "pass"),
        ("response_headers", json!([]), "pass"),
        ("origin_version", json!("HTTP/1.1"), "pass"),
        ("http2", json!(true), "pass"),
        ("cut", json!({ "fin": "cut", "reset": "cut" }), "pass"),
        ("cut_http2", json!({ "fin": "cut", "reset": "cut" }), "pass"),
        ("idle_limit_s", Value::Null, "pass"),
        ("streams", json!({ "open": 3, "status": null }), "pass"),
        ("down_status", json!(502), "fail"),
    ];
    for (name, value, verdict) in faultless {
        let fault = faults.iter().find(|fault| fault.0 == name);
        let (value, verdict) = fault.map_or((value, verdict), |it| (it.1.clone(), it.2));
        report.expect_value(name, value, verdict);
        let check = report.check(name);
        let clients = check["evidence"].to_string();
        for client in ["EventSource", "fetch", "call: "] {
            assert!(clients.contains(client), "no {client}: {check}");
        }
        assert!(check["page"].as_str().unwrap().starts_with("https://docs.rs/"), "{check}");
    }
}

#[tokio::test]
async fn hop_without_faults_passes_all_but_the_absence_of_its_server() {
    let report = look_at(Faults::default(), SHORT).await;
    expect(&report, &[]);
    assert_eq!(report.all("fail"), ["down_status"], "{report}");
    for kind in ["quiet", "busy"] {
        assert!(report.value("left_after_ms")[kind].is_u64(), "{report}");
    }
    assert!(!report.to_string().contains("secret"), "{report}");
}

#[tokio::test]
async fn hop_that_holds_answers_back_holds_their_heads_too() {
    let report = look_at(Faults { buffer: 1 << 20, ..Faults::default() }, SHORT).await;
    let faults = [
        ("passes", json!(false), "fail"),
        ("passes_bare", json!(false), "warning"),
        ("held_bytes", Value::Null, "warning"),
        ("head_needs_byte", json!(true), "warning"),
        ("post", json!(false), "fail"),
        ("http2", json!(true), "fail"),
    ];
    for (name, value, verdict) in faults {
        report.expect_value(name, value, verdict);
    }
    report.expect_text("held_bytes", "unless you use long polls");
}

#[tokio::test]
async fn hop_that_is_one_event_behind_does_not_pass() {
    let each = [false, true].map(async |holds_head| {
        let report = look_at(Faults { is_behind: true, holds_head, ..Faults::default() }, SHORT);
        let report = report.await;
        report.expect_value("passes", false, "fail");
        report.expect_value("passes_bare", false, "warning");
        report.expect_value("post", false, "fail");
        report.expect_value("http2", true, "fail");
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn size_of_a_buffer_is_found() {
    let report = look_at(Faults { buffer: 8 << 10, ..Faults::default() }, SHORT).await;
    report.expect_of_hop("held_bytes", "warning");
    let held = report.value("held_bytes").as_u64().unwrap();
    // On a busy machine, more bytes are sent before the first one is seen.
    assert!((8 << 10..256 << 10).contains(&held), "{report}");
}

#[tokio::test]
async fn compressors_are_told_apart_by_what_no_transform_does() {
    let with = |gzip| look_at(Faults { gzip, ..Faults::default() }, SHORT);
    let (report, always) = tokio::join!(with(Gzip::Bare), with(Gzip::All));
    let held = [
        ("compressed", json!("bare"), "warning"),
        ("passes_bare", json!(false), "warning"),
        ("held_bytes", Value::Null, "warning"),
    ];
    expect(&report, &held);
    report.expect_text("held_bytes", "unless the server sends more headers");
    expect(&always, &[("compressed", json!("always"), "warning")]);
}

#[tokio::test]
async fn head_that_waits_for_the_first_byte_warns() {
    let report = look_at(Faults { holds_head: true, ..Faults::default() }, SHORT).await;
    expect(&report, &[("head_needs_byte", json!(true), "warning")]);
}

#[tokio::test]
async fn headers_that_are_dropped_are_named() {
    let faults = Faults {
        drops_request_headers: &["accept", "last-event-id", "incremental"],
        drops_response_headers: &["x-accel-buffering"],
        ..Faults::default()
    };
    let report = look_at(faults, SHORT).await;
    let request = [
        "accept: \"text/event-stream\" became nothing",
        "last-event-id: \"7\" became nothing",
        "incremental: \"?1\" became nothing",
    ];
    let response = ["x-accel-buffering: \"no\" became nothing"];
    let headers = [
        ("request_headers", json!(request), "fail"),
        ("response_headers", json!(response), "warning"),
    ];
    expect(&report, &headers);
    let harmless = Faults { drops_request_headers: &["incremental"], ..Faults::default() };
    let report = look_at(harmless, SHORT).await;
    expect(&report, &[("request_headers", json!(request[2..]), "warning")]);
}

#[tokio::test]
async fn hop_over_http_1_0_takes_a_cut_for_an_end() {
    let report = look_at(Faults { speaks_http_1_0: true, ..Faults::default() }, SHORT).await;
    let faults = [
        ("origin_version", json!("HTTP/1.0"), "warning"),
        ("cut", json!({ "fin": "clean", "reset": "cut" }), "fail"),
        ("cut_http2", json!({ "fin": "clean", "reset": "cut" }), "fail"),
    ];
    expect(&report, &faults);
}

#[tokio::test]
async fn what_clients_get_after_the_death_of_a_server_is_told_apart() {
    let kinds = [(OnDeath::Clean, "clean"), (OnDeath::Text, "text"), (OnDeath::Open, "open")];
    let each = kinds.map(async |(on_death, end)| {
        let report = look_at(Faults { on_death, ..Faults::default() }, SHORT).await;
        let ends = json!({ "fin": end, "reset": end });
        expect(&report, &[("cut", ends.clone(), "fail"), ("cut_http2", ends, "fail")]);
    });
    futures_util::future::join_all(each).await;
}

/// Node's `fetch` takes these resets for an end.
#[tokio::test]
async fn resets_that_clients_take_for_ends_warn() {
    for (code, end) in [(h2::Reason::CANCEL, "cancel"), (h2::Reason::NO_ERROR, "no_error")] {
        let faults = Faults { on_death: OnDeath::Reset(code), ..Faults::default() };
        let ends = json!({ "fin": end, "reset": end });
        let report = look_at(faults, SHORT).await;
        expect(&report, &[("cut_http2", ends.clone(), "warning")]);
        let report = look_at(faults, "--for 2s --streams 3 --http2").await;
        expect(&report, &[("cut", ends.clone(), "warning"), ("cut_http2", ends, "warning")]);
    }
}

#[tokio::test]
async fn hop_that_serves_a_stream_from_a_cache_fails() {
    let with = |cache| look_at(Faults { cache, ..Faults::default() }, SHORT);
    let (replays, waits) = tokio::join!(with(Cache::Replay), with(Cache::Wait));
    expect(&replays, &[("second_stream", json!("replayed"), "fail")]);
    expect(&waits, &[("second_stream", json!("waits"), "fail")]);
}

#[tokio::test]
async fn client_that_leaves_is_noticed_at_a_write_or_never() {
    let with = |on_leaving| Faults { on_leaving, ..Faults::default() };
    let report = look_at(with(OnLeaving::AtAWrite), SHORT).await;
    report.expect_of_hop("left_after_ms", "warning");
    let left = report.value("left_after_ms");
    assert!(left["quiet"].is_null() && left["busy"].is_u64(), "{report}");
    let report = look_at(with(OnLeaving::Never), SHORT).await;
    report.expect_value("left_after_ms", json!({ "quiet": null, "busy": null }), "fail");
}

#[tokio::test]
async fn idle_limit_is_measured() {
    let idle_limit = Some(Duration::from_secs(1));
    let report = look_at(Faults { idle_limit, ..Faults::default() }, "--for 20s").await;
    report.expect_of_hop("idle_limit_s", "fail");
    let limit = report.value("idle_limit_s").as_f64().unwrap();
    assert!((0.9..20.0).contains(&limit), "{report}");
}

#[tokio::test]
async fn streams_that_find_no_connection_fail() {
    let cases = [
        (AtLimit::Wait, json!(null), "the others wait"),
        (AtLimit::Refuse, json!(503), "others get 503"),
        (AtLimit::Close, json!(null), "others are closed without an answer"),
    ];
    let each = cases.map(async |(at_limit, status, text)| {
        let faults = Faults { streams: Some(5), at_limit, ..Faults::default() };
        let report = look_at(faults, "--for 1s").await;
        report.expect_value("streams", json!({ "open": 5, "status": status }), "fail");
        report.expect_text("streams", text);
        report.expect_value("passes", true, "pass");
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn streams_that_clients_have_left_are_not_counted() {
    let faults = Faults { streams: Some(5), on_leaving: OnLeaving::Never, ..Faults::default() };
    let report = look_at(faults, "--for 1s --streams 5").await;
    report.expect_value("streams", json!({ "open": 5, "status": null }), "pass");
}

/// The hop checks its server only now and then, so it does not notice soon that the server is back.
#[tokio::test]
async fn streams_are_counted_before_a_hop_loses_its_server() {
    let report = look_at(Faults { stays_down: true, ..Faults::default() }, SHORT).await;
    expect(&report, &[]);
}

#[tokio::test]
async fn what_a_hop_answers_without_a_server_is_told_apart() {
    let with = |while_down| look_at(Faults { while_down, ..Faults::default() }, SHORT);
    let (stream, nothing) = tokio::join!(with(WhileDown::Stream), with(WhileDown::Nothing));
    expect(&stream, &[("down_status", json!(200), "pass")]);
    assert_eq!(stream.code, 0, "{stream}");
    expect(&nothing, &[("down_status", Value::Null, "fail")]);
    nothing.expect_text("down_status", "no answer within");
}

#[tokio::test]
async fn body_that_does_not_arrive_fails() {
    let report = look_at(Faults { drops_body: true, ..Faults::default() }, SHORT).await;
    expect(&report, &[("post", json!(false), "fail")]);
}

#[tokio::test]
async fn origin_can_be_a_process_of_its_own() {
    let (hop, address) = start(Faults::default()).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sse-check"));
    let mut origin = Program::start(command.args(["origin", &address]));
    assert_eq!(origin.address("listening on http://").await.to_string(), address);
    let url = format!("http://{hop}/");
    let arguments = ["hop", &url, "--origin", &address, "--for", "1s", "--streams", "3"];
    let report = Report::of(&arguments).await;
    expect(&report, &[]);
    let report = Report::text(&[&arguments[..6], &["--http2"]].concat()).await;
    assert!(report.output.contains("About it: https://docs.rs/"), "{report}");
    assert!(report.output.contains("FAIL        down_status      502 after"), "{report}");
    assert!(!origin.has_exited());
}

#[tokio::test]
async fn address_that_does_not_lead_to_the_origin_is_an_error() {
    let (_, origin) = start(Faults::default()).await;
    let other = serve_steps(events(0, 9, 0)).await;
    for (url, text) in [
        (format!("http://{other}/?token=secret"), "does not lead to the origin"),
        (format!("http://{}/", free_address()), "Connection refused"),
    ] {
        let report = Report::text(&["hop", &url, "--origin", &origin]).await;
        assert_eq!((report.code, &*report.output), (2, ""), "{report}");
        assert!(report.error.contains(text) && !report.error.contains("secret"), "{report}");
    }
    let taken = other.to_string();
    let report = Report::text(&["hop", "http://localhost/", "--origin", &taken]).await;
    assert!(report.error.contains("no origin at"), "{report}");
}

/// The code looks the row of a case up by its texts, so a row with other texts is never found.
#[test]
fn each_row_of_effects_belongs_to_a_case() {
    let code = include_str!("../../src/verdicts.rs");
    let rows = include_str!("../../docs/hops.md").lines().filter(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    assert!(rows.len() > 40);
    for row in &rows[2..] {
        assert_eq!(row.len(), 9, "{row:?}");
        assert!(["pass", "warning", "fail"].contains(&row[3]), "{row:?}");
        for text in &row[1..3] {
            assert!(code.contains(&format!("\"{text}\"")), "{row:?}");
        }
    }
}

fn free_address() -> String {
    format!("127.0.0.1:{}", crate::support::free_port())
}
