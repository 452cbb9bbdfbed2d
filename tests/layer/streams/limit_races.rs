//! Threads that open and drop streams of a few subjects at the same time.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use tower_sse::streams::Streams;

use crate::*;

const USERS: usize = 4;
const USER_LIMIT: i64 = 2;
const TENANT_LIMIT: i64 = 5;
const ROUNDS: usize = 10_000;

/// What a request does with its place.
fn attempt(round: usize, streams: &Streams, layer: &SseLayer) -> Option<impl Sized + use<>> {
    let mut request = Request::new(());
    let subjects = streams.subjects_of(&mut request);
    let user = format!("user:{}", round * 7 % USERS);
    if round.is_multiple_of(3) {
        subjects.try_add(user).ok()?;
    } else {
        subjects.add(user);
    }
    subjects.add("tenant:1");
    let answer = match round % 5 {
        // No stream.
        0 => event_stream(Feed::new().1).with_status(404),
        _ => event_stream(Feed::new().1),
    };
    let response = answer_to(request, layer, answer);
    (response.status() == StatusCode::OK).then_some(response)
}

/// Counts the open streams of each subject on the side, after they have opened and before they are
/// dropped, so that the counts never exceed the true ones.
#[test]
fn no_race_opens_more_streams_than_the_limits_or_loses_a_place() {
    let streams = Streams::builder()
        .limit("user:", USER_LIMIT as usize)
        .limit("tenant:", TENANT_LIMIT as usize)
        .build();
    let layer = SseLayer::new().streams(&streams);
    let users: Arc<[AtomicI64; USERS]> = Arc::default();
    let tenant = Arc::new(AtomicI64::new(0));
    let opened = AtomicI64::new(0);
    thread::scope(|threads| {
        for offset in 0..2 {
            let (streams, layer, users) = (&streams, &layer, &users);
            let (tenant, opened) = (&tenant, &opened);
            threads.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let runtime = runtime.unwrap();
                let _entered = runtime.enter();
                let mut held = Vec::new();
                for round in (0..ROUNDS).map(|round| 2 * round + offset) {
                    if let Some(stream) = attempt(round, streams, layer) {
                        let user = round * 7 % USERS;
                        assert!(users[user].fetch_add(1, SeqCst) < USER_LIMIT, "user {user}");
                        assert!(tenant.fetch_add(1, SeqCst) < TENANT_LIMIT, "the tenant");
                        opened.fetch_add(1, SeqCst);
                        held.push((user, stream));
                    }
                    if held.len() > round % 4 {
                        let (user, stream) = held.swap_remove(round % held.len());
                        users[user].fetch_sub(1, SeqCst);
                        tenant.fetch_sub(1, SeqCst);
                        drop(stream);
                    }
                }
                for (user, stream) in held {
                    users[user].fetch_sub(1, SeqCst);
                    tenant.fetch_sub(1, SeqCst);
                    drop(stream);
                }
            });
        }
    });
    let opened = opened.into_inner();
    let refused: u64 = streams.stats().refused_by_prefix.iter().map(|(_, refused)| refused).sum();
    assert!(opened > 1_000 && refused > 1_000, "{opened} opened, {refused} refused");
    assert_eq!(streams.subjects(), []);
    // All places are free.
    let mut requests = Vec::new();
    for (subject, limit) in
        [("user:0", USER_LIMIT), ("user:3", USER_LIMIT), ("tenant:1", TENANT_LIMIT)]
    {
        for place in 0..=limit {
            let mut request = Request::new(());
            let taken = streams.subjects_of(&mut request).try_add(subject);
            assert_eq!(taken.is_ok(), place < limit, "{subject}, place {place}");
            requests.push(request);
        }
    }
}
