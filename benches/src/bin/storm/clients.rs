use std::io::{self, BufRead, Write};
use std::{net::Ipv4Addr, sync::mpsc, thread, time::Duration};

use tower_sse_benches::sockets::streams::{Reconnect, Streams};

/// Runs the clients of one part, which have an address of their own. Obeys the lines of standard
/// input until its end. `open N` lets the clients connect, N at a time. `cut` closes all streams,
/// and the clients reconnect at once. `report NUMBER` asks how many streams are open, whether each
/// client has, or has lost, all events up to this number, and what all clients have seen since the
/// last report.
pub(crate) fn run(clients: usize, part: u8, ports: impl Iterator<Item = u16>) {
    let addresses = ports.map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
    let mut streams = Streams::new(addresses, "/", clients).expect("a poll");
    streams.source = Some(Ipv4Addr::new(127, 0, 1, part + 1));
    streams.reconnect = Reconnect::AsTold;
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            _ = sender.send(line.expect("text"));
        }
    });
    loop {
        match orders.try_recv() {
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => return,
            Ok(order) => obey(&mut streams, &order),
        }
        // An order waits for at most this time.
        streams.turn(Duration::from_millis(10)).expect("events");
    }
}

fn obey(streams: &mut Streams, order: &str) {
    let mut words = order.split(' ');
    let mut number = (words.next(), words.next().and_then(|number| number.parse::<u64>().ok()));
    match (&mut number.0, number.1) {
        (Some("open"), Some(at_once)) => {
            streams.at_once = at_once as usize;
            streams.connect_all();
        }
        (Some("cut"), _) => {
            streams.at_once = usize::MAX;
            streams.close_all();
            streams.connect_all();
        }
        (Some("report"), Some(number)) => {
            let seen = serde_json::to_string(&streams.take_seen()).expect("JSON");
            println!("{} {} {seen}", streams.open, u8::from(streams.all_at(number)));
            io::stdout().flush().expect("a reader");
        }
        _ => panic!("no order {order}"),
    }
}
