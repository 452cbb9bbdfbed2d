use std::borrow::Cow;

use super::{Event, EventName, whole_milliseconds};

/// The fields of an event, as publishers and brokers read them.
impl Event {
    /// Returns the event with data, so that clients dispatch it. An event that has a name but no
    /// data gets empty data. Returns `None` if it has neither.
    pub(crate) fn dispatched(mut self) -> Option<Self> {
        if self.data.is_none() {
            self.name.as_ref()?;
            self.data = Some(Cow::Borrowed(""));
        }
        Some(self)
    }

    pub(crate) const fn has_data(&self) -> bool {
        self.data.is_some()
    }

    pub(crate) const fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Returns the fields that a [broker](crate::hub::broker) keeps (feature `hub`). An event that a
    /// hub passes to its broker has data, and no id.
    #[cfg(feature = "hub")]
    #[cfg_attr(docsrs, doc(cfg(feature = "hub")))]
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        let rare = self.rare.as_deref();
        Fields {
            data: self.data.as_deref().unwrap_or_default(),
            name: self.name.as_ref().map(EventName::as_str),
            retry: rare.and_then(|rare| rare.retry).map(whole_milliseconds),
            comment: rare.and_then(|rare| rare.comment.as_deref()),
        }
    }
}

/// The fields of an event that a broker keeps, from [`Event::fields`]. The id is the broker's own.
///
/// The event is made of them again by [`Event::data`], [`Event::try_event`], [`Event::retry`] and
/// [`Event::comment`].
#[cfg(feature = "hub")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields<'a> {
    /// The data, as the program gave it. Can be empty.
    pub data: &'a str,
    /// The name, if it has one.
    pub name: Option<&'a str>,
    /// The reconnection time in milliseconds, if it has one.
    pub retry: Option<u64>,
    /// The comment, if it has one.
    pub comment: Option<&'a str>,
}
