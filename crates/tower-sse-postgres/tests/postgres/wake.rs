//! How hubs find rows that another process has inserted or numbered, even after locks have delayed
//! a hub.

use crate::*;

const SEND: &str = "select tower_sse.publish('a', $1, 'tower_sse', wake => $2)";

/// Publishes by SQL and returns the time from the commit to the client, in milliseconds.
async fn latency(
    client: &Sql,
    process: &mut Process,
    number: usize,
    wake: bool,
    committed: impl Fn(),
) -> f64 {
    // A random pause, so that events come at different times after a poll.
    tokio::time::sleep(Duration::from_millis(fastrand::u64(..100))).await;
    client.execute(SEND, &[&number.to_string(), &wake]).await.unwrap();
    let began = Instant::now();
    committed();
    process.reads([number]).await;
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures polls, the waker and notifications in turns, because a busy machine slows them all
/// alike. An event waits for a poll for 50 ms on average if the hub polls often, and for a second if
/// it is quiet. The other two save this time.
#[tokio::test]
async fn waker_and_notification_are_faster_than_polls() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let client = server.connect().await;
    let mut saved = [const { Vec::new() }; 2];
    for number in (0..3 * 41).step_by(3) {
        let polled = latency(&client, &mut process, number, false, || {}).await;
        let woken = latency(&client, &mut process, number + 1, false, &waker).await;
        let notified = latency(&client, &mut process, number + 2, true, || {}).await;
        saved[0].push(polled - woken);
        saved[1].push(polled - notified);
    }
    let [by_waker, by_notification] = saved.map(median);
    println!("{by_waker} ms less by the waker, {by_notification} ms less by wake => true");
    assert!(by_waker > 20.0 && by_notification > 20.0, "{by_waker} ms, {by_notification} ms");
}

/// A proxy loses all notifications.
#[tokio::test]
async fn lost_notifications_are_replaced_by_polls() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let other = Process::connect(server.broker()).await;
    let mut process = Process::connect(proxy.broker()).await;
    assert!(process.stats.listens());
    proxy.drop_notifications();
    other.publish(0..5).await;
    process.reads(0..5).await;
    // When the hub reconnects, it notices that notifications are lost.
    proxy.cut();
    until(|| process.health.reconnections() == 1).await;
    assert!(!process.stats.listens());
    other.publish(5..10).await;
    process.reads(5..10).await;
}

#[tokio::test]
async fn hub_that_does_not_listen_polls() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker().listen(false)).await;
    let other = Process::connect(server.broker().listen(false)).await;
    assert!(!process.stats.listens());
    other.publish(0..5).await;
    process.reads(0..5).await;
}

/// Starts a server, and a hub in the schema `deaf` that polls about 10 times a second.
async fn beside_a_deaf_hub() -> Option<(Server, Process)> {
    let server = Server::start_with(&["track_functions=pl"]).await?;
    sql(&server.connect().await, &schema_named("deaf").unwrap()).await;
    let deaf = Postgres::open(&server.address()).unwrap().schema("deaf").unwrap();
    let deaf = Process::connect(deaf.broker("tower_sse").listen(false)).await;
    Some((server, deaf))
}

/// Returns how often the hubs of a schema have polled.
async fn polls(client: &Sql, schema: &str) -> u64 {
    let calls = "select coalesce(sum(calls), 0)::bigint from pg_stat_user_functions
        where funcname = 'poll' and schemaname = $1";
    client.query_one(calls, &[&schema]).await.unwrap().get::<_, i64>(0).try_into().unwrap()
}

/// Waits for 80 polls of the deaf hub.
async fn during_80_polls(client: &Sql) {
    let before = polls(client, "deaf").await;
    until_async(async || polls(client, "deaf").await >= before + 80).await;
}

/// Counts the polls of the schema `tower_sse` during 80 polls of the deaf hub.
async fn polls_beside_80(client: &Sql) -> u64 {
    let before = polls(client, "tower_sse").await;
    during_80_polls(client).await;
    polls(client, "tower_sse").await - before
}

#[tokio::test]
async fn listening_hub_polls_seldom_until_an_event_comes_without_a_wake() {
    let Some((server, _deaf)) = beside_a_deaf_hub().await else { return };
    let client = server.connect().await;
    let mut process = Process::connect(server.broker()).await;
    assert!(process.stats.listens());
    let quiet = polls_beside_80(&client).await;
    sql(&client, "select tower_sse.publish('a', '1', 'tower_sse')").await;
    process.reads([1]).await;
    let busy = polls_beside_80(&client).await;
    println!("{quiet} polls while quiet, then {busy}, beside 80");
    assert!(quiet < 27 && busy > 40, "{quiet}, {busy}");
}

/// Publishes an event, wakes the hub after `before`, waits for `after`, and so on. Sets `is_late` once
/// a wake is late.
async fn wake_later(
    client: Sql,
    publish: String,
    waker: impl Fn(),
    [before, after]: [Duration; 2],
    is_late: Arc<AtomicBool>,
) {
    loop {
        let began = Instant::now();
        sql(&client, &publish).await;
        sleep(before).await;
        waker();
        is_late.fetch_or(began.elapsed() > before + Duration::from_millis(20), SeqCst);
        sleep(after).await;
    }
}

const SCHEMAS: [&str; 4] = ["s0", "s1", "s2", "s3"];

/// Starts two hubs in each schema, each beside a program that wakes it after these times, and counts
/// their polls during 80 polls of the deaf hub. Returns the counts of the schemas without a late
/// wake, after which a hub rightly polls often.
async fn polls_while_woken(server: &Server, observer: &Sql, times: [Duration; 2]) -> Vec<u64> {
    let (mut processes, mut programs) = (Vec::new(), JoinSet::new());
    let late = SCHEMAS.map(|_| Arc::<AtomicBool>::default());
    for (schema, is_late) in SCHEMAS.iter().zip(&late) {
        let postgres = Postgres::open(&server.address()).unwrap().schema(*schema).unwrap();
        for stream in ["one", "two"] {
            let broker = postgres.broker(stream);
            let (waker, client) = (broker.waker(), server.connect().await);
            let process = Process::connect(broker).await;
            assert!(process.stats.listens());
            processes.push(process);
            let publish = format!("select {schema}.publish('a', '', '{stream}')");
            programs.spawn(wake_later(client, publish, waker, times, Arc::clone(is_late)));
        }
    }
    let mut counts = Vec::new();
    for schema in SCHEMAS {
        counts.push(polls(observer, schema).await);
    }
    during_80_polls(observer).await;
    let mut woken = Vec::new();
    for ((schema, is_late), before) in SCHEMAS.iter().zip(&late).zip(counts) {
        let polls = polls(observer, schema).await - before;
        if !is_late.load(SeqCst) {
            woken.push(polls);
        }
    }
    woken
}

/// In each program, an event is in the inbox for a while before the wake, as under load. Between the
/// events of the second program, no wake explains the rows that a poll finds. On a busy machine,
/// where most schemas have a late wake, this test begins again, and shows nothing after three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_hubs_poll_seldom_while_each_event_is_woken() {
    let Some((server, _deaf)) = beside_a_deaf_hub().await else { return };
    let observer = server.connect().await;
    for schema in SCHEMAS {
        sql(&observer, &schema_named(schema).unwrap()).await;
    }
    for times in [[25, 25], [50, 150]] {
        let times = times.map(Duration::from_millis);
        for _ in 0..3 {
            let woken = polls_while_woken(&server, &observer, times).await;
            println!("{woken:?} polls of two hubs beside 80, {times:?} before and after each wake");
            if woken.len() > 1 {
                let woken = median(woken.into_iter().map(|polls| polls as f64).collect());
                assert!(woken < 30.0, "{woken}");
                break;
            }
        }
    }
}

/// Wake-ups that find nothing keep coming too.
#[tokio::test]
async fn slow_polls_pause_a_hub_even_if_wake_ups_find_nothing() {
    let Some((server, _deaf)) = beside_a_deaf_hub().await else { return };
    let client = server.connect().await;
    let slow = "do $$ begin
        execute replace(pg_get_functiondef('tower_sse.poll'::regproc), E'\\nbegin\\n',
            E'\\nbegin\\n perform pg_sleep(0.1);\\n');
    end $$";
    sql(&client, slow).await;
    let broker = server.broker();
    let waker = broker.waker();
    let _process = Process::connect(broker).await;
    let mut waking = JoinSet::new();
    waking.spawn(async move {
        loop {
            waker();
            sleep(Duration::from_millis(20)).await;
        }
    });
    let slow = polls_beside_80(&client).await;
    println!("{slow} slow polls beside 80");
    assert!(slow < 20, "{slow}");
}

/// First, `process` reads the events of a hub that notifies it.
#[tokio::test]
async fn listening_hub_polls_often_beside_a_hub_that_does_not_listen() {
    let Some((server, _deaf)) = beside_a_deaf_hub().await else { return };
    let client = server.connect().await;
    let mut process = Process::connect(server.broker()).await;
    let other = Process::connect(server.broker()).await;
    for number in 0..10 {
        other.publish([number]).await;
        process.reads([number]).await;
    }
    drop(other);
    let quiet = polls_beside_80(&client).await;
    let silent = Process::connect(server.broker().listen(false)).await;
    let before = polls(&client, "deaf").await;
    for number in 10..20 {
        silent.publish([number]).await;
        process.reads([number]).await;
    }
    let waited = polls(&client, "deaf").await - before;
    println!("{quiet} polls beside 80 while quiet, then 10 events during {waited} polls");
    assert!(quiet < 27 && waited < 80, "{quiet}, {waited}");
}

/// The program of `process` wakes its hub all the time, but publishes nothing.
#[tokio::test]
async fn hub_polls_although_wake_ups_that_find_nothing_keep_coming() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let silent = Process::connect(server.broker().listen(false)).await;
    let mut waking = JoinSet::new();
    waking.spawn(async move {
        loop {
            waker();
            sleep(Duration::from_millis(300)).await;
        }
    });
    silent.publish([1]).await;
    process.reads([1]).await;
    drop(silent);
    sql(&server.connect().await, "delete from tower_sse.log").await;
    process.reads_gap().await;
}

/// One program wakes the hub after each of its events, and another one does not.
#[tokio::test]
async fn event_without_a_wake_waits_for_no_wake_of_other_events() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    assert!(process.stats.listens());
    let (client, other) = (server.connect().await, server.connect().await);
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let mut waking = JoinSet::new();
    waking.spawn(async move {
        loop {
            sql(&other, "select tower_sse.publish('b', '', 'tower_sse')").await;
            counted.fetch_add(1, SeqCst);
            waker();
            sleep(Duration::from_millis(700)).await;
        }
    });
    // During the first ten, the hub finds out that events come without a wake.
    let mut unaided = 0;
    for number in 0..30 {
        sleep(Duration::from_millis(fastrand::u64(..50))).await;
        let before = wakes.load(SeqCst);
        client.execute(SEND, &[&number.to_string(), &false]).await.unwrap();
        process.reads([number]).await;
        unaided += usize::from(number >= 10 && wakes.load(SeqCst) == before);
    }
    println!("{unaided} of 20 events came without a wake");
    assert!(unaided > 5, "{unaided}");
}

/// The transaction that publishes an event numbers it too, as a faster hub does that polls. The hubs
/// that are woken find it before those that are not.
#[tokio::test]
async fn woken_hub_finds_an_event_that_a_silent_hub_has_numbered() {
    let Some(server) = Server::start().await else { return };
    let mut measuring = JoinSet::new();
    for place in 0..16 {
        let (stream, is_woken) = (format!("s{place}"), place % 2 == 0);
        let (broker, client) = (server.broker_of(&stream), server.connect().await);
        measuring.spawn(async move {
            let waker = broker.waker();
            let mut process = Process::connect(broker).await;
            // The first poll is over.
            process.delivers([0]).await;
            let publish = format!(
                "select tower_sse.publish('a', '1', '{stream}');
                select from tower_sse.append('{stream}', 0, 0, null, false,
                    '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', false)"
            );
            sql(&client, &publish).await;
            let began = Instant::now();
            if is_woken {
                waker();
            }
            process.reads([1]).await;
            (is_woken, began.elapsed().as_secs_f64() * 1e3)
        });
    }
    let (woken, polled): (Vec<_>, Vec<_>) =
        measuring.join_all().await.into_iter().partition(|(is_woken, _)| *is_woken);
    let [woken, polled] =
        [woken, polled].map(|all| median(all.into_iter().map(|(_, took)| took).collect()));
    println!("{woken} ms with a wake, {polled} ms without");
    assert!(woken * 3.0 < polled, "{woken} ms, {polled} ms");
}

/// A wake-up reaches all hubs. One of them numbers the event, and the others find nothing to do.
#[tokio::test]
async fn batch_with_nothing_to_number_writes_nothing() {
    let Some((server, mut process)) = Process::start().await else { return };
    process.delivers([1]).await;
    let client = server.connect().await;
    let append = "begin; select from tower_sse.append('tower_sse', 0, 0, null, false, \
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', true)";
    sql(&client, append).await;
    let written = "select pg_current_xact_id_if_assigned()::text from (select 1) one";
    let written = client.query_one(written, &[]).await.unwrap();
    assert_eq!(written.get::<_, Option<String>>(0), None);
}

/// Counts the notifications and the calls of `read`.
const COUNTING: &str = "
    create sequence notified;
    alter function pg_catalog.pg_notify(text, text) rename to real_notify;
    create function pg_catalog.pg_notify(text, text) returns void language plpgsql as $$
    begin
        perform nextval('public.notified');
        perform real_notify($1, $2);
    end $$;
    create sequence reads;
    do $$ begin
        execute replace(pg_get_functiondef('tower_sse.read'::regproc), E'\\nbegin\\n',
            E'\\nbegin\\n perform nextval(''public.reads'');\\n');
    end $$";

async fn count(client: &Sql, sequence: &str) -> u64 {
    let count = format!("select last_value::text from {sequence}");
    sql(client, &count).await.remove(0).parse().unwrap()
}

#[tokio::test]
async fn hub_notifies_while_another_one_listens() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, COUNTING).await;
    let notified = async || count(&client, "notified").await;
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let before = notified().await;
    process.delivers(0..5).await;
    client.execute(SEND, &[&"5", &false]).await.unwrap();
    waker();
    process.reads([5]).await;
    assert_eq!(notified().await, before);
    let mut other = Process::connect(server.broker()).await;
    let before = notified().await;
    for number in 6..10 {
        process.delivers([number]).await;
        other.reads([number]).await;
    }
    client.execute(SEND, &[&"10", &false]).await.unwrap();
    waker();
    process.reads([10]).await;
    other.reads([10]).await;
    assert_eq!(notified().await, before + 5);
    other.delivers([11]).await;
    process.reads([11]).await;
    drop(other);
    until_async(async || {
        let before = notified().await;
        process.publish([0]).await;
        notified().await == before
    })
    .await;
}

#[tokio::test]
async fn process_that_numbers_an_event_reads_it_at_once() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, COUNTING).await;
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    process.delivers([0]).await;
    let before = count(&client, "reads").await;
    for number in 1..=100 {
        client.execute(SEND, &[&number.to_string(), &false]).await.unwrap();
        waker();
        process.reads([number]).await;
    }
    // Not 0: if a poll is due when a row has been numbered, the poll finds the row, and the hub
    // reads it with `read`.
    let read = count(&client, "reads").await - before;
    assert!(read < 50, "{read} reads for 100 events");
}

/// Each batch takes the server's time, however few rows it has.
#[tokio::test]
async fn batches_of_several_woken_events_keep_apart() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let began = Instant::now();
    for number in (0..200).step_by(2) {
        let insert = format!(
            "insert into tower_sse.inbox (stream, topic, data)
            values ('tower_sse', 'a', '{number}'), ('tower_sse', 'a', '{}')",
            number + 1
        );
        sql(&client, &insert).await;
        waker();
        process.reads([number, number + 1]).await;
    }
    println!("100 batches in {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_millis(450), "{:?}", began.elapsed());
}

/// The server can't prepare a transaction that notifies.
#[tokio::test]
async fn transaction_that_wakes_hubs_cannot_be_prepared() {
    let Some((server, mut process)) = Process::start().await else { return };
    let client = server.connect().await;
    for (wake, is_prepared) in [(false, true), (true, false)] {
        sql(&client, "begin").await;
        client.execute(SEND, &[&"1", &wake]).await.unwrap();
        let prepared = client.batch_execute(&format!("prepare transaction '{wake}'")).await;
        assert_eq!(prepared.is_ok(), is_prepared, "{prepared:?}");
        let error = prepared.err();
        let code = error.as_ref().and_then(tokio_postgres::Error::code);
        assert_eq!(code, (!is_prepared).then_some(&SqlState::FEATURE_NOT_SUPPORTED));
    }
    sql(&client, "commit prepared 'false'").await;
    process.reads([1]).await;
    // The transaction that notifies was rolled back.
    process.delivers([2]).await;
}

// In the tests below, locks stop the hub or its trim for a while. Later events arrive as usual.

/// Far longer than an event by SQL takes, but shorter than ten times the poll that a lock delays.
const USUAL: Duration = Duration::from_secs(5);

/// Returns whether a poll, or any other statement, is waiting for a lock.
async fn poll_waits(observer: &Sql) -> bool {
    let waiting = "select pid::text from pg_locks where not granted";
    !sql(observer, waiting).await.is_empty()
}

/// Locks the inbox until `commit`. Returns once a poll is waiting for the lock.
async fn lock_inbox(server: &Server, observer: &Sql) -> Sql {
    let locking = server.connect().await;
    sql(&locking, "begin; lock table tower_sse.inbox").await;
    until_async(async || poll_waits(observer).await).await;
    locking
}

async fn arrives_as_usual(process: &mut Process, client: &Sql, number: usize) {
    let began = Instant::now();
    sql(client, &format!("select tower_sse.publish('a', '{number}', 'tower_sse')")).await;
    process.reads([number]).await;
    assert!(began.elapsed() < USUAL, "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_slow_poll_delays_no_later_event() {
    let Some((server, mut process)) = Process::start().await else { return };
    let observer = server.connect().await;
    sql(&observer, "select tower_sse.publish('a', '1', 'tower_sse')").await;
    process.reads([1]).await;
    let locking = lock_inbox(&server, &observer).await;
    // The poll waits this long for the lock.
    sleep(Duration::from_millis(700)).await;
    sql(&locking, "commit").await;
    until_async(async || !poll_waits(&observer).await).await;
    arrives_as_usual(&mut process, &observer, 2).await;
    assert_eq!(process.health.reconnections(), 0);
}

#[tokio::test]
async fn hub_is_not_ready_while_its_server_stands_still() {
    let Some((server, mut process)) = Process::start().await else { return };
    let observer = server.connect().await;
    let locking = lock_inbox(&server, &observer).await;
    until(|| !process.health.is_ready()).await;
    sql(&locking, "commit").await;
    until(|| process.health.is_ready()).await;
    arrives_as_usual(&mut process, &observer, 1).await;
    // The hub used the same connection all the time.
    assert_eq!(process.health.reconnections(), 0);
    let error = process.health.last_error().unwrap().to_string();
    assert!(error.contains("not at the end of the log within 1s"), "{error}");
}

/// A transaction deletes rows by hand and stays open.
#[tokio::test]
async fn locked_rows_of_the_log_stop_only_the_trim() {
    let Some(server) = Server::start().await else { return };
    let brief = Retention::new().age(Duration::from_secs(3));
    let mut process = Process::connect_with(Hub::builder().retention(brief), server.broker()).await;
    process.delivers(0..5).await;
    let deleting = server.connect().await;
    sql(&deleting, "begin; delete from tower_sse.log").await;
    until(|| process.health.last_error().is_some()).await;
    let error = process.health.last_error().unwrap().to_string();
    assert!(error.contains("lock timeout"), "{error}");
    let age = || process.stats.log().map(|log| log.oldest_age);
    let before = age();
    until(|| age() > before).await;
    process.delivers(5..10).await;
    let writing = server.connect().await;
    let insert =
        "with other as (insert into tower_sse.stream (name) values ('other') returning name)
        insert into tower_sse.inbox (stream, topic, data) select name, 'a', '' from other";
    sql(&writing, insert).await;
    until(|| process.stats.waiting().is_some_and(|waiting| waiting.rows == 1)).await;
    assert_eq!(process.health.reconnections(), 0);
    sql(&deleting, "rollback").await;
    let rows = "select count(*)::text from tower_sse.log";
    until_async(async || sql(&deleting, rows).await == ["1"]).await;
}
