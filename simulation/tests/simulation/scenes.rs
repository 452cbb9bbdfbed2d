//! Scenes in which seeds have found defects, each played in many variations: at different moments,
//! with different latencies, and with answers in different orders.

use crate::*;

/// The number of processes, each of which has one client.
const HUBS: usize = 3;
/// The maximum latencies, in milliseconds.
const LATENCIES: [u64; 3] = [1, 3, 20];
/// The number of orders in which answers arrive.
const ORDERS: u64 = 12;

/// An operator renames the key away, and back before one of the commands that follow. The events
/// that were added to a new stream meanwhile are lost.
#[test]
fn key_renamed_away_and_back_at_any_moment_is_a_gap() {
    let found = check(5..35, async |scene, commands| {
        scene.has_lost = true;
        scene.network.command(&["RENAME", "tower-sse", "other"]);
        scene.network.appoint(commands, &["RENAME", "other", "tower-sse"]);
        // Some events are acknowledged before the key is back, and some are added after that.
        for milliseconds in [0, 0, 0, 0, 5, 5, 5] {
            scene.publish(0, 0, false);
            scene.pass(milliseconds).await;
        }
    });
    assert!(found.of("reported") > 0, "nothing was lost");
}

/// An operator puts a copy of the key back while ids are ahead of the clock. In both copies, a
/// process then advances the ids to the same id.
#[test]
fn copy_whose_last_entry_has_the_same_id_is_a_gap() {
    let found = check(0..30, async |scene, moment| {
        scene.has_lost = true;
        scene.network.set_clock(-3_600_000);
        scene.network.cut_off(2, 351 + 20 * moment as u64);
        scene.network.command(&["COPY", "tower-sse", "copy"]);
        scene.publish(0, 0, false);
        scene.pass(50).await;
        scene.network.cut(1, Cut::Now);
        scene.pass(300 + 20 * moment as u64).await;
        scene.network.command(&["COPY", "copy", "tower-sse", "REPLACE"]);
        scene.network.cut(2, Cut::Now);
        scene.pass(3_000).await;
        // A client of hub 2 receives this event without the event before it.
        scene.publish(0, 0, false);
    });
    assert!(found.of("reported") > 0, "nothing was lost");
}

/// The stream is replaced by a copy that lacks an event, which only the event's publisher knows.
/// The publisher reads late: by then, all entries of the copy but the newest are trimmed.
#[test]
fn event_that_is_rolled_back_and_then_trimmed_is_a_gap() {
    let found = check(0..4, async |scene, variation| {
        scene.network.command(&["COPY", "tower-sse", "copy"]);
        let copy = ["COPY", "copy", "tower-sse", "REPLACE"];
        trim_past_the_publisher(scene, variation, Some(&copy)).await;
    });
    assert!(found.of("reported") > 0, "nothing was lost");
}

/// As in the test above, but without the copy. Only the client of the process that reads late may
/// have missed events.
#[test]
fn trimmed_event_that_only_its_publisher_missed_is_a_gap_only_there() {
    let found = check(0..4, async |scene, variation| {
        trim_past_the_publisher(scene, variation, None).await;
    });
    assert_eq!(found.of("gaps"), 4 * LATENCIES.len() * ORDERS as usize);
}

/// The stream is trimmed to nothing. After two seconds, two processes find nothing and reconnect,
/// while the third still waits and can publish.
#[test]
fn stream_trimmed_to_nothing_is_one_gap_for_each_client() {
    let moments = 0..30;
    let found = check(moments.clone(), async |scene, moment| {
        scene.has_lost = true;
        scene.network.cut(1, Cut::Now);
        scene.pass(300).await;
        scene.network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", "0"]);
        scene.pass(1_550 + 5 * moment as u64).await;
        scene.publish(1, 0, false);
        scene.pass(3_000).await;
    });
    assert_eq!(found.of("gaps"), HUBS * moments.len() * LATENCIES.len() * ORDERS as usize);
}

/// A process starts, and the stream is deleted before the process's first read. The process then
/// reads an entry, and loses its connections before it looks for more. Meanwhile, the stream is
/// deleted again.
#[test]
fn process_that_starts_over_an_empty_stream_outlives_its_deletion() {
    check(0..20, async |scene, variation| {
        let (commands, delay) = (7 + variation / 10, 3 * (variation % 10) as u64);
        scene.has_lost = true;
        scene.restart(2);
        scene.network.appoint(commands, &["DEL", "tower-sse"]);
        scene.pass(500).await;
        scene.publish(0, 0, false);
        scene.pass(delay).await;
        scene.network.command(&["DEL", "tower-sse"]);
        disconnect(&scene.network, 2);
        scene.publish(0, 0, false);
        scene.pass(3_000).await;
    });
}

/// The clock is set forward while a process is cut off. For this process, a client's id is too far
/// ahead only if it is ahead by more than a minute.
#[test]
fn client_over_a_minute_ahead_of_a_process_receives_a_gap() {
    let found = check(57..63, async |scene, seconds| {
        scene.may_be_ahead = true;
        scene.network.cut_off(2, 101);
        scene.network.set_clock(1_000 * seconds as i64);
        scene.publish(0, 0, false);
        scene.pass(100).await;
        scene.resume(0, 2);
    });
    let clients = LATENCIES.len() * ORDERS as usize;
    assert_eq!((found.of("gaps"), found.of("ahead")), (2 * clients, 2 * clients));
}

/// While ids are ahead of the clock, the stream is deleted twice. Hub 1 begins the third stream
/// without having seen the second one, whose event only hub 0 knows. Before hub 0 reads again, all
/// entries but the newest are trimmed.
#[test]
fn event_between_two_deletions_behind_the_clock_is_a_gap() {
    let found = check(0..20, async |scene, variation| {
        scene.has_lost = true;
        scene.network.set_clock(-3_600_000);
        // Hub 0 advances the ids.
        disconnect(&scene.network, 0);
        scene.pass(500).await;
        scene.publish(1, 0, false);
        scene.pass(100).await;
        scene.network.hold_reads(0, 2_500);
        (1..HUBS).for_each(|hub| scene.network.hold_reads(hub, 100));
        scene.network.command(&["DEL", "tower-sse"]);
        scene.publish(0, 0, false);
        scene.pass(80 + variation as u64).await;
        scene.network.command(&["DEL", "tower-sse"]);
        scene.pass(500).await;
        scene.resume(1, 2);
        scene.publish(1, 0, false);
        scene.publish(1, 0, false);
        scene.pass(20).await;
        scene.network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", "1"]);
        scene.pass(3_000).await;
    });
    assert!(found.of("reported") > 0, "nothing was lost");
}

/// Ids are an hour ahead of the clock, and the stream is lost, returns to an older state, or is
/// that of a replica that takes over. A client moves to a process that knows nothing of that yet.
#[test]
fn lagging_process_knows_the_ids_of_faster_ones_behind_the_clock() {
    let found = check(0..18, async |scene, variation| {
        let (fault, lead) = (variation % 3, 80_000 * (variation as i64 / 3));
        scene.has_lost = true;
        scene.network.set_clock(-3_600_000 - lead);
        scene.publish(1, 0, false);
        scene.pass(300).await;
        scene.network.take_snapshot();
        scene.publish(1, 0, false);
        scene.pass(300).await;
        scene.network.cut_off(2, 5_000);
        match fault {
            0 => _ = scene.network.command(&["DEL", "tower-sse"]),
            1 => scene.network.restart(Data::Snapshot, 20, 0),
            _ => {
                let old =
                    Promotion { lag: 1, clock_offset: 0, is_ambiguous: false, old_refuses: None };
                let old = scene.network.promote(old);
                scene.network.retire(old);
            }
        }
        for _ in 0..8 {
            scene.publish(0, 0, false);
            scene.pass(250).await;
        }
        scene.resume(0, 2);
        scene.pass(6_000).await;
    });
    assert!(found.of("gaps") > 0, "nothing was lost");
    assert_eq!(found.of("anew"), 0);
}

/// Plays a scene in all its variations, which must break no guarantee. Returns the sum of the
/// counts of the oracle.
fn check(variations: Range<usize>, play: impl AsyncFn(&mut World, usize)) -> Verdict {
    let mut found = Verdict::default();
    let latencies = LATENCIES.into_iter().flat_map(|it| (0..ORDERS).map(move |order| (it, order)));
    for (latency, order, variation) in
        latencies.flat_map(|(it, order)| variations.clone().map(move |number| (it, order, number)))
    {
        let verdict = |log| {
            runtime(order).block_on(async {
                let mut scene = start(order, latency, log).await;
                play(&mut scene, variation).await;
                end(scene).await
            })
        };
        let one = verdict(Log::new(false));
        if !one.faults.is_empty() {
            let log = Log::new(true);
            verdict(log.clone());
            let (lines, faults) = (log.take().join("\n"), one.faults.join("\n"));
            panic!("{lines}\nlatency {latency}, order {order}, variation {variation}:\n{faults}");
        }
        found.add(one);
    }
    assert_eq!((found.of("overtaken"), found.of("excused")), (0, 0));
    found
}

async fn start(order: u64, latency: u64, log: Log) -> World {
    let network = Network::new(Rng::with_seed(order), HUBS, latency, log);
    serve_this_thread(&network);
    let mut scene = World::new(network, HUBS, vec![vec![0]; HUBS], None);
    sleep(Duration::from_secs(1)).await;
    (0..HUBS).for_each(|hub| scene.resume(hub, hub));
    scene.publish(0, 0, false);
    scene.pass(100).await;
    scene
}

fn disconnect(network: &Network, hub: usize) {
    (0..2).for_each(|_| network.cut(hub, Cut::Now));
}

/// Lets hub 0 publish an event that it reads late or never, while the others are disconnected. They
/// go on after the operator's command. Before hub 0 reads again, all entries but the newest are
/// trimmed.
async fn trim_past_the_publisher(scene: &mut World, variation: usize, command: Option<&[&str]>) {
    scene.has_lost = true;
    disconnect(&scene.network, 1);
    disconnect(&scene.network, 2);
    scene.network.hold_reads(0, 2_000);
    scene.publish(0, 0, false);
    scene.pass(21).await;
    command.inspect(|command| _ = scene.network.command(command));
    scene.pass(500).await;
    if variation.is_multiple_of(2) {
        disconnect(&scene.network, 0);
    }
    scene.publish(1, 0, false);
    scene.pass(500 * (variation as u64 / 2)).await;
    scene.pass(100).await;
    scene.network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", "1"]);
    scene.pass(3_000).await;
}

/// Moves each client to another process, where it receives a last event.
async fn end(mut scene: World) -> Verdict {
    scene.pass(5_000).await;
    (0..HUBS).for_each(|client| scene.resume(client, (client + 1) % HUBS));
    scene.publish(1, 0, false);
    scene.pass(3_000).await;
    oracle::check(&scene.history())
}
