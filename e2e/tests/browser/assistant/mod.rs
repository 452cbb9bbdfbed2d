//! The example `assistant` as one process and as three over Redis. Tests what its page shows in
//! real engines if users, processes or proxies interrupt an answer before or after its first word.

mod api;
mod front;
mod rig;

use self::api::{RETAINED, WORDS};
use self::rig::{Moment, Rig, SOON, Store};
use crate::engine::Engine::{self, Chromium, Firefox};
use crate::support::{case, until_async};
use crate::*;
use tokio::time::sleep;

async fn reload(engine: Engine, store: Store) {
    let Some(rig) = Rig::start(engine, store).await else { return };
    for (turn, moment) in Moment::BOTH.into_iter().enumerate() {
        let _case = case(format!("{store:?}, {moment:?}"));
        rig.ask(moment).await;
        rig.reload(moment).await;
        rig.reload(moment).await;
        rig.complete(moment).await;
        rig.front.reload().await;
        rig.shows(WORDS, "done").await;
        assert_eq!(rig.api.calls(), turn + 1);
    }
}

async fn second_tab(engine: Engine, store: Store) {
    let Some(rig) = Rig::start(engine, store).await else { return };
    for moment in Moment::BOTH {
        let _case = case(format!("{store:?}, {moment:?}"));
        rig.ask(moment).await;
        rig.open_tab(moment).await;
        rig.complete(moment).await;
        rig.tab_shows(WORDS, "done").await;
        rig.close_tab().await;
    }
    assert_eq!(rig.api.calls(), 2);
}

async fn stop(engine: Engine, store: Store) {
    let Some(rig) = Rig::start(engine, store).await else { return };
    for moment in Moment::BOTH {
        let _case = case(format!("{store:?}, {moment:?}"));
        rig.ask(moment).await;
        rig.open_tab(moment).await;
        rig.front.until("(document.getElementById('stop').click(), true)").await;
        rig.shows(moment.words(), "stopped").await;
        rig.tab_shows(moment.words(), "ended").await;
        rig.api.is_idle().await;
        rig.front.reload().await;
        rig.shows(moment.words(), "ended").await;
    }
}

/// A new process takes over while the old one completes its answers.
async fn sigterm(engine: Engine, store: Store) {
    let Some(mut rig) = Rig::start(engine, store).await else { return };
    for moment in Moment::BOTH {
        for is_attached in [false, true] {
            let _case = case(format!("{store:?}, {moment:?}, {is_attached}"));
            rig.ask(moment).await;
            if is_attached {
                rig.reload(moment).await;
            }
            let mut old = rig.remove_process(&Method::POST);
            old.signal("TERM");
            rig.add_process(SOON).await;
            if store == Store::Redis {
                // With Redis, any process can continue the answer.
                rig.reload(moment).await;
            }
            let heads = rig.front.heads();
            rig.complete(moment).await;
            // The page must not ask again, because the new process may know nothing of the answer.
            assert_eq!(rig.front.heads(), heads, "the page asks for more");
            assert!(old.exited().await.success());
        }
    }
    assert_eq!(rig.api.calls(), 4);
}

async fn kill_of_the_only_process(engine: Engine) {
    let Some(mut rig) = Rig::start(engine, Store::Memory).await else { return };
    for moment in Moment::BOTH {
        for is_attached in [false, true] {
            let _case = case(format!("{moment:?}, {is_attached}"));
            rig.ask(moment).await;
            if is_attached {
                rig.reload(moment).await;
            }
            rig.kill(&Method::POST).await;
            // A page that has an event id is told that the rest is lost.
            let has_id = moment == Moment::Middle;
            rig.shows(moment.words(), if has_id { "interrupted" } else { "gone" }).await;
            rig.api.is_idle().await;
        }
    }
}

async fn kill_of_another_process(engine: Engine) {
    let Some(mut rig) = Rig::start(engine, Store::Redis).await else { return };
    for moment in Moment::BOTH {
        let _case = case(format!("{moment:?}"));
        rig.ask(moment).await;
        rig.reload(moment).await;
        while rig.front.server_of(&Method::GET) == rig.front.server_of(&Method::POST) {
            rig.reload(moment).await;
        }
        rig.kill(&Method::GET).await;
        rig.complete(moment).await;
    }
    assert_eq!(rig.api.calls(), 2);
}

async fn kill_of_the_process_of_the_answer(engine: Engine) {
    let kill = async |moment| {
        let Some(mut rig) = Rig::start(engine, Store::Redis).await else { return };
        rig.ask(moment).await;
        rig.kill(&Method::POST).await;
        // The page learns of the loss once the process counts as dead.
        rig.front.until("document.getElementById('state').textContent === 'interrupted'").await;
        rig.api.is_idle().await;
    };
    tokio::join!(kill(Moment::Silence), kill(Moment::Middle));
}

async fn late_refusal(engine: Engine) {
    let Some(rig) = Rig::start(engine, Store::Memory).await else { return };
    rig.ask(Moment::Silence).await;
    rig.open_tab(Moment::Silence).await;
    rig.api.refuse().await;
    rig.shows(0, "refused: 502").await;
    rig.tab_shows(0, "gone").await;
}

/// The run has lost the first words, but goes on until the user stops it.
async fn long_answer(engine: Engine) {
    let Some(rig) = Rig::start(engine, Store::Memory).await else { return };
    rig.api.lengthen();
    rig.front
        .until(
            "document.readyState === 'complete' && (document.getElementById('ask').click(), true)",
        )
        .await;
    rig.api.say(WORDS - 1).await;
    rig.front
        .until(&format!("document.getElementById('answer').textContent.length > {RETAINED}"))
        .await;
    rig.front.reload().await;
    rig.shows(0, "gone").await;
    assert_eq!(rig.api.open(), 1);
    rig.front.until("(document.getElementById('stop').click(), true)").await;
    rig.api.is_idle().await;
}

/// The next visitor of the same browser does not get the answer.
async fn log_out(engine: Engine) {
    let Some(rig) = Rig::start(engine, Store::Redis).await else { return };
    rig.ask(Moment::Middle).await;
    let answer = rig.front.until("location.hash").await;
    rig.front.until("(document.getElementById('log-out').click(), true)").await;
    rig.front.until("!location.hash && document.readyState === 'complete'").await;
    rig.front.until(&format!("location.hash = {answer}")).await;
    rig.front.reload().await;
    rig.shows(0, "gone").await;
}

const LIMIT: Duration = Duration::from_secs(2);

async fn proxy_with_a_limit(engine: Engine) {
    let behind =
        async |proxy_timeout| Rig::behind(engine, Store::Memory, LIMIT, proxy_timeout).await;
    // The early head and the heartbeats would come after five seconds.
    let Some(rig) = behind(60.0).await else { return };
    rig.front
        .until(
            "document.readyState === 'complete' && (document.getElementById('ask').click(), true)",
        )
        .await;
    rig.shows(0, "refused: 504").await;
    assert_eq!(rig.front.timeouts(), 1);

    let Some(rig) = behind(LIMIT.as_secs_f64() / 10.0).await else { return };
    until_async(async || {
        let timeouts = rig.front.timeouts();
        rig.ask(Moment::Silence).await;
        sleep(2 * LIMIT).await;
        rig.complete(Moment::Silence).await;
        // On a busy machine, a heartbeat can be late.
        rig.front.timeouts() == timeouts
    })
    .await;
}

/// A body that ends cleanly without the last event isn't taken for the whole answer.
async fn proxy_that_ends_responses(engine: Engine, store: Store) {
    let Some(rig) = Rig::start(engine, store).await else { return };
    for moment in Moment::BOTH {
        let _case = case(format!("{store:?}, {moment:?}"));
        rig.ask(moment).await;
        let heads = rig.front.heads();
        rig.front.end_responses();
        until(|| rig.front.heads() > heads).await;
        rig.complete(moment).await;
    }
    assert_eq!(rig.api.calls(), 2);
}

/// Runs a case in both stores at once, because most of the time a page waits to reconnect.
async fn in_stores(engine: Engine, case: impl AsyncFn(Engine, Store)) {
    tokio::join!(case(engine, Store::Memory), case(engine, Store::Redis));
}

#[tokio::test]
async fn answer_survives_reloads() {
    in_stores(Chromium, reload).await;
}

#[tokio::test]
async fn second_tab_reads_along() {
    in_stores(Chromium, second_tab).await;
}

#[tokio::test]
async fn stop_is_a_stop_in_the_silence_and_in_the_middle() {
    in_stores(Chromium, stop).await;
}

#[tokio::test]
async fn sigterm_lets_the_page_have_its_answer() {
    in_stores(Chromium, sigterm).await;
}

#[tokio::test]
async fn page_says_what_the_kill_of_the_only_process_took() {
    kill_of_the_only_process(Chromium).await;
}

#[tokio::test]
async fn kill_of_another_process_takes_nothing() {
    kill_of_another_process(Chromium).await;
}

#[tokio::test]
async fn kill_of_the_process_of_an_answer_is_told() {
    kill_of_the_process_of_the_answer(Chromium).await;
}

#[tokio::test]
async fn late_refusal_is_shown() {
    late_refusal(Chromium).await;
}

#[tokio::test]
async fn answer_above_the_retention_is_gone_after_a_reload() {
    long_answer(Chromium).await;
}

#[tokio::test]
async fn log_out_ends_the_answer_for_the_page() {
    log_out(Chromium).await;
}

#[tokio::test]
async fn proxy_with_a_limit_does_not_end_the_silence() {
    proxy_with_a_limit(Chromium).await;
}

#[tokio::test]
async fn answer_that_a_proxy_ends_cleanly_is_completed() {
    in_stores(Chromium, proxy_that_ends_responses).await;
}

#[tokio::test]
#[ignore = "needs Firefox: `.ci/slow engines`"]
async fn all_of_it_holds_in_firefox() {
    in_stores(Firefox, reload).await;
    in_stores(Firefox, second_tab).await;
    in_stores(Firefox, stop).await;
    in_stores(Firefox, sigterm).await;
    kill_of_the_only_process(Firefox).await;
    kill_of_another_process(Firefox).await;
    kill_of_the_process_of_the_answer(Firefox).await;
    late_refusal(Firefox).await;
    long_answer(Firefox).await;
    log_out(Firefox).await;
    proxy_with_a_limit(Firefox).await;
    in_stores(Firefox, proxy_that_ends_responses).await;
}
