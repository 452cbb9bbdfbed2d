use super::payload::Ownership::{Literal, Owned, Shared};
use super::payload::lines;
use crate::*;

/// Events whose data is text, by the ownership of the text.
const TEXTS: [(&str, Ownership, Text); 12] = [
    ("16 B literal", Literal, Text::Line(16)),
    ("16 B String", Owned, Text::Line(16)),
    ("16 B shared", Shared, Text::Line(16)),
    ("256 B literal", Literal, Text::Line(256)),
    ("256 B String", Owned, Text::Line(256)),
    ("256 B shared", Shared, Text::Line(256)),
    ("4 KiB literal", Literal, Text::Line(4096)),
    ("4 KiB String", Owned, Text::Line(4096)),
    ("4 KiB shared", Shared, Text::Line(4096)),
    ("64 lines x 64 B literal", Literal, Text::Lines(64, 64)),
    ("64 lines x 64 B String", Owned, Text::Lines(64, 64)),
    ("64 lines x 64 B shared", Shared, Text::Lines(64, 64)),
];

enum Text {
    Line(usize),
    Lines(usize, usize),
}

/// A literal that the crate copies by `data`. Its other cases of literals use `from_static`.
pub const COPIED: &str = "16 B copied";
pub const FIELDS: &str = "id + event + 64 B";
pub const JSON: &str = "JSON 227 B";
pub const HEARTBEAT: &str = "heartbeat 16 B literal";

/// Returns the cases in which ready events are encoded into the frames of a body.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (work, ownership, text) in TEXTS {
        let text = match text {
            Text::Line(len) => line(len),
            Text::Lines(count, len) => lines(count, len),
        };
        cases.extend([
            peers::ours::text(work, ownership, text),
            peers::axum::text(work, ownership, text),
            peers::actix::text(work, ownership, text),
            peers::poem::text(work, ownership, text),
            peers::warp::text(work, ownership, text),
            peers::sse_stream::text(work, ownership, text),
            peers::limit::text(work, text),
        ]);
    }
    let text = line(16);
    cases.extend([peers::ours::copied(COPIED, text), peers::axum::text(COPIED, Literal, text)]);
    let text = line(64);
    cases.extend([
        peers::ours::fields(FIELDS, text),
        peers::axum::fields(FIELDS, text),
        peers::actix::fields(FIELDS, text),
        peers::poem::fields(FIELDS, text),
        peers::warp::fields(FIELDS, text),
        peers::sse_stream::fields(FIELDS, text),
    ]);
    cases.extend([
        peers::ours::json(JSON),
        peers::axum::json(JSON),
        peers::actix::json(JSON),
        peers::poem::json(JSON),
        peers::warp::json(JSON),
        peers::sse_stream::json(JSON),
        peers::limit::json(JSON),
    ]);
    let text = line(16);
    cases.extend([
        peers::ours::heartbeat(HEARTBEAT, text),
        peers::ours::without_heartbeat(HEARTBEAT, text),
        peers::ours::without_layer(HEARTBEAT, text),
        peers::axum::heartbeat(HEARTBEAT, text),
        peers::axum::without_heartbeat(HEARTBEAT, text),
    ]);
    cases
}
