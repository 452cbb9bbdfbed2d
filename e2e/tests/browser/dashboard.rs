use crate::*;

pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// The number of samples checked before the cut and after it.
const LIVE: usize = 10;
/// The maximum number of clients that reconnect in one second if they are spread; more of them are
/// a storm.
const PEAK: u64 = 90;

#[tokio::test]
async fn dashboard_receives_events_one_by_one_and_resumes_after_a_cut() {
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    is_seen_live_cut_and_resumed(&tools, server).await;
}

#[tokio::test]
async fn dashboard_works_through_nginx_with_default_proxy_settings() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    let nginx = Proxy::nginx(&nginx, &format!("server {server};"), "").await;
    is_seen_live_cut_and_resumed(&tools, nginx.address).await;
}

async fn is_seen_live_cut_and_resumed(tools: &Tools, address: SocketAddr) {
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{address}/")).await;

    // Samples kept from before the page was opened are sent at once.
    let history = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    come_one_by_one(&browser, history as usize).await;
    assert_eq!(browser.until("document.querySelector('#state').textContent").await, "open");

    browser.choose("#cut select", "1").await;
    browser.click("#cut button").await;
    browser.until("dashboard.opened.length === 2").await;
    let caught_up = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    let samples = come_one_by_one(&browser, caught_up as usize).await;

    are_consecutive(&samples);
    let before = samples.iter().rfind(|sample| sample.connection == 1).unwrap();
    let after = samples.iter().find(|sample| sample.connection == 2).unwrap();
    assert_eq!(after.number, before.number + 1);
    assert!(samples.iter().all(|sample| sample.connection <= 2), "cut once");
    assert_eq!(browser.until("[dashboard.missing, dashboard.doubles]").await.to_string(), "[0,0]");
    let verdict = browser.until("document.querySelector('#verdict').textContent").await;
    let promise = format!("Resumed after {}, no gap, no duplicate", before.number);
    assert!(verdict.as_str().unwrap().contains(&promise), "{verdict}");
}

struct Seen {
    number: u64,
    connection: u64,
    /// Milliseconds, by the browser's clock.
    arrived: f64,
    /// Milliseconds, by the server's clock.
    made: f64,
}

/// Returns the samples that the page's own code has received, with their times.
async fn seen(browser: &Chromium) -> Vec<Seen> {
    let samples = browser
        .until("dashboard.samples.map(s => [s.number, s.connection, s.arrived, s.time])")
        .await;
    let seen = |sample: &Value| Seen {
        number: sample[0].as_u64().unwrap(),
        connection: sample[1].as_u64().unwrap(),
        arrived: sample[2].as_f64().unwrap(),
        made: sample[3].as_f64().unwrap(),
    };
    samples.as_array().unwrap().iter().map(seen).collect()
}

fn are_consecutive(samples: &[Seen]) {
    let numbers: Vec<u64> = samples.iter().map(|sample| sample.number).collect();
    let consecutive: Vec<u64> = (numbers[0]..).take(numbers.len()).collect();
    assert_eq!(numbers, consecutive, "no gap and no double");
}

/// Returns all samples once [`LIVE`] consecutive ones after the first `before` have arrived one by
/// one. Behind a proxy that holds events back, none ever do. On a busy machine, the page can be
/// late for the first.
async fn come_one_by_one(browser: &Chromium, mut before: usize) -> Vec<Seen> {
    for _ in 0..5 {
        browser.until(&format!("dashboard.samples.length >= {}", before + LIVE)).await;
        let samples = seen(browser).await;
        if came_one_by_one(&samples[samples.len() - LIVE..]) {
            return samples;
        }
        before = samples.len();
    }
    panic!("no {LIVE} samples came one by one");
}

/// Returns whether each sample arrived when it was taken. In a burst, the first sample would arrive
/// as late as the last.
fn came_one_by_one(samples: &[Seen]) -> bool {
    let (first, last) = (samples.first().unwrap(), samples.last().unwrap());
    let (made, arrived) = (last.made - first.made, last.arrived - first.arrived);
    let alone = samples.windows(2).filter(|pair| pair[1].arrived - pair[0].arrived > 20.0).count();
    arrived > made / 2.0 && alone >= samples.len() / 2
}

/// The hub of the new server issues other IDs, knows none of the old ones, and counts from the
/// start.
#[tokio::test]
async fn open_page_reports_a_restart_of_the_server_and_goes_on() {
    let Some(tools) = Tools::find() else { return };
    let first = start_server(ANY).await;
    let address = first.address;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{address}/")).await;
    browser.until(&format!("dashboard.samples.length >= {LIVE}")).await;
    // A drill ends with its server, and the page does not wait for it.
    browser.click("#drill [value=true]").await;
    browser.until("dashboard.runs.spread?.returned.some(count => count > 0)").await;
    first.shut_down().await;
    browser.until("document.querySelector('#state').className === 'reconnecting'").await;
    let words = "document.querySelector('#verdict').textContent";
    browser.until(&format!("{words}.startsWith('Connection lost after ')")).await;
    let last = browser.until("dashboard.last").await;
    let id = browser.until("dashboard.lastEventId").await;
    let ended = format!("Last-Event-ID: {}", id.as_str().unwrap());
    browser.until(&log_lines(&ended)).await;

    let _second = start_server(address).await;
    let gap = format!("gap: the server does not have all samples after {last}");
    assert_eq!(browser.until(&log_lines(&gap)).await, 1);
    let verdict = format!("Gap after {last}: the server was restarted.");
    let outcome = "document.querySelector('#verdict').textContent";
    browser
        .until(&format!("{outcome} === '{verdict}' && dashboard.samples.length >= {LIVE}"))
        .await;
    let samples = seen(&browser).await;
    assert_eq!(samples[0].number, 1, "all that the new server has");
    are_consecutive(&samples);
    // The second connection or later: the old server may have refused one, which is a stream that
    // opens and ends.
    let connection = samples[0].connection;
    assert!(connection >= 2);
    assert!(samples.iter().all(|sample| sample.connection == connection), "it was not cut again");
    browser.until("[...document.querySelectorAll('#drill button')].every(b => !b.disabled)").await;
    assert_eq!(bars(&browser).await, [0, 0]);

    // From here on everything works as before.
    browser.choose("#cut select", "1").await;
    browser.click("#cut button").await;
    browser.until(&format!("dashboard.opened.length === {connection} + 1")).await;
    let caught_up = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    browser.until(&format!("dashboard.samples.length >= {}", caught_up as usize + LIVE)).await;
    are_consecutive(&seen(&browser).await);
    assert_eq!(browser.until("[dashboard.missing, dashboard.doubles]").await.to_string(), "[0,0]");
    let verdict = browser.until("document.querySelector('#verdict').textContent").await;
    assert!(verdict.as_str().unwrap().contains("no gap, no duplicate"), "{verdict}");
}

/// Returns an expression that counts the lines of the page's log with these words.
fn log_lines(words: &str) -> String {
    let lines = "[...document.querySelectorAll('#log .note')]";
    format!("{lines}.filter(line => line.textContent.includes('{words}')).length")
}

async fn start_server(address: SocketAddr) -> Server {
    let soon = Retry::fixed(INTERVAL);
    let layer = SseLayer::new().drain(Drain::at_once().retry(soon)).retry(soon);
    Server::start(address, layer, example::routes(INTERVAL)).await
}

#[tokio::test]
async fn dashboard_names_every_canvas_and_announces_its_state_only_when_it_changes() {
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{server}/")).await;
    browser.until("dashboard.samples.length").await;
    let unnamed = "document.querySelectorAll('canvas:not([role=img][aria-label])').length === 0";
    browser.until(unnamed).await;
    browser.until("document.body.textContent.includes('tower-sse')").await;

    // Whatever is written into a live region is announced.
    browser
        .until(
            "(window.announced = [], document.querySelectorAll('[role=status]').forEach(region =>
                new MutationObserver(() => announced.push(region.textContent))
                    .observe(region, { childList: true, characterData: true, subtree: true })), true)",
        )
        .await;
    browser.choose("#cut select", "5").await;
    browser.click("#cut button").await;
    browser.until("document.querySelector('#state').textContent.includes('3 s')").await;
    let announced = browser.until("announced").await;
    let announced: Vec<String> = serde_json::from_value(announced).unwrap();
    assert_eq!(announced.len(), 2, "{announced:?}");
    assert_eq!(announced[0], "reconnecting");
    assert!(announced[1].starts_with("Cut after "), "{announced:?}");
}

#[tokio::test]
async fn dashboard_shuts_a_server_down_and_shows_how_its_clients_reconnect() {
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{server}/")).await;
    browser.until("dashboard.samples.length").await;
    assert_eq!(bars(&browser).await, [0, 0]);

    browser.click("#drill [value=false]").await;
    let storm = returned(&browser, "storm").await;
    assert_eq!(storm.iter().sum::<u64>(), 200);
    assert!(storm.iter().any(|count| *count > PEAK), "{storm:?}");
    let outcome = outcome(&browser, "storm").await;
    assert!(outcome.starts_with("all 200 simulated clients reconnected within"), "{outcome}");

    // While the drill's server is shut down, the page's own stream is cut and resumes.
    browser.click("#drill [value=true]").await;
    browser.until("dashboard.runs.spread?.phase === 'draining'").await;
    browser.until("[...document.querySelectorAll('#drill button')].every(b => b.disabled)").await;
    browser.choose("#cut select", "1").await;
    browser.click("#cut button").await;
    browser.until("dashboard.opened.length === 2").await;
    let spread = returned(&browser, "spread").await;
    assert_eq!(spread.iter().sum::<u64>(), 200);
    assert!(spread.iter().all(|count| *count <= PEAK), "{spread:?}");
    assert_eq!(browser.until("[dashboard.missing, dashboard.doubles]").await.to_string(), "[0,0]");

    let [storm, spread] = bars(&browser).await;
    // Both kinds include all clients, so their bars have about the same area.
    assert!(storm > 1000 && storm.abs_diff(spread) < storm / 4, "painted {storm} and {spread}");
    // Drained, and left by themselves, twice.
    let closed = "dashboard.samples[dashboard.samples.length - 1].streams.closed";
    browser.until(&format!("{closed}.drained === 400 && {closed}.disconnected === 400")).await;
    browser.until("document.querySelector('#closes').textContent.includes('drained400')").await;
}

/// Returns how many clients reconnected in each second, once all have.
async fn returned(browser: &Chromium, kind: &str) -> Vec<u64> {
    let run = format!("dashboard.runs.{kind}");
    let returned = browser.until(&format!("{run}?.phase === 'over' && {run}.returned")).await;
    returned.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

/// Returns what the page reports about a finished drill.
async fn outcome(browser: &Chromium, kind: &str) -> String {
    let words = format!("document.querySelector('[data-run={kind}] dd.over')?.textContent");
    browser.until(&words).await.as_str().unwrap().to_owned()
}

/// Returns how many pixels of the chart have the colours of the two kinds of drills.
async fn bars(browser: &Chromium) -> [u64; 2] {
    let dots = browser
        .until(
            "(() => {
                const canvas = document.querySelector('#waves');
                if (!canvas.width) return;
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const style = getComputedStyle(document.documentElement);
                return ['two', 'one'].map(name => {
                    const [r, g, b] = style.getPropertyValue('--' + name).match(/[0-9a-f]{2}/g);
                    const ink = [r, g, b].map(part => parseInt(part, 16));
                    let dots = 0;
                    for (let i = 0; i < data.length; i += 4) {
                        dots += data[i + 3] === 255 && ink.every((part, at) => data[i + at] === part);
                    }
                    return dots;
                });
            })()",
        )
        .await;
    [dots[0].as_u64().unwrap(), dots[1].as_u64().unwrap()]
}
