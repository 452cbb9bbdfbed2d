use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::options::{Drain, GRACE, Heartbeat, Retry, StreamOptions, When};
use crate::{callback::Opaque, event::whole_milliseconds};

/// The first byte of encoded options. An incompatible later version has another first byte.
const VERSION: u8 = b'1';
/// The maximum size of padding, as [`StreamOptions::padding`] checks it.
const MAX_PADDING: usize = 1 << 16;

/// The encoding of a handler's answer without options.
const NONE: &[u8] = b"-";

/// Encodes what other processes need to copy a run: the options for its clients, and how many bytes
/// of its events are kept. Closures can't be encoded, and options for only the first client's stream
/// are left out.
pub(super) fn encode(options: Option<&StreamOptions>, retain_bytes: usize) -> Bytes {
    let mut out = options.map_or_else(|| NONE.to_vec(), encode_options);
    field(&mut out, b'k', Some(&retain_bytes), |bytes, out| {
        out.extend_from_slice(&(*bytes as u64).to_be_bytes());
    });
    out.into()
}

/// Decodes how many bytes of events the run's owner keeps.
pub(super) fn decode_retain_bytes(encoded: &[u8]) -> Option<usize> {
    let (_, mut rest) = encoded.split_first()?;
    loop {
        let (&name, after) = rest.split_first()?;
        rest = after;
        let mut value = take_text(&mut rest)?;
        if name == b'k' {
            return usize::try_from(value.try_get_u64().ok()?).ok();
        }
    }
}

fn encode_options(options: &StreamOptions) -> Vec<u8> {
    // All fields are named, so that a new option is encoded or left out on purpose.
    let StreamOptions {
        heartbeat,
        retry,
        padding,
        drain,
        farewell,
        terminator,
        omits_defaults: _,
        is_recorded: _,
        client_kind: _,
        max_age: _,
        long_poll: _,
        on_error: _,
        on_close: _,
    } = options;
    let mut out = vec![VERSION];
    field(&mut out, b'h', heartbeat.as_ref(), |value, out| {
        if let Some(heartbeat) = value {
            // Tokio's timers are no finer than a millisecond.
            let interval = whole_milliseconds(heartbeat.interval).max(1);
            out.extend_from_slice(&interval.to_be_bytes());
            text(out, &heartbeat.comment);
            text(out, heartbeat.event.as_deref().unwrap_or_default());
        }
    });
    field(&mut out, b'r', retry.as_ref(), |retry, out| {
        retry.iter().for_each(|retry| put_retry(out, *retry));
    });
    field(&mut out, b'p', padding.as_ref(), |value, out| out.extend_from_slice(value));
    field(&mut out, b'd', drain.as_ref(), put_drain);
    let event = |value: &Bytes, out: &mut Vec<u8>| out.extend_from_slice(value);
    field(&mut out, b'f', farewell.as_ref(), event);
    field(&mut out, b't', terminator.as_ref(), event);
    out
}

/// Decodes options. Fields with unknown names are ignored. Returns `None` if there are no options,
/// or if they are invalid or of another version.
pub(super) fn decode(encoded: &[u8]) -> Option<StreamOptions> {
    let (VERSION, mut rest) = encoded.split_first().map(|(version, rest)| (*version, rest))? else {
        return None;
    };
    let mut options = StreamOptions::new();
    while let Some((&name, after)) = rest.split_first() {
        rest = after;
        let mut value = take_text(&mut rest)?;
        match name {
            b'h' => options.heartbeat = Some(take_heartbeat(&mut value)?),
            b'r' if value.is_empty() => options.retry = Some(None),
            b'r' => options.retry = Some(Some(take_retry(&mut value)?)),
            b'p' if value.len() <= MAX_PADDING && is_comment(value) => {
                options.padding = Some(Opaque(Bytes::copy_from_slice(value)));
            }
            b'd' => options.drain = Some(take_drain(&mut value)?),
            b'f' => options.farewell = Some(take_event(value)?),
            b't' => options.terminator = Some(take_event(value)?),
            b'p' => return None,
            _ => {}
        }
    }
    Some(options)
}

fn field<T>(out: &mut Vec<u8>, name: u8, value: Option<&T>, put: impl Fn(&T, &mut Vec<u8>)) {
    if let Some(value) = value {
        let mut bytes = Vec::new();
        put(value, &mut bytes);
        out.push(name);
        text(out, &bytes);
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    // Each option is far smaller than 4 GiB.
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = rest.try_get_u32().ok()? as usize;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(text)
}

fn take_duration(rest: &mut &[u8]) -> Option<Duration> {
    rest.try_get_u64().ok().map(Duration::from_millis)
}

fn put_retry(out: &mut Vec<u8>, retry: Retry) {
    let (min, max) = retry.milliseconds;
    out.extend_from_slice(&min.to_be_bytes());
    out.extend_from_slice(&max.to_be_bytes());
}

fn take_retry(rest: &mut &[u8]) -> Option<Retry> {
    let (min, max) = (take_duration(rest)?, take_duration(rest)?);
    (min <= max).then(|| Retry::between(min, max))
}

fn take_heartbeat(rest: &mut &[u8]) -> Option<Option<Heartbeat>> {
    if rest.is_empty() {
        return Some(None);
    }
    let interval = take_duration(rest)?;
    let comment = take_text(rest)?;
    let event = Some(take_event(take_text(rest)?)?).filter(|event| !event.is_empty());
    // A zero interval would be a busy loop.
    (!interval.is_zero() && is_comment(comment))
        .then(|| Some(Heartbeat { interval, comment: Bytes::copy_from_slice(comment), event }))
}

fn put_drain(drain: &Drain, out: &mut Vec<u8>) {
    let (when, time) = match drain.when {
        When::PerClient => (b'p', drain.grace),
        When::AtOnce => (b'o', Duration::ZERO),
        When::SpreadOver(window) => (b's', window),
        When::After(grace) => (b'a', grace),
        When::Never => (b'n', Duration::ZERO),
    };
    out.push(when);
    out.extend_from_slice(&whole_milliseconds(time).to_be_bytes());
    put_retry(out, drain.retry);
}

fn take_drain(rest: &mut &[u8]) -> Option<Drain> {
    let (when, time) = (rest.try_get_u8().ok()?, take_duration(rest)?);
    let retry = take_retry(rest)?;
    let when = match when {
        b'p' => When::PerClient,
        b'o' => When::AtOnce,
        b's' => When::SpreadOver(time),
        b'a' => When::After(time),
        b'n' => When::Never,
        _ => return None,
    };
    let grace = if when == When::PerClient { time } else { GRACE };
    Some(Drain { when, grace, retry })
}

fn take_event(bytes: &[u8]) -> Option<Bytes> {
    (bytes.is_empty() || bytes.ends_with(b"\n\n")).then(|| Bytes::copy_from_slice(bytes))
}

fn is_comment(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || bytes.strip_suffix(b"\n").is_some_and(|lines| {
            lines.split(|byte| *byte == b'\n').all(|line| line.starts_with(b":"))
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Drain, Heartbeat, MAX_PADDING, Retry, StreamOptions};
    use super::{decode, decode_retain_bytes, encode};
    use crate::{connection::ClientKind, event::Event};

    fn options() -> [StreamOptions; 4] {
        let second = Duration::from_secs(1);
        [
            StreamOptions::new(),
            StreamOptions::new()
                .heartbeat(Heartbeat::every(second).comment("still here").event("ping", "{}"))
                .retry(Retry::between(second, 2 * second))
                .padding(100)
                .drain(Drain::after(second).retry(second))
                .farewell(Event::from("bye"))
                .terminator(Event::from("[DONE]")),
            StreamOptions::new()
                .without_heartbeat()
                .without_retry()
                .padding(0)
                .drain(Drain::per_client().grace(second))
                .without_farewell()
                .without_terminator(),
            StreamOptions::new().heartbeat(second).drain(Drain::spread_over(second)),
        ]
    }

    #[test]
    fn encoded_options_decode_to_the_same() {
        for options in options() {
            let encoded = encode(Some(&options), 9);
            let decoded = decode(&encoded).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{options:?}"));
            assert_eq!(encode(Some(&decoded), 9), encoded);
        }
    }

    /// Names all fields, so that a new option needs a value here, and is missed if it isn't
    /// decoded.
    #[test]
    fn every_option_is_recorded_unless_it_is_left_out_by_name() {
        let [_, set, ..] = options();
        let all = StreamOptions {
            heartbeat: set.heartbeat,
            retry: set.retry,
            omits_defaults: true,
            is_recorded: true,
            client_kind: Some(ClientKind::Other),
            padding: set.padding,
            max_age: vec![Duration::from_secs(1).into()],
            long_poll: Some(Duration::from_secs(1)),
            drain: set.drain,
            farewell: set.farewell,
            terminator: set.terminator,
            on_error: StreamOptions::new().on_error(|_| Event::new()).on_error,
            on_close: StreamOptions::new().on_close(|_| {}).on_close,
        };
        assert!(!format!("{all:?}").contains("None"), "an option is not set: {all:?}");
        let encoded = encode(Some(&all), 9);
        let recorded = decode(&encoded).unwrap();
        assert_eq!(encode(Some(&recorded), 9), encoded);
        let expected = StreamOptions {
            omits_defaults: false,
            is_recorded: false,
            client_kind: None,
            max_age: Vec::new(),
            long_poll: None,
            on_error: None,
            on_close: None,
            ..all
        };
        assert_eq!(format!("{recorded:?}"), format!("{expected:?}"));
    }

    #[test]
    fn kept_bytes_are_encoded_with_and_without_options() {
        for options in options().map(Some).into_iter().chain([None]) {
            for bytes in [1, 64 << 10, usize::MAX] {
                let encoded = encode(options.as_ref(), bytes);
                assert_eq!(decode_retain_bytes(&encoded), Some(bytes));
                assert_eq!(decode(&encoded).is_some(), options.is_some());
            }
        }
        assert_eq!(decode_retain_bytes(b"-"), None, "of an earlier version");
    }

    #[test]
    fn shortest_heartbeat_keeps_the_other_options() {
        let terminated = StreamOptions::new().terminator("[DONE]");
        let options = terminated.clone().heartbeat(Duration::from_nanos(1));
        let decoded = decode(&encode(Some(&options), 9)).expect("options");
        let expected = terminated.heartbeat(Duration::from_millis(1));
        assert_eq!(format!("{decoded:?}"), format!("{expected:?}"));
    }

    #[test]
    fn invalid_options_are_refused_and_never_panic() {
        for options in options() {
            let encoded = encode(Some(&options), 9);
            for end in 0..encoded.len() {
                _ = decode(&encoded[..end]);
                assert_eq!(decode_retain_bytes(&encoded[..end]), None);
            }
            for at in 0..encoded.len() {
                for byte in [0, 1, b'\n', 255] {
                    let mut changed = encoded.to_vec();
                    changed[at] = byte;
                    _ = decode(&changed);
                    _ = decode_retain_bytes(&changed);
                }
            }
        }
        assert!(decode(b"").is_none());
        assert!(decode(b"2").is_none());
        let zero = [b"1h\0\0\0\x10".as_slice(), &[0; 16]].concat();
        assert!(decode(&zero).is_none(), "a zero interval would be a busy loop");
        assert!(decode(b"1x\0\0\0\x01y").is_some(), "a field of a later version");
        let padding = |len: usize| {
            let len_bytes = (len as u32).to_be_bytes();
            [b"1p", &len_bytes[..], b":", &vec![b' '; len - 2], b"\n"].concat()
        };
        assert!(decode(&padding(MAX_PADDING)).is_some());
        assert!(decode(&padding(MAX_PADDING + 1)).is_none());
    }
}
