use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::Subscription;
use crate::decode::{Decoder, Message, MessageId};

/// A stream of [`Message`]s and [`Gap`]s, from [`Subscription::messages`]. It ends with the
/// subscription.
#[derive(Debug)]
pub struct Messages {
    subscription: Subscription,
    decoder: Decoder,
    /// What is left of the subscription's last item.
    rest: Bytes,
}

/// A [gap](super::GapPolicy) in the messages of a topic: messages may have been missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap(pub(crate) Message);

impl Gap {
    /// Returns the topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.data
    }

    /// Returns the id of the gap. A subscription can [resume](super::Subscribe::resume) from it.
    #[must_use]
    pub const fn last_event_id(&self) -> &MessageId {
        &self.0.last_event_id
    }
}

error_text!(Gap, |it| "messages of the topic {:?} may be missing", it.topic());

impl Subscription {
    /// Returns the decoded messages of the subscription, for consumers in the same process. If
    /// messages may be missing, the stream yields a [`Gap`] as an error:
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use tower_sse::hub::Hub;
    ///
    /// async fn invalidate(hub: Hub) {
    ///     let mut messages = hub.subscribe_to("cache").resume(None).messages();
    ///     while let Some(message) = messages.next().await {
    ///         match message {
    ///             Ok(message) => println!("forget {}", message.data),
    ///             Err(_gap) => println!("clear the cache"),
    ///         }
    ///     }
    /// }
    /// # drop(invalidate(Hub::new()));
    /// ```
    ///
    /// ```compile_fail,E0609
    /// # use futures_util::StreamExt;
    /// # fn room(hub: tower_sse::hub::Hub) {
    /// let texts = hub.subscribe_to("room").resume(None).messages().map(|message| message.data);
    /// # }
    /// ```
    #[must_use]
    pub fn messages(mut self) -> Messages {
        self.has_bare_gaps = true;
        // The hub has no limit for the size of an event.
        let decoder = Decoder::new().max_event_size(usize::MAX);
        Messages { subscription: self, decoder, rest: Bytes::new() }
    }
}

impl Stream for Messages {
    type Item = Result<Message, Gap>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Ok(Some(message)) = this.decoder.decode(&mut this.rest) {
                let is_gap = message.event == "gap";
                return Poll::Ready(Some(if is_gap { Err(Gap(message)) } else { Ok(message) }));
            }
            match ready!(Pin::new(&mut this.subscription).poll_next(cx)) {
                Some(item) => this.rest = item.into(),
                None => return Poll::Ready(None),
            }
        }
    }
}
