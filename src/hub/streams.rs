use std::{borrow::Cow, future::poll_fn, pin::Pin, sync::Arc};

use futures_core::Stream;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Hub, Messages, PublishError};
use crate::{
    event::{Event, Message},
    streams::{CloseError, Closing, Followed, Publishing, Relay, Streams},
};

/// Streams of many processes.
impl Streams {
    /// Creates a set of streams in this process whose closes reach all processes that connect to the
    /// same topic of the same [broker](Hub::connect).
    ///
    /// ```
    /// use tower_sse::{SseLayer, hub::Hub, streams::Streams};
    ///
    /// # #[tokio::main]
    /// # async fn main() {
    /// # let hub = Hub::new();
    /// let streams = Streams::connect(&hub, "closes");
    /// # let layer: SseLayer =
    /// SseLayer::new().streams(&streams);
    /// # }
    /// ```
    ///
    /// Each close is an event of the topic, which nothing else may publish to. A task follows the
    /// topic until all clones are dropped and the last stream with a subject has ended. If the
    /// topic's retention is [`Retention::latest`](crate::hub::Retention::latest), it still keeps 1,024
    /// closes.
    ///
    /// If the topic has a gap, closes may be missing. All streams of this process that have a
    /// subject are then [closed](Self::close_all). A process that was only cut off from the broker
    /// has no gap: it receives the closes that it missed.
    ///
    /// Closing the hub ends no stream. From then on, this process receives no closes of others.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    #[must_use]
    pub fn connect(hub: &Hub, topic: impl Into<String>) -> Self {
        let topic = topic.into();
        // Before the streams exist, so that no request can arrive before it.
        let closes = hub.subscribe_to(&topic).keep_all().resume(None).messages();
        let origin = format!("{:016x}", fastrand::u64(..));
        let relay = HubRelay { hub: hub.clone(), topic, origin: origin.clone() };
        let (streams, followed) = Followed::relayed_by(Arc::new(relay));
        tokio::spawn(async move {
            followed.while_they_exist(follow(&followed, &origin, closes)).await;
        });
        streams
    }
}

/// Publishes the closes of this process.
struct HubRelay {
    hub: Hub,
    topic: String,
    origin: String,
}

impl Relay for HubRelay {
    fn publish(&self, closing: Closing<'_>) -> Publishing {
        let event = encode(&self.origin, closing);
        let (hub, topic) = (self.hub.clone(), self.topic.clone());
        Box::pin(async move {
            match hub.publish(topic, event).await {
                Ok(_) => Ok(()),
                Err(PublishError::Closed) => Err(CloseError::Closed),
                Err(PublishError::Refused(error)) => Err(CloseError::Refused(error)),
                Err(PublishError::Unknown(error)) => Err(CloseError::Unknown(error)),
                Err(error) => Err(CloseError::Refused(error.into())),
            }
        })
    }
}

/// Closes the streams of this process as other processes say.
async fn follow(followed: &Followed, origin: &str, mut closes: Messages) {
    while let Some(message) = poll_fn(|cx| Pin::new(&mut closes).poll_next(cx)).await {
        match Close::of(&message) {
            // A gap, or a close that only newer versions know.
            None => followed.close_all(),
            // A close of this process, since which a client may have returned.
            Some(close) if close.origin == origin => {}
            Some(close) => followed.close(close.closing()),
        }
    }
}

const NAME: &str = "close";

/// The characters that a line of data cannot have, and that of the encoding itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// A close, as an event of the topic.
struct Close<'m> {
    origin: &'m str,
    subject: Cow<'m, str>,
    kept: Option<Cow<'m, str>>,
}

/// Encodes a close as lines of data: the origin, the subject and, if there is one, the subject of
/// the streams that are kept.
fn encode(origin: &str, closing: Closing<'_>) -> Event {
    let line = |subject| utf8_percent_encode(subject, ENCODED);
    let data = match closing {
        Closing::Subject(subject) => format!("{origin}\n{}", line(subject)),
        Closing::Except(subject, kept) => format!("{origin}\n{}\n{}", line(subject), line(kept)),
    };
    Event::new().event(NAME).data(data)
}

impl<'m> Close<'m> {
    fn of(message: &'m Message) -> Option<Self> {
        let lines: Vec<_> = message.data.split('\n').collect();
        let (origin, subject, kept) = match *lines {
            [origin, subject] => (origin, subject, None),
            [origin, subject, kept] => (origin, subject, Some(decode(kept)?)),
            _ => return None,
        };
        let subject = decode(subject)?;
        (message.event == NAME).then_some(Self { origin, subject, kept })
    }

    fn closing(&self) -> Closing<'_> {
        match &self.kept {
            None => Closing::Subject(&self.subject),
            Some(kept) => Closing::Except(&self.subject, kept),
        }
    }
}

fn decode(line: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(line).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::{Close, Closing, Message, encode};

    #[test]
    fn every_subject_survives_the_topic() {
        for subject in ["user:42", "", "a\nb", "\r\n", "100%25", "é\0\u{2028}", " a "] {
            let except = |kept| Closing::Except(subject, kept);
            for closing in [Closing::Subject(subject), except(subject), except("session:a")] {
                let encoded = crate::event::Encoded::from(encode("0f", closing));
                let mut bytes = bytes::Bytes::from(encoded);
                let message = crate::event::Decoder::new().decode(&mut bytes).unwrap().unwrap();
                let close = Close::of(&message).unwrap();
                assert_eq!((close.origin, close.closing()), ("0f", closing));
            }
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
            let message = Message::new(data).event(event);
            assert!(Close::of(&message).is_none(), "{event} {data}");
        }
    }
}
