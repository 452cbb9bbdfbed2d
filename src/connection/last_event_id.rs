use std::{borrow::Cow, iter, str::FromStr};

use http::{Extensions, HeaderMap, HeaderName, Uri};
use percent_encoding::percent_decode_str;

use crate::event::{EventId, one_line_text};

/// The last event id that a client received, which it sends as `Last-Event-ID` when it reconnects.
///
/// [`SseLayer`](crate::SseLayer) inserts it into the request's extensions. With the `axum` feature,
/// it's also an extractor, which works without the layer too. The extractor never rejects a
/// request. If the client sends no id, `Option<LastEventId>` is `None`, and `LastEventId` [is
/// empty](Self::is_empty).
///
/// ```
/// # use http::Request;
/// use tower_sse::LastEventId;
///
/// fn resume_at<B>(request: &Request<B>) -> u64 {
///     let last = request.extensions().get::<LastEventId>();
///     last.and_then(|last| last.parse().ok()).map_or(0, |last: u64| last.saturating_add(1))
/// }
/// ```
///
/// The client chooses the value, so validate it before you trust it.
///
/// # How it is read
///
/// - The value is read as UTF-8. If that fails, it's read as Latin-1, the encoding that `fetch`
///   uses for headers.
/// - If a request has several `Last-Event-ID` headers, the first one is used.
/// - A value that is empty, or contains U+0000 or a line break, is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LastEventId(Box<str>);

impl LastEventId {
    /// The name of the header in which a client sends the id. For a cross-origin `fetch`, the [CORS
    /// layer](crate::guide::placement#layers-that-belong-outside) must allow this header.
    pub const HEADER: HeaderName = HeaderName::from_static("last-event-id");

    /// Reads the `Last-Event-ID` header, for handlers that are not inside an
    /// [`SseLayer`](crate::SseLayer).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::from_bytes(headers.get(Self::HEADER)?.as_bytes())
    }

    /// Reads the id from the query. The parameters are tried in the order of `names`, and empty
    /// values are skipped. See also
    /// [`SseLayer::last_event_id_query`](crate::SseLayer::last_event_id_query).
    #[must_use]
    pub fn from_query<N: AsRef<str>>(uri: &Uri, names: &[N]) -> Option<Self> {
        names.iter().find_map(|name| Self::from_bytes(&query_value(uri, name.as_ref())?))
    }

    /// Returns the id as a string slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if the client has no last event id. The layer never inserts an empty id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the id into a number or another type with a [`FromStr`] implementation.
    ///
    /// # Errors
    ///
    /// Returns `T`'s error if the id doesn't parse. A client can send any text, so treat an error
    /// as a first connection.
    pub fn parse<T: FromStr>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }

    /// Returns the id that a layer has found, or that of the headers.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Option<Self> {
        extensions.get().cloned().or_else(|| Self::from_headers(headers))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let id: String = match str::from_utf8(bytes) {
            Ok(id) => id.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        };
        let id = Self::try_from(id);
        id.inspect_err(|_error| debug!(error = %_error, "ignoring a Last-Event-ID")).ok()
    }
}

one_line_text!(LastEventId, "id");

impl From<EventId> for LastEventId {
    /// Returns the last event id of a client that has received an event with this id.
    fn from(id: EventId) -> Self {
        Self(id.as_str().into())
    }
}

/// Returns `Some`, so that functions that take `impl Into<Option<LastEventId>>` accept an
/// [`EventId`].
impl From<EventId> for Option<LastEventId> {
    fn from(id: EventId) -> Self {
        Some(id.into())
    }
}

/// Returns the first non-empty value of a query parameter.
pub(crate) fn query_value<'u>(uri: &'u Uri, name: &str) -> Option<Cow<'u, [u8]>> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, value)| !value.is_empty() && decodes_to(key, name))?;
    Some(decode_form(value))
}

/// Decodes `application/x-www-form-urlencoded` text, the format in which browsers write queries.
fn decode_form(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        // Replace `+` first: a percent-encoded `+` stays a `+`.
        Cow::Owned(percent_decode_str(&text.replace('+', " ")).collect())
    } else {
        percent_decode_str(text).into()
    }
}

/// Returns whether a key of a query decodes to `name`, at little cost even for a long query.
fn decodes_to(key: &str, name: &str) -> bool {
    // An encoded byte is one character or three.
    if key.len() < name.len() || key.len() > 3 * name.len() {
        return false;
    }
    let mut words = key.split('+').map(percent_decode_str);
    let first = words.next().into_iter().flatten();
    first.chain(words.flat_map(|word| iter::once(b' ').chain(word))).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use super::{EventId, LastEventId};

    #[test]
    fn converted_id_is_validated() {
        assert_eq!(LastEventId::try_from("7").unwrap().as_str(), "7");
        assert!(LastEventId::try_from("7\n8").is_err());
        assert_eq!(
            LastEventId::from(EventId::from_static("7")),
            LastEventId::try_from("7").unwrap()
        );
    }
}
