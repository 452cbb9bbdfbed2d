use crate::*;

/// Lets streams end on every exit path, and looks at all that they release and report.
async fn releases_and_reports_once<K: Kind>(tracks: bool) {
    let stats = Stats::new();
    let mut expected: Vec<_> = stats.snapshot().closed_by_reason;
    let (mut closed, mut frames, mut bytes) = (0, 0, 0);
    for &exit in ExitPath::ALL {
        let limited = SseLayer::<K::Marker>::new().max_streams(1);
        let (source, events) = Source::new();
        let (reports, found) = (Reports::default(), Arc::new(Mutex::new(Vec::new())));
        let layer = reports.observe(limited.clone().stats(&stats)).on_close({
            let (found, witness) = (Arc::clone(&found), source.witness());
            let (limited, stats) = (limited.clone(), stats.clone());
            move |_| {
                let released = (witness.is_dropped(), open::<K>(&limited).is_ok());
                let counted = (stats.snapshot().open, stats.snapshot().closed);
                found.lock().unwrap().push((released, counted));
            }
        });
        let disconnect = exit.go_with::<K>(&layer.track_disconnects(tracks), source, events).await;

        // One report, once the source is dropped and its permit released.
        let reason = exit.reason::<K>();
        assert_eq!(reports.opened(), usize::from(reason.is_some()), "{exit:?}");
        assert_eq!(reports.reasons(), Vec::from_iter(reason), "{exit:?}");
        for report in reports.closed() {
            assert_eq!((report.frames, report.bytes), exit.sent(), "{exit:?}");
            assert_eq!(report.heartbeats, 0, "{exit:?}");
        }
        if let Some(reason) = reason {
            expected.iter_mut().find(|(other, _)| *other == reason).unwrap().1 += 1;
            (closed, frames, bytes) = (closed + 1, frames + exit.sent().0, bytes + exit.sent().1);
        }
        let seen = reason.map(|_| ((true, true), (0, closed)));
        assert_eq!(*found.lock().unwrap(), Vec::from_iter(seen), "{exit:?}");

        let now = stats.snapshot();
        assert_eq!(Vec::from_iter(now.closed_by_reason), expected, "{exit:?}");
        assert_eq!((now.opened, now.closed, now.open), (closed, closed, 0), "{exit:?}");
        assert_eq!((now.frames, now.bytes), (frames, bytes), "{exit:?}");
        assert_eq!((now.heartbeats, now.refused), (0, 0), "{exit:?}");

        let _first = open::<K>(&limited).expect("the place is free");
        let second = open::<K>(&limited).err();
        assert_eq!(second, Some(StatusCode::SERVICE_UNAVAILABLE), "{exit:?}: there is one place");

        let is_called = exit != ExitPath::NotAcceptable || !K::BARE;
        assert_eq!(disconnect.is_some(), (tracks || K::BARE) && is_called, "{exit:?}");
        if let Some(disconnect) = disconnect {
            assert_eq!(disconnect.reason(), Some(exit.end()), "{exit:?}");
            assert!(disconnect.is_cancelled() && disconnect.token().is_cancelled(), "{exit:?}");
            disconnect.cancelled().now_or_never().expect("it returns at once");
        }
    }
    assert!(expected.iter().all(|(_, closed)| *closed > 0), "every reason: {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn every_exit_path_releases_and_reports_a_stream_once() {
    for tracks in [false, true] {
        releases_and_reports_once::<Bodies>(tracks).await;
        releases_and_reports_once::<Responses>(tracks).await;
        releases_and_reports_once::<Streams>(tracks).await;
    }
}
