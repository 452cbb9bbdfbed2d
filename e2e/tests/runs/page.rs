//! A page in Chromium that reads an answer with an `EventSource`.

use crate::*;

pub(crate) struct Page(Chromium);

impl Page {
    /// Opens a page that reads the words. Returns `None` without Chromium.
    pub(crate) async fn open(server: SocketAddr) -> Option<Self> {
        let browser = Chromium::start(&Tools::find()?).await;
        browser.open(&format!("http://{server}/")).await;
        let listen = "window.text = '';
            const source = new EventSource('/words/1');
            source.onmessage = ({ data }) => { window.text += data };
            source.addEventListener('interrupted', () => { window.told = (window.told ?? 0) + 1 });
            source.onerror = () => { window.over = source.readyState === EventSource.CLOSED };
            arguments[arguments.length - 1](true);";
        browser.answer(listen).await.unwrap();
        Some(Self(browser))
    }

    pub(crate) async fn until_received(&self, length: usize) -> String {
        let received = format!("window.text.length >= {length} && window.text");
        self.0.until(&received).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn end(&self) -> String {
        self.0.until("window.over && window.text").await.as_str().unwrap().to_owned()
    }

    /// Returns how many events told the page that its answer is incomplete.
    pub(crate) async fn told(&self) -> u64 {
        self.0.until("[window.told ?? 0]").await[0].as_u64().unwrap()
    }
}
