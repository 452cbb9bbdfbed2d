use std::mem::ManuallyDrop;

use http::{HeaderMap, HeaderName, header::ACCEPT};

use super::LAST_EVENT_ID;

/// The result of one pass over the headers of a request, which most requests need nothing beyond.
///
/// Few requests have many headers, so comparing their names costs less than a hash of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderScan {
    pub(crate) has_last_event_id: bool,
    /// Whether an `Accept` header is long enough to name `text/event-stream`.
    pub(super) has_long_accept: bool,
}

impl HeaderScan {
    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // The compiler knows a constant's kind of name, unlike that of a static, and drops it for
        // each request unless told otherwise.
        const NAME: ManuallyDrop<HeaderName> = ManuallyDrop::new(LAST_EVENT_ID);
        let last_event_id = NAME;
        let mut scan = Self::default();
        for (name, value) in headers {
            if *name == ACCEPT {
                scan.has_long_accept |= value.len() >= "text/event-stream".len();
            } else if *name == *last_event_id {
                scan.has_last_event_id = true;
            }
        }
        scan
    }
}
