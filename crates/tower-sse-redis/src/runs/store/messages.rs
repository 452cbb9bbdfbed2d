use std::{str, sync::Arc};

use bytes::Bytes;

use super::decode::outcome;
use crate::runs::seam::{
    command::Batch,
    reply::{Push, StoredEnd},
};

/// Reads a message of a run's channel. Returns `None` if it is in another format.
pub(super) fn parse_push(message: Vec<u8>) -> Option<Push> {
    let mut rest = Bytes::from(message);
    let kind = *rest.first()?;
    _ = rest.split_to(1);
    match kind {
        b'h' => Some(Push::Head(rest)),
        b'd' => {
            let first = number(&mut rest)?;
            let last = number(&mut rest)?;
            (1 <= first && first <= last).then_some(Push::Batch(Batch { first, last, bytes: rest }))
        }
        b'n' => Some(Push::Newest(str::from_utf8(&rest).ok()?.parse().ok()?)),
        b'e' => {
            let newest = number(&mut rest)?;
            let text = str::from_utf8(&rest).ok()?;
            let (name, error) = text.split_once(' ')?;
            let (outcome, error) = (outcome(name), error_text(error));
            Some(Push::End(StoredEnd { outcome, error, newest, head: None }))
        }
        b'v' => Some(Push::Void),
        _ => None,
    }
}

/// Returns the text of an error, or `None` if it is empty.
pub(super) fn error_text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// Takes a number and the space behind it.
fn number(rest: &mut Bytes) -> Option<u64> {
    let end = rest.iter().position(|&byte| byte == b' ')?;
    let number = rest.split_to(end);
    _ = rest.split_to(1);
    str::from_utf8(&number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::runs::seam::reply::{Push, StoredEnd};
    use tower_sse::runs::Outcome;

    use super::parse_push;

    fn parse(message: &str) -> Option<Push> {
        parse_push(message.as_bytes().to_vec())
    }

    #[test]
    fn batch_keeps_its_bytes() {
        let Some(Push::Batch(batch)) = parse("d3 5 data: a b\n\n") else { panic!("no batch") };
        assert_eq!((batch.first, batch.last, &*batch.bytes), (3, 5, &b"data: a b\n\n"[..]));
    }

    #[test]
    fn end_has_an_outcome_and_an_error() {
        let end = |message| match parse(message) {
            Some(Push::End(end)) => end,
            other => panic!("{other:?}"),
        };
        let failed = end("e7 failed no more tokens");
        assert_eq!(failed.error.as_deref(), Some("no more tokens"));
        assert_eq!((failed.newest, failed.outcome), (7, Outcome::Failed));
        let StoredEnd { outcome, error, newest, .. } = end("e0 completed ");
        assert_eq!((newest, outcome, error), (0, Outcome::Completed, None));
        assert_eq!(end("e0 unheard-of ").outcome, Outcome::Interrupted);
    }

    #[test]
    fn number_of_the_newest_event_is_read() {
        assert!(matches!(parse("n17"), Some(Push::Newest(17))));
    }

    #[test]
    fn anything_else_is_no_message() {
        for message in
            ["", "x", "d", "d1", "d1 x ", "d5 3 late", "d0 1 zero", "e1", "e1 failed", "n", "nx"]
        {
            assert!(parse(message).is_none(), "{message}");
        }
    }
}
