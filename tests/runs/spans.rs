//! The request's span is current wherever its run's source is polled or dropped.

use tracing::{Instrument, info_span};
use tracing_subscriber::registry::Registry;

use crate::*;

struct SaysWhenDropped(Arc<Mutex<Vec<Option<&'static str>>>>);

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(current_span());
    }
}

#[tokio::test(start_paused = true)]
async fn source_runs_in_the_span_of_the_request() {
    let _recording = record_by(Registry::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runs = Runs::new();
    let guard = SaysWhenDropped(Arc::clone(&seen));
    let polls = Arc::clone(&seen);
    let source = move || {
        stream::iter([Event::from("a")]).chain(stream::pending()).map(move |event| {
            _ = &guard;
            polls.lock().unwrap().push(current_span());
            event
        })
    };
    let run = runs.start(&turn(), None, source).instrument(info_span!("request")).await.unwrap();
    settle().await;
    run.cancel().await;
    settle().await;
    assert_eq!(*seen.lock().unwrap(), [Some("request"); 2]);
}
