//! The proxy configurations and the periods of a shutdown in the guide. Also the nginx
//! configuration of the examples with several processes, which must answer like the guide's while
//! no server is up.

use axum::routing::get;
use tokio::net::TcpSocket;

use super::support::proxy::{configure_nginx, nginx};
use crate::*;

async fn send(
    proxy: &Proxy,
    certificate: &Certificate,
    protocol: Protocol,
    method: Method,
    path: &str,
) -> Response<Incoming> {
    let url = match protocol {
        Protocol::Http1 => path.to_owned(),
        Protocol::Http2 => format!("https://localhost{path}"),
    };
    let request = Request::builder().method(method).uri(url).body(Full::<Bytes>::default());
    certificate.connect(proxy.address, protocol).await.send(request.unwrap()).await
}

#[tokio::test]
async fn event_source_survives_a_time_without_servers() {
    let (Some(tools), Some(certificate)) = (Tools::find(), Certificate::new()) else { return };
    let browser = ["--ignore-certificate-errors"];
    let browser = Chromium::start_with(&tools, &browser, &serde_json::json!({})).await;
    for kind in Kind::ALL {
        let _case = support::case(format!("{kind:?}"));
        let log = Log::start();
        let app = |server| log.routes(server).merge(page(None));
        let first = Server::start(ANY, layer("first"), app("first")).await;
        let address = first.address;
        let Some(proxy) = kind.start(address, &certificate, &[]).await else { continue };
        browser.listen_at(&format!("https://{}/", proxy.address), &[EVENT_SOURCE]).await;
        let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
        assert_eq!(browser.until(protocol).await, "h2");
        browser.until_each(&[EVENT_SOURCE], "it.events.length > 20").await;

        first.shut_down().await;
        let answers = Protocol::BOTH.map(|protocol| later(&proxy, &certificate, protocol));
        join_all(answers).await;
        // The proxy answers with an empty stream, which opens and ends.
        browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;

        let second = Server::start(address, layer("second"), app("second")).await;
        let now = log.last();
        browser.until_each(&[EVENT_SOURCE], &format!("it.events.at(-1)[0] > {now}")).await;
        let seen = browser.seen(EVENT_SOURCE).await;
        seen.misses_and_doubles_nothing(EVENT_SOURCE);
        assert_eq!(seen.servers(), ["first", "second"]);
        drop(second);
    }
}

/// Asserts what clients receive while no server is up.
async fn later(proxy: &Proxy, certificate: &Certificate, protocol: Protocol) {
    let send = async |method, path| send(proxy, certificate, protocol, method, path).await;
    let streams = ["/events?topic=1", "/events", "/events/42?topic=1"].map(|path| {
        let answer = send(Method::GET, path);
        async move {
            let answer = answer.await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert_eq!(answer.headers()["cache-control"], "no-cache", "no cache keeps it");
            let answer = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(
                answer.trim_ascii_end(),
                b":",
                "each client keeps its own reconnection time"
            );
        }
    });
    let others = [(Method::GET, "/"), (Method::GET, "/eventsourcing"), (Method::POST, "/events")];
    let others = others.map(async |(method, path)| {
        let status = send(method, path).await.status();
        assert!(status.is_server_error(), "other clients notice: {path} {status}");
    });
    tokio::join!(join_all(streams), join_all(others));
}

#[tokio::test]
async fn nginx_lets_pages_of_another_origin_read_its_answer() {
    let Some(certificate) = Certificate::new() else { return };
    let nowhere = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let uncommented = [
        ("# add_header Access-Control-Allow-Origin", "add_header Access-Control-Allow-Origin"),
        ("# add_header Access-Control-Allow-Cred", "add_header Access-Control-Allow-Cred"),
    ];
    for kind in [Kind::Nginx, Kind::NewestNginx] {
        let Some(proxy) = kind.start(nowhere, &certificate, &uncommented).await else { continue };
        for protocol in Protocol::BOTH {
            let answer = send(&proxy, &certificate, protocol, Method::GET, "/events").await;
            assert_eq!(answer.status(), 200);
            let headers = answer.headers();
            assert_eq!(headers["access-control-allow-origin"], "https://app.example.com");
            assert_eq!(headers["access-control-allow-credentials"], "true");
        }
    }
}

/// Shows why the guide's configurations send no `retry`: each client keeps the random reconnection
/// time that its stream began with.
#[tokio::test]
async fn answer_without_servers_leaves_each_event_source_its_reconnection_time() {
    let (Some(tools), Some(certificate)) = (Tools::find(), Certificate::new()) else { return };
    let browser = ["--ignore-certificate-errors"];
    let browser = Chromium::start_with(&tools, &browser, &serde_json::json!({})).await;
    let log = Log::start();
    let first = Server::start(ANY, layer("first"), log.routes("first").merge(page(None))).await;
    let proxy = Kind::Nginx.start(first.address, &certificate, &[]).await;
    let Some(proxy) = proxy else { return };
    browser.listen_at(&format!("https://{}/", proxy.address), &[EVENT_SOURCE]).await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 0").await;
    first.shut_down().await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 1").await;
    let begun = Instant::now();
    browser.until_each(&[EVENT_SOURCE], "it.opened > 11").await;
    // Each reconnection waits 0.1 to 0.3 seconds. With Chromium's own time, it would wait 3
    // seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

/// The id of the newest event.
type Newest = Arc<watch::Sender<u64>>;

/// Returns the routes of a server. `/events` sends the events up to the newest one, `/idle` sends
/// heartbeats, and `/silent` sends nothing.
fn app(newest: &Newest) -> Router {
    let events = async |State(newest): State<Newest>| {
        tower_sse::response(stream! {
            let mut newest = newest.subscribe();
            for id in 1.. {
                _ = newest.wait_for(|newest| *newest >= id).await;
                yield Event::new().id(id).data("step");
            }
        })
    };
    let idle = async || tower_sse::response(pending::<Event>());
    let silent = async || {
        let options = StreamOptions::new().without_heartbeat();
        (options, tower_sse::response(pending::<Event>())).into_response()
    };
    Router::new()
        .route("/events", get(events))
        .route("/idle", get(idle))
        .route("/silent", get(silent))
        .with_state(Arc::clone(newest))
        .layer(SseLayer::new().heartbeat(Duration::from_millis(400)))
}

/// Receives `count` events. The server sends each event once the previous one has arrived.
async fn take_steps(response: Response<Incoming>, newest: &Newest, count: u64) {
    let mut received = EventReader::new(response);
    for id in 1..=count {
        newest.send_replace(id);
        assert_eq!(*received.next().await.unwrap().last_event_id, *id.to_string());
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_made() {
    let Some(certificate) = Certificate::new() else { return };
    let newest = Newest::default();
    let server = serve_axum(app(&newest)).await;
    for kind in Kind::ALL {
        let _case = support::case(format!("{kind:?}"));
        let Some(proxy) = kind.start(server, &certificate, &[]).await else { continue };
        for protocol in Protocol::BOTH {
            let response = send(&proxy, &certificate, protocol, Method::GET, "/events").await;
            assert_eq!(response.headers()["incremental"], "?1", "{protocol:?}");
            take_steps(response, &newest, 5).await;
            newest.send_replace(0);
        }
    }
}

const NGINX_READ_TIMEOUT: &[(&str, &str)] =
    &[("proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_read_timeout 2s;")];

/// The changes that give each proxy a short idle timeout. Caddy has no such timeout.
const SHORT: [(Kind, &[(&str, &str)]); 4] = [
    (Kind::Nginx, NGINX_READ_TIMEOUT),
    (Kind::NewestNginx, NGINX_READ_TIMEOUT),
    (
        Kind::HaProxy,
        &[("timeout client 60s", "timeout client 2s"), ("timeout server 60s", "timeout server 2s")],
    ),
    (
        Kind::Envoy,
        &[("stat_prefix: http\n", "stat_prefix: http\n          stream_idle_timeout: 2s\n")],
    ),
];

/// Reads until the body ends or fails, or until `limit` heartbeats have come. Returns the number of
/// heartbeats.
async fn count_heartbeats(response: Response<Incoming>, limit: usize) -> usize {
    let (mut body, mut count) = (response.into_body(), 0);
    while count < limit {
        let Some(Ok(frame)) = soon(body.frame()).await else { break };
        count += frame.into_data().unwrap().iter().filter(|byte| **byte == b':').count();
    }
    count
}

#[tokio::test]
async fn heartbeats_keep_idle_streams_open_beyond_every_idle_timeout() {
    let Some(certificate) = Certificate::new() else { return };
    let server = serve_axum(app(&Newest::default())).await;
    let kinds = SHORT.into_iter().chain([(Kind::Caddy, &[] as &[_])]);
    let kinds = kinds.map(async |(kind, short)| {
        let Some(proxy) = kind.start(server, &certificate, short).await else { return };
        join_all(Protocol::BOTH.map(async |protocol| {
            let get = async |path| send(&proxy, &certificate, protocol, Method::GET, path).await;
            let idle = async { count_heartbeats(get("/idle").await, 15).await };
            let silent = async {
                // Without heartbeats, the timeout applies.
                match kind {
                    Kind::Caddy => 0,
                    _ => count_heartbeats(get("/silent").await, 1).await,
                }
            };
            assert_eq!(tokio::join!(idle, silent), (15, 0), "{kind:?}, {protocol:?}");
        }))
        .await;
    });
    join_all(kinds).await;
}

/// Without the page's timeout, nginx tries to reach the vanished server for 60 seconds.
#[tokio::test]
async fn nginx_soon_leaves_a_server_that_has_vanished() {
    let Some(program) = find_nginx() else { return };
    let live = serve_axum(Router::new().route("/", get(async || "here"))).await;
    let vanished = TcpSocket::new_v4().unwrap();
    vanished.bind(ANY).unwrap();
    let vanished = vanished.listen(0).unwrap();
    let gone = vanished.local_addr().unwrap();
    // The kernel drops further connections, as if the machine did not exist.
    let _queued = TcpStream::connect(gone).await.unwrap();
    let page = include_str!("../../../docs/guide/nginx.md");
    let upstream = between(page, "```text\n", "```");
    let upstream = proxies::replace(upstream, "127.0.0.1:3000", &live.to_string());
    let upstream = proxies::replace(&upstream, "127.0.0.1:3001", &gone.to_string());
    let answers = async |upstream: String| {
        let proxy = Proxy::start(nginx(&program), |address| {
            let location = "location / { proxy_pass http://app; }";
            configure_nginx(&format!("{upstream} server {{ listen {address}; {location} }}"))
        });
        let proxy = proxy.await;
        // nginx alternates between the servers.
        for _ in 0..2 {
            let response = client::get(proxy.address, "/", &[]).await;
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "here");
        }
    };
    let by_default = proxies::replace(&upstream, "proxy_connect_timeout 2s;", "");
    tokio::select! {
        () = answers(upstream) => {}
        () = answers(by_default) => panic!("the default is no slower"),
    }
}

#[test]
fn example_answers_as_the_page_of_nginx_does() {
    let example = include_str!("../../../crates/tower-sse-redis/examples/cluster/nginx.conf");
    let documented = Kind::Nginx.documented();
    let (_, answer) = documented.split_once("error_page").expect("an answer");
    for line in format!("error_page{answer}").lines().map(str::trim).filter(|line| *line != "}") {
        assert!(example.lines().any(|of_example| of_example.trim() == line), "{line}");
    }
}

// The shutdown that the guide shows: the periods in the guide's programs and in the manifest for
// Kubernetes.

const MANIFEST: &str = include_str!("../../../docs/guide/clouds.md");
const RECIPE: &str = include_str!("../../../docs/guide/serving.md");
const PROGRAM: &str = include_str!("../../../docs/guide/assistant.md");

/// Returns the text between the only occurrence of `before` and the next occurrence of `after`.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let mut found = page.split(before).skip(1);
    let (Some(rest), None) = (found.next(), found.next()) else { panic!("not once: {before}") };
    rest.split_once(after).expect("an end").0
}

fn number(page: &str, before: &str, after: &str) -> u64 {
    between(page, before, after).parse().unwrap()
}

#[test]
fn pod_lives_longer_than_its_hook_and_the_deadline() {
    let hook = number(MANIFEST, "sleep: { seconds: ", " }");
    let period = number(MANIFEST, "\n      terminationGracePeriodSeconds: ", "\n");
    let deadline = number(RECIPE, "serve(listener, app, shutdown, Duration::from_secs(", "))");
    assert!(period > hook + deadline, "{period} s, {hook} s and {deadline} s");

    let seconds =
        |name| number(PROGRAM, &format!("const {name}: Duration = Duration::from_secs("), ")");
    assert!(seconds("GRACE") + seconds("LEEWAY") + 6 < seconds("DEADLINE"));
    assert!(30 + 6 < deadline, "the default drain");
}
