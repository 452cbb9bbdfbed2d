use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::Subscription;
use crate::event::{Decoder, Message};

/// A stream of the [`Message`]s of a [`Subscription`], for consumers in the same process.
///
/// [`Subscription::messages`] returns it. It ends with the subscription.
#[derive(Debug)]
pub struct Messages {
    subscription: Subscription,
    decoder: Decoder,
    /// What is left of the subscription's last item.
    rest: Bytes,
}

impl Messages {
    pub(super) fn new(subscription: Subscription) -> Self {
        // The hub has no limit for the size of an event.
        let decoder = Decoder::new().max_event_size(usize::MAX);
        Self { subscription, decoder, rest: Bytes::new() }
    }
}

impl Subscription {
    /// Returns the decoded messages of the subscription, for consumers in the same process.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use tower_sse::hub::Hub;
    ///
    /// async fn invalidate(hub: Hub) {
    ///     let mut messages = hub.subscribe_to("cache").resume(None).messages();
    ///     while let Some(message) = messages.next().await {
    ///         match &*message.event {
    ///             // Messages were missed.
    ///             "gap" => println!("clear the cache"),
    ///             _ => println!("forget {}", message.data),
    ///         }
    ///     }
    /// }
    /// # drop(invalidate(Hub::new()));
    /// ```
    #[must_use]
    pub fn messages(self) -> Messages {
        Messages::new(self)
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = self.get_mut();
        loop {
            if let Ok(Some(message)) = this.decoder.decode(&mut this.rest) {
                return Poll::Ready(Some(message));
            }
            match ready!(Pin::new(&mut this.subscription).poll_next(cx)) {
                Some(item) => this.rest = item.into(),
                None => return Poll::Ready(None),
            }
        }
    }
}
