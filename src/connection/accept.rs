use http::{HeaderMap, header::ACCEPT};

/// Returns whether a request accepts an event stream (RFC 9110, section 12.5.1).
///
/// A request without an `Accept` header accepts anything. Otherwise the most specific range that
/// matches decides.
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut ranges = ranges(headers).peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges
        .filter_map(RangeMatch::of)
        .max_by_key(|range| range.specificity)
        .is_some_and(|range| range.is_accepted)
}

/// Returns whether the `Accept` header names `text/event-stream`, with a weight above zero.
pub(super) fn names_event_stream(headers: &HeaderMap) -> bool {
    ranges(headers)
        .filter_map(RangeMatch::of)
        .any(|range| range.specificity == BY_NAME && range.is_accepted)
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|value| split_unquoted(value.as_bytes(), b','))
        .map(<[u8]>::trim_ascii)
        .filter(|range| !range.is_empty())
}

/// A media range that matches `text/event-stream`.
struct RangeMatch {
    specificity: u8,
    is_accepted: bool,
}

/// The specificity of the range `text/event-stream` itself.
const BY_NAME: u8 = 2;

impl RangeMatch {
    fn of(range: &[u8]) -> Option<Self> {
        let mut parts = split_unquoted(range, b';').map(<[u8]>::trim_ascii);
        let media_range = parts.next()?;
        let specificity = match media_range {
            b"*/*" => 0,
            range if range.eq_ignore_ascii_case(b"text/*") => 1,
            range if range.eq_ignore_ascii_case(b"text/event-stream") => BY_NAME,
            _ => return None,
        };
        Some(Self { specificity, is_accepted: !parts.any(is_zero_weight) })
    }
}

fn is_zero_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0'] => true,
        [b'q' | b'Q', b'=', b'0', b'.', digits @ ..] => digits.iter().all(|digit| *digit == b'0'),
        _ => false,
    }
}

/// Splits `list` at every `separator` outside of quoted strings.
fn split_unquoted(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |byte| {
        if escaped {
            escaped = false;
        } else {
            escaped = quoted && *byte == b'\\';
            quoted ^= *byte == b'"';
        }
        !quoted && *byte == separator
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::ACCEPT};

    use super::accepts_event_stream;

    #[test]
    fn most_specific_range_decides() {
        for (accept, expected) in [
            (&[][..], true),
            (&[""], true),
            (&["text/event-stream"], true),
            (&["Text/Event-Stream"], true),
            (&["text/event-stream; charset=utf-8"], true),
            (&["text/*"], true),
            (&["*/*"], true),
            (&["application/json"], false),
            (&["text/html, application/xml;q=0.9"], false),
            (&["application/json", "text/event-stream;q=0.1"], true),
            (&["text/event-stream;q=0"], false),
            (&["text/event-stream; q=0.000"], false),
            (&["text/event-stream;q=0, */*"], false),
            (&["*/*;q=0, text/event-stream"], true),
            (&["text/*;q=0, */*"], false),
            (&["text/event-stream;q=0.001"], true),
            (&["application/json;profile=\"a, text/event-stream, \\\"b\""], false),
            (&["text/event-streaming"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_event_stream(&headers), expected, "{accept:?}");
        }
    }
}
