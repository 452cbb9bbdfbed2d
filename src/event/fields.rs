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

    /// Returns the fields of an event that was checked for publication.
    pub(crate) fn fields(&self) -> Fields<'_> {
        let rare = self.rare.as_deref();
        Fields {
            data: self.data.as_deref().unwrap_or_default(),
            name: self.name.as_ref().map(EventName::as_str),
            retry: rare.and_then(|rare| rare.retry).map(whole_milliseconds),
            comment: rare.and_then(|rare| rare.comment.as_deref()),
        }
    }
}

/// The fields of an event that a broker stores. The id is the broker's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) data: &'a str,
    pub(crate) name: Option<&'a str>,
    /// The reconnection time in milliseconds.
    pub(crate) retry: Option<u64>,
    pub(crate) comment: Option<&'a str>,
}
