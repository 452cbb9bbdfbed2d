//! The tests of [`Acknowledgements`].

use super::acknowledgements::{Acknowledgements, Unproven};
use crate::redis::stream::{Identity, StreamId};

const fn entry(milliseconds: u64) -> Identity {
    Identity { id: StreamId::at(milliseconds), fingerprint: milliseconds }
}

const fn other(milliseconds: u64) -> Identity {
    Identity { fingerprint: 0, ..entry(milliseconds) }
}

/// Sends events, all of which are acknowledged.
fn acknowledged(events: &[Identity]) -> Acknowledgements {
    let mut acknowledgements = Acknowledgements::default();
    for event in events {
        let sent = acknowledgements.begin(0);
        assert_eq!(acknowledgements.acknowledge(sent, *event), Ok(true));
        acknowledgements.end(sent);
    }
    acknowledgements
}

fn pass(acknowledgements: &mut Acknowledgements, entries: &[Identity]) {
    acknowledgements.pass(entries, entries.last().unwrap().id);
}

#[test]
fn events_are_met_by_their_identity() {
    for (read, is_lost) in [
        (&[entry(1), entry(2), entry(4)][..], false),
        (&[entry(1), entry(2), entry(3), entry(4), entry(5)], false),
        (&[entry(1)], false),
        (&[entry(1), entry(4)], true),
        (&[entry(5)], true),
        (&[entry(1), other(2), entry(4)], true),
        (&[entry(1), entry(2), other(4)], true),
    ] {
        let mut acknowledgements = acknowledged(&[entry(1), entry(2), entry(4)]);
        assert!(acknowledgements.needs_entries());
        pass(&mut acknowledgements, read);
        assert_eq!(acknowledgements.has_lost(), is_lost, "{read:?}");
    }
}

#[test]
fn read_to_the_end_loses_what_was_acknowledged_before() {
    let mut acknowledgements = acknowledged(&[entry(1)]);
    let first = acknowledgements.begin_read();
    let sent = acknowledgements.begin(0);
    acknowledgements.acknowledge(sent, entry(2)).unwrap();
    acknowledgements.end(sent);
    pass(&mut acknowledgements, &[entry(1)]);
    acknowledgements.finish_read(first);
    assert!(!acknowledgements.has_lost());
    let second = acknowledgements.begin_read();
    acknowledgements.finish_read(second);
    assert!(acknowledgements.has_lost());
    assert!(!acknowledgements.needs_entries());
}

#[test]
fn acknowledgement_after_the_read_is_compared_too() {
    let mut acknowledgements = acknowledged(&[]);
    let sent = [(); 4].map(|()| acknowledgements.begin(0));
    pass(&mut acknowledgements, &[entry(1), entry(2), entry(4)]);
    assert_eq!(acknowledgements.acknowledge(sent[0], entry(1)), Ok(true));
    assert_eq!(acknowledgements.acknowledge(sent[1], other(2)), Err(Unproven::Missing));
    assert_eq!(acknowledgements.acknowledge(sent[2], entry(3)), Err(Unproven::Missing));
    assert_eq!(acknowledgements.acknowledge(sent[3], entry(5)), Ok(true));
    assert!(!acknowledgements.has_lost(), "an event that is not acknowledged");
    let sent = acknowledgements.begin(0);
    assert_eq!(acknowledgements.acknowledge(sent, entry(5)), Err(Unproven::RolledBack));
    let session = acknowledgements.begin_session();
    assert_eq!(acknowledgements.acknowledge(sent, entry(6)), Err(Unproven::Late));
    let sent = acknowledgements.begin(session);
    assert_eq!(acknowledgements.acknowledge(sent, entry(6)), Ok(true));
}

#[test]
fn marker_covers_what_was_lost_before_it_until_it_is_lost_itself() {
    let mut acknowledgements = acknowledged(&[entry(1), entry(2)]);
    pass(&mut acknowledgements, &[entry(3)]);
    acknowledgements.cover(StreamId::at(1));
    assert!(acknowledgements.has_lost());
    acknowledgements.await_marker(entry(4));
    assert!(!acknowledgements.has_lost());
    pass(&mut acknowledgements, &[entry(5)]);
    assert!(acknowledgements.has_lost());
    acknowledgements.cover(StreamId::at(6));
    assert!(!acknowledgements.has_lost());
}

#[test]
fn trimmed_entries_are_forgiven() {
    let mut acknowledgements = acknowledged(&[entry(1), entry(2), entry(3)]);
    acknowledgements.forgive_before(entry(3).id);
    pass(&mut acknowledgements, &[entry(3)]);
    assert!(!acknowledgements.has_lost());
}
