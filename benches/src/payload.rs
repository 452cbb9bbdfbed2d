use serde::Serialize;

/// The owner of an event's data before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Literal,
    /// A `String` made for this event: one allocation, which is the caller's.
    Owned,
    /// Counted references: an `Encoded` for the crate, a `ByteString` for axum and actix-web-lab.
    Shared,
}

/// Returns one line of `len` bytes.
pub fn line(len: usize) -> &'static str {
    let words = "the quick brown fox jumps over the lazy dog, ";
    words.repeat(len / words.len() + 1)[..len].to_owned().leak()
}

/// Returns `count` lines of `len` bytes, the last one without a line end.
pub fn lines(count: usize, len: usize) -> &'static str {
    vec![line(len); count].join("\n").leak()
}

/// A value of the kind that chats and dashboards send: 227 bytes of JSON.
#[derive(Serialize)]
pub struct Message {
    id: u64,
    room: &'static str,
    author: Author,
    text: &'static str,
    mentions: [u32; 3],
    reply_to: Option<u64>,
    edited: bool,
    sent_at: u64,
}

#[derive(Serialize)]
struct Author {
    id: u32,
    name: &'static str,
}

pub static MESSAGE: Message = Message {
    id: 7_340_158_263,
    room: "deployments",
    author: Author { id: 40_817, name: "Ada Lovelace" },
    text: "The canary is green, so all the rest follows at noon.",
    mentions: [40_821, 51_203, 7],
    reply_to: None,
    edited: false,
    sent_at: 1_795_161_600_125,
};

#[cfg(test)]
mod tests {
    use super::MESSAGE;

    #[test]
    fn message_has_227_bytes() {
        assert_eq!(serde_json::to_string(&MESSAGE).unwrap().len(), 227);
    }
}
