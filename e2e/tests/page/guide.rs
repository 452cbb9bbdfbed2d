//! The code for pages in the guide, in the module's README and in the crate's documentation.

use crate::scenes::{authorizations, fast};
use crate::{rig::PAGE, *};

const GUIDE: &str = include_str!("../../../docs/guide/clients.md");

/// Returns the code block that contains `text`.
pub(crate) fn code<'a>(page: &'a str, text: &str) -> &'a str {
    let blocks = page.split("\n```js\n").chain(page.split("\n```ts\n")).skip(1);
    let mut codes = blocks.map(|block| block.split_once("```").unwrap().0);
    codes.find(|code| code.contains(text)).expect("a block")
}

/// The functions that the code expects of its page.
const FUNCTIONS: &str = "const show = report, reload = () => report('gap');
    const end = status => report(`closed ${status}`);\n";

#[tokio::test]
async fn code_of_pages_shows_events_gaps_and_the_end() {
    let readme = fs::read_to_string(format!("{PAGE}/README.md")).unwrap();
    let page = fs::read_to_string(format!("{PAGE}/../src/page.rs")).unwrap().replace("//! ", "");
    for (text, ends) in [(&*readme, true), (&*page, false), (GUIDE, true)] {
        let code = code(text, "new EventStream(\"/events\", { poll: 8 })");
        let import = "import { EventStream } from \"/tower-sse.js\";\n";
        assert!(code.starts_with(import), "{code}");
        let script = format!("{FUNCTIONS}{}", code.replace(import, ""));
        let page = EnginePage::open(Engine::ChromiumAlone, fast(), &script).await;
        let Some(mut page) = page else { return };
        page.is_open().await;
        page.passes().await;
        page.rig.faults.set("502");
        page.rig.wire.cut();
        until(|| page.rig.faults.asked().len() >= 3).await;
        page.rig.faults.set("pass");
        page.passes().await;
        page.rig.restart(false).await;
        page.rig.wire.cut();
        assert_eq!(page.next_report().await, "gap");
        page.passes().await;
        page.rig.faults.set("401");
        page.rig.finish();
        if ends {
            page.closes_with(401).await;
        }
    }
}

#[tokio::test]
async fn native_code_shows_events_and_gaps_and_closes_when_done() {
    let code = code(GUIDE, "new EventSource(");
    let script = format!("{FUNCTIONS}{code}setInterval(() => document.title = source.readyState);");
    let page = EnginePage::open(Engine::ChromiumAlone, fast(), &script).await;
    let Some(mut page) = page else { return };
    page.is_open().await;
    page.passes().await;
    page.rig.restart(false).await;
    page.rig.wire.cut();
    assert_eq!(page.next_report().await, "reconnecting");
    assert_eq!(page.next_report().await, "gap");
    page.passes().await;
    page.rig.finish();
    assert_eq!(page.next_report().await, "reconnecting");
    page.passes().await;
    let asked = page.rig.faults.asked().len();
    page.rig.publish_named("done", "", true).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(page.rig.faults.asked().len(), asked, "requests after the end");

    // A refusal, for another visitor.
    let page = EnginePage::open(Engine::ChromiumAlone, fast(), &script).await;
    let Some(mut page) = page else { return };
    page.is_open().await;
    page.rig.faults.set("502");
    page.rig.wire.cut();
    assert_eq!(page.next_report().await, "reconnecting");
    assert_eq!(page.next_report().await, "closed");
}

#[tokio::test]
async fn code_with_a_header_renews_the_token_once() {
    let guide = include_str!("../../../docs/guide/authentication.md");
    let code = code(guide, "isRenewed");
    let script = format!(
        "const token = async isRenewed => isRenewed ? 'new' : 'old';
        {code}
        source.onmessage = ({{ data }}) => report(data);
        source.onerror = ({{ status }}) => {{ if (source.readyState === 2) report(`closed ${{status}}`); }};"
    );
    let page = EnginePage::open(Engine::ChromiumAlone, fast(), &script).await;
    let Some(mut page) = page else { return };
    assert_eq!(authorizations(&mut page).await, ["Bearer old", "Bearer old", "Bearer new"]);
}
