use super::{MAX_LEAD, check};
use crate::*;

fn published(result: Published) -> Publication {
    Publication { topic: 0, is_last: false, life: 0, began_at: 5, position: 0, result }
}

fn acknowledged(sequence: u64) -> Publication {
    published(Published::Acknowledged { sequence })
}

#[test]
fn check_finds_each_fault() {
    let received = |kind, sequence| Received {
        topic: 0,
        kind,
        sequence: Some(sequence),
        at: 7,
        life: 1,
        is_first: false,
    };
    let event = |number, sequence| received(Kind::Event(number), sequence);
    let gap = |sequence| received(Kind::Gap, sequence);
    let checked_from = |start, history: History, messages: &[Received], stopped: bool| {
        let journal = Journal { topics: vec![0], start: Some(start), messages: messages.to_vec() };
        let publications = vec![acknowledged(11), acknowledged(12), published(Published::Refused)];
        let stopped = stopped.then_some(0).into_iter().collect();
        let verdict = check(&History { publications, journals: vec![journal], stopped, ..history });
        let fault = verdict.faults.into_iter().next().unwrap_or_default();
        fault.split(": ").nth(1).unwrap_or_default().split(" of topic").next().unwrap().to_owned()
    };
    let checked_in = |history, messages: &_, stopped| checked_from(10, history, messages, stopped);
    let losing = |overtaken: &[(usize, u64)]| History {
        has_lost: true,
        overtaken: overtaken.iter().copied().collect(),
        ..History::default()
    };
    let checked = |messages: &[Received], stopped| checked_in(losing(&[]), messages, stopped);
    let (one, two) = (event(0, 11), event(1, 12));
    assert_eq!(checked(&[one, two], false), "");
    assert_eq!(checked(&[one, gap(13)], false), "");
    assert_eq!(checked(&[gap(11), two], false), "");
    assert_eq!(checked(&[one, gap(10), two], false), "out of order");
    assert_eq!(checked(&[gap(10), one], false), "event 1");
    assert_eq!(checked(&[one, Received { at: 4, ..gap(13) }], false), "event 1");
    assert_eq!(checked(&[two], false), "event 0");
    assert_eq!(checked(&[one, Received { topic: 1, ..gap(13) }], false), "event 1");
    // If a loss causes a gap for each of several topics, only the last of these gaps has the id of
    // what is lost.
    let elsewhere = Received { topic: 1, ..gap(13) };
    assert_eq!(checked(&[one, gap(11), elsewhere], false), "");
    assert_eq!(checked(&[one, gap(11)], false), "event 1");
    let after_a_cut = Received { is_first: true, ..elsewhere };
    assert_eq!(checked(&[one, gap(11), after_a_cut], false), "event 1");
    assert_eq!(checked(&[gap(10), gap(11), elsewhere], false), "");
    // The client had an id of another copy, which was ahead when event 1 was added.
    let ahead = Received { topic: 1, at: 4, ..gap(13) };
    assert_eq!(checked_in(losing(&[(1, 7)]), &[one, ahead], false), "");
    assert_eq!(checked_in(losing(&[(1, 3)]), &[one, ahead], false), "event 1");
    assert_eq!(checked_in(losing(&[(0, 7)]), &[one, ahead], false), "event 1");
    assert_eq!(checked_in(losing(&[(1, 7)]), &[one], false), "event 1");
    assert_eq!(checked_in(losing(&[(1, 7)]), &[ahead, two], false), "out of order");
    // No process that knew of event 1 is left.
    assert_eq!(checked(&[one], true), "");
    // The processes that sent the gap have stopped, and the stream is below the gap's id again.
    let early = Received { at: 4, life: 0, ..gap(13) };
    let forgotten_if = |markers: Vec<Added>, messages: &[Received]| {
        let other = Publication { life: 1, ..acknowledged(12) };
        let journals = messages.iter().map(|message| Journal {
            topics: vec![0],
            start: Some(10),
            messages: vec![one, *message],
        });
        let publications = vec![acknowledged(11), other];
        let (journals, stopped) = (journals.collect(), BTreeSet::from([0]));
        check(&History { publications, journals, stopped, markers, ..losing(&[]) })
    };
    let forgotten = |message: Received| forgotten_if(Vec::new(), &[message]);
    assert_eq!(forgotten(early).of("excused"), 1);
    assert_eq!(forgotten(Received { life: 1, ..early }).faults.len(), 1);
    // A process that is left sends a gap with the same id, after another marker was added.
    let later = Received { at: 8, life: 1, ..gap(13) };
    let added = |at| vec![Added { id: "0-13".into(), at, ..Added::default() }];
    assert_eq!(forgotten_if(added(3), &[early, later]).of("excused"), 0);
    assert_eq!(forgotten_if(added(6), &[early, later]).of("excused"), 1);
    assert_eq!(checked(&[one, two, Received { sequence: Some(13), ..two }], false), "doubled");
    assert_eq!(checked(&[one, two, event(2, 13)], false), "refused");
    assert_eq!(checked(&[one, two, event(7, 13)], false), "forged");
    assert_eq!(checked(&[one, event(1, 13)], false), "with another id");
    // Nothing was lost. A gap is right only at a process that knows nothing of the last minute.
    let calm = |start, messages: &_| {
        let history = History { may_be_ahead: true, ..History::default() };
        checked_from(start, history, messages, false)
    };
    let first = Received { is_first: true, ..gap(10) };
    assert_eq!(checked_from(11, losing(&[]), &[first, one, two], false), "begins anew");
    assert_eq!(calm(11 + MAX_LEAD, &[first, gap(10), one, two]), "");
    assert_eq!(calm(10 + MAX_LEAD, &[first, one, two]), "a gap without a loss");
    assert_eq!(calm(11 + MAX_LEAD, &[first, one, gap(11), two]), "a gap without a loss");
    assert_eq!(calm(10, &[one, two, gap(12)]), "a gap without a loss");
    let after = |time| History { calm: vec![1..3, time..9], ..losing(&[]) };
    assert_eq!(checked_in(after(8), &[one, gap(13)], false), "");
    assert_eq!(checked_in(after(7), &[one, gap(13)], false), "a gap after the recovery");
}

#[test]
fn check_finds_events_after_an_end() {
    let published = |is_last, position, sequence| {
        let event = acknowledged(sequence);
        Publication { topic: 3, is_last, position, ..event }
    };
    let faults = |event, has_lost| {
        let publications = vec![published(true, 0, 11), event];
        check(&History { publications, has_lost, ..History::default() }).faults.len()
    };
    assert_eq!(faults(published(false, 11, 12), false), 1);
    assert_eq!(faults(published(false, 0, 10), false), 0);
    // In the first case, the end may be lost. In the second, the process has not received the end.
    assert_eq!(faults(published(false, 11, 12), true), 0);
    assert_eq!(faults(published(false, 10, 12), false), 0);
}
