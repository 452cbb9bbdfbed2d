use crate::*;

const INTERVAL: Duration = Duration::from_millis(100);
/// The number of samples before a cut and after it.
const LIVE: usize = 10;
/// The maximum number of clients that reconnect in one second if their times are spread. More
/// clients are a storm.
const PEAK: u64 = 90;

/// Returns the numbers of the samples that the page's code has received, each with the number of
/// its connection. Asserts that the samples are consecutive.
async fn seen(browser: &Chromium) -> Vec<(u64, u64)> {
    let samples = browser.until("dashboard.samples.map(s => [s.number, s.connection])").await;
    let samples: Vec<(u64, u64)> = serde_json::from_value(samples).unwrap();
    let consecutive = samples.iter().zip(samples[0].0..).all(|((number, _), next)| *number == next);
    assert!(consecutive, "no gap and no double: {samples:?}");
    samples
}

/// The hub of the new server issues other ids, knows none of the old ids, and numbers its events
/// from the start.
#[tokio::test]
async fn open_page_reports_a_restart_of_the_server_and_goes_on() {
    let Some(tools) = Tools::find() else { return };
    let first = start_server(ANY).await;
    let address = first.address;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{address}/")).await;
    browser.until(&format!("dashboard.samples.length >= {LIVE}")).await;
    assert_eq!(browser.until("document.querySelector('#state').textContent").await, "open");
    // A drill ends with its server, and the page does not wait for the drill.
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
    browser.until(&format!("{words} === '{verdict}' && dashboard.samples.length >= {LIVE}")).await;
    let samples = seen(&browser).await;
    let (first, connection) = samples[0];
    assert_eq!(first, 1, "all that the new server has");
    // The second connection or a later one: the old server may have refused a connection with a
    // stream that opens and ends.
    assert!(connection >= 2);
    assert!(samples.iter().all(|sample| sample.1 == connection), "it was not cut again");
    browser.until("[...document.querySelectorAll('#drill button')].every(b => !b.disabled)").await;
    assert_eq!(bars(&browser).await, [0, 0]);

    // The page resumes after a cut as if nothing had happened.
    cut(&browser, connection).await;
    browser.until(&format!("dashboard.opened.length === {}", connection + 1)).await;
    let caught_up = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    browser.until(&format!("dashboard.samples.length >= {}", caught_up as usize + LIVE)).await;
    let samples = seen(&browser).await;
    assert_eq!(browser.until("[dashboard.missing, dashboard.doubles]").await.to_string(), "[0,0]");
    let verdict = browser.until(words).await;
    let before = samples.iter().rfind(|sample| sample.1 == connection).unwrap().0;
    let promise = format!("Resumed after {before}, no gap, no duplicate");
    assert!(verdict.as_str().unwrap().contains(&promise), "{verdict}");
    assert!(samples.iter().all(|sample| sample.1 <= connection + 1), "cut once");
}

/// Cuts the page's stream for a second. After an outage, the page may be about to replace the
/// stream with which `fetch` asked: then there is none to cut, and the button is clicked again.
async fn cut(browser: &Chromium, connection: u64) {
    browser.choose("#cut select", "1").await;
    let end = format!(
        "document.querySelector('#state').className === 'reconnecting'
        || dashboard.opened.length > {connection} ? 'cut'
        : performance.now() > window.clicked + 3000 && 'no stream'"
    );
    loop {
        browser.until("window.clicked = performance.now()").await;
        browser.click("#cut button").await;
        if browser.until(&end).await == "cut" {
            return;
        }
    }
}

/// Returns an expression that counts the lines of the page's log with these words.
fn log_lines(words: &str) -> String {
    let lines = "[...document.querySelectorAll('#log .note')]";
    format!("{lines}.filter(line => line.textContent.includes('{words}')).length")
}

async fn start_server(address: SocketAddr) -> Server {
    let soon = Retry::fixed(INTERVAL);
    let layer = SseLayer::new().for_pages().drain(Drain::at_once().retry(soon)).retry(soon);
    Server::start(address, layer, example::routes(INTERVAL)).await
}

#[tokio::test]
async fn dashboard_names_every_canvas_and_announces_its_state_only_when_it_changes() {
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(INTERVAL, SseLayer::new())).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{server}/")).await;
    browser.until("dashboard.samples.length").await;
    let unnamed = "document.querySelectorAll('canvas:not([role=img][aria-label])').length === 0";
    browser.until(unnamed).await;
    browser.until("document.body.textContent.includes('tower-sse')").await;

    // Screen readers announce what is written into a live region.
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
    let server = serve_axum(example::app(INTERVAL, SseLayer::new())).await;
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
    // Both kinds of drill include all clients, so their bars have about the same area.
    assert!(storm > 1000 && storm.abs_diff(spread) < storm / 4, "painted {storm} and {spread}");
    // In each of the two drills, 200 streams are drained and 200 are left by their clients.
    let closed = "dashboard.samples[dashboard.samples.length - 1].streams.closed";
    browser.until(&format!("{closed}.drained === 400 && {closed}.disconnected === 400")).await;
    browser.until("document.querySelector('#closes').textContent.includes('drained400')").await;
}

async fn returned(browser: &Chromium, kind: &str) -> Vec<u64> {
    let run = format!("dashboard.runs.{kind}");
    let returned = browser.until(&format!("{run}?.phase === 'over' && {run}.returned")).await;
    returned.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

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
