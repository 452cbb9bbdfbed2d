//! What the length of a compressed stream reveals of its content (BREACH).

use super::{
    super::application::{call, get_request},
    everything,
};
use crate::*;

const SECRET: &str = "the token is k7w2m9";
const KNOWN: &str = "the token is k7w2m";

/// Returns the number of bytes of a stream that contains the secret and then a text chosen by an
/// attacker.
async fn length_with(guess: String) -> usize {
    let events = async move || {
        let events = [Event::from(SECRET), Event::from(guess)];
        tower_sse::response(stream::iter(events))
    };
    let app = Router::new().route("/events", get(events)).layer(SseLayer::new());
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    response.into_body().collect().await.unwrap().to_bytes().len()
}

#[tokio::test]
async fn guessing_a_secrets_next_character_makes_a_compressed_stream_shortest() {
    let mut lengths = Vec::new();
    for guess in ('a'..='z').chain('0'..='9') {
        lengths.push((length_with(format!("{KNOWN}{guess}")).await, guess));
    }
    lengths.sort_unstable();
    println!("{lengths:?}");
    assert_eq!(lengths[0].1, '9');
    assert!(lengths[0].0 < lengths[1].0);
}
