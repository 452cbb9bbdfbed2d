use std::hint::black_box;

use tower_sse::{Decoder, Encoded, Event};

use crate::{Case, OURS, payload::line};

/// The number of events that are decoded at a time.
const EVENTS: u64 = 64;

/// Returns the cases in which a client decodes events with a name, an id and 64 bytes of data.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("decode whole events", OURS, decoded(usize::MAX)),
        Case::new("decode pieces of 50 B", OURS, decoded(50)),
    ]
}

fn decoded(piece_len: usize) -> impl FnMut(u64) -> u64 {
    let events = (0..EVENTS).map(|id| Event::new().event("tick").id(id).data(line(64)));
    let wire: Encoded = events.collect();
    move |times| {
        let mut decoder = Decoder::new();
        let mut bytes = 0;
        for _ in 0..times / EVENTS {
            for mut piece in wire.as_bytes().chunks(piece_len) {
                while let Some(message) = decoder.decode(&mut piece).expect("small events") {
                    bytes += message.data.len() as u64;
                    black_box(message);
                }
            }
        }
        bytes
    }
}
