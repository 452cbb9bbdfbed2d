use std::{borrow::Cow, future::poll_fn, pin::Pin, sync::Arc};

use futures_core::Stream;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Hub, Messages};
use crate::streams::{CloseError, Closing, Followed, Publishing, Streams, StreamsBuilder};
use crate::{decode::Message, event::Event};

// This `impl` is in the hub's module because `src/streams/` may not import the hub.
/// Closing streams across processes.
impl Streams {
    /// Creates a set of streams that other processes can close too. When one process
    /// [closes](Self::close) the streams of a [subject](crate::streams), so does every process that
    /// follows the same topic on the same [broker](Hub::connect).
    ///
    /// Each [`close`](Self::close) call, for example when a user logs out, publishes an event to
    /// the topic. You can also publish such an event yourself, for example [in a PostgreSQL
    /// transaction][transaction]. Any other event in the topic closes all streams that have a
    /// subject. A task follows the topic until all clones of this `Streams` and all of its
    /// [`Subjects`](crate::streams::Subjects) are dropped, and the last stream with a subject has
    /// ended.
    ///
    /// If you close the hub, this process no longer receives close events from other processes.
    /// Don't [end](Hub::end) the topic: the processes that follow it would never receive close
    /// events again. [Many processes](crate::streams#many-processes) says how long close events are
    /// kept, and what happens if some are lost.
    ///
    /// [transaction]: https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/notifications/#a-logout-in-a-transaction
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn follow(hub: &Hub, topic: impl Into<String>) -> Self {
        Self::builder().follow(hub, topic)
    }
}

impl StreamsBuilder {
    /// Creates a set of streams as [`Streams::follow`] does, with the limits of this builder. Only
    /// the streams of this process count towards the limits.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn follow(self, hub: &Hub, topic: impl Into<String>) -> Streams {
        let topic = topic.into();
        // Subscribes first, so that no stream can open before the subscription.
        let closes = hub.subscribe_to(&topic).keep_all().resume(None).messages();
        let origin = format!("{:016x}", fastrand::u64(..));
        let (hub, own_origin) = (hub.clone(), origin.clone());
        let relay = move |closing: Closing<&str>| -> Publishing {
            Box::pin(publish(hub.clone(), topic.clone(), encode(&own_origin, closing)))
        };
        let (streams, followed) = Followed::relayed_by(Arc::new(relay), self);
        tokio::spawn(async move {
            followed.while_they_exist(follow(&followed, &origin, closes)).await;
        });
        streams
    }
}

async fn publish(hub: Hub, topic: String, close: Event) -> Result<(), CloseError> {
    hub.publish(topic, close).await.map(drop).map_err(|error| CloseError(error.into()))
}

async fn follow(followed: &Followed, origin: &str, mut closes: Messages) {
    while let Some(message) = poll_fn(|cx| Pin::new(&mut closes).poll_next(cx)).await {
        match message.as_ref().ok().and_then(decode) {
            // A gap or another event, such as a close in a format that only newer versions know.
            None => followed.close(None),
            // This process has already closed these streams. A second close could hit the new
            // streams of clients that have reconnected.
            Some((closed_by, _)) if closed_by == origin => {}
            Some((_, closing)) => followed.close(Some(closing.map(|subject| &**subject))),
        }
    }
}

const NAME: &str = "close";

/// The ASCII characters that are encoded: `%`, and control characters such as line ends.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Encodes a close: the random number of the `follow` call (`origin`), the subject, and the subject
/// of the streams to keep, if there is one.
fn encode(origin: &str, closing: Closing<&str>) -> Event {
    let line = |subject| format!("\n{}", utf8_percent_encode(subject, ENCODED));
    let kept = closing.kept.map(line).unwrap_or_default();
    Event::new().event(NAME).data(format!("{origin}{}{kept}", line(closing.subject)))
}

fn decode(message: &Message) -> Option<(&str, Closing<Cow<'_, str>>)> {
    let mut lines = message.data.split('\n');
    let origin = lines.next()?;
    let mut subjects = lines.map(|line| percent_decode_str(line).decode_utf8());
    let (subject, kept) = (subjects.next()?.ok()?, subjects.next().transpose().ok()?);
    (message.event == NAME && subjects.next().is_none())
        .then_some((origin, Closing { subject, kept }))
}

#[cfg(test)]
mod tests {
    use super::{Closing, Message, decode, encode};

    #[test]
    fn every_subject_survives_the_topic() {
        for subject in ["user:42", "", "a\nb", "\r\n", "100%25", "é\0\u{2028}", " a "] {
            for kept in [None, Some(subject), Some("session:a")] {
                let closing = Closing { subject, kept };
                let encoded = crate::event::Encoded::from(encode("0f", closing));
                let mut bytes = bytes::Bytes::from(encoded);
                let message = crate::decode::Decoder::new().decode(&mut bytes).unwrap().unwrap();
                let (origin, decoded) = decode(&message).unwrap();
                assert_eq!((origin, decoded.map(|subject| &**subject)), ("0f", closing));
            }
        }
    }

    fn message(data: &str, event: &'static str) -> Message {
        let mut message = Message::new(data);
        message.event = event.into();
        message
    }

    /// Closes in the format that the notifications page of `tower-sse-postgres` shows.
    #[test]
    fn program_can_write_closes_itself() {
        for (data, subject, kept) in [
            ("\nuser:42", "user:42", None),
            ("\nuser:42\nsession:a", "user:42", Some("session:a")),
            ("\n100%25\n%0A", "100%", Some("\n")),
        ] {
            let message = message(data, "close");
            let (origin, closing) = decode(&message).unwrap();
            assert_eq!((origin, closing.map(|it| &**it)), ("", Closing { subject, kept }));
        }
    }

    #[test]
    fn other_events_of_the_topic_are_not_closes() {
        for (event, data) in [
            ("gap", "closes"),
            ("close", "0f"),
            ("close", "0f\na\nb\nc"),
            ("close", "0f\n%ff"),
            ("close-later", "0f\na"),
        ] {
            let message = message(data, event);
            assert!(decode(&message).is_none(), "{event} {data}");
        }
    }
}
