//! The tests of [`Ledger`].

use super::{Identity, Ledger, Recent, Unproven};

const fn entry(number: u64) -> Identity {
    Identity { number, fingerprint: number }
}

const fn other(number: u64) -> Identity {
    Identity { fingerprint: 0, ..entry(number) }
}

fn acknowledged(events: &[Identity]) -> Ledger {
    let mut ledger = Ledger::default();
    for event in events {
        let sent = ledger.begin(0);
        assert_eq!(ledger.acknowledge(sent, *event), Ok(()));
        ledger.end(sent);
    }
    ledger
}

fn pass(ledger: &mut Ledger, entries: &[Identity]) {
    ledger.pass(entries, entries.last().unwrap().number);
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
        let mut ledger = acknowledged(&[entry(1), entry(2), entry(4)]);
        assert!(ledger.needs_entries());
        pass(&mut ledger, read);
        assert_eq!(ledger.lost.is_some(), is_lost, "{read:?}");
    }
}

#[test]
fn read_to_the_end_loses_what_was_acknowledged_before() {
    let mut ledger = acknowledged(&[entry(1)]);
    let first = ledger.begin_read();
    let sent = ledger.begin(0);
    ledger.acknowledge(sent, entry(2)).unwrap();
    ledger.end(sent);
    pass(&mut ledger, &[entry(1)]);
    ledger.finish_read(first);
    assert!(ledger.lost.is_none());
    let second = ledger.begin_read();
    ledger.finish_read(second);
    assert!(ledger.lost.is_some());
    assert!(!ledger.needs_entries());
}

#[test]
fn acknowledgement_after_the_read_is_compared_too() {
    let mut ledger = acknowledged(&[]);
    let sent = [(); 4].map(|()| ledger.begin(0));
    pass(&mut ledger, &[entry(1), entry(2), entry(4)]);
    assert_eq!(ledger.acknowledge(sent[0], entry(1)), Ok(()));
    assert_eq!(ledger.acknowledge(sent[1], other(2)), Err(Unproven::Missing));
    assert_eq!(ledger.acknowledge(sent[2], entry(3)), Err(Unproven::Missing));
    assert_eq!(ledger.acknowledge(sent[3], entry(5)), Ok(()));
    assert!(ledger.lost.is_none(), "an event that is not acknowledged");
    let sent = ledger.begin(0);
    assert_eq!(ledger.acknowledge(sent, entry(5)), Err(Unproven::RolledBack));
    let session = ledger.begin_session();
    assert_eq!(ledger.acknowledge(sent, entry(6)), Err(Unproven::Late));
    let sent = ledger.begin(session);
    assert_eq!(ledger.acknowledge(sent, entry(6)), Ok(()));
}

#[test]
fn marker_covers_what_was_lost_before_it_until_it_is_lost_itself() {
    let mut ledger = acknowledged(&[entry(1), entry(2)]);
    pass(&mut ledger, &[entry(3)]);
    ledger.cover(1);
    assert!(ledger.lost.is_some());
    ledger.await_marker(entry(4));
    assert!(ledger.lost.is_none());
    pass(&mut ledger, &[entry(5)]);
    assert!(ledger.lost.is_some());
    ledger.cover(6);
    assert!(ledger.lost.is_none());
}

#[test]
fn trimmed_entries_are_forgiven() {
    let mut ledger = acknowledged(&[entry(1), entry(2), entry(3)]);
    ledger.forgive_before(3);
    pass(&mut ledger, &[entry(3)]);
    assert!(ledger.lost.is_none());
}

#[test]
fn entries_are_kept_since_the_oldest_event_in_flight_was_sent() {
    let mut recent = Recent::default();
    let add = |recent: &mut Recent, numbers: &[u64]| {
        for number in numbers {
            recent.add(Identity { number: *number, fingerprint: 0 });
        }
    };
    let kept =
        |recent: &Recent| (1..=5).filter(|id| recent.find(*id).is_some()).collect::<Vec<u64>>();
    assert!(!recent.is_recording());
    add(&mut recent, &[1]);
    assert!(kept(&recent).is_empty());
    recent.begin(1);
    assert!(recent.is_recording());
    add(&mut recent, &[2, 3]);
    recent.begin(3);
    recent.begin(3);
    add(&mut recent, &[4]);
    recent.end(3);
    assert_eq!(kept(&recent), [2, 3, 4]);
    recent.end(1);
    assert_eq!(kept(&recent), [4]);
    recent.end(3);
    assert!(kept(&recent).is_empty());
    assert!(!recent.is_recording());
    recent.begin(4);
    add(&mut recent, &[5]);
    assert_eq!(kept(&recent), [5]);
    recent.end(4);
    assert!(recent.entries.is_empty());
}
