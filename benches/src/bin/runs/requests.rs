use axum::body::Body;
use tower_sse_benches::REPETITIONS;
use tower_sse_benches::layer::{answer, requests};

use crate::*;

const WORK: &str = "unnamed request";

pub(crate) fn measure() {
    println!("\n## A request without a key\n");
    println!("From the call to the end of a body that is not an event stream.\n");
    let runs = Runs::new();
    let layer = runs.layer(|_: &Request<Body>| None);
    let mut cases = [
        Case::new(WORK, "no layer", requests(service_fn(answer))),
        Case::new(WORK, "`RunLayer`", requests(layer.layer(service_fn(answer)))),
        Case::new(WORK, "`SseLayer`", requests(SseLayer::new().layer(service_fn(answer)))),
        Case::new(WORK, "both", requests(SseLayer::new().layer(layer.layer(service_fn(answer))))),
    ];
    rounds::print(&mut cases, REPETITIONS);
}
