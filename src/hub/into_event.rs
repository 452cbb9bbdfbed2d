use crate::{BoxError, event::Event};

/// A value that [`Hub::publish`](super::Hub::publish) accepts as an event: an [`Event`], text, a
/// [`Message`](crate::Message) or, with feature `json`, a [`Json`](crate::Json).
///
/// All types that convert into an [`Event`] implement it, and nothing else can. The hub requires it
/// instead of `TryInto`, so that the compiler's error for other types names what becomes an event.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use tower_sse::{Event, Json, hub::{Hub, PublishError}};
///
/// # async fn publish(hub: &Hub) -> Result<(), PublishError> {
/// hub.publish("news", "text").await?;
/// hub.publish("news", Event::new().event("alert").data("text")).await?;
/// hub.publish("news", Json::new([3, 4])).await?;
/// hub.publish("news", Event::new().event("point").json([3, 4])).await?;
/// # Ok(())
/// # }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event that can be published",
    label = "does not convert into `tower_sse::Event`",
    note = "a value becomes an event by `Json::new(value)`, and with a name by \
            `Event::new().event(\"name\").json(value)` (feature `json`)",
    note = "an `Event`, a `&str` and a `String` can be published as they are; other values become \
            text by `value.to_string()`"
)]
pub trait IntoEvent: TryInto<Event, Error: Into<BoxError>> {}

// Otherwise the compiler would report that `From` is not implemented.
#[diagnostic::do_not_recommend]
impl<E: TryInto<Event, Error: Into<BoxError>>> IntoEvent for E {}
