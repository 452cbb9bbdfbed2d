//! The headers of event streams: which responses are streams, and what the layer changes.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// The media type without parameters, because some proxies match the whole header value.
pub(crate) const TEXT_EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

const UTF_8: [&[u8]; 2] = [b"charset=utf-8", b"charset=\"utf-8\""];

const TEXT_EVENT_STREAM_UTF_8: HeaderValue =
    HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The header that keeps nginx and other proxies from buffering events.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The header that asks proxies to forward the bytes of a response as they arrive (RFC 10036).
const INCREMENTAL: HeaderName = HeaderName::from_static("incremental");

/// The headers that cannot be right for a stream into which the layer writes.
static NOT_OF_A_STREAM: [HeaderName; 7] = [
    CONTENT_LENGTH,
    ETAG,
    ACCEPT_RANGES,
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-md5"),
];

/// Headers that only the server may set. HTTP/2 forbids them (RFC 9113, section 8.2.2).
static HOP_BY_HOP: [HeaderName; 4] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
];

const MEDIA_TYPE: &[u8] = b"text/event-stream";

/// Returns whether this is the head of an event stream: the media type is `text/event-stream`, and
/// the status allows a body.
#[inline]
pub(crate) fn is_event_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    let Some(first) = content_type(headers) else { return false };
    let is_list = first.len() > MEDIA_TYPE.len() && first.contains(&b',');
    let has_several = is_list || headers.len() > headers.keys_len();
    is_text_event_stream(if has_several { last_media_type(headers) } else { first })
        && has_body(status)
}

/// Returns the first value of `Content-Type`.
#[inline]
fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    // Few responses have many headers, so comparing their names costs less than a hash.
    Some(headers.iter().find(|(name, _)| **name == CONTENT_TYPE)?.1.as_bytes())
}

/// Returns the last valid media type in all `Content-Type` values, as the Fetch standard extracts
/// it. Empty if none is valid.
#[cold]
fn last_media_type(headers: &HeaderMap) -> &[u8] {
    let is_token = |name: &[u8]| !name.is_empty() && name.iter().copied().all(is_token_byte);
    let media_types = elements(headers, CONTENT_TYPE).filter(|value| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let mut names = essence.trim_ascii_end().splitn(2, |byte| *byte == b'/');
        *essence != *b"*/*"
            && names.next().is_some_and(is_token)
            && names.next().is_some_and(is_token)
    });
    // This doesn't search from the end, because a search from there can't tell whether a comma is
    // inside quotes.
    media_types.reduce(|_, last| last).unwrap_or_default()
}

/// Returns whether a token, such as a type's name, may contain this byte (RFC 9110, section 5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Returns whether a response with this status can have a body (RFC 9110, section 6.4.1).
pub(crate) fn has_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn is_text_event_stream(media_type: &[u8]) -> bool {
    media_type.split_at_checked(MEDIA_TYPE.len()).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(MEDIA_TYPE) && matches!(rest, [] | [b';' | b' ' | b'\t', ..])
    })
}

/// Returns whether the body has a content coding, which means that its bytes are not plain events.
/// Some JavaScript servers send the unregistered coding `none`, so that streams aren't compressed.
pub(crate) fn has_content_coding(headers: &HeaderMap) -> bool {
    let is_none = |coding: &[u8]| {
        [&b""[..], b"identity", b"none"].iter().any(|none| coding.eq_ignore_ascii_case(none))
    };
    elements(headers, CONTENT_ENCODING).any(|coding| !is_none(coding))
}

pub(crate) fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).iter().flat_map(|value| {
        let mut is_quoted = false;
        let elements = value.as_bytes().split(move |byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        elements.map(<[u8]>::trim_ascii)
    })
}

/// Makes these the headers of an event stream. The service's `charset=utf-8` stays, because
/// Python's `requests` reads text without a charset as Latin-1. No charset is added, because some
/// proxies compare the whole header.
pub(crate) fn make_event_stream(headers: &mut HeaderMap) {
    let unfit = || NOT_OF_A_STREAM.iter().chain(&HOP_BY_HOP);
    // Comparing the names of a few headers costs less than looking up each unfit name.
    if headers.keys_len() > FEW || headers.keys().any(|name| unfit().any(|it| it == name)) {
        for name in unfit() {
            headers.remove(name);
        }
    }
    // Most services set exactly this type.
    if headers.len() > headers.keys_len() || content_type(headers) != Some(MEDIA_TYPE) {
        let mut parameters =
            last_media_type(headers).split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_utf_8 = |it: &[u8]| UTF_8.iter().any(|utf_8| it.eq_ignore_ascii_case(utf_8));
        let has_utf_8 = parameters.any(is_utf_8);
        let content_type = if has_utf_8 { TEXT_EVENT_STREAM_UTF_8 } else { TEXT_EVENT_STREAM };
        headers.insert(CONTENT_TYPE, content_type);
    }
    forbid_transforming(headers);
    headers.entry(X_ACCEL_BUFFERING).or_insert(HeaderValue::from_static("no"));
}

/// The number of headers up to which their names are compared one by one.
const FEW: usize = 8;

/// Asks proxies to forward each event as it arrives, unless the service has set the header (RFC
/// 10036, section 3).
pub(crate) fn ask_for_incremental_forwarding(headers: &mut HeaderMap) {
    headers.entry(INCREMENTAL).or_insert(HeaderValue::from_static("?1"));
}

pub(crate) fn remove_those_of_whole_bodies(headers: &mut HeaderMap) {
    for name in &NOT_OF_A_STREAM {
        headers.remove(name);
    }
}

/// Lets the server send the body in chunks. HTTP/1.0 has no chunks, so a body that fails would look
/// complete. For a response with version HTTP/3, hyper panics. An upstream's version says nothing
/// about the client (RFC 9110, section 2.5).
pub(crate) const fn allow_chunks(version: &mut Version) {
    *version = Version::HTTP_11;
}

pub(crate) fn make_empty(headers: &mut HeaderMap) {
    let of_a_stream =
        [CONTENT_TYPE, CONTENT_ENCODING, CACHE_CONTROL, X_ACCEL_BUFFERING, INCREMENTAL];
    for name in of_a_stream.iter().chain(&NOT_OF_A_STREAM).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Forbids caches to store a response that depends on more than the URL. By default, caches may
/// store `204` and `404`.
pub(crate) fn forbid_storing(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Adds `no-transform` to `Cache-Control`. Also adds `no-cache` if the header is missing or empty.
fn forbid_transforming(headers: &mut HeaderMap) {
    const NO_TRANSFORM: &[u8] = b"no-transform";

    let is_set = |directive: &[u8]| directive.eq_ignore_ascii_case(NO_TRANSFORM);
    if elements(headers, CACHE_CONTROL).any(is_set) {
        return;
    }
    // `no-cache` is what axum's own `Sse` sets.
    let first = headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    match first.as_bytes() {
        b"" | b"no-cache" => *first = HeaderValue::from_static("no-cache, no-transform"),
        present => {
            if let Ok(both) = HeaderValue::from_bytes(&[present, b", ", NO_TRANSFORM].concat()) {
                *first = both;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{has_content_coding, is_event_stream, make_event_stream};

    fn with(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn media_type_must_match_as_a_whole_in_any_case() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("text/event-stream; charset=utf-8", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream ; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/event-stream-x", false),
            ("text/event-strea", false),
            ("application/json", false),
            ("application/grpc-web", false),
            ("", false),
        ] {
            let headers = with(&header::CONTENT_TYPE, &[content_type]);
            assert_eq!(is_event_stream(StatusCode::OK, &headers), expected, "{content_type}");
        }
        assert!(!is_event_stream(StatusCode::OK, &HeaderMap::new()));
    }

    #[test]
    fn last_valid_media_type_of_all_values_decides() {
        for (values, expected) in [
            (&["text/plain", "text/event-stream"][..], true),
            (&["text/event-stream", "text/plain"], false),
            (&["text/plain, text/event-stream;charset=utf-8"], true),
            (&["text/event-stream, text/plain"], false),
            (&["text/event-stream", "*/*", "text", "", "/x", "text/a b"], true),
            (&[r#"text/plain; a="b, text/event-stream""#], false),
            (&[r#"text/plain; a="b, c", text/event-stream"#], true),
        ] {
            let headers = with(&header::CONTENT_TYPE, values);
            assert_eq!(is_event_stream(StatusCode::OK, &headers), expected, "{values:?}");
        }
    }

    #[test]
    fn status_without_a_body_is_no_stream() {
        let headers = with(&header::CONTENT_TYPE, &["text/event-stream"]);
        for (status, expected) in
            [(100, false), (101, false), (200, true), (204, false), (304, false), (500, true)]
        {
            assert_eq!(
                is_event_stream(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn identity_is_no_content_coding() {
        for (codings, expected) in [
            (&["gzip"][..], true),
            (&["identity"], false),
            (&["Identity", ""], false),
            (&["none"], false),
            (&["identity, br"], true),
            (&["identity", "zstd"], true),
            (&[], false),
        ] {
            assert_eq!(
                has_content_coding(&with(&header::CONTENT_ENCODING, codings)),
                expected,
                "{codings:?}"
            );
        }
    }

    #[test]
    fn cache_control_gets_no_transform_once() {
        for (present, expected) in [
            (&[][..], &["no-cache, no-transform"][..]),
            (&["no-cache"], &["no-cache, no-transform"]),
            (&["no-store"], &["no-store, no-transform"]),
            (&["private", "max-age=0"], &["private, no-transform", "max-age=0"]),
            (&["no-store", "No-Transform"], &["no-store", "No-Transform"]),
            (&["no-cache,no-transform"], &["no-cache,no-transform"]),
            (&[""], &["no-cache, no-transform"]),
        ] {
            let mut headers = with(&header::CACHE_CONTROL, present);
            make_event_stream(&mut headers);
            let cache_control: Vec<_> = headers
                .get_all(header::CACHE_CONTROL)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect();
            assert_eq!(cache_control, expected);
        }
    }

    #[test]
    fn headers_that_are_not_true_of_a_stream_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in [
            "content-length",
            "etag",
            "accept-ranges",
            "digest",
            "content-digest",
            "repr-digest",
            "content-md5",
        ] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        headers.insert("x-accel-buffering", HeaderValue::from_static("yes"));
        headers.insert("x-request-id", HeaderValue::from_static("7"));
        make_event_stream(&mut headers);

        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("cache-control", "no-cache, no-transform"),
                ("content-type", "text/event-stream"),
                ("x-accel-buffering", "yes"),
                ("x-request-id", "7"),
            ]
        );
    }
}
