use tokio::sync::oneshot;
use tower_sse::{
    BoxError,
    hub::{
        PublishError,
        broker::{Acknowledged, Publication},
    },
};

/// The limits of the tables, which also hold for events by SQL. In bytes.
const MAX_TOPIC: usize = 1 << 10;
const MAX_DATA: usize = 1 << 20;
const MAX_NAME: usize = 256;
const MAX_COMMENT: usize = 4 << 10;

/// The outcome of a publication.
pub(super) type Outcome = Result<Acknowledged, PublishError>;

/// An event that waits for its turn, or for its acknowledgement.
pub(crate) struct Entry {
    pub(super) publication: Publication,
    pub(super) nonce: u64,
    reply: oneshot::Sender<Outcome>,
}

impl Entry {
    /// Creates an entry, or returns why no row can hold the event.
    pub(super) fn new(
        publication: Publication,
    ) -> Result<(Self, oneshot::Receiver<Outcome>), BoxError> {
        check(&publication)?;
        let (reply, outcome) = oneshot::channel();
        // Not negative, because the server has no unsigned numbers.
        let nonce = fastrand::u64(..1 << 63);
        Ok((Self { publication, nonce, reply }, outcome))
    }

    /// Answers the publisher, which may have stopped waiting.
    pub(super) fn answer(self, outcome: Outcome) {
        _ = self.reply.send(outcome);
    }

    /// Returns the size of the event in a batch.
    pub(super) fn size(&self) -> usize {
        let fields = self.publication.event.fields();
        self.publication.topic.len() + fields.data.len() + fields.comment.map_or(0, str::len)
    }
}

fn check(publication: &Publication) -> Result<(), BoxError> {
    let fields = publication.event.fields();
    let texts = [
        ("topic", Some(&*publication.topic), MAX_TOPIC),
        ("data", Some(fields.data), MAX_DATA),
        ("event name", fields.name, MAX_NAME),
        ("comment", fields.comment, MAX_COMMENT),
    ];
    for (field, text, max) in texts {
        let text = text.unwrap_or_default();
        if text.len() > max {
            return Err(format!("{field} has {} bytes, more than {max}", text.len()).into());
        }
        if let Some(at) = text.find('\0') {
            return Err(format!("{field} contains U+0000 at byte {at}").into());
        }
    }
    Ok(())
}
