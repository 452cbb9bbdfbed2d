use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower_sse::{hub::Hub, redis::Redis};

use crate::{support, *};

#[path = "../../../examples/metrics/main.rs"]
#[allow(dead_code)]
mod example;

const REASONS: [&str; 6] = ["ended", "failed", "disconnected", "drained", "expired", "panicked"];

async fn serve(max_streams: usize) -> SocketAddr {
    serve_axum(example::app(Hub::new(), None, max_streams)).await
}

async fn listen(address: SocketAddr) -> Response<Incoming> {
    client::get(address, "/news", &[]).await
}

async fn publish(address: SocketAddr, text: &'static str) {
    let response = client::post(address, "/news", &[], text).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

/// The result of a scrape: the types of the families, and the samples by name and labels.
#[derive(Debug, Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(address: SocketAddr) -> Self {
        let response = client::get(address, "/metrics", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let text: Bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
        Self::parse(str::from_utf8(&text).unwrap())
    }

    /// Scrapes until a sample has this value.
    async fn until(address: SocketAddr, sample: &str, value: f64) -> Self {
        soon(async {
            loop {
                let scrape = Self::of(address).await;
                if scrape.of_sample(sample) == value {
                    return scrape;
                }
            }
        })
        .await
    }

    /// Parses the format strictly by its specification.
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let lines = text.strip_suffix("# EOF\n").expect("an end");
        let mut family = "";
        for line in lines.lines() {
            if let Some(about) = line.strip_prefix("# ") {
                let (what, rest) = about.split_once(' ').unwrap();
                let (name, said) = rest.split_once(' ').unwrap();
                assert!(!said.is_empty(), "{line}");
                match what {
                    "HELP" => {
                        assert!(said.ends_with('.') && !said.ends_with(".."), "{line}");
                        family = name;
                    }
                    "TYPE" => {
                        let earlier = scrape.types.insert(name.to_owned(), said.to_owned());
                        assert_eq!(earlier, None, "{line}");
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{said}")), "{line}"),
                    _ => panic!("{line}"),
                }
                assert_eq!(name, family, "{line}");
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffixes: &[_] = match &*scrape.types[family] {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                other => panic!("{other}"),
            };
            let suffix = name.strip_prefix(family).expect("a sample of the family");
            assert!(suffixes.contains(&suffix), "{line}");
            let earlier = scrape.samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(earlier, None, "twice: {line}");
        }
        scrape
    }

    fn of_sample(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {self:#?}"))
    }

    fn closed(&self, reason: &str) -> f64 {
        self.of_sample(&format!("sse_streams_closed_total{{reason=\"{reason}\"}}"))
    }

    /// Returns the histogram's cumulative counts by age, in ascending order of the ages.
    fn ages(&self) -> Vec<(f64, f64)> {
        let of_bucket = |(sample, count): (&String, &f64)| {
            let bound = sample.strip_prefix("sse_stream_age_seconds_bucket{le=\"")?;
            let bound = bound.strip_suffix("\"}").unwrap().replace("+Inf", "inf");
            Some((bound.parse().unwrap(), *count))
        };
        let mut ages: Vec<(f64, f64)> = self.samples.iter().filter_map(of_bucket).collect();
        ages.sort_by(|one, other| one.0.total_cmp(&other.0));
        ages
    }
}

#[tokio::test]
async fn every_family_exists_before_the_first_stream() {
    let scrape = Scrape::of(serve(10).await).await;
    let types: Vec<_> = scrape.types.iter().map(|(name, kind)| (&**name, &**kind)).collect();
    assert_eq!(
        types,
        [
            ("sse_bytes", "counter"),
            ("sse_frames", "counter"),
            ("sse_heartbeats", "counter"),
            ("sse_hub_events", "gauge"),
            ("sse_hub_evicted", "counter"),
            ("sse_hub_gaps", "counter"),
            ("sse_hub_memory_bytes", "gauge"),
            ("sse_hub_subscribers", "gauge"),
            ("sse_hub_topics", "gauge"),
            ("sse_stream_age_seconds", "histogram"),
            ("sse_streams_closed", "counter"),
            ("sse_streams_open", "gauge"),
            ("sse_streams_opened", "counter"),
            ("sse_streams_refused", "counter"),
        ]
    );
    for reason in REASONS {
        assert_eq!(scrape.closed(reason), 0.0, "{reason}");
    }
    assert!(scrape.samples.values().all(|value| *value == 0.0), "{scrape:#?}");
}

#[tokio::test]
async fn streams_are_counted_while_open_and_once_closed() {
    let address = serve(10).await;
    let mut first = EventReader::new(listen(address).await);
    let mut second = EventReader::new(listen(address).await);
    let open = Scrape::of(address).await;
    assert_eq!(open.of_sample("sse_streams_open"), 2.0);
    assert_eq!(open.of_sample("sse_streams_opened_total"), 2.0);
    assert_eq!(open.of_sample("sse_stream_age_seconds_count"), 0.0);

    let mut bytes = 0.0;
    for text in ["one", "two", "three"] {
        publish(address, text).await;
        let message = first.next().await.unwrap();
        assert_eq!(message.data, text);
        assert_eq!(second.next().await.unwrap().data, text);
        bytes += format!("data: {text}\nid: {}\n\n", message.last_event_id).len() as f64;
    }
    drop(first);
    let one = Scrape::until(address, "sse_stream_age_seconds_count", 1.0).await;
    assert_eq!(one.of_sample("sse_streams_open"), 1.0);
    assert_eq!(one.closed("disconnected"), 1.0);
    assert_eq!(one.of_sample("sse_frames_total"), 3.0);
    assert_eq!(one.of_sample("sse_bytes_total"), bytes);

    drop(second);
    let none = Scrape::until(address, "sse_stream_age_seconds_count", 2.0).await;
    assert_eq!(none.of_sample("sse_streams_open"), 0.0);
    assert_eq!(none.of_sample("sse_streams_opened_total"), 2.0);
    assert_eq!(none.of_sample("sse_bytes_total"), 2.0 * bytes);
    assert_eq!(none.of_sample("sse_heartbeats_total"), 0.0);
    assert_eq!(none.of_sample("sse_streams_refused_total"), 0.0);
    for reason in REASONS {
        let closed = if reason == "disconnected" { 2.0 } else { 0.0 };
        assert_eq!(none.closed(reason), closed, "{reason}");
    }
}

#[tokio::test]
async fn the_histogram_counts_each_stream_by_its_age() {
    let address = serve(10).await;
    drop(listen(address).await);
    let scrape = Scrape::until(address, "sse_stream_age_seconds_count", 1.0).await;
    let sum = scrape.of_sample("sse_stream_age_seconds_sum");
    assert!(sum > 0.0 && sum < 20.0, "{sum} s");
    let ages = scrape.ages();
    assert_eq!(ages.len(), 10);
    for (bound, count) in ages {
        assert_eq!(count, f64::from(u8::from(sum <= bound)), "at most {bound} s of {sum} s");
    }
}

#[tokio::test]
async fn a_stream_beyond_the_limit_is_counted_as_refused_and_not_as_opened() {
    let address = serve(1).await;
    let _place = listen(address).await;
    assert_eq!(listen(address).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let scrape = Scrape::of(address).await;
    assert_eq!(scrape.of_sample("sse_streams_open"), 1.0);
    assert_eq!(scrape.of_sample("sse_streams_opened_total"), 1.0);
    assert_eq!(scrape.of_sample("sse_streams_refused_total"), 1.0);
}

#[tokio::test]
async fn the_hub_is_counted() {
    let address = serve(10).await;
    let mut stream = EventReader::new(listen(address).await);
    for text in ["one", "two"] {
        publish(address, text).await;
        _ = stream.next().await.unwrap();
    }
    // An id of another hub, whose client may have missed anything.
    let foreign = Hub::new().position();
    let last = [("last-event-id", foreign.as_str())];
    let mut other = EventReader::new(client::get(address, "/news", &last).await);
    assert_eq!(other.next().await.unwrap().event, "gap");

    let scrape = Scrape::of(address).await;
    for (sample, value) in [
        ("sse_hub_events", 2.0),
        ("sse_hub_evicted_total", 0.0),
        ("sse_hub_gaps_total", 1.0),
        ("sse_hub_subscribers", 2.0),
        ("sse_hub_topics", 1.0),
    ] {
        assert_eq!(scrape.of_sample(sample), value, "{sample}");
    }
    let memory = scrape.of_sample("sse_hub_memory_bytes");
    assert!(memory > 2.0 * 112.0 && memory < 4_096.0, "{memory}");
}

#[tokio::test]
async fn a_process_without_redis_is_always_ready() {
    let response = client::get(serve(10).await, "/ready", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_process_that_has_not_reached_redis_is_not_ready() {
    // Nothing listens there: the listener is dropped.
    let (_, closed) = support::listen().await;
    let redis = Redis::open(format!("redis://{closed}/")).unwrap();
    let health = redis.health();
    Hub::connect(redis).await.unwrap_err();
    let address = serve_axum(example::app(Hub::new(), Some(health), 10)).await;
    let response = client::get(address, "/ready", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    assert!(body.starts_with(b"failed to connect to Redis: "), "{body:?}");
    assert_eq!(Scrape::of(address).await.of_sample("sse_redis_following"), 0.0);
}
